"""The connections people hold to the server: how many, how long without a move, and what a stop waits for.

aiohttp has no limits for these (`security.md` §4): a connection that never finishes the head of a request would
stay for the whole keep-alive time, an answer nobody reads for ever, and one connection too many would take the
descriptors the database needs.
"""

import asyncio
import fcntl
import resource
import socket
import struct
import sys
import termios
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import structlog
from aiohttp import web

from bot import collecting
from bot.log import Seldom
from bot.settings import Network
from bot.web.client import inside
from bot.web.deadlines import Deadlines
from bot.web.fairness import Shares, longest_silent
from bot.web.middleware import Handle
from bot.web.protocol import READ_BYTES, Http
from handlers.networks import counted_as

HEAD_S: Final = 30.0
"""Seconds in which the head of a request must be complete, from connecting or from its first byte."""
UNREAD_S: Final = 30.0
"""Seconds in which some of an answer must be read."""
LEAST_READ: Final = 32 << 10
"""How much "some" is, in bytes, unless less is left: 1 KiB a second, or a client could hold an answer for days."""
MOST_UNREAD: Final = 64 << 20
"""Bytes of all answers together that are not read yet: sixteen of the largest."""
MOST_RECEIVED: Final = 128 << 20
"""Bytes of all requests together that are not answered yet."""
LEAST_RECEIVED: Final = READ_BYTES
"""A request that is no longer does not count: most are not, and 20,000 of them are 320 MB."""
MOST: Final = 20_000
RESERVED: Final = 256
"""Descriptors for the database, files being served and everything else that is no connection."""
CLOSING: Final = 64
"""How many descriptors, of the reserve, connections may hold that are cut off and not closed yet."""
MALFORMED_COLLECTED: Final = 64
"""After so many malformed requests what they have left in circles is collected."""


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

    def __init__(
        self,
        most: int,
        *,
        head_s: float = HEAD_S,
        unread_s: float = UNREAD_S,
        most_unread: int = MOST_UNREAD,
        most_received: int = MOST_RECEIVED,
        largest_body: int = 1 << 20,
        proxies: Sequence[Network] = (),
    ) -> None:
        self._most = most
        self._most_unread = most_unread
        self._most_received = max(most_received, 4 * largest_body)
        self._largest_body = largest_body
        self._proxies = proxies
        self._ring: OrderedDict[Connection, None] = OrderedDict()
        """All that are open, in the order of their last moves."""
        self._shares: Shares[Connection] = Shares()
        """Those whose address stands for a client, and not for a proxy."""
        self._of: dict[asyncio.BaseProtocol, Connection] = {}
        """By aiohttp's own protocol, which is what a request knows of its connection."""
        self._held: set[Connection] = set()
        """Those that hold a descriptor, the ones included that are cut off and not closed yet."""
        self._heads: Deadlines[Connection] = Deadlines(head_s, self._cut_off)
        self._unread: Deadlines[Connection] = Deadlines(unread_s, self._judge_reader)
        self._unread_bytes = 0
        self._receiving: OrderedDict[Connection, None] = OrderedDict()
        self._received_bytes = 0
        self._malformed = 0
        self._under_way = 0
        self._idle = asyncio.Event()
        log = structlog.get_logger("patchbay.connections")
        self._say_full = Seldom(log.warning, "no room for all connections")
        self._say_unread = Seldom(log.info, "answers not read were dropped")
        self._say_too_much = Seldom(log.warning, "no room for all that is sent")
        self._say_malformed = Seldom(log.info, "malformed requests")

    def counting(self, handle: Handle) -> Handle:
        """Return `handle` with its requests counted; it belongs outside of all else."""

        async def counted(request: web.BaseRequest) -> web.StreamResponse:
            connection = self._of.get(request.protocol)
            self._under_way += 1
            try:
                if connection is None:
                    return await handle(request)
                connection.request = request
                self._heads.end(connection)
                if connection.unread:
                    await request.writer.drain()  # who sends without reading has to wait: one answer at a time
                response = await handle(request)
                if request.content.exception() is not None:
                    response.force_close()  # nothing more is read after a body that broke
                return response
            finally:
                if connection is not None:
                    connection.request = None
                    self._release(connection)
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

    def malformed(self, why: str) -> None:
        """Count a request that was none; what it leaves in circles is large, and few, so that nothing collects it."""
        self._say_malformed.happened(latest=why)
        self._malformed += 1
        if self._malformed % MALFORMED_COLLECTED == 0:
            collecting.collect_young()

    # --- called by the listener ---------------------------------------------------------------------

    def has_room(self) -> bool:
        """Tell whether one more may be taken at all: who is cut off holds a descriptor until the loop's next turn."""
        return len(self._held) < self._most + CLOSING

    def admit(self, address: str, make: Callable[[], Http]) -> "Connection | None":
        """Count a new connection in; when there is no room somebody who only waits goes, or else the new one."""
        if len(self._ring) >= self._most:
            largest = self._shares.largest()
            goes = None if largest is None else longest_silent(largest, _waits)
            goes = goes or longest_silent(self._ring, _waits)
            self._say_full.happened(most=self._most)
            if goes is None:
                return None
            self._cut_off(goes)
        share = None if inside(address, self._proxies) else counted_as(address)
        connection = Connection(self, make(), share)
        self._held.add(connection)
        self._ring[connection] = None
        self._of[connection.inner] = connection
        if share is not None:
            self._shares.add(share, connection)
        self._heads.begin(connection)
        return connection

    # --- called by the connections ------------------------------------------------------------------

    def lost(self, connection: "Connection") -> None:
        """Forget a connection whose descriptor is given back."""
        self._forget(connection)
        self._held.discard(connection)

    def holds(self, connection: "Connection") -> bool:
        """Tell whether a connection is not cut off yet."""
        return connection in self._ring

    def moved(self, connection: "Connection") -> None:
        """Note that something came: of those who wait for the other side it is the last to go."""
        if connection in self._ring:
            self._ring.move_to_end(connection)
            if connection.share is not None:
                self._shares.moved(connection.share, connection)

    def awaits_head(self, connection: "Connection") -> None:
        """Let the time for a head begin, unless it runs already."""
        if connection in self._ring:
            self._heads.begin(connection)

    def received(self, connection: "Connection", count: int) -> None:
        """Count what has come of a request; beyond what all may send together, who sends no more goes."""
        counted = min(connection.received, self._largest_body)  # what is longer passes through, to a file
        connection.received += count
        if connection.received <= LEAST_RECEIVED or connection not in self._ring:
            return
        if connection in self._receiving:
            self._receiving.move_to_end(connection)
        else:
            self._receiving[connection] = None
            counted = 0
        self._received_bytes += min(connection.received, self._largest_body) - counted
        while self._received_bytes > self._most_received:
            self._say_too_much.happened(bytes=self._received_bytes)
            goes = next(iter(self._receiving), None)
            if goes is None:
                break
            self._cut_off(goes)

    def begins_unread(self, connection: "Connection") -> None:
        """Let the time begin in which somebody must read of their answer."""
        if connection not in self._ring:
            return
        connection.unread, connection.left = connection.buffered(), connection.left_to_read()
        self._unread_bytes += connection.unread
        self._unread.begin(connection)
        while self._unread_bytes > self._most_unread and (goes := self._unread.first()) is not None:
            self._drop_unread(goes)

    def ends_unread(self, connection: "Connection") -> None:
        """Note that somebody has read all there is."""
        self._unread.end(connection)
        self._unread_bytes -= connection.unread
        connection.unread = 0

    def _judge_reader(self, connection: "Connection") -> None:
        left, buffered = connection.left_to_read(), connection.buffered()
        if connection.left - left < LEAST_READ:
            self._drop_unread(connection)
            return
        self._unread_bytes += buffered - connection.unread
        connection.unread, connection.left = buffered, left
        self._unread.begin(connection)

    def _drop_unread(self, connection: "Connection") -> None:
        self._say_unread.happened(bytes=connection.unread)
        self._cut_off(connection)

    def _release(self, connection: "Connection") -> None:
        """Let go of what a request was counted with."""
        if connection in self._receiving:
            del self._receiving[connection]
            self._received_bytes -= min(connection.received, self._largest_body)
        connection.received = 0

    def _cut_off(self, connection: "Connection") -> None:
        self._forget(connection)
        connection.abort()

    def _forget(self, connection: "Connection") -> None:
        if connection not in self._ring:
            return
        del self._ring[connection]
        self._of.pop(connection.inner, None)
        self._heads.end(connection)
        self.ends_unread(connection)
        self._release(connection)
        if connection.share is not None:
            self._shares.remove(connection.share, connection)


class Connection(asyncio.BufferedProtocol):
    """One connection: hands everything on to aiohttp's protocol and notes what moves while somebody is waited for."""

    __slots__ = ("_all", "_transport", "inner", "left", "received", "request", "share", "unread")

    def __init__(self, connections: Connections, inner: Http, share: str | None) -> None:
        self._all = connections
        self._transport: asyncio.Transport | None = None
        self.inner = inner
        self.share = share
        """What it counts with; None for a proxy's, which are everybody's."""
        self.request: web.BaseRequest | None = None
        """The one that is handled."""
        self.received = 0
        """Bytes since the last answer."""
        self.unread = 0
        """Bytes of answers in this process when it was last looked at, which the system had no room for."""
        self.left = 0
        """Those bytes and the ones the system held."""

    @property
    def waits(self) -> bool:
        """Tell whether it is the other side's turn: to send a head, the rest of a body, or to read."""
        return self.request is None or self.unread > 0 or not self.request.content.is_eof()

    def abort(self) -> None:
        """Cut it off, and what the system has taken of an answer with it; else that waits on to be read."""
        if self._transport is not None:
            with suppress(OSError):
                self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            self._transport.abort()

    def buffered(self) -> int:
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def left_to_read(self) -> int:
        """Return what the other side has not confirmed: the system makes room in steps of a megabyte."""
        held = bytearray(4)
        if self._transport is not None:
            with suppress(OSError):
                fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, held)
        return self.buffered() + int.from_bytes(held, sys.byteorder)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 # a server of streams makes no other
        if not self._all.holds(self):  # cut off before it was made
            transport.abort()
            return
        self._transport = transport
        # so that anything not taken at once is told: by default what is below 64 KiB waits unnoticed
        transport.set_write_buffer_limits(high=0)
        self.inner.connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._all.lost(self)
        if self._transport is not None:
            self.inner.connection_lost(error)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _READ

    def buffer_updated(self, count: int) -> None:
        self._all.moved(self)
        if self.request is None:
            self._all.awaits_head(self)
            self._all.received(self, count)
        elif not self.request.content.is_eof():
            self._all.received(self, count)
        self.inner.data_received(bytes(_READ[:count]))

    def eof_received(self) -> None:
        self.inner.eof_received()

    def pause_writing(self) -> None:
        self.inner.pause_writing()
        self._all.begins_unread(self)

    def resume_writing(self) -> None:
        self._all.ends_unread(self)
        self.inner.resume_writing()


_AT_ONCE: Final = struct.pack("ii", 1, 0)
_READ: Final = memoryview(bytearray(READ_BYTES))
"""What the loop reads into; its reads follow each other, so all connections share it."""


def _waits(one: Connection) -> bool:
    return one.waits
