"""What the queue keeps of a fact, and the payload made from it for a call (`rocketchat.md` §7).

The queue keeps the event, not the request (decision 32): the builders `…_facts` make a stored event's body,
plain JSON that answers everything a payload asks for, and `build_data` reads it back for each attempt.
"""

from collections.abc import Mapping, Sequence
from typing import Any  # bodies come back from the store as parsed JSON

from handlers.outgoing.events import OutgoingEvent
from handlers.rocketchat.views import JsonObject, message_view, room_reference, undrawn_view, user_view
from storage.clock import Millis, iso
from storage.records.event import EventKind
from storage.records.message import Message
from storage.records.room import Room
from storage.records.user import User

MASK = "***"
"""What history shows in place of the token (decision 32)."""


def message_facts(
    message: Message,
    room: Room,
    *,
    participants: Sequence[User] = (),
    mentions: Sequence[Mapping[str, object]] = (),
    channels: Sequence[Mapping[str, object]] = (),
    urls: Sequence[Mapping[str, object]] = (),
) -> JsonObject:
    """Return the body of a message that was posted or edited: `{hops, message, room}`.

    `message` is the wire object but for its `md`, `room` only a reference; `participants` are those of a direct room.
    """
    return {
        "hops": message.hops,
        "message": undrawn_view(message, mentions=mentions, channels=channels, urls=urls),
        "room": room_reference(room, participants),
    }


def file_facts(
    message: Message,
    room: JsonObject,
    user: User,
    *,
    mentions: Sequence[Mapping[str, object]] = (),
    channels: Sequence[Mapping[str, object]] = (),
    urls: Sequence[Mapping[str, object]] = (),
) -> JsonObject:
    """Return the body of an uploaded file: `{hops, message, room, user}`; `room` is its `room_view`."""
    return {
        "hops": message.hops,
        "message": message_view(message, mentions=mentions, channels=channels, urls=urls),
        "room": room,
        "user": _person(user),
    }


def room_facts(room: JsonObject, user: User, *, at: Millis) -> JsonObject:
    """Return the body of what happened to a room: `{timestamp, room, user}`; `room` is its `room_view`.

    `user` is who joined, left or archived; for a created room its owner, and `at` is when it was made.
    """
    return {"timestamp": iso(at), "room": room, "user": _person(user)}


def user_facts(user: User) -> JsonObject:
    """Return the body of a created user: `{timestamp, user}`."""
    return {"timestamp": iso(user.created_at), "user": _person(user)}


def _person(user: User) -> JsonObject:
    """Show a user to a receiver: their role is nobody's business there."""
    return {**user_view(user), "createdAt": iso(user.created_at)}


def hops_of(body: Mapping[str, Any]) -> int:
    """Return how many hooks led to a fact; what people do, and all but messages, counts 0 (decision 46)."""
    return int(body.get("hops", 0))


def text_of(body: Mapping[str, Any]) -> str:
    """Return the text trigger words are looked for in; empty when the fact is no message."""
    return str(body["message"]["msg"]) if "message" in body else ""


def build_data(
    kind: EventKind, body: Mapping[str, Any], *, trigger_word: str | None, site_url: str, token: str | None
) -> JsonObject:
    """Build a call's payload, in the key order of the contract's sample.

    The token is the caller's to put in: the hook's own when sending, `MASK` for history, None when the hook
    has none. Raises `ValueError` for a kind of fact no webhook hears of.
    """
    data: JsonObject = {"token": token} if token is not None else {}
    data["bot"] = False
    if trigger_word is not None:
        data["trigger_word"] = trigger_word
    match OutgoingEvent.of(kind):
        case OutgoingEvent.SEND_MESSAGE:
            site = site_url.rstrip("/") + "/"
            return data | _message(body) | {"siteUrl": site} | _author_marks(body) | _message_marks(body)
        case OutgoingEvent.FILE_UPLOADED:
            objects = {"user": body["user"], "room": body["room"], "message": body["message"]}
            return data | _message(body) | objects | _author_marks(body)
        case OutgoingEvent.ROOM_CREATED:
            objects = {"owner": body["user"], "room": body["room"]}
            return data | _room(body) | {"timestamp": body["timestamp"]} | _user(body) | objects
        case OutgoingEvent.ROOM_ARCHIVED | OutgoingEvent.ROOM_JOINED | OutgoingEvent.ROOM_LEFT:
            objects = {"user": body["user"], "room": body["room"]}
            return data | _bot(body) | {"timestamp": body["timestamp"]} | _room(body) | _user(body) | objects
        case OutgoingEvent.USER_CREATED:
            objects = {"user": body["user"]}
            return data | _bot(body) | {"timestamp": body["timestamp"]} | _user(body) | objects
        case None:
            raise ValueError(f"no outgoing webhook hears of {kind}")


def _message(body: Mapping[str, Any]) -> JsonObject:
    message = body["message"]
    return {
        **_room(body),
        "message_id": message["_id"],
        "timestamp": message["ts"],
        "user_id": message["u"]["_id"],
        "user_name": message["u"]["username"],
        "text": message["msg"],
    }


def _author_marks(body: Mapping[str, Any]) -> JsonObject:
    marks: JsonObject = {}
    if "alias" in body["message"]:
        marks["alias"] = body["message"]["alias"]
    if "bot" in body["message"]:
        marks["bot"] = True  # not the object itself: 7.7 and later (decision 19)
    return marks


def _message_marks(body: Mapping[str, Any]) -> JsonObject:
    marks: JsonObject = {}
    if "editedAt" in body["message"]:
        marks["isEdited"] = True
    if "tmid" in body["message"]:
        marks["tmid"] = body["message"]["tmid"]
    return marks


def _room(body: Mapping[str, Any]) -> JsonObject:
    room = body["room"]
    named = {"channel_name": room["name"]} if "name" in room else {}  # direct rooms have no name
    return {"channel_id": room["_id"], **named}


def _user(body: Mapping[str, Any]) -> JsonObject:
    return {"user_id": body["user"]["_id"], "user_name": body["user"]["username"]}


def _bot(body: Mapping[str, Any]) -> JsonObject:
    return {"bot": True} if body["user"]["type"] == "bot" else {}
