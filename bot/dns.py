"""Look host names up with the system's resolver, without letting names that nobody answers hold the others.

The system's own: it alone knows the hosts file, search domains and whatever else the machine's names come from.
"""

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from bot.turns import NoTurn, Turns
from storage.shares import Path

MAX_LOOKUPS = 32
"""Lookups under way at once: each holds a thread until the system gives up, which takes 10 s and more."""
MAX_DNS_SECONDS = 5.0
"""How long a call waits for its name."""
TURN_SECONDS = 5.0
"""How long a call waits for a slot to look its name up; that is no fault of the name's."""
HANGING_SECONDS = 60.0
"""How long a name that was not answered in time takes no slot again."""
MOST_HANGING = 10_000
"""Names remembered as hanging; the one noted first makes room."""

Resolve = Callable[[str], Awaitable[Sequence[str]]]


class Unanswered(OSError):
    """No name server answered for the name in time."""


class Asker(Protocol):
    """Who wants a name looked up."""

    share: Path
    waits: bool
    """Set while there is no slot; stays set when there was none in time."""


class Lookups:
    """Shares the slots of lookups as those of calls are shared; one name never takes a second slot."""

    def __init__(self, resolve: Resolve, *, slots: int | None = None) -> None:
        self._resolve = resolve
        self._turns = Turns(MAX_LOOKUPS if slots is None else slots)
        self._running: dict[str, asyncio.Task[Sequence[str]]] = {}
        self._hanging: OrderedDict[str, float] = OrderedDict()

    async def find(self, host: str, asker: Asker) -> Sequence[str]:
        """Return the addresses of a name; others may share the lookup.

        Raises OSError when it has none, Unanswered when nobody says, NoTurn when there was no slot in time.
        """
        if self._hangs(host):
            raise Unanswered
        task = self._running.get(host) or await self._begun(host, asker)
        try:
            async with asyncio.timeout(MAX_DNS_SECONDS):
                return await asyncio.shield(task)
        except TimeoutError as error:
            self._note_hanging(host)
            raise Unanswered from error

    async def close(self) -> None:
        """Stop waiting for lookups; their threads end by themselves or with the process."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _begun(self, host: str, asker: Asker) -> asyncio.Task[Sequence[str]]:
        asker.waits, share = True, asker.share
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.take(share)
        except TimeoutError as error:
            raise NoTurn from error
        asker.waits = False
        if (others := self._running.get(host)) is not None:  # begun while this one waited
            self._turns.leave(share)
            return others
        task = self._running[host] = asyncio.create_task(self._look_up(host))
        task.add_done_callback(lambda done: self._ended(host, share, done))
        return task

    async def _look_up(self, host: str) -> Sequence[str]:
        return await self._resolve(host)

    def _ended(self, host: str, share: Path, task: asyncio.Task[Sequence[str]]) -> None:
        del self._running[host]
        self._turns.leave(share)
        # seen: whoever asked may be gone by now
        if not task.cancelled() and task.exception() is None:
            self._hanging.pop(host, None)

    def _hangs(self, host: str) -> bool:
        until = self._hanging.get(host)
        if until is not None and until <= asyncio.get_running_loop().time():
            del self._hanging[host]
            return False
        return until is not None

    def _note_hanging(self, host: str) -> None:
        self._hanging[host] = asyncio.get_running_loop().time() + HANGING_SECONDS
        if len(self._hanging) > MOST_HANGING:
            self._hanging.popitem(last=False)


async def look_up(host: str) -> list[str]:
    """Ask the system in a daemon thread; OSError when the name has no address.

    `getaddrinfo` cannot be interrupted. In the event loop's small pool a few dead name servers would starve
    every other lookup, and a pool would hold the process at its end.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()
    threading.Thread(target=_in_thread, args=(loop, answer, host), daemon=True).start()
    return await answer


def _in_thread(loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[list[str]]", host: str) -> None:
    addresses: list[str] = []
    error: OSError | None = None
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = [str(info[4][0]) for info in infos]
    except OSError as failed:
        error = failed
    except UnicodeError as failed:  # Python's own codec refuses some names before anyone is asked
        error = OSError(str(failed))

    def hand_over() -> None:
        if answer.done():
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(addresses)

    try:
        loop.call_soon_threadsafe(hand_over)
    except RuntimeError:
        return  # the loop has ended: nobody waits any more
