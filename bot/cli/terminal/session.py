"""A conversation with a server at a terminal: a prompt with completion and history, and what is answered."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Coroutine
from pathlib import Path

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import CompleteStyle, print_formatted_text

from bot.cli.terminal.client import Client, Reply, Trouble
from bot.cli.terminal.forms import fill_in
from bot.cli.terminal.history import LineHistory, secret_flags
from bot.cli.terminal.screen import clean, shown, without_root
from handlers.command import load_commands

LEAVE = frozenset({"exit", "quit"})


async def talk(client: Client, where: str, history: Path) -> str | None:
    """Read lines and print answers until the person leaves; return why it could not begin."""
    welcome = await client.run("")
    if isinstance(welcome, Trouble):
        return welcome.text
    _say(f"{clean(where)}: type a command, Tab completes, Ctrl-D leaves.\n\n{shown(welcome)}")
    session: PromptSession[str] = PromptSession(
        history=LineHistory(history, secret_flags(load_commands())),
        completer=ServerCompleter(client),
        complete_while_typing=True,
        complete_style=CompleteStyle.COLUMN,
        reserve_space_for_menu=6,
    )
    while True:
        try:
            with patch_stdout():
                typed = await session.prompt_async("patchbay> ")
        except KeyboardInterrupt:
            continue  # as in a shell: the line is given up, not the conversation
        except EOFError:
            return None
        line = without_root(typed)
        if line.lower() in LEAVE:
            return None
        if line:
            await _answer(client, line)


async def _answer(client: Client, line: str) -> None:
    reply = await _unless_given_up(client.run(line))
    if isinstance(reply, Reply) and reply.form is not None:
        _say(shown(reply))
        values = await fill_in(reply.form)
        if values is None:
            _say("Given up; nothing was sent.")
            return
        reply = await _unless_given_up(client.run(reply.form.line, values))
    _say(reply.text if isinstance(reply, Trouble) else shown(reply))


async def _unless_given_up(call: Coroutine[None, None, Reply | Trouble]) -> Reply | Trouble:
    """Wait for an answer until Ctrl-C, which ends the waiting and not the conversation."""
    loop, waiting = asyncio.get_running_loop(), asyncio.ensure_future(call)
    loop.add_signal_handler(signal.SIGINT, waiting.cancel)
    try:
        return await waiting
    except asyncio.CancelledError:
        if not waiting.cancelled():
            raise
        return Trouble("Not waited for any longer; the server may have done it all the same.")
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _say(text: str) -> None:
    print_formatted_text(text)  # a plain text: nothing in it is read as markup


class ServerCompleter(Completer):
    """Asks the server how a line may go on, so that a terminal offers what every other door offers."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> list[Completion]:
        """Return nothing: only the asynchronous way is used, a prompt must not wait for a server."""
        return []

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Yield what the server offers at the cursor."""
        text = document.text_before_cursor
        for offer in await self._client.complete(document.text, len(text)):
            yield Completion(
                offer.insert,
                start_position=min(0, offer.start - len(text)),
                display=clean(offer.label),
                display_meta=clean(offer.hint),
            )
