"""`patchbay workspace`: the other chats whose people may type commands here (decision 61)."""

import secrets
import sys
from pathlib import Path
from typing import IO

import click

from bot.cli.common import as_owner, data_option, json_option
from bot.cli.output import moment, print_facts, print_rows, text
from bot.cli.secrets import ask, read_secret, secret_file_option
from bot.services import Services
from bot.workspace.chats import NewChat
from bot.workspace.doors import addresses
from handlers.errors import Fault
from storage.records.user import User
from storage.records.workspace import Workspace, WorkspaceKind

KINDS = [kind.value for kind in WorkspaceKind]
DOOR = "cli"
COLUMNS = ("id", "kind", "name", "team", "bot", "unlinked_viewer", "added", "damaged")
_SECRETS = {
    WorkspaceKind.SLACK: "Signing secret",
    WorkspaceKind.MATTERMOST: "Token of the slash command",
    WorkspaceKind.ROCKETCHAT: "Token of the outgoing integration",
    WorkspaceKind.ROCKETCHAT_APP: "Shared secret",
}


@click.group()
def workspace() -> None:
    """Other chats that send commands here."""


@workspace.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--team", help="Team id (Slack T…, Mattermost 26 letters and digits) or address of the Rocket.Chat site.")
@secret_file_option("--secret-file", "the signing secret or token; default: it is asked for")
@secret_file_option("--bot-token-file", "the token of a bot account there, which answers late and opens forms")
@click.option("--base-url", help="Where the chat's own interface is; Slack's is known.")
@click.option("--unlinked-viewer", is_flag=True, help="Let people whose account is not linked look, as viewers do.")
@json_option
@data_option
def add(
    kind: str,
    name: str,
    team: str | None,
    secret_file: IO[str] | None,
    bot_token_file: IO[str] | None,
    base_url: str | None,
    unlinked_viewer: bool,
    as_json: bool,
    data: Path | None,
) -> None:
    """Connect a chat and print the addresses to enter there.

    KIND is slack, mattermost, rocketchat (an outgoing integration with a trigger word) or rocketchat-app. Secrets come
    from files or a prompt, never as arguments. With a Slack bot token, Slack is asked once which team it belongs to.
    For rocketchat-app a secret is made and shown once, unless --secret-file brings one.
    """
    which = WorkspaceKind(kind)
    if secret_file is not None and bot_token_file is not None and secret_file.name == bot_token_file.name:
        raise click.UsageError("Secret and bot token are two files; only one of them can be standard input.")
    made_secret = None
    if secret_file is not None:
        secret = read_secret(secret_file, "secret")
    elif which is WorkspaceKind.ROCKETCHAT_APP:
        secret = made_secret = secrets.token_urlsafe(32)
    else:
        secret = ask(_SECRETS[which], "--secret-file")
    new = NewChat(
        kind=which,
        name=name,
        team_id=team,
        secret=secret,
        bot_token=None if bot_token_file is None else read_secret(bot_token_file, "bot token"),
        base_url=base_url,
        unlinked_viewer=unlinked_viewer,
    )

    async def work(services: Services, owner: User) -> tuple[Workspace, dict[str, str]] | Fault:
        async with services.chat_calls:
            made = await services.chats.add(owner, new, door=DOOR)
        return made if isinstance(made, Fault) else (made, addresses(made, services.base_url))

    made, enter = as_owner(data, work)
    shown: dict[str, object] = {**_facts(made), **enter}
    print_facts(shown | {"secret": made_secret} if made_secret else shown, as_json=as_json)
    if made_secret:
        click.echo("The secret is shown only once; enter it in the App's settings.", err=True)


@workspace.command("list")
@json_option
@data_option
def list_workspaces(as_json: bool, data: Path | None) -> None:
    """List the connected chats, without their secrets."""

    async def work(services: Services, _: User) -> list[dict[str, object]]:
        return [{**_facts(one), "addresses": addresses(one, services.base_url)} for one in await services.chats.all()]

    print_rows(as_owner(data, work), COLUMNS, as_json=as_json, empty="No other chat is connected.")


@workspace.command()
@click.argument("ref")
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_option
def remove(ref: str, yes: bool, data: Path | None) -> None:
    """Disconnect the chat REF, by id or name.

    Its requests are refused from then on, and the accounts linked in it belong to nobody.
    """
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("There is no terminal to ask at; use --yes.")
        click.confirm(f"Disconnect {text(ref)} and forget its linked accounts?", abort=True, err=True)

    async def work(services: Services, owner: User) -> Workspace | Fault:
        return await services.chats.remove(owner, ref, door=DOOR)

    gone = as_owner(data, work)
    click.echo(f"Done. {text(gone.name)} ({gone.id}) is disconnected.")


def _facts(found: Workspace) -> dict[str, object]:
    return {
        "id": found.id,
        "kind": found.kind.value,
        "name": found.name,
        "team": found.team_id,
        "bot": found.bot_token is not None,
        "base_url": found.base_url,
        "unlinked_viewer": found.unlinked_viewer,
        "added": moment(found.created_at),
        "damaged": found.damaged,
    }
