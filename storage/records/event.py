"""Accepted facts: what happened in the workspace, in one numbered stream."""

from enum import StrEnum
from typing import Any  # bodies are parsed JSON

from msgspec import Struct

from storage.clock import Millis
from storage.ids import EventSeq, OrgId, RoomId, UserId
from storage.plain_json import read


class EventKind(StrEnum):
    """Every kind of fact the stream carries."""

    __hash__ = str.__hash__  # every commit asks for it, and an enumeration's own is not written in C

    MESSAGE_POSTED = "message.posted"
    MESSAGE_EDITED = "message.edited"
    MESSAGE_DELETED = "message.deleted"
    MESSAGE_REACTED = "message.reacted"
    FILE_UPLOADED = "file.uploaded"
    ROOM_CREATED = "room.created"
    ROOM_ARCHIVED = "room.archived"
    ROOM_CHANGED = "room.changed"
    ROOM_JOINED = "room.joined"
    ROOM_LEFT = "room.left"
    USER_CREATED = "user.created"
    USER_CHANGED = "user.changed"
    DELIVERY_REPLAYED = "delivery.replayed"
    """A person runs an old event again; the body holds the event's kind and its facts as they are now."""
    INTEGRATION_CHANGED = "integration.changed"
    INTEGRATION_REMOVED = "integration.removed"


class NewEvent(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """A fact about to be stored."""

    kind: EventKind
    org_id: OrgId
    at: Millis
    room_id: RoomId | None = None
    user_id: UserId | None = None
    json: str
    """The body as JSON text, as it is stored and handed on: complete enough to build a payload from later."""

    @property
    def body(self) -> dict[str, Any]:
        """Read the body, anew each time."""
        body: dict[str, Any] = read(self.json)
        return body


class Event(NewEvent, frozen=True, kw_only=True, gc=False, array_like=True):
    """A stored fact with its place in the stream."""

    seq: EventSeq
