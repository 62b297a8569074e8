"""`patchbay hook LINE`: run one line on a running server and end with a code a script can rely on (decision 68)."""

import asyncio
import re
import sys
from typing import IO

import click

from bot.cli.output import print_json
from bot.cli.terminal.client import Reply, Trouble
from bot.cli.terminal.connect import address, connected, room_option, token, token_file_option, url_option
from bot.cli.terminal.screen import USAGE, exit_code, shown, without_root
from handlers.line import Problem, quote, tokenise

ROOT = "patchbay hook"
_NAME = re.compile(r"(?:--?)?[^\W\d_][\w.-]*")


@click.command("line", hidden=True, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@url_option
@token_file_option
@room_option
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED)
def line(url: str | None, token_file: IO[str] | None, room: str | None, as_json: bool, words: tuple[str, ...]) -> None:
    """Run LINE on a running server, as in a chat.

    One argument is a whole line; of several, each is one word of it, whatever spaces or quotes it holds.
    Exit codes: 0 done, 1 not done, 2 wrong usage, 3 it has to be confirmed first.
    """
    if words[0].startswith("-"):
        raise click.NoSuchOption(words[0])
    reply = asyncio.run(_run(address(url), token(token_file), room, without_root(as_line(words))))
    if isinstance(reply, Trouble):
        raise click.ClickException(reply.text)
    if as_json:
        print_json(reply.raw)
    else:
        click.echo(shown(reply, ROOT), err=exit_code(reply) in (1, USAGE))
    sys.exit(exit_code(reply))


async def _run(url: str, token: str, room: str | None, typed: str) -> Reply | Trouble:
    async with connected(url, token, room=room, root=ROOT) as client:
        reply = await client.run(typed)
        if isinstance(reply, Reply) and reply.form is not None and sys.stdin.isatty():
            from bot.cli.terminal.forms import fill_in  # its library costs every other command a tenth of a second

            values = await fill_in(reply.form)
            return reply if values is None else await client.run(reply.form.line, values)
        return reply


def as_line(words: tuple[str, ...]) -> str:
    """Write the arguments of a shell as one line that reads as exactly these words."""
    return words[0] if len(words) == 1 else " ".join(map(_word, words))


def _word(word: str) -> str:
    """Quote a word the shell had in quotes, but no flag, pair or list, which quotes would make plain text."""
    tokens = tokenise(word)
    if not isinstance(tokens, Problem) and [(one.text, one.quoted) for one in tokens] == [(word, False)]:
        return word
    name, equals, value = word.partition("=")
    return f"{name}={quote(value)}" if equals and _NAME.fullmatch(name) else quote(word)
