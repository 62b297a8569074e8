"""`patchbay chat`: the commands of every chat, typed at a terminal (decision 68)."""

import asyncio
import sys
from pathlib import Path
from typing import IO

import click

from bot.cli.common import fail
from bot.cli.terminal.connect import address, connected, room_option, token, token_file_option, url_option

HISTORY = ".patchbay_history"


@click.command()
@url_option
@token_file_option
@room_option
@click.option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    help=f"File that keeps the lines typed, never one with a secret; default ~/{HISTORY}.",
)
def chat(url: str | None, token_file: IO[str] | None, room: str | None, history: Path | None) -> None:
    """Type commands for a running server, as in a chat.

    With completion and history. You act as whoever the personal access token belongs to: PATCHBAY_TOKEN, a file,
    or typed when asked. For scripts there is `patchbay hook LINE`.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("A chat needs a terminal; scripts use `patchbay hook LINE`.")
    where = address(url)
    if trouble := asyncio.run(_talk(where, token(token_file), room, history or Path.home() / HISTORY)):
        fail(trouble)


async def _talk(where: str, token: str, room: str | None, history: Path) -> str | None:
    from bot.cli.terminal.session import talk  # its library costs every other command a tenth of a second

    async with connected(where, token, room=room) as client:
        return await talk(client, where, history)
