"""Which server a terminal speaks to, and with whose token (decision 68)."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO

import click

from bot.cli.address import last_address
from bot.cli.common import fail, settings
from bot.cli.secrets import Decorator, read_secret, secret_file_option
from bot.cli.terminal.client import Client
from bot.folder import Folder
from bot.outbound import Outbound
from bot.settings import client_token
from handlers.http import Refused
from handlers.targets import AllowList, parse_url

url_option = click.option("--url", help="Address of the server; default: that of the data folder here.")
room_option = click.option("--room", help="Room the lines are meant for, like '#ops'.")
token_file_option: Decorator = secret_file_option(
    "--token-file", "a personal access token; default PATCHBAY_TOKEN, else it is asked for"
)


def address(url: str | None) -> str:
    """Return where the server is: as told, else where the one of this data folder was last."""
    if url is None:
        found = settings()
        url = found.base_url or last_address(Folder(found.data)) or found.url()
    target = parse_url(url)
    if isinstance(target, Refused):
        raise click.UsageError(f"--url: {target.message}")
    return url.rstrip("/")


def token(file: IO[str] | None) -> str:
    """Return the personal access token, from a file, PATCHBAY_TOKEN or a prompt."""
    if file is not None:
        return _checked(read_secret(file, "token"))
    if (known := client_token()) is not None:
        return _checked(known)
    if not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask for the token at; set PATCHBAY_TOKEN or use --token-file.")
    asked: str = click.prompt("Personal access token", hide_input=True, err=True)
    return _checked(asked.strip())


@asynccontextmanager
async def connected(url: str, token: str, *, room: str | None, root: str | None = None) -> AsyncIterator[Client]:
    """Open the way to a server; its own address is the only private one that is called."""
    target = parse_url(url)
    if isinstance(target, Refused):
        fail(target.message)
    places = [str(literal) for literal in target.literals] or [f"{target.host}:{target.port}"]
    async with Outbound(AllowList.parse(",".join(places))) as outbound:
        yield Client(outbound, url, token, room=room, root=root)


def _checked(token: str) -> str:
    if not (token.isascii() and token.isalnum()):
        raise click.UsageError("This is no personal access token: those are letters and digits.")
    return token
