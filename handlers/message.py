"""Read what a sender's JSON body asks to be posted (rocketchat.md §5.2, §5.3)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from handlers.attachments import attachment_faults, normalise
from handlers.match import INVALID_LINK, is_picture, type_faults, wrong_type

MESSAGE_TOO_LONG = "error-message-size-exceeded"

_STRING = ("string",)
_BOOLEAN = ("boolean",)

# The keys that mean one thing, in the order in which they win.
_TEXT = ("text", "msg")
_ALIAS = ("username", "alias")
_AVATAR = ("icon_url", "avatar")
_EMOJI = ("icon_emoji", "emoji")
_DESTINATION = ("channel", "roomId")

_TYPES: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (_TEXT, _STRING),
    (_DESTINATION, ("string", "array")),
    (_ALIAS, _STRING),
    (_AVATAR, _STRING),
    (_EMOJI, _STRING),
    (("parseUrls",), _BOOLEAN),
    (("groupable",), _BOOLEAN),
    (("tmid",), _STRING),
    (("customFields",), ("object",)),
)


@dataclass(frozen=True)
class Defaults:
    """What an integration shows when the sender names nothing else."""

    alias: str | None = None
    avatar: str | None = None
    emoji: str | None = None


@dataclass(frozen=True)
class Draft:
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
    return isinstance(body, Mapping) and _sent(body, _DESTINATION)[1] is not None


def read_draft(body: object, defaults: Defaults, *, max_chars: int) -> Draft | DraftFault:
    """Return the message a body in Rocket.Chat shape asks for, or the first thing wrong with it."""
    if not isinstance(body, Mapping):
        return not_an_object(body)
    if fault := next(_faults(body, defaults), None):
        return DraftFault(fault, is_code=False)
    draft = _draft(body, defaults)
    if len(draft.text) > max_chars:
        return DraftFault(MESSAGE_TOO_LONG, is_code=True)
    return draft


def _faults(body: Mapping[str, object], defaults: Defaults) -> Iterator[str]:
    for keys, expected in _TYPES:
        key, value = _sent(body, keys)
        yield from type_faults(value, expected, key)
    key, channel = _sent(body, _DESTINATION)
    if isinstance(channel, list):
        for index, name in enumerate(channel):
            if not isinstance(name, str):
                yield wrong_type(name, "string", f"{key}[{index}]")
    avatar, _ = _picture(body, defaults)
    if avatar is not None and not is_picture(avatar):
        yield INVALID_LINK
    if isinstance(attachments := body.get("attachments"), list):
        yield from attachment_faults(attachments)


def _draft(body: Mapping[str, object], defaults: Defaults) -> Draft:
    sent = body.get("attachments")
    attachments = tuple(normalise(one) for one in sent) if isinstance(sent, list) else ()
    avatar, emoji = _picture(body, defaults)
    parse_urls, custom_fields = body.get("parseUrls"), body.get("customFields")
    return Draft(
        text=(_text(body, _TEXT) or "").strip(),
        destinations=_destinations(body),
        has_destination=names_destination(body),
        alias=_text(body, _ALIAS) or defaults.alias or None,
        avatar=avatar,
        emoji=emoji,
        attachments=attachments,
        parse_urls=parse_urls if isinstance(parse_urls, bool) else not attachments,
        groupable=body.get("groupable") is True,
        thread_id=_text(body, ("tmid",)),
        custom_fields=custom_fields if isinstance(custom_fields, Mapping) else None,
    )


def _destinations(body: Mapping[str, object]) -> tuple[str, ...]:
    _, channel = _sent(body, _DESTINATION)
    names = channel if isinstance(channel, list) else [] if channel is None else [channel]
    return tuple(dict.fromkeys(names))


def _picture(body: Mapping[str, object], defaults: Defaults) -> tuple[str | None, str | None]:
    """Return avatar and emoji, at most one of them: sent beats default, then picture beats emoji."""
    for avatar, emoji in (
        (_text(body, _AVATAR), _text(body, _EMOJI)),
        (defaults.avatar, defaults.emoji),
    ):
        if avatar:
            return avatar, None
        if emoji:
            return None, emoji
    return None, None


def _sent(body: Mapping[str, object], keys: tuple[str, ...]) -> tuple[str, object]:
    """Return the first key that holds something and its value; null and an empty text count as not sent."""
    for key in keys:
        value = body.get(key)
        if value is not None and value != "":
            return key, value
    return keys[0], None


def _text(body: Mapping[str, object], keys: tuple[str, ...]) -> str | None:
    _, value = _sent(body, keys)
    return value if isinstance(value, str) else None
