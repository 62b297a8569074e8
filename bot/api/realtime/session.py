"""One connection: who is logged in, what it hears, and what happens with each of its frames (decision 55)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bot.api.realtime import protocol
from bot.api.realtime.budget import BEFORE_LOGIN, LOGGED_IN, Budget, Rate
from bot.api.realtime.crowd import Crowd
from bot.api.realtime.methods import METHODS, MethodCall
from bot.api.realtime.outbox import Outbox
from bot.api.realtime.protocol import Connect, Method, Ping, Pong, Sub, Unreadable, Unsub
from bot.api.realtime.streams import Streams, Subscribed
from bot.services import Services
from bot.web.limits import Allowance, RateLimit
from bot.web.middleware import not_stored
from bot.workspace.credentials import LoginFailure, read_credentials
from bot.workspace.credentials import Resume as ResumeLogin
from handlers.errors import Fault
from storage.errors import Unavailable
from storage.ids import UserId, random_text
from storage.records.user import User

POLICY = 1008
"""WebSocket's close code for a client that broke a rule, or whose session has ended."""

LOGIN_NEEDED = Fault("You must be logged in to do this.", "error-invalid-user")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost (decision 55)."""

    login_s: float = 10.0
    subscriptions: int = 100
    connections: int = 50
    """Of one user, logged in."""
    frame_bytes: int = 64 * 1024
    pending_frames: int = 1_000
    pending_bytes: int = 4 << 20
    before_login: Rate = BEFORE_LOGIN
    logged_in: Rate = LOGGED_IN
    ping_s: float = 25.0
    """Silence after which clients are asked whether they live; some hang up without it."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the server ends a connection; a client that does not read cannot be told."""

    code: int
    reason: str
    unread: bool = False


SESSION_ENDED = Ending(POLICY, "Your session has ended; log in again.")
TOO_SLOW = Ending(POLICY, "You read too slowly.", unread=True)


class Session:
    """The state of one connection; frames are handled one after the other, as Meteor does."""

    def __init__(
        self,
        services: Services,
        streams: Streams,
        crowd: Crowd,
        limit: RateLimit,
        limits: Limits,
        *,
        address: str,
        end: Callable[[Ending], None],
    ) -> None:
        self._services = services
        self._streams = streams
        self._crowd = crowd
        self._limit = limit
        self._limits = limits
        self._address = address
        self._end = end
        self._connected = False
        self._closed = False
        self._token = ""
        self._subscribed: dict[str, Subscribed] = {}
        self.user_id: UserId | None = None
        self.outbox = Outbox(most_frames=limits.pending_frames, most_bytes=limits.pending_bytes)
        self._deadline = self._start_deadline()
        self._budget = Budget(limits.before_login, asyncio.get_running_loop().time())

    def counts(self, size: int) -> bool:
        """Count a frame of any kind; False when it is one too many."""
        return self._budget.spend(size, asyncio.get_running_loop().time())

    def send(self, frame: str) -> None:
        """Queue a frame; a client that is too far behind is cut off."""
        if not self.outbox.put(frame):
            self._end(TOO_SLOW)

    async def caller(self) -> User | None:
        """Return who is logged in; a session that was ended elsewhere ends the connection."""
        user_id, token = self.user_id, self._token
        if user_id is None or self._closed:
            return None
        user = await self._services.accounts.authenticate(user_id, token)
        if token != self._token:  # logged out, or in anew, meanwhile
            return None
        if user is None:
            self._end(SESSION_ENDED)
        return user

    def close(self) -> None:
        """Give up everything the connection holds."""
        if self._closed:
            return
        self._closed = True
        self._deadline.cancel()
        self.outbox.finish()
        self._unsubscribe_all()
        if self.user_id is not None:
            self._crowd.leave(self.user_id)

    async def receive(self, text: str) -> None:
        """Handle one frame."""
        frame = protocol.read_frame(text)
        match frame:
            case Ping():
                self.send(protocol.pong(frame.id))
            case Pong():
                pass
            case Unreadable():
                self.send(protocol.error(frame.reason))
            case Connect():
                self._connect(frame)
            case _ if not self._connected:
                self.send(protocol.error("Must connect first"))
            case Unsub():
                self._unsubscribe(frame.id)
            case Method() | Sub():
                await self._guarded(frame)

    def _connect(self, frame: Connect) -> None:
        if self._connected:
            self.send(protocol.error("Already connected"))
        elif frame.version != protocol.VERSION:
            self.send(protocol.wrong_version())
        else:
            self._connected = True
            self.send(protocol.connected(random_text(17)))

    async def _guarded(self, frame: Method | Sub) -> None:
        """Run a call or subscription; a fault of ours costs its answer, not the connection."""
        allowance = self._limit.take(self.user_id or self._address)
        if allowance is not None and not allowance.allowed:
            self._refuse(frame, _too_many(allowance))
            return
        try:
            await (self._method(frame) if isinstance(frame, Method) else self._subscribe(frame))
        except Unavailable as error:
            self._refuse(frame, Fault(not_stored(error), status=503))
        except Exception:  # the connection goes on; the log has the trace
            log = structlog.get_logger("patchbay.realtime")
            log.exception("unexpected fault in a frame", frame=type(frame).__name__, user_id=self.user_id)
            self._refuse(frame, Fault("Internal server error", status=500))

    def _refuse(self, frame: Method | Sub, fault: Fault | LoginFailure) -> None:
        refuse = protocol.refused if isinstance(frame, Method) else protocol.nosub
        self.send(refuse(frame.id, fault))

    # --- calls --------------------------------------------------------------------------------------

    async def _method(self, frame: Method) -> None:
        if frame.name in ("login", "logout"):
            value = await (self._login(frame) if frame.name == "login" else self._logout())
        elif (run := METHODS.get(frame.name)) is None:
            value = Fault(f"Method '{frame.name[:120]}' not found", status=404)
        elif (user := await self.caller()) is None:
            value = LOGIN_NEEDED
        else:
            value = await run(MethodCall(self._services, self._streams, self, user, frame.params))
        if isinstance(value, Fault | LoginFailure):
            self._refuse(frame, value)
        else:
            self.send(protocol.result(frame.id, value))

    async def _login(self, frame: Method) -> object:
        given = frame.params[0] if frame.params else None
        credentials = read_credentials(given if isinstance(given, dict) else {})
        if isinstance(credentials, LoginFailure):
            return credentials
        session = await self._services.accounts.login(credentials, self._address)
        if isinstance(session, LoginFailure):
            return session
        kind = "resume" if isinstance(credentials, ResumeLogin) else "password"
        if not self._become(session.user.id):
            if kind == "password":
                await self._services.accounts.logout(session.token)  # made a moment ago, for nothing
            text = f"You are logged in on {self._crowd.most} connections, the most there may be; close one first."
            return Fault(text, "error-too-many-connections")
        self._deadline.cancel()
        self._budget.grant(self._limits.logged_in, asyncio.get_running_loop().time())
        self._token = session.token
        expires = {} if session.expires_at is None else {"tokenExpires": protocol.date(session.expires_at)}
        return {"id": session.user.id, "token": session.token, **expires, "type": kind}

    async def _logout(self) -> None:
        token, self._token = self._token, ""
        self._become(None)
        self._deadline.cancel()
        self._deadline = self._start_deadline()
        if token:
            await self._services.accounts.logout(token)

    def _become(self, user_id: UserId | None) -> bool:
        """Let another user or nobody be logged in; False when that user has too many connections, then nobody is."""
        if self._closed:
            return False
        self._unsubscribe_all()
        if self.user_id is not None:
            self._crowd.leave(self.user_id)
        entered = user_id is None or self._crowd.enter(user_id)
        self.user_id = user_id if entered else None
        return entered

    # --- subscriptions ------------------------------------------------------------------------------

    async def _subscribe(self, frame: Sub) -> None:
        if frame.id in self._subscribed:
            return  # Meteor ignores it too: clients repeat subscriptions when they reconnect
        user = await self.caller()
        if user is None:
            self._refuse(frame, LOGIN_NEEDED)
            return
        if len(self._subscribed) >= self._limits.subscriptions:
            text = f"You hold {self._limits.subscriptions} subscriptions, the most there may be; end one first."
            self._refuse(frame, Fault(text, "error-too-many-subscriptions"))
            return
        event = frame.params[0] if frame.params else None
        subscribed = await self._streams.subscribe(self, user, frame.name, event)
        if isinstance(subscribed, Fault):
            self._refuse(frame, subscribed)
            return
        self._subscribed[frame.id] = subscribed
        self.send(protocol.ready(frame.id))

    def _unsubscribe(self, sub_id: str) -> None:
        subscribed = self._subscribed.pop(sub_id, None)
        if subscribed is not None:
            self._streams.unsubscribe(subscribed)
        self.send(protocol.nosub(sub_id))

    def _unsubscribe_all(self) -> None:
        while self._subscribed:
            self._streams.unsubscribe(self._subscribed.popitem()[1])

    def _start_deadline(self) -> asyncio.TimerHandle:
        ending = Ending(POLICY, f"Log in within {self._limits.login_s:g} seconds.")
        return asyncio.get_running_loop().call_later(self._limits.login_s, self._end, ending)


def _too_many(allowance: Allowance) -> Fault:
    return Fault(
        "Error, too many requests. Please slow down."
        f" You must wait {allowance.wait_s} seconds before trying this endpoint again.",
        "error-too-many-requests",
        {"timeToReset": allowance.wait_s * 1000},
    )
