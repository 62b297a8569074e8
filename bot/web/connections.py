"""The connections people hold to the server: how many, how long without a request, and what a stop waits for.

aiohttp has no limits for these (`security.md` §4): a connection that never finishes the head of a request would
stay for the whole keep-alive time, and one connection too many would take the descriptors the database needs.
"""

import asyncio
import resource
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from aiohttp import web

from bot.web.middleware import Handle

HEAD_S: Final = 30.0
"""Seconds in which the head of a request must be complete, from connecting or from its first byte."""
KEEP_ALIVE_S: Final = 75.0
"""Seconds a connection is kept between requests; a proxy in front lets go first, so that no request meets a close."""
MOST: Final = 20_000
RESERVED: Final = 128
"""Descriptors for the database, files being served and everything else that is no connection."""


def allow_connections(outgoing: int) -> int:
    """Return how many connections the descriptors of this process allow beside so many outgoing calls.

    Raises the soft limit as far as needed: it is low by default only for the sake of programs that use select().
    """
    others = outgoing + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + others if hard == resource.RLIM_INFINITY else min(hard, MOST + others)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # some systems have a lower limit than the one they tell
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return MOST if soft == resource.RLIM_INFINITY else max(1, min(MOST, soft - others))


class Connections:
    """Counts connections and the requests under way on them, and cuts off those that only wait."""

    def __init__(self, most: int, *, head_s: float = HEAD_S) -> None:
        self._most = most
        self._head_s = head_s
        self._open: dict[asyncio.BaseProtocol, _Connection] = {}
        """By aiohttp's own protocol, which is what a request knows of its connection."""
        self._heads: dict[_Connection, float] = {}
        """Connections whose next head is awaited, with their deadlines; all wait equally long, so it is in order."""
        self._timer: asyncio.TimerHandle | None = None
        self._under_way = 0
        self._idle = asyncio.Event()

    def guarding(self, make: Callable[[], asyncio.Protocol]) -> Callable[[], asyncio.Protocol]:
        """Return a protocol factory like the one given whose connections are counted here."""
        return lambda: _Connection(self, make())

    def counting(self, handle: Handle) -> Handle:
        """Return `handle` with its requests counted; it belongs outside of all else."""

        async def counted(request: web.BaseRequest) -> web.StreamResponse:
            connection = self._open.get(request.protocol)
            if connection is not None:
                connection.busy = True
                self._heads.pop(connection, None)
            self._under_way += 1
            try:
                return await handle(request)
            finally:
                if connection is not None:
                    connection.busy = False
                self._under_way -= 1
                if not self._under_way:
                    self._idle.set()

        return counted

    async def finish(self, seconds: float) -> None:
        """Wait until nothing is under way, but no longer than that."""
        await asyncio.sleep(0)  # what has just arrived begins
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._under_way:
                    self._idle.clear()
                    await self._idle.wait()

    # --- called by the connections ------------------------------------------------------------------

    def opened(self, inner: asyncio.BaseProtocol, connection: "_Connection") -> bool:
        """Take a connection; when there is no room, one that has waited longest goes, or the new one."""
        if len(self._open) >= self._most:
            longest = next(iter(self._heads), None)
            if longest is None:
                return False
            self._cut_off(longest)
        self._open[inner] = connection
        self.awaits_head(connection)
        return True

    def lost(self, inner: asyncio.BaseProtocol, connection: "_Connection") -> None:
        """Forget a connection."""
        self._open.pop(inner, None)
        self._heads.pop(connection, None)

    def awaits_head(self, connection: "_Connection") -> None:
        """Let the time for a head begin, unless it runs already."""
        if connection in self._heads:
            return
        loop = asyncio.get_running_loop()
        deadline = self._heads[connection] = loop.time() + self._head_s
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._heads:
            connection, deadline = next(iter(self._heads.items()))
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._sweep)
                break
            self._cut_off(connection)

    def _cut_off(self, connection: "_Connection") -> None:
        self.lost(connection.inner, connection)
        connection.abort()


class _Connection(asyncio.Protocol):
    """One connection: hands everything on to aiohttp's protocol and notes when bytes come while none is asked for."""

    __slots__ = ("_all", "_transport", "busy", "inner")

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._all = connections
        self._transport: asyncio.Transport | None = None
        self.inner = inner
        self.busy = False
        """Whether a request is being handled; its body has limits of its own."""

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 # a server of streams makes no other
        if not self._all.opened(self.inner, self):
            transport.abort()
            return
        self._transport = transport
        self.inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.lost(self.inner, self)
        if self._transport is not None:
            self.inner.connection_lost(error)

    def data_received(self, data: bytes) -> None:
        if not self.busy:
            self._all.awaits_head(self)
        self.inner.data_received(data)

    def eof_received(self) -> bool | None:
        return self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        self.inner.resume_writing()
