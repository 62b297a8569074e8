"""Who hears what: subscriptions to streams, fed from the workspace's events (`rocketchat.md` §11.2, decision 55).

One reader of the event stream serves all sockets. Whether a listener may hear an event is judged for each
event anew, so a membership, role or session that ended a moment ago leaks nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol  # Any: bodies of events are parsed JSON

import structlog

from bot.api.realtime.protocol import MOST_NAME, changed, with_dates
from bot.api.rocketchat.shapes import rooms_json
from bot.services import Services
from bot.slices import Slices
from bot.workspace.ephemeral import Ephemeral
from bot.workspace.posting import NOT_ALLOWED
from bot.workspace.stream import Lagged
from handlers.errors import Fault
from handlers.rocketchat.views import drawn
from storage.errors import StorageError
from storage.ids import EventSeq, RoomId, UserId
from storage.records.event import Event, EventKind
from storage.records.room import Room, RoomKind
from storage.records.user import User

ROOM_MESSAGES = "stream-room-messages"
NOTIFY_ROOM = "stream-notify-room"
NOTIFY_USER = "stream-notify-user"
MY_MESSAGES = "__my_messages__"
ACTIVITIES = frozenset({"typing", "user-activity"})
"""What clients tell each other about a room; passed on, not stored."""

RETRY_S = 1.0
"""Pause before the stream is read again after the store failed."""


class Topic(NamedTuple):
    """A stream and the name of an event in it, as both stand on the wire."""

    stream: str
    event: str


class Listener(Protocol):
    """A connection, as far as streams need it."""

    async def caller(self) -> User | None:
        """Return who is logged in now."""
        ...

    def send(self, frame: str) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Subscribed:
    """One subscription of one connection."""

    listener: Listener
    topic: Topic


@dataclass(slots=True)
class _Hearing:
    """What one connection holds of a topic: it hears each event once, however often it has subscribed to it."""

    subscriptions: int = 0
    leave: Callable[[], None] | None = None
    """Ends the ephemeral messages of a user's own answers, which come from elsewhere."""


class Streams:
    """Keeps all subscriptions and sends every event to those that may hear it."""

    def __init__(self, services: Services, recheck: Callable[[UserId], Awaitable[None]]) -> None:
        self._services = services
        self._recheck = recheck
        self._topics: dict[Topic, dict[Listener, _Hearing]] = {}
        self._last: EventSeq | None = None
        self._sending: set[asyncio.Task[None]] = set()

    async def subscribe(self, listener: Listener, user: User, stream: str, event: object) -> Subscribed | Fault:
        """Add a subscription, if the user may hear this event at all."""
        if stream not in (ROOM_MESSAGES, NOTIFY_ROOM, NOTIFY_USER):
            return Fault(f"Subscription '{stream[:120]}' not found", status=404)
        if not isinstance(event, str) or len(event) > MOST_NAME:
            return Fault(f"The first parameter must be the name of an event, up to {MOST_NAME} characters.")
        topic = Topic(stream, event)
        if not await self._may_hear(user, topic):
            return NOT_ALLOWED
        hearing = self._topics.setdefault(topic, {}).setdefault(listener, _Hearing())
        hearing.subscriptions += 1
        subscribed = Subscribed(listener, topic)
        if topic == _answers(user.id) and hearing.leave is None:
            heard = partial(self._ephemeral, subscribed)
            hearing.leave = self._services.commands.ephemeral.subscribe(user.id, heard)
        return subscribed

    def unsubscribe(self, subscribed: Subscribed) -> None:
        """Remove a subscription."""
        listeners = self._topics[subscribed.topic]
        hearing = listeners[subscribed.listener]
        hearing.subscriptions -= 1
        if hearing.subscriptions:
            return
        if hearing.leave is not None:
            hearing.leave()
        del listeners[subscribed.listener]
        if not listeners:
            del self._topics[subscribed.topic]

    async def run(self) -> None:
        """Pass on the workspace's events from now on, until cancelled; after falling behind go on where it was left."""
        self._last = None
        while True:
            try:
                await self._follow()
            except Lagged:
                continue
            except StorageError as error:
                structlog.get_logger("patchbay.realtime").warning("stream not readable", fault=error.code)
                await asyncio.sleep(RETRY_S)

    async def _follow(self) -> None:
        async with self._services.stream.subscribe(self._last) as subscription:
            self._last = subscription.last
            while True:
                event = await subscription.next()
                self._last = event.seq
                if event.org_id != self._services.directory.org:
                    continue
                if not self._topics and event.kind is not EventKind.USER_CHANGED:
                    continue  # nobody listens; but a session may have to end
                await self._guarded(self._publish(event), f"event {event.seq}")
                await asyncio.sleep(0)  # a full backlog must not keep everybody else waiting

    async def activity(self, origin: Listener, user: User, event: str, args: Sequence[object]) -> Fault | None:
        """Tell the others in a room what somebody does there; only in one's own name."""
        topic = Topic(NOTIFY_ROOM, event)
        if _split(event)[1] not in ACTIVITIES or not args or args[0] != user.username:
            return NOT_ALLOWED
        if not await self._may_hear(user, topic):
            return NOT_ALLOWED
        await self._send(topic, args, besides=origin)
        return None

    def _ephemeral(self, subscribed: Subscribed, message: Ephemeral) -> None:
        """Send an answer only its caller reads (decision 57)."""
        frame = changed(*subscribed.topic, [with_dates(message)])
        judged = self._judged(subscribed.listener, subscribed.topic, frame)
        task = asyncio.create_task(self._guarded(judged, "notice"))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    # --- rights -------------------------------------------------------------------------------------

    async def _may_hear(self, user: User, topic: Topic) -> bool:
        if topic == (ROOM_MESSAGES, MY_MESSAGES):
            return True
        owner = _split(topic.event)[0]
        if topic.stream == NOTIFY_USER:
            return owner == user.id
        room = await self._services.directory.room(RoomId(topic.event if topic.stream == ROOM_MESSAGES else owner))
        return room is not None and await self._services.posting.may_enter(room, user)

    # --- events -------------------------------------------------------------------------------------

    async def _guarded(self, sending: Awaitable[None], about: str) -> None:
        try:
            await sending
        except Exception:  # one event that cannot be shown must not silence all sockets
            log = structlog.get_logger("patchbay.realtime")
            log.exception("not sent to sockets", about=about)

    async def _publish(self, event: Event) -> None:
        if event.kind is EventKind.USER_CHANGED and event.body.get("sessions_ended"):
            await self._recheck(_changed_user(event.body))
        if event.room_id is None:
            return
        match event.kind:
            case EventKind.MESSAGE_POSTED | EventKind.MESSAGE_EDITED | EventKind.MESSAGE_REACTED:
                await self._message(event.room_id, event.body)
            case EventKind.MESSAGE_DELETED:
                await self._send(Topic(NOTIFY_ROOM, f"{event.room_id}/deleteMessage"), [{"_id": event.body["_id"]}])
            case EventKind.ROOM_JOINED if event.user_id:
                await self._room(event.room_id, "inserted", (event.user_id,))
            case EventKind.ROOM_LEFT if event.user_id:
                # whoever has left a room learns no more about it than its id
                await self._send(_rooms_changed(event.user_id), ["removed", {"_id": event.room_id}])
            case EventKind.ROOM_CREATED:
                await self._room(event.room_id, "inserted", await self._inside(event.room_id))
            case EventKind.ROOM_CHANGED:
                room = await self._services.directory.room(event.room_id)
                # direct rooms never change: the event is their making
                what = "inserted" if room and room.kind is RoomKind.DIRECT else "updated"
                await self._room(event.room_id, what, await self._inside(event.room_id))

    async def _message(self, room_id: RoomId, body: dict[str, Any]) -> None:
        message: dict[str, object] | None = None
        if Topic(ROOM_MESSAGES, room_id) in self._topics:
            message = with_dates(drawn(body["message"]))
            await self._send(Topic(ROOM_MESSAGES, room_id), [message])
        mine = Topic(ROOM_MESSAGES, MY_MESSAGES)
        room = await self._services.directory.room(room_id) if mine in self._topics else None
        if room is None:
            return
        message = message or with_dates(drawn(body["message"]))
        frames = {inside: changed(*mine, [message, _standing(room, participant=inside)]) for inside in (True, False)}
        slices = Slices()
        for listener in self._hearing(mine):
            await slices.rest()
            user = await listener.caller()
            if user and await self._services.posting.may_enter(room, user):
                inside = await self._services.directory.member(room.id, user.id) is not None
                self._hand(listener, mine, frames[inside])

    async def _room(self, room_id: RoomId, what: str, users: Sequence[UserId]) -> None:
        topics = [topic for user_id in users if (topic := _rooms_changed(user_id)) in self._topics]
        room = await self._services.directory.room(room_id) if topics else None
        if room is None:
            return
        shown = with_dates((await rooms_json(self._services, [room]))[0])
        for topic in topics:
            await self._send(topic, [what, shown], room=room)

    async def _inside(self, room_id: RoomId) -> Sequence[UserId]:
        return [member.user_id for member in await self._services.directory.members(room_id)]

    async def _send(
        self, topic: Topic, args: Sequence[object], *, room: Room | None = None, besides: Listener | None = None
    ) -> None:
        """Send an event to everyone who may hear it; with `room`, to those only who may enter it."""
        hearing = self._hearing(topic)
        frame, slices = changed(*topic, args) if hearing else "", Slices()
        for listener in hearing:
            await slices.rest()
            if listener is not besides:
                await self._judged(listener, topic, frame, room)

    async def _judged(self, listener: Listener, topic: Topic, frame: str, room: Room | None = None) -> None:
        user = await listener.caller()
        if user is None or not await self._may_hear(user, topic):
            return
        if room is None or await self._services.posting.may_enter(room, user):
            self._hand(listener, topic, frame)

    def _hearing(self, topic: Topic) -> tuple[Listener, ...]:
        return tuple(self._topics.get(topic, ()))

    def _hand(self, listener: Listener, topic: Topic, frame: str) -> None:
        if listener in self._topics.get(topic, ()):  # it may have ended while its rights were looked up
            listener.send(frame)


def _rooms_changed(user_id: UserId) -> Topic:
    return Topic(NOTIFY_USER, f"{user_id}/rooms-changed")


def _changed_user(body: Mapping[str, Any]) -> UserId:
    return UserId(body["user"]["_id"])


def _answers(user_id: UserId) -> Topic:
    return Topic(NOTIFY_USER, f"{user_id}/message")


def _standing(room: Room, *, participant: bool) -> dict[str, object]:
    named = {} if room.name is None else {"roomName": room.name}
    return {"roomParticipant": participant, "roomType": room.kind.value, **named}


def _split(event: str) -> tuple[str, str]:
    owner, _, name = event.rpartition("/")
    return owner, name
