"""`patchbay token`: personal access tokens, what scripts log in with (decisions 22 and 50)."""

from pathlib import Path

import click

from bot.cli.common import as_owner, data_option, json_option, user_named
from bot.cli.output import moment, print_facts, print_rows
from bot.services import Services
from handlers.errors import Fault
from storage.records.user import Token, User

COLUMNS = ("username", "name", "created", "last_used", "ends_with")


@click.group()
def token() -> None:
    """Personal access tokens."""


@token.command()
@click.argument("username")
@click.argument("name")
@json_option
@data_option
def add(username: str, name: str, as_json: bool, data: Path | None) -> None:
    """Make the token NAME for a user.

    It is printed only once.
    """

    async def work(services: Services, _: User) -> tuple[User, str] | Fault:
        found = await user_named(services, username)
        if isinstance(found, Fault):
            return found
        if not found.active:
            return Fault(f"{found.username} is deactivated; see `patchbay user enable`.")
        made = await services.accounts.generate(found, name)
        return made if isinstance(made, Fault) else (found, made)

    owner, made = as_owner(data, work)
    print_facts({"X-User-Id": owner.id, "X-Auth-Token": made}, as_json=as_json)
    click.echo("The token is shown only once; send both as headers.", err=True)


@token.command("list")
@click.argument("username", required=False)
@json_option
@data_option
def list_tokens(username: str | None, as_json: bool, data: Path | None) -> None:
    """List the tokens of the user USERNAME, or of everybody."""

    async def work(services: Services, _: User) -> list[tuple[User, Token]] | Fault:
        if username is None:
            users = await services.directory.users()
        else:
            found = await user_named(services, username)
            if isinstance(found, Fault):
                return found
            users = [found]
        return [(each, one) for each in users for one in await services.accounts.personal_tokens(each)]

    rows = [_facts(user, one) for user, one in as_owner(data, work)]
    print_rows(rows, COLUMNS, as_json=as_json, empty="There are no tokens.")


@token.command()
@click.argument("username")
@click.argument("name")
@data_option
def revoke(username: str, name: str, data: Path | None) -> None:
    """Take back the token NAME of the user USERNAME."""

    async def work(services: Services, _: User) -> str | Fault:
        found = await user_named(services, username)
        if isinstance(found, Fault):
            return found
        return await services.accounts.remove(found, name) or found.username

    click.echo(f"Done. The token {name} of {as_owner(data, work)} is worth nothing any more.")


def _facts(user: User, found: Token) -> dict[str, object]:
    return {
        "username": user.username,
        "name": found.name,
        "created": moment(found.created_at),
        "last_used": moment(found.last_used_at),
        "ends_with": found.last_part,
    }
