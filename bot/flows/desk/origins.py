"""Where messages come from: followed back from a message to request or call, and on to its deliveries."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from bot.flows.desks import Caller, Desk, Kit
from handlers.bodies import BodyFault, parse_body, unwrap_hook_payload
from handlers.commands.why import ORIGINS, Caused, Origin, OriginDesk
from handlers.deliveries import written_id
from handlers.formatter import Auto, available
from handlers.masking import masked_body
from handlers.outgoing.replayed import unwrap
from handlers.permissions import may_manage, permissions, visible
from handlers.rooms import Retention
from handlers.unpacking import decompress
from storage.ids import IntegrationId, MessageId, id_time
from storage.records.delivery import Attempt
from storage.records.integration import Hook, IncomingHook, OutgoingHook
from storage.records.message import Message
from storage.records.room import Room, RoomKind
from storage.records.user import Role

_FORMATTERS: Final = available()
_PLACES: Final = {RoomKind.PUBLIC: "channel", RoomKind.PRIVATE: "group", RoomKind.DIRECT: "direct"}
"""How clients write the kind of a room in links."""


LONGEST_SHOWN: Final = 64 * 1024
"""Bytes of a body that are shown in an answer; to look for secrets in a megabyte takes seconds."""


class Origins:
    """Implements `handlers.commands.why.OriginDesk`; who may see what is decision 59."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._store = kit.store
        self._user = caller.user
        self._held = frozenset[str]() if caller.unlinked else permissions(caller.user)

    async def origin(self, message_id: MessageId) -> Origin | None:
        found = await self._found(message_id)
        if found is None:
            return None
        message, room = found
        hook = await self._kit.directory.hook(message.integration_id) if message.integration_id else None
        sees = hook is not None and (self._user.role.at_least(Role.EDITOR) or hook.created_by[0] == self._user.id)
        plain = Origin(
            message=message,
            room=_room_name(room),
            hook=hook,
            sees_history=sees,
            manages=hook is not None and may_manage(self._held, self._user.id, hook),
            caused=await self._caused(message.id),
        )
        if message.integration_id is None:
            return plain
        if isinstance(hook, IncomingHook):
            return await self._with_request(plain, hook)
        return await self._with_call(plain)

    async def removed(self, message_id: MessageId, room: str | None) -> Sequence[str]:
        made = id_time(message_id)
        rooms = [each for each in await self._kit.directory.rooms_of(self._user.id) if room in (None, each.name)]
        removals = await self._store.room_removals([each.id for each in rooms]) if rooms and made is not None else {}
        return [
            f"{_room_name(each)} keeps {Retention.of(each).in_words}"
            for each in rooms
            if made is not None and each.id in removals and each.created_at <= made <= removals[each.id].until
        ]

    async def _found(self, message_id: MessageId) -> tuple[Message, Room] | None:
        """Return a message with its room, if the caller is in it."""
        message = await self._store.message(message_id)
        room = await self._kit.directory.room(message.room_id) if message else None
        if message is None or room is None:
            return None
        if room.kind is RoomKind.DIRECT:
            return (message, room) if self._user.id in room.direct_users else None
        return (message, room) if await self._kit.directory.member(room.id, self._user.id) else None

    async def _with_request(self, origin: Origin, hook: IncomingHook) -> Origin:
        request = await self._store.request_posting(hook.id, origin.message.id)
        if request is None:
            return origin
        content_type = next((value for name, value in request.headers if name.lower() == "content-type"), None)
        coding = ",".join(value for name, value in request.headers if name.lower() == "content-encoding")
        known = [secret for secret in (hook.token, hook.secret) if secret]

        def read() -> tuple[str | None, object]:
            body = decompress(request.body, coding, self._kit.max_body)
            return _shape(hook, content_type, body), _shown(content_type, body, known)

        # it may be a megabyte, and nobody else should wait until it is read
        shape, body = await asyncio.to_thread(read)
        return replace(origin, request=request, shape=shape, body=body if origin.sees_history else None)

    async def _with_call(self, origin: Origin) -> Origin:
        call = await self._store.attempt_posting(origin.message.id)
        if call is None:
            return origin
        delivery = written_id(call.delivery_id) if call.delivery_id is not None and origin.manages else None
        return replace(origin, call=call, delivery=delivery, answers=await self._link(call))

    async def _link(self, call: Attempt) -> str | None:
        """Return a link to the message a call was about, if the caller may ask about that too."""
        event = await self._store.event(call.event_seq)
        if event is None:
            return None
        _, body = unwrap(event)
        about = body.get("message")
        message_id = about.get("_id") if isinstance(about, dict) else None
        found = await self._found(MessageId(message_id)) if isinstance(message_id, str) else None
        if found is None:
            return None
        message, room = found
        return f"{self._kit.base_url}/{_PLACES[room.kind]}/{room.name or room.id}?msg={message.id}"

    async def _caused(self, message_id: MessageId) -> tuple[Caused, ...]:
        seq = await self._store.event_posting(message_id)
        if seq is None:
            return ()
        queued = [
            Caused(what=each, id=written_id(each.id), hook=await self._hook(each.integration_id))
            for each in await self._store.deliveries_of(seq)
        ]
        stopped = [
            Caused(what=each, id=None, hook=await self._hook(each.integration_id))
            for each in await self._store.stopped_of(seq)
        ]
        return (*queued, *stopped)

    async def _hook(self, hook_id: IntegrationId) -> Hook | None:
        hook = await self._kit.directory.hook(hook_id)
        return hook if isinstance(hook, OutgoingHook) and visible(self._held, self._user.id, hook) else None


def _shape(hook: IncomingHook, content_type: str | None, body: bytes | BodyFault) -> str | None:
    """Name the format a body has; None when it cannot be read."""
    auto = _FORMATTERS[Auto.name]
    if hook.format != auto.name or not isinstance(auto, Auto):
        return hook.format
    value = body if isinstance(body, BodyFault) else parse_body(content_type, body)
    if isinstance(value, BodyFault):
        return None
    return auto.chosen(unwrap_hook_payload(content_type, value)).name


def _shown(content_type: str | None, body: bytes | BodyFault, known: Sequence[str]) -> object:
    if isinstance(body, BodyFault):
        return f"(not shown: {body.text})"
    if len(body) > LONGEST_SHOWN:
        return f"({len(body):,} bytes; up to {LONGEST_SHOWN:,} are shown)"
    return masked_body(content_type, body, known)


def _room_name(room: Room) -> str:
    return f"#{room.name}" if room.name else "a direct room"


def _make(kit: Kit, caller: Caller) -> OriginDesk:
    return Origins(kit, caller)


DESK: Desk = Desk(ORIGINS, _make)
