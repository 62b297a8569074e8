"""The address of the socket: takes connections, feeds them, and ends them (`rocketchat.md` §11.2, decision 55)."""

import asyncio
import contextlib

import structlog
from aiohttp import WSMessage, WSMsgType, web

from bot.api.realtime import protocol
from bot.api.realtime.crowd import Crowd
from bot.api.realtime.session import POLICY, SESSION_ENDED, Ending, Limits, Session
from bot.api.realtime.streams import Streams
from bot.services import Services
from bot.web.client import counted_address
from bot.web.limits import RateLimit
from storage.ids import UserId

HEARTBEAT_S = 30.0
CLOSE_S = 2.0
"""Seconds a client may take to say goodbye."""

MOST_STRANGERS = 500
"""Connections that are not logged in; beyond them the one that has waited longest goes, after 10 s all do."""

GOING_AWAY = Ending(1001, "The server stops.")
TEXT_ONLY = Ending(1003, "Send frames as text.")
FLOODING = Ending(POLICY, "You send too many frames.")
CROWDED = Ending(POLICY, "Too many connect without logging in; try again.")


class Connection:
    """A socket and its session: one task reads and handles frames, another one writes."""

    def __init__(
        self,
        services: Services,
        streams: Streams,
        crowd: Crowd,
        limit: RateLimit,
        limits: Limits,
        request: web.Request,
    ) -> None:
        self._request = request
        self._limits = limits
        # cookies are never looked at, so a page of another site gains nothing by connecting (decision 54)
        self._ws = web.WebSocketResponse(
            max_msg_size=limits.frame_bytes + 1,  # aiohttp refuses what reaches this size already
            heartbeat=HEARTBEAT_S,
            compress=False,
            timeout=CLOSE_S,
            autoping=False,  # pings count, too
        )
        self._ending: Ending | None = None
        self._abort: asyncio.TimerHandle | None = None
        address = counted_address(request, services.settings.trusted_proxies)
        self.session = Session(services, streams, crowd, limit, limits, address=address, end=self.end)

    async def serve(self) -> web.StreamResponse:
        """Run the connection to its end; that the client hangs up is one."""
        opened = False
        try:
            await self._ws.prepare(self._request)
            opened = True
            writer = asyncio.create_task(self._write())
            try:
                async for message in self._ws:
                    await self._handle(message)
                    await asyncio.sleep(0)  # what is here already would all be handled before anybody else's turn
            finally:
                self.session.close()
                await writer
        except ConnectionError:
            pass
        finally:
            self.session.close()
            if self._abort is not None:
                self._abort.cancel()
            structlog.get_logger("patchbay.realtime").info(
                "socket closed",
                user_id=self.session.user_id,
                code=self._ending.code if self._ending else self._ws.close_code,
                reason=self._ending.reason if self._ending else None,
            )
        return self._ws if opened else web.Response(status=400)  # which nobody is there to read

    async def _handle(self, message: WSMessage) -> None:
        if self._ending is not None or message.type is WSMsgType.ERROR:
            return
        if not self.session.counts(len(message.data)):
            if self._request.transport is not None:
                self._request.transport.pause_reading()  # it has been told enough
            self.end(FLOODING)
        elif message.type is WSMsgType.TEXT:
            await self.session.receive(message.data)
        elif message.type is WSMsgType.BINARY:
            self.end(TEXT_ONLY)
        elif message.type is WSMsgType.PING:
            await self._ws.pong(message.data)

    def end(self, ending: Ending) -> None:
        """Stop sending at once, and close; whoever does not say goodbye in time is cut off."""
        if self._ending is not None:
            return
        self._ending = ending
        self.session.close()
        wait = 0.0 if ending.unread else CLOSE_S
        self._abort = asyncio.get_running_loop().call_later(wait, self._cut_off)

    def _cut_off(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _write(self) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                try:
                    async with asyncio.timeout(self._limits.ping_s):
                        frame = await self.session.outbox.next()
                except TimeoutError:
                    frame = protocol.ping()
                if frame is None:
                    break
                await self._ws.send_str(frame)
            if self._ending is not None:
                await self._ws.close(code=self._ending.code, message=self._ending.reason.encode())


class Realtime:
    """Serves `/websocket`."""

    def __init__(self, services: Services, limits: Limits | None = None) -> None:
        self._services = services
        self._limits = limits or Limits()
        self._limit = RateLimit(services.settings.api_rate_per_minute, services.clock)
        self._streams = Streams(services, self._recheck)
        self._crowd = Crowd(self._limits.connections)
        self._connections: set[Connection] = set()
        self._strangers: dict[Connection, None] = {}
        """Those that had not logged in when last looked at, in the order they came."""
        self._feed: asyncio.Task[None] | None = None

    def add_to(self, app: web.Application) -> None:
        """Register the address; the application starts and stops what stands behind it."""
        app.router.add_get("/websocket", self._connect, allow_head=False)
        app.on_startup.append(self._start)
        app.on_shutdown.append(self._stop)

    async def close(self) -> None:
        """End every connection and stop listening to the workspace."""
        if self._end_of in self._services.accounts.on_end:
            self._services.accounts.on_end.remove(self._end_of)
        for connection in tuple(self._connections):
            connection.end(GOING_AWAY)
        self._rest()

    async def _start(self, _: web.Application) -> None:
        self._services.accounts.on_end.append(self._end_of)

    def _rest(self) -> None:
        if self._feed is not None:
            self._feed.cancel()
            self._feed = None

    async def _stop(self, _: web.Application) -> None:
        await self.close()

    def _end_of(self, user_id: UserId) -> None:
        """End a user's connections: password changed or account deactivated (decision 22)."""
        for connection in tuple(self._connections):
            if connection.session.user_id == user_id:
                connection.end(SESSION_ENDED)

    async def _recheck(self, user_id: UserId) -> None:
        """Look again whether a user's sessions still run: another process has ended some (decision 28)."""
        for connection in tuple(self._connections):
            if connection.session.user_id == user_id:
                await connection.session.caller()

    def _make_room(self) -> None:
        """End whoever has waited longest to log in, when there are too many."""
        if len(self._strangers) < MOST_STRANGERS:
            return
        self._strangers = {one: None for one in self._strangers if one.session.user_id is None}
        for one in list(self._strangers)[: len(self._strangers) - MOST_STRANGERS + 1]:
            del self._strangers[one]
            one.end(CROWDED)

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        connection = Connection(self._services, self._streams, self._crowd, self._limit, self._limits, request)
        self._connections.add(connection)
        self._make_room()
        self._strangers[connection] = None
        if self._feed is None:  # without connections nobody is owed any event
            self._feed = asyncio.create_task(self._streams.run())
        try:
            return await connection.serve()
        finally:
            self._connections.discard(connection)
            self._strangers.pop(connection, None)
            if not self._connections:
                self._rest()
