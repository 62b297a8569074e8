"""Trying hooks and looking back on them for commands: tests, replays, and what came or was called."""

import json
from collections.abc import Mapping, Sequence
from typing import Any  # bodies of events are parsed JSON

from msgspec import structs
from multidict import CIMultiDict

from bot.flows.desks import Caller, Desk, Kit
from bot.flows.receive import Received
from bot.workspace.posting import Prepared, plain
from handlers.acting import NOT_REACHING
from handlers.bodies import BodyFault, parse_body, unwrap_hook_payload
from handlers.errors import Fault
from handlers.hooks.work import HOOK_TRIALS, Called, HookTrials, MadeUp, Posted
from handlers.listing import masked_address
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.payload import MASK
from handlers.outgoing.replayed import wrap
from handlers.unpacking import decompress
from storage.clock import Millis
from storage.ids import GENERAL, MessageId, timed_id
from storage.plain_json import write
from storage.records.changes import Changes, Fact, merge
from storage.records.delivery import Attempt, NewDelivery
from storage.records.event import EventKind, NewEvent
from storage.records.hook_request import HookRequest, Verdict
from storage.records.integration import IncomingHook, OutgoingHook
from storage.records.message import Message
from storage.records.room import Room, RoomKind
from storage.records.user import User

_GONE = Fault("The user it posts as is deactivated, so nothing can be posted; name another user, or activate that one.")
_NO_ROOM = Fault("There is no room to tell of: name one for this hook first.")
_KINDS = {
    OutgoingEvent.SEND_MESSAGE: EventKind.MESSAGE_POSTED,
    OutgoingEvent.FILE_UPLOADED: EventKind.FILE_UPLOADED,
    OutgoingEvent.ROOM_JOINED: EventKind.ROOM_JOINED,
    OutgoingEvent.ROOM_LEFT: EventKind.ROOM_LEFT,
    OutgoingEvent.ROOM_ARCHIVED: EventKind.ROOM_ARCHIVED,
    OutgoingEvent.ROOM_CREATED: EventKind.ROOM_CREATED,
    OutgoingEvent.USER_CREATED: EventKind.USER_CREATED,
}


class CallersTrials:
    """Implements `handlers.hooks.work.HookTrials`; which hooks the caller may try is judged before."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user
        self._place = caller.place

    # --- what came, and what was called -------------------------------------------------------------

    async def requests(
        self, hook: IncomingHook, *, since: Millis | None, failed: bool, offset: int, count: int
    ) -> tuple[Sequence[HookRequest], int]:
        verdict = Verdict.REFUSED if failed else None
        store = self._kit.store
        found = await store.requests(hook.id, since=since, verdict=verdict, offset=offset, count=count)
        return found, await store.requests_count(hook.id, since=since, verdict=verdict)

    async def calls(
        self, hook: OutgoingHook, *, since: Millis | None, failed: bool, offset: int, count: int
    ) -> tuple[Sequence[Called], int]:
        store = self._kit.store
        found, total = await store.attempts(
            [hook.id], since=since, failed=True if failed else None, offset=offset, count=count
        )
        addresses = {store.lookup(url): masked_address(url) for url in hook.urls}
        seen = [await self._seen(each) for each in found]
        return [Called(each, addresses.get(each.url_hash or b"")) for each in seen], total

    async def _seen(self, attempt: Attempt) -> Attempt:
        """Return an attempt without what tells of the message, for who may not enter its room."""
        if await self._kit.directory.may_see(self._user, await self._kit.store.event(attempt.event_seq)):
            return attempt
        return structs.replace(attempt, trigger_word=None, response=None)

    async def request(self, hook: IncomingHook, request_id: str) -> HookRequest | None:
        found = await self._kit.store.request(request_id)
        return found if found is not None and found.integration_id == hook.id else None

    async def call(self, hook: OutgoingHook, attempt_id: str) -> Attempt | None:
        found = await self._kit.store.attempt(attempt_id)
        return found if found is not None and found.integration_id == hook.id else None

    # --- incoming -----------------------------------------------------------------------------------

    async def post(self, hook: IncomingHook, body: object, mark: str, also: Changes) -> Posted | Fault:
        headers = CIMultiDict({"Content-Type": "application/json"})
        received = Received("TEST", headers, json.dumps(body, ensure_ascii=False).encode())
        return await self._post(hook, received, body, mark, also)

    async def post_again(self, hook: IncomingHook, request: HookRequest, mark: str, also: Changes) -> Posted | Fault:
        if request.damaged:
            return Fault("What was kept of this request is damaged; it cannot be posted again.")
        headers = CIMultiDict(request.headers)
        body = _body(Received(request.method, headers, request.body), self._kit.max_body)
        if isinstance(body, BodyFault):
            return Fault(body.text)
        if not body:
            return Fault("The request had nothing to post, and still has not.")
        return await self._post(hook, Received("REPLAY", headers, request.body), body, mark, also)

    async def _post(
        self, hook: IncomingHook, received: Received, body: object, mark: str, also: Changes
    ) -> Posted | Fault:
        poster = await self._kit.directory.user(hook.user_id)
        if poster is None or not poster.active:
            return _GONE
        if reason := await self._kit.hooks.why_not_run(self._user, hook):
            return Fault(reason, "error-invalid-post-as-user")
        done = await self._kit.receive.post(hook, poster, received, body, mark=mark, also=also)
        if isinstance(done, Fault):
            return done
        return Posted(_names(done), tuple(message.id for message in done.messages))

    # --- outgoing -----------------------------------------------------------------------------------

    async def fire(self, hook: OutgoingHook, also: Changes) -> int | Fault:
        event = OutgoingEvent(hook.event)
        room = await self._room(hook)
        if room is None:
            return _NO_ROOM
        if not await self._kit.directory.reaches(hook, room):
            return NOT_REACHING
        kind = _KINDS[event]
        fact = await self._sample(kind, event, hook, room)
        sample = NewEvent(
            kind=EventKind.DELIVERY_REPLAYED,
            org_id=hook.org_id,
            at=self._kit.clock.now(),
            room_id=room.id,
            user_id=self._user.id,
            json=write(wrap(kind, fact.event.body)),
        )
        word = hook.trigger_words[0] if hook.trigger_words else None
        store = self._kit.store
        deliveries = tuple(
            NewDelivery(integration_id=hook.id, url_hash=store.lookup(url), trigger_word=word) for url in hook.urls
        )
        await store.commit(merge(Changes(facts=(Fact(event=sample, deliveries=deliveries),)), also))
        return len(deliveries)

    async def made_up(self, hook: OutgoingHook, text: str | None) -> MadeUp | Fault:
        event = OutgoingEvent(hook.event)
        room = await self._room(hook)
        if room is None:
            return _NO_ROOM
        kind = _KINDS[event]
        fact = await self._sample(kind, event, hook, room, text)
        masked = not await self._kit.posting.may_enter(room, self._user)
        body = _without_room(fact.event.body) if masked else fact.event.body
        return MadeUp(kind, body, self._kit.base_url, masked)

    async def call_again(self, hook: OutgoingHook, attempt: Attempt, also: Changes) -> Fault | None:
        return await self._kit.replay.replay(self._user, hook.id, attempt.id, also)

    async def _sample(
        self, kind: EventKind, event: OutgoingEvent, hook: OutgoingHook, room: Room, text: str | None = None
    ) -> Fact:
        """Return what would be told if the caller did now what the hook listens for; nobody is told of it."""
        fanout, now, user = self._kit.fanout, self._kit.clock.now(), self._user
        match event:
            case OutgoingEvent.SEND_MESSAGE:
                return await fanout.message(self._message(hook, room, user, now, text), room, user)
            case OutgoingEvent.FILE_UPLOADED:
                file = {"_id": timed_id(now), "name": "test.txt", "type": "text/plain", "size": 4}
                return await fanout.file(self._message(hook, room, user, now, text, file=file), room, user)
            case OutgoingEvent.USER_CREATED:
                return await fanout.user_created(user)
            case _:
                return await fanout.room(kind, room, user, at=now)

    def _message(
        self,
        hook: OutgoingHook,
        room: Room,
        user: User,
        now: Millis,
        text: str | None,
        file: dict[str, object] | None = None,
    ) -> Message:
        word = f"{hook.trigger_words[0]} " if hook.trigger_words else ""
        draft = plain(f"{word}test of {hook.name} by {user.username}" if text is None else text)
        return Message(
            id=MessageId(timed_id(now)),
            org_id=user.org_id,
            room_id=room.id,
            at=now,
            user_id=user.id,
            username=user.username,
            name=user.name,
            text=draft.text,
            file=file,
            updated_at=now,
        )

    async def _room(self, hook: OutgoingHook) -> Room | None:
        """Return where it happens: the hook's first room, else the one the caller is in, else the public one."""
        for channel in hook.channels:
            found = await self._kit.posting.find(channel)
            if isinstance(found, Room):
                return found
        here = self._place.room
        if here is not None and here.kind is RoomKind.PUBLIC:
            return here
        return await self._kit.directory.room(GENERAL)


def _without_room(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hide which room it is and everything about it: who made a hook may have left its room since."""
    hidden: dict[str, Any] = {}
    if "room" in body:
        hidden["room"] = {key: MASK for key in ("_id", "name") if key in body["room"]}
    if "message" in body:
        hidden["message"] = {**body["message"], "rid": MASK}
    return {**body, **hidden}


def _body(received: Received, limit: int) -> object:
    """Read a kept request as its address does (§5.1): that of a GET counts for nothing."""
    if received.method == "GET":
        return None
    coding = ",".join(value for name, value in received.headers.items() if name.lower() == "content-encoding")
    decoded = decompress(received.raw, coding, limit)
    if isinstance(decoded, BodyFault):
        return decoded
    content_type = received.headers.get("Content-Type")
    body = parse_body(content_type, decoded)
    return body if isinstance(body, BodyFault) else unwrap_hook_payload(content_type, body)


def _names(done: Prepared) -> tuple[str, ...]:
    """Name the rooms as anybody may read it: the answer stands in a room whose members are not all in the others."""
    kinds = {RoomKind.PRIVATE: "a private room", RoomKind.DIRECT: "a direct room"}
    return tuple(kinds.get(room.kind) or f"#{room.name}" for room in done.rooms)


def _make(kit: Kit, caller: Caller) -> HookTrials:
    return CallersTrials(kit, caller)


DESK: Desk = Desk(HOOK_TRIALS, _make)
