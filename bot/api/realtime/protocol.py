"""DDP frames: what clients send, read into values, and what they are answered, as JSON text (`rocketchat.md` §11.2)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bot.workspace.credentials import LOGIN_FAILED, LoginFailure
from handlers.bodies import BodyFault, parse_json
from handlers.errors import Fault
from storage.clock import Millis, parse_iso

VERSION = "1"
"""The only version of DDP spoken here."""

MOST_NAME = 200
"""Characters of an id or name; connections and lookups remember them, so hostile ones must stay short."""

_DATES = ("ts", "_updatedAt", "editedAt", "lm")
_REST_TO_SOCKET = {LOGIN_FAILED: LoginFailure(403, LOGIN_FAILED.message)}
"""Failures that bear a number on the socket, which clients of Meteor compare."""


@dataclass(frozen=True, slots=True)
class Connect:
    """The first frame of every client."""

    version: object


@dataclass(frozen=True, slots=True)
class Method:
    """A call; its result bears the same id."""

    id: str
    name: str
    params: Sequence[object] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sub:
    """A wish to hear events of a stream."""

    id: str
    name: str
    params: Sequence[object]


@dataclass(frozen=True, slots=True)
class Unsub:
    """The end of a subscription."""

    id: str


@dataclass(frozen=True, slots=True)
class Ping:
    """A question whether we live; its id, if any, comes back."""

    id: str | None


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to our ping."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A frame that is none of these, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Encoded:
    """A result that is JSON already: large ones are encoded piece by piece."""

    json: bytes


Frame = Connect | Method | Sub | Unsub | Ping | Pong | Unreadable


def read_frame(text: str) -> Frame:
    """Read one frame; whatever is wrong with it comes back as `Unreadable`."""
    frame = parse_json(text, what="The frame")
    if isinstance(frame, BodyFault):
        return Unreadable(f"Bad request: {frame.text}")
    if not isinstance(frame, Mapping):
        return Unreadable("Bad request: a frame is a JSON object.")
    frame_id, params = frame.get("id"), frame.get("params")
    named = frame_id if isinstance(frame_id, str) and len(frame_id) <= MOST_NAME else ""
    match frame.get("msg"):
        case "connect":
            return Connect(frame.get("version"))
        case "ping":
            return Ping(named or None)
        case "pong":
            return Pong()
        case "unsub" if named:
            return Unsub(named)
        case "method" | "sub" as kind if named and (params is None or isinstance(params, list)):
            name = frame.get("method" if kind == "method" else "name")
            if isinstance(name, str):
                return (Method if kind == "method" else Sub)(named, name, params or [])
    return Unreadable('Bad request: "msg" is unknown, or "id", "method", "name" or "params" is missing or malformed.')


def connected(session_id: str) -> str:
    """Accept a connection."""
    return _text(msg="connected", session=session_id)


def wrong_version() -> str:
    """Refuse a version of DDP we do not speak, and name ours."""
    return _text(msg="failed", version=VERSION)


def result(method_id: str, value: object) -> str:
    """Answer a call; a method that returns nothing answers without `result`, as Meteor does."""
    if isinstance(value, Encoded):
        return f'{_text(msg="result", id=method_id)[:-1]},"result":{value.json.decode()}}}'
    return _text(msg="result", id=method_id, **({} if value is None else {"result": value}))


def refused(method_id: str, fault: Fault | LoginFailure) -> str:
    """Refuse a call."""
    return _text(msg="result", id=method_id, error=_meteor_error(fault))


def ready(sub_id: str) -> str:
    """Accept a subscription."""
    return _text(msg="ready", subs=[sub_id])


def nosub(sub_id: str, fault: Fault | LoginFailure | None = None) -> str:
    """Refuse a subscription, or confirm its end."""
    return _text(msg="nosub", id=sub_id, **({"error": _meteor_error(fault)} if fault else {}))


def changed(collection: str, event: str, args: Sequence[object]) -> str:
    """Announce an event of a stream."""
    return _text(msg="changed", collection=collection, id="id", fields={"eventName": event, "args": args})


def error(reason: str) -> str:
    """Complain about a frame that is no call and no subscription."""
    return _text(msg="error", reason=reason)


def ping() -> str:
    """Ask whether the client lives."""
    return _text(msg="ping")


def pong(ping_id: str | None) -> str:
    """Answer a ping, with its id if it had one."""
    return _text(msg="pong", **({"id": ping_id} if ping_id else {}))


def date(moment: int) -> dict[str, int]:
    """Write a moment as Meteor's EJSON does."""
    return {"$date": moment}


def read_date(value: object) -> Millis | None:
    """Read a moment of EJSON; None when it is not one."""
    moment = value.get("$date") if isinstance(value, Mapping) else None
    return Millis(int(moment)) if isinstance(moment, int | float) and abs(moment) < 1e15 else None


def with_dates(view: Mapping[str, object]) -> dict[str, object]:
    """Return a message or room of REST as the socket shows it: its own times are EJSON dates."""
    shown = dict(view)
    for key in _DATES:
        moment = parse_iso(value) if isinstance(value := view.get(key), str) else None
        if moment is not None:
            shown[key] = date(moment)
    return shown


def _meteor_error(fault: Fault | LoginFailure) -> dict[str, object]:
    if isinstance(fault, LoginFailure):
        told = _REST_TO_SOCKET.get(fault, fault)
        code, reason, details = told.error, told.message, None
    else:
        code, reason, details = fault.code or fault.status, fault.reason or "", fault.details
    return {
        "isClientSafe": True,
        "error": code,
        **({"reason": reason} if reason else {}),
        **({"details": details} if details is not None else {}),
        "message": f"{reason} [{code}]".lstrip(),
        "errorType": "Meteor.Error",
    }


def _text(**frame: object) -> str:
    return json.dumps(frame, separators=(",", ":"))
