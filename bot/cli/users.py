"""`patchbay user`: people and bots (decisions 7, 20, 21, 22, 24)."""

from pathlib import Path

import click

from bot.cli.common import as_owner, data_option, json_option, user_named
from bot.cli.output import print_facts, print_rows
from bot.cli.secrets import ask, password_stdin_option, stdin_password
from bot.services import Services
from bot.workspace.passwords import one_time_password
from bot.workspace.users import Changed, NewUser, UserUpdate
from handlers.errors import Fault
from handlers.listing import NOUNS
from handlers.permissions import KNOWN
from storage.records.integration import direction
from storage.records.user import Role, User

ROLE = click.Choice([role.value for role in Role])
COLUMNS = ("username", "role", "active", "bot", "name", "emails")


@click.group()
def user() -> None:
    """People and bots."""


@user.command()
@click.argument("name")
@click.option("--email", help="E-mail address, with which the user can log in too.")
@click.option("--role", type=ROLE, default=Role.VIEWER.value, show_default=True, help="What the user may do.")
@click.option("--name", "full_name", help="Name as people read it; default the user name.")
@click.option("--bot", is_flag=True, help="Give the role bot too, which may post under other names.")
@password_stdin_option
@json_option
@data_option
def add(
    name: str,
    email: str | None,
    role: str,
    full_name: str | None,
    bot: bool,
    password_stdin: bool,
    as_json: bool,
    data: Path | None,
) -> None:
    """Make the user NAME.

    Without --password-stdin a password is made and printed once.
    """
    password = stdin_password() if password_stdin else one_time_password()
    new = NewUser(username=name, name=full_name or name, password=password, email=email, role=Role(role), is_bot=bot)

    async def work(services: Services, owner: User) -> User | Fault:
        return await services.users.create(owner, new, by_operator=True)

    facts = _facts(as_owner(data, work))
    print_facts(facts if password_stdin else {**facts, "password": password}, as_json=as_json)
    if not password_stdin:
        click.echo("The password is shown only once.", err=True)


@user.command("list")
@json_option
@data_option
def list_users(as_json: bool, data: Path | None) -> None:
    """List all users, oldest first."""

    async def work(services: Services, _: User) -> list[User]:
        return await services.directory.users()

    print_rows([_facts(each) for each in as_owner(data, work)], COLUMNS, as_json=as_json, empty="There are no users.")


@user.command()
@click.argument("name")
@click.argument("role", type=ROLE)
@data_option
def role(name: str, role: str, data: Path | None) -> None:
    """Give the user NAME another role."""
    changed = _update(data, name, UserUpdate(role=Role(role)))
    click.echo(f"Done. {changed.user.username} is {changed.user.role.value}.")
    _tell_stopped(changed)


@user.command()
@click.argument("name")
@password_stdin_option
@click.option("--generate", is_flag=True, help="Make a password and print it once.")
@data_option
def password(name: str, password_stdin: bool, generate: bool, data: Path | None) -> None:
    """Give the user NAME a new password.

    It is asked for at the terminal. All sessions end, personal tokens stay.
    """
    if password_stdin and generate:
        raise click.UsageError("Give --password-stdin or --generate, not both.")
    if generate:
        new = one_time_password()
    else:
        new = stdin_password() if password_stdin else ask("New password", "--password-stdin or --generate")
    changed = _update(data, name, UserUpdate(password=new)).user
    click.echo(f"Done. {changed.username} has a new password; running sessions have ended.")
    if generate:
        click.echo(f"Password  {new}")


@user.command()
@click.argument("name")
@data_option
def disable(name: str, data: Path | None) -> None:
    """Let the user NAME log in no more.

    Sessions and tokens end; hooks that post as this user are disabled and named.
    """
    done = _set_active(data, name, active=False)
    click.echo(f"Done. {done.user.username} cannot log in any more.")
    for hook in done.disabled:
        click.echo(f"Disabled the hook {hook.id}, which posts as {done.user.username}.")
    _tell_stopped(done)


@user.command()
@click.argument("name")
@data_option
def enable(name: str, data: Path | None) -> None:
    """Let the user NAME log in again.

    Hooks stay disabled until `patchbay hook edit REF --enable`.
    """
    click.echo(f"Done. {_set_active(data, name, active=True).user.username} can log in.")


@user.command()
@click.argument("name")
@click.argument("permission", type=click.Choice(sorted(KNOWN)))
@click.option("--grant/--deny", "granted", default=None, help="Give it, or take it away.")
@data_option
def permit(name: str, permission: str, granted: bool | None, data: Path | None) -> None:
    """Grant or take away a single permission.

    It counts whatever the role of the user NAME says.
    """
    if granted is None:
        raise click.UsageError("Say --grant or --deny.")

    async def work(services: Services, owner: User) -> Changed | Fault:
        found = await user_named(services, name)
        if isinstance(found, Fault):
            return found
        return await services.users.set_permission(owner, found.id, permission, granted=granted)

    changed = as_owner(data, work)
    click.echo(f"Done. {changed.user.username} {'holds' if granted else 'does not hold'} {permission}.")
    _tell_stopped(changed)


def _tell_stopped(changed: Changed) -> None:
    for one in changed.stopped:
        noun = NOUNS[direction(one.hook)]
        click.echo(
            f"Stopped the hook {one.hook.id}: {one.why}. To take it over: patchbay hook {noun} adopt {one.hook.id}"
        )


def _update(data: Path | None, name: str, update: UserUpdate) -> Changed:
    async def work(services: Services, owner: User) -> Changed | Fault:
        found = await user_named(services, name)
        if isinstance(found, Fault):
            return found
        return await services.users.update(owner, found.id, update, by_operator=True)

    return as_owner(data, work)


def _set_active(data: Path | None, name: str, *, active: bool) -> Changed:
    async def work(services: Services, owner: User) -> Changed | Fault:
        found = await user_named(services, name)
        return found if isinstance(found, Fault) else await services.users.set_active(owner, found.id, active=active)

    return as_owner(data, work)


def _facts(found: User) -> dict[str, object]:
    return {
        "id": found.id,
        "username": found.username,
        "name": found.name,
        "emails": list(found.emails),
        "role": found.role.value,
        "bot": found.is_bot,
        "active": found.active,
        "granted": sorted(found.granted),
        "denied": sorted(found.denied),
    }
