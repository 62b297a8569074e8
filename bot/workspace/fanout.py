"""From something that happened to the fact that is stored: its body, and the deliveries it causes."""

from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec import structs

from bot.slices import Slices
from bot.workspace.directory import Directory
from handlers.mentions import EVERYBODY, NOTHING_NAMED, find_mentions
from handlers.outgoing import steps
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.hops import MAX_HOPS
from handlers.outgoing.payload import file_facts, message_facts, room_facts, user_facts
from handlers.rocketchat.views import JsonObject, room_view
from handlers.triggers import fires
from storage.clock import Clock, Millis
from storage.ids import EventSeq, IntegrationId, MessageId, UserId, timed_id
from storage.plain_json import write
from storage.ports import Rooms, Secrets
from storage.records.changes import Fact
from storage.records.delivery import Attempt, NewDelivery
from storage.records.event import EventKind, NewEvent
from storage.records.integration import Hook, OutgoingHook, is_expired, is_muted
from storage.records.message import Message
from storage.records.room import Room, RoomKind
from storage.records.user import User


@dataclass(frozen=True, slots=True)
class Named:
    """What a text names, as message objects show it (`rocketchat.md` §10)."""

    mentions: Sequence[JsonObject]
    channels: Sequence[JsonObject]
    urls: Sequence[JsonObject]


_NOBODY = Named((), (), ())

MOST_CALLS = 100
"""Calls one message, or another event, may cause: else one post in a room with many hooks would flood the queue."""
LEFT_OUT_AGAIN_MS = 60 * 60 * 1000
"""How long a hook's history tells only once that it was left out."""
MOST_TOLD = 1_000
"""Hooks remembered as told; the one told first makes room."""

Heard = tuple[OutgoingHook, str | None]
"""A hook that hears an event, and the trigger word it heard."""


class Fanout:
    """Builds facts; which hooks hear them is decided here, once, when they happen (`rocketchat.md` §6)."""

    def __init__(self, directory: Directory, rooms: Rooms, secrets: Secrets, clock: Clock) -> None:
        self._directory = directory
        self._rooms = rooms
        self._secrets = secrets
        self._clock = clock
        self._told_left_out: OrderedDict[IntegrationId, Millis] = OrderedDict()

    async def message(self, message: Message, room: Room, author: User, *, edited: bool = False) -> Fact:
        """Return the fact of a posted or edited message."""
        named = await self.named(message)
        body = message_facts(
            message,
            room,
            participants=await self._directory.participants(room) if room.direct_users else (),
            mentions=named.mentions,
            channels=named.channels,
            urls=named.urls if message.parse_urls else (),
        )
        kind = EventKind.MESSAGE_EDITED if edited else EventKind.MESSAGE_POSTED
        hooks = [] if message.notice else await self._directory.listening(OutgoingEvent.SEND_MESSAGE, room, author)
        heard: list[Heard] = []
        stopped: list[Attempt] = []
        now, slices = self._clock.now(), Slices()
        for hook in hooks:
            await slices.rest()  # many hooks may look for many words in a long text
            fire = fires(hook, message.text, is_edit=edited)
            if fire is None or is_expired(hook, now):
                continue
            if is_muted(hook, now):
                stopped.append(self._muted(hook, fire.trigger_word))
            elif message.hops >= MAX_HOPS:
                stopped.append(self._stopped(hook, fire.trigger_word))
            else:
                heard.append((hook, fire.trigger_word))
        deliveries = self._within_limit(heard, stopped)
        return self._fact(kind, room, author, body, deliveries, stopped, None if edited else message.id)

    async def file(self, message: Message, room: Room, author: User) -> Fact:
        """Return the fact of an uploaded file; its message is a fact of its own."""
        named = await self.named(message)
        body = file_facts(
            message,
            await self.room_json(room),
            author,
            mentions=named.mentions,
            channels=named.channels,
            urls=named.urls,
        )
        return await self._heard(EventKind.FILE_UPLOADED, room, author, body)

    async def room(self, kind: EventKind, room: Room, user: User, *, at: Millis, new_with: int | None = None) -> Fact:
        """Return the fact of what `user` did with a room; `new_with` are the members of one not stored yet."""
        room_json = await self.room_json(room, new_with=new_with)
        return await self._heard(kind, room, user, room_facts(room_json, user, at=at))

    async def user_created(self, user: User) -> Fact:
        """Return the fact of a new user."""
        return await self._heard(EventKind.USER_CREATED, None, user, user_facts(user))

    def plain(self, kind: EventKind, user: User, body: Mapping[str, object], room: Room | None = None) -> Fact:
        """Return a fact no hook hears of, for those who watch the stream."""
        return self._fact(kind, room, user, body, (), ())

    def stopped(self, hook: Hook, by: User, why: str) -> Fact:
        """Return the fact that a hook lost rights of its maker; an outgoing one gets a line of history about it.

        It tells of no room, so that whoever may not enter that any more can still read why.
        """
        fact = self.plain(EventKind.INTEGRATION_CHANGED, by, {"id": hook.id, "name": hook.name, "reason": why})
        if not isinstance(hook, OutgoingHook):
            return fact
        return structs.replace(fact, stopped=(self._not_called(hook, None, steps.STOPPED_WITH_RIGHTS, why),))

    async def named(self, message: Message) -> Named:
        """Resolve the users, public rooms and addresses a message names; names of nobody are left out."""
        found = find_mentions(message.text)
        if found is NOTHING_NAMED:
            return _NOBODY
        users, rooms = [], []
        for name in found.users:
            if name in EVERYBODY:
                if message.calls_everybody:
                    users.append(JsonObject(_id=name, username=name))
            elif user := await self._directory.user_named(name):
                users.append(JsonObject(_id=user.id, username=user.username, name=user.name, type="user"))
        for name in found.rooms:
            room = await self._directory.room_named(name)
            if room is not None and room.kind is RoomKind.PUBLIC:  # a text must not tell that a private one is there
                rooms.append(JsonObject(_id=room.id, name=room.name))
        return Named(users, rooms, [JsonObject(url=url) for url in found.urls])

    async def room_json(self, room: Room, *, new_with: int | None = None) -> JsonObject:
        """Show a room with its counts; `new_with` are the members of one not stored yet."""
        owner = await self._directory.user(room.owner_id) if room.owner_id else None
        members, messages = new_with, 0
        if members is None:
            members, messages, _ = (await self._rooms.room_counts([room.id])).get(room.id, (0, 0, None))
        return room_view(
            room,
            owner=owner,
            participants=await self._directory.participants(room),
            users_count=members,
            messages_count=messages,
        )

    async def _heard(self, kind: EventKind, room: Room | None, author: User, body: Mapping[str, object]) -> Fact:
        event = OutgoingEvent.of(kind)
        hooks = await self._directory.listening(event, room, author) if event else []
        now = self._clock.now()
        heard: list[Heard] = []
        stopped: list[Attempt] = []
        for hook in hooks:
            if is_muted(hook, now) and not is_expired(hook, now):
                stopped.append(self._muted(hook, None))
            elif not is_expired(hook, now):
                heard.append((hook, None))
        return self._fact(kind, room, author, body, self._within_limit(heard, stopped), stopped)

    def _within_limit(self, heard: Sequence[Heard], stopped: list[Attempt]) -> list[NewDelivery]:
        """Return the calls an event causes; what is too much is told in the history of the hooks left out.

        The oldest hook of each creator is called before the second of any, so that nobody's many leave others out.
        """
        if sum(len(hook.urls) for hook, _ in heard) <= MOST_CALLS:
            return [one for hook, word in heard for one in self._deliveries(hook, word)]
        deliveries: list[NewDelivery] = []
        made: Counter[UserId] = Counter()
        turns: list[tuple[int, Heard]] = []
        for one in heard:
            creator = one[0].created_by[0]
            turns.append((made[creator], one))
            made[creator] += 1
        for _, (hook, word) in sorted(turns, key=lambda turn: turn[0]):
            if len(deliveries) + len(hook.urls) <= MOST_CALLS:
                deliveries += self._deliveries(hook, word)
            elif len(stopped) < MOST_CALLS and self._tells_left_out(hook.id):
                stopped.append(self._left_out(hook, word))
        return deliveries

    def _tells_left_out(self, hook_id: IntegrationId) -> bool:
        now = self._clock.steady()
        told = self._told_left_out.get(hook_id)
        if told is not None and now - told < LEFT_OUT_AGAIN_MS:
            return False
        self._told_left_out[hook_id] = now
        if len(self._told_left_out) > MOST_TOLD:
            self._told_left_out.popitem(last=False)
        return True

    def _deliveries(self, hook: OutgoingHook, trigger_word: str | None) -> list[NewDelivery]:
        return [
            NewDelivery(
                integration_id=hook.id,
                url_hash=self._secrets.lookup(url),
                trigger_word=trigger_word,
            )
            for url in hook.urls
        ]

    def _stopped(self, hook: OutgoingHook, trigger_word: str | None) -> Attempt:
        error = f"The message came through {MAX_HOPS} hooks; the chain ends here so that it cannot loop."
        return self._not_called(hook, trigger_word, steps.STOPPED_BY_HOP_LIMIT, error)

    def _left_out(self, hook: OutgoingHook, trigger_word: str | None) -> Attempt:
        error = (
            f"One message causes at most {MOST_CALLS} calls, and others had them; listen to fewer rooms, or to words."
            " This is told once an hour."
        )
        return self._not_called(hook, trigger_word, steps.LEFT_OUT, error)

    def _muted(self, hook: OutgoingHook, trigger_word: str | None) -> Attempt:
        """Return the entry of what a muted hook leaves out for good: muting asks for quiet, not for a backlog."""
        return self._not_called(hook, trigger_word, steps.MUTED, None)

    def _not_called(self, hook: OutgoingHook, trigger_word: str | None, step: str, error: str | None) -> Attempt:
        now = self._clock.now()
        return Attempt(
            id=timed_id(now),
            integration_id=hook.id,
            version=hook.version,
            event_seq=EventSeq(0),  # filled in when the event gets its number
            delivery_id=None,
            url_hash=None,
            trigger_word=trigger_word,
            step=step,
            finished=True,
            failed=error is not None,
            started_at=now,
            updated_at=now,
            duration_ms=0,
            error=error,
            called=False,
        )

    def _fact(
        self,
        kind: EventKind,
        room: Room | None,
        author: User,
        body: Mapping[str, object],
        deliveries: Sequence[NewDelivery],
        stopped: Sequence[Attempt],
        message_id: MessageId | None = None,
    ) -> Fact:
        event = NewEvent(
            kind=kind,
            org_id=self._directory.org,
            at=self._clock.now(),
            room_id=room.id if room else None,
            user_id=author.id,
            json=write(body),
        )
        return Fact(event=event, deliveries=tuple(deliveries), stopped=tuple(stopped), message_id=message_id)


def unheard(fact: Fact) -> Fact:
    """Return a fact that calls no hook: the server's own doing, such as `rocket.cat` joining a room for a notice."""
    return structs.replace(fact, deliveries=(), stopped=())


def unheard_by(fact: Fact, hook_ids: Collection[IntegrationId]) -> Fact:
    """Return a fact that does not call some hooks."""
    heard = tuple(one for one in fact.deliveries if one.integration_id not in hook_ids)
    return structs.replace(fact, deliveries=heard) if hook_ids else fact
