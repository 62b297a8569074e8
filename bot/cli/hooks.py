"""`patchbay hook`: webhooks in and out, and what REST does not know about them (decision 35)."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Unpack, cast

import click

from bot.cli import hook_views as views
from bot.cli.common import as_owner, data_option, fail, json_option
from bot.cli.hook_add import add
from bot.cli.hook_deliveries import dead, deliveries
from bot.cli.hook_refs import find
from bot.cli.hook_settings import Flags, edit_settings, new_signing_key, read_options
from bot.cli.output import print_facts, print_rows, text
from bot.cli.terminal.one_shot import line
from bot.services import Services
from bot.workspace.hook_options import Options
from handlers.errors import Fault
from storage.records.hook_request import HookRequest
from storage.records.integration import Hook, IncomingHook, direction
from storage.records.user import User

LIST_COLUMNS = ("id", "way", "name", "enabled", "rooms", "user", "event", "calls", "damaged")
REQUEST_COLUMNS = ("at", "method", "verdict", "status", "error", "messages")


class LineGroup(click.Group):
    """A group whose unknown words are a line for a running server (decision 68)."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the sub-command; anything else, options before it included, is a line."""
        if args and args[0] in self.commands:
            return super().resolve_command(ctx, args)
        return line.name, line, args


@click.group(cls=LineGroup, context_settings={"ignore_unknown_options": True})
def hook() -> None:
    """Webhooks; REF is an id, a name or the beginning of a name.

    The commands below work on the data folder. Any other words are a line for a running server, as typed in a chat:
    `patchbay hook [--url URL] [--room ROOM] [--json] in list`. It takes a personal token from PATCHBAY_TOKEN and
    ends with 0 done, 1 not done, 2 wrong usage, 3 it has to be confirmed first.
    """


for command in (add, deliveries, dead):
    hook.add_command(command)


@hook.command("list")
@json_option
@data_option
def list_hooks(as_json: bool, data: Path | None) -> None:
    """List all hooks.

    Oldest first; of the addresses they call only the host is shown.
    """

    async def work(services: Services, owner: User) -> list[Hook]:
        return [hook async for hook in services.directory.every_hook(services.hooks.seen(owner))]

    rows = [views.row(each) for each in as_owner(data, work)]
    print_rows(rows, LIST_COLUMNS, as_json=as_json, empty="There are no hooks.")


@hook.command()
@click.argument("ref")
@click.option("--reveal", is_flag=True, help="Show addresses, tokens, secrets and keys too.")
@json_option
@data_option
def show(ref: str, reveal: bool, as_json: bool, data: Path | None) -> None:
    """Show all of the hook REF."""

    async def work(services: Services, owner: User) -> views.Facts | Fault:
        found = await find(services, owner, ref)
        return found if isinstance(found, Fault) else views.facts(found, services.base_url, reveal=reveal)

    print_facts(as_owner(data, work), as_json=as_json)


@hook.command()
@click.argument("ref")
@edit_settings
@data_option
def edit(ref: str, data: Path | None, **flags: Unpack[Flags]) -> None:
    """Change the hook REF.

    What is not named stays as it is, also through changes over REST.
    """
    read = read_options(flags)

    async def work(services: Services, owner: User) -> Hook | Fault:
        options = read(services)
        if options == Options():
            raise click.UsageError("Say what to change; see `patchbay hook edit --help`.")
        found = await find(services, owner, ref, whole_name=True)
        return found if isinstance(found, Fault) else await services.hooks.edit(owner, found.id, options)

    changed = _hook_of(data, work)
    click.echo(f"Done. {text(changed.name)} ({changed.id}) is changed.")
    if key := new_signing_key(changed, flags):
        print_facts(key, as_json=False)
        click.echo("The key is shown only once; the one before is good for another 24 h.", err=True)


@hook.command()
@click.argument("ref")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def remove(ref: str, yes: bool, data: Path | None) -> None:
    """Remove the hook REF for good.

    Its history goes too, and whatever it still had to deliver.
    """

    async def look(services: Services, owner: User) -> Hook | Fault:
        return await find(services, owner, ref, whole_name=True)

    found = _hook_of(data, look)
    if not yes:
        click.confirm(f"Remove {text(found.name)} ({found.id})?", abort=True, err=True)

    async def work(services: Services, owner: User) -> Hook | Fault:
        body = {"type": direction(found).value, "integrationId": found.id}
        return await services.hooks.remove(owner, body)

    gone = _hook_of(data, work)
    click.echo(f"Done. {text(gone.name)} ({gone.id}) is removed.")


@hook.command()
@click.argument("ref")
@click.option("--count", type=click.IntRange(1, 200), default=20, show_default=True, help="How many, newest first.")
@json_option
@data_option
def requests(ref: str, count: int, as_json: bool, data: Path | None) -> None:
    """Show the last requests to the hook REF.

    With --json also their headers and bodies, secrets masked.
    """

    async def work(services: Services, owner: User) -> tuple[IncomingHook, list[HookRequest]] | Fault:
        found = await find(services, owner, ref)
        if isinstance(found, Fault):
            return found
        if not isinstance(found, IncomingHook):
            return Fault(f"{text(found.name)} is an outgoing hook; requests come to incoming ones.")
        return found, await services.store.requests(found.id, count=count)

    found, kept = as_owner(data, work)
    if not kept and not found.keep_requests:
        fail(f"{text(found.name)} keeps no requests; see `patchbay hook edit {found.id} --keep-requests`.")
    rows = [views.request(each, found) for each in kept]
    print_rows(rows, REQUEST_COLUMNS, as_json=as_json, empty="No request has come yet.")


def _hook_of(data: Path | None, work: Callable[[Services, User], Awaitable[Hook | Fault]]) -> Hook:
    return cast(Hook, as_owner(data, work))  # mypy joins the two kinds to their base
