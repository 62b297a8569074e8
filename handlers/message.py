"""Read what a sender's JSON body asks to be posted (rocketchat.md §5.2, §5.3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any  # attachments are plain JSON, checked before they are read

from msgspec import Struct

from handlers.attachments import attachment_faults, normalise
from handlers.match import INVALID_LINK, is_picture, type_faults, wrong_type
from handlers.names import shown_name

MESSAGE_TOO_LONG = "error-message-size-exceeded"

_STRING = ("string",)
_BOOLEAN = ("boolean",)

# What a body can say, the keys that say it in the order in which they win, and the types they may have.
_FIELDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "text": (("text", "msg"), _STRING),
    "destination": (("channel", "roomId"), ("string", "array")),
    "alias": (("username", "alias"), _STRING),
    "avatar": (("icon_url", "avatar"), _STRING),
    "emoji": (("icon_emoji", "emoji"), _STRING),
    "parse_urls": (("parseUrls",), _BOOLEAN),
    "groupable": (("groupable",), _BOOLEAN),
    "thread_id": (("tmid",), _STRING),
    "custom_fields": (("customFields",), ("object",)),
}
_DESTINATIONS = frozenset(_FIELDS["destination"][0])
_PLACES = {key: (field, rank) for field, (keys, _) in _FIELDS.items() for rank, key in enumerate(keys)}

Sent = Mapping[str, tuple[int, str, Any]]
"""What a body says by field: the key's rank, the key, its value."""


class Defaults(Struct, frozen=True, gc=False):
    """What an integration shows when the sender names nothing else."""

    alias: str | None = None
    avatar: str | None = None
    emoji: str | None = None


class Draft(Struct, frozen=True, gc=False):
    """A message as somebody wants it posted; rooms, rights and mentions are not looked at yet.

    `has_destination` without `destinations` means that an empty list was sent: nothing can be posted.
    """

    text: str
    destinations: tuple[str, ...]
    has_destination: bool
    alias: str | None
    avatar: str | None
    emoji: str | None
    attachments: tuple[Mapping[str, object], ...]
    parse_urls: bool
    groupable: bool
    thread_id: str | None
    custom_fields: Mapping[str, object] | None


@dataclass(frozen=True)
class DraftFault:
    """Why a body is no message: a hook answers `error` bare, REST puts brackets around a code."""

    error: str
    is_code: bool


def not_an_object(body: object) -> DraftFault:
    """Return the fault of a body that is no JSON object."""
    return DraftFault(wrong_type(body, "object"), is_code=False)


def names_destination(body: object) -> bool:
    """Tell whether a body names its destination, which a hook may forbid before reading on (§5.1 step 7)."""
    return isinstance(body, dict) and any(body.get(key) not in (None, "") for key in _DESTINATIONS & body.keys())


def read_draft(body: object, defaults: Defaults, *, max_chars: int) -> Draft | DraftFault:
    """Return the message a body in Rocket.Chat shape asks for, or the first thing wrong with it."""
    if not isinstance(body, dict):
        return not_an_object(body)
    sent = _sent(body)
    avatar, emoji = _picture(sent, defaults)
    attachments = body.get("attachments")
    attachments = attachments if isinstance(attachments, list) else []
    if fault := _fault(sent, avatar, attachments):
        return DraftFault(fault, is_code=False)
    draft = _draft(sent, defaults, avatar, emoji, attachments)
    if len(draft.text) > max_chars:
        return DraftFault(MESSAGE_TOO_LONG, is_code=True)
    return draft


def _sent(body: Mapping[str, object]) -> Sent:
    """Find what is said and by which key; null and an empty text count as not sent."""
    found: dict[str, tuple[int, str, Any]] = {}
    for key, value in body.items():
        if key not in _PLACES or value is None or value == "":
            continue
        field, rank = _PLACES[key]
        if field not in found or rank < found[field][0]:
            found[field] = (rank, key, value)
    return found


def _fault(sent: Sent, avatar: str | None, attachments: list[object]) -> str | None:
    """Return the first thing wrong; most bodies say a text and nothing else."""
    if avatar is None and not attachments:
        for field, (_, _, value) in sent.items():
            if type(value) is not str or "string" not in _FIELDS[field][1]:
                break
        else:
            return None
    return next(_faults(sent, avatar, attachments), None)


def _faults(sent: Sent, avatar: str | None, attachments: list[object]) -> Iterator[str]:
    for field, (_, expected) in _FIELDS.items():
        if field in sent:
            _, key, value = sent[field]
            yield from type_faults(value, expected, key)
    _, key, channel = sent.get("destination", (0, "channel", None))
    if isinstance(channel, list):
        for index, name in enumerate(channel):
            if not isinstance(name, str):
                yield wrong_type(name, "string", f"{key}[{index}]")
    if avatar is not None and not is_picture(avatar):
        yield INVALID_LINK
    if attachments:
        yield from attachment_faults(attachments)


def _draft(sent: Sent, defaults: Defaults, avatar: str | None, emoji: str | None, attachments: list[Any]) -> Draft:
    parse_urls, custom_fields = _value(sent, "parse_urls"), _value(sent, "custom_fields")
    return Draft(
        text=(_text(sent, "text") or "").strip(),
        destinations=_destinations(sent) if "destination" in sent else (),
        has_destination="destination" in sent,
        alias=_name(_text(sent, "alias") or defaults.alias),
        avatar=avatar,
        emoji=_name(emoji),
        attachments=tuple([normalise(one) for one in attachments]) if attachments else (),
        parse_urls=parse_urls if isinstance(parse_urls, bool) else not attachments,
        groupable=_value(sent, "groupable") is True,
        thread_id=_text(sent, "thread_id"),
        custom_fields=custom_fields if isinstance(custom_fields, dict) else None,
    )


def _name(text: str | None) -> str | None:
    return shown_name(text) or None if text else None


def _destinations(sent: Sent) -> tuple[str, ...]:
    channel: Any = _value(sent, "destination")
    return tuple(dict.fromkeys(channel if isinstance(channel, list) else [channel]))


def _picture(sent: Sent, defaults: Defaults) -> tuple[str | None, str | None]:
    """Return avatar and emoji, at most one of them: sent beats default, then picture beats emoji."""
    if avatar := _text(sent, "avatar"):
        return avatar, None
    if emoji := _text(sent, "emoji"):
        return None, emoji
    return (defaults.avatar, None) if defaults.avatar else (None, defaults.emoji or None)


def _value(sent: Sent, field: str) -> object:
    value: object = sent[field][2] if field in sent else None
    return value


def _text(sent: Sent, field: str) -> str | None:
    value = sent[field][2] if field in sent else None
    return value if isinstance(value, str) else None
