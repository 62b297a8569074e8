"""Check and normalise the attachments of a message (rocketchat.md §5.3).

Nested `attachments` (quoted messages) obey the same rules, `MAX_NESTING` levels deep. Unknown keys pass
unchecked: what shows an attachment must only follow the links named here.
"""

from collections.abc import Iterator, Mapping, Sequence

from handlers.match import link_faults, type_faults, type_name, wrong_type

MAX_ATTACHMENTS = 100
MAX_NESTING = 4

_STRING = ("string",)
_NUMBER = ("number",)
_BOOLEAN = ("boolean",)

_ATTACHMENT: Mapping[str, tuple[str, ...]] = {
    "color": _STRING,
    "text": _STRING,
    "msg": _STRING,
    "ts": ("string", "number"),
    "author_name": _STRING,
    "title": _STRING,
    "title_link_download": _BOOLEAN,
    "collapsed": _BOOLEAN,
    "button_alignment": _STRING,
    "image_preview": _STRING,
    "image_type": _STRING,
    "image_size": _NUMBER,
    "image_dimensions": ("object",),
    "audio_type": _STRING,
    "audio_size": _NUMBER,
    "video_type": _STRING,
    "video_size": _NUMBER,
    "fields": ("array",),
    "actions": ("array",),
}
_ATTACHMENT_LINKS = (
    "author_link",
    "author_icon",
    "title_link",
    "thumb_url",
    "message_link",
    "image_url",
    "audio_url",
    "video_url",
)
_FIELD: Mapping[str, tuple[str, ...]] = {
    "title": _STRING,
    "value": ("string", "number", "boolean"),
    "short": _BOOLEAN,
}
_ACTION: Mapping[str, tuple[str, ...]] = {
    "type": _STRING,
    "text": _STRING,
    "is_webview": _BOOLEAN,
    "webview_height_ratio": _STRING,
    "msg": _STRING,
    "msg_in_chat_window": _BOOLEAN,
}
_ACTION_LINKS = ("url", "image_url")


def attachment_faults(attachments: Sequence[object], path: str = "attachments", depth: int = 1) -> Iterator[str]:
    """Yield what is wrong with a list of attachments; limits come first, so that a reader may stop there."""
    if len(attachments) > MAX_ATTACHMENTS:
        yield (
            f"Too many attachments: {len(attachments)} in {path}, at most {MAX_ATTACHMENTS} fit; "
            "send the rest in another message"
        )
    if attachments and depth > MAX_NESTING:
        yield f"Attachments are nested too deep: at most {MAX_NESTING} levels fit; flatten {path}"
    for index, attachment in enumerate(attachments):
        here = f"{path}[{index}]"
        yield from _object_faults(attachment, _ATTACHMENT, _ATTACHMENT_LINKS, here)
        if not isinstance(attachment, Mapping):
            continue
        for number, field in enumerate(_items(attachment, "fields")):
            if not _is_plain(field, _FIELD, ()):
                yield from _object_faults(field, _FIELD, (), f"{here}.fields[{number}]")
        for number, action in enumerate(_items(attachment, "actions")):
            if not _is_plain(action, _ACTION, _ACTION_LINKS):
                yield from _object_faults(action, _ACTION, _ACTION_LINKS, f"{here}.actions[{number}]")
        yield from attachment_faults(_items(attachment, "attachments"), f"{here}.attachments", depth + 1)


def normalise(attachment: Mapping[str, object]) -> dict[str, object]:
    """Return a checked attachment as it is stored: `msg` as `text`, field values as text."""
    kept = {key: value for key, value in attachment.items() if key not in ("msg", "attachments")}
    if (msg := attachment.get("msg")) and isinstance(msg, str):
        kept["text"] = msg.strip()
    if "fields" in attachment:
        kept["fields"] = [_field(field) for field in _objects(attachment, "fields")]
    if inner := _objects(attachment, "attachments"):
        kept["attachments"] = [normalise(one) for one in inner]
    return kept


def _object_faults(
    value: object, types: Mapping[str, tuple[str, ...]], links: Sequence[str], path: str
) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield wrong_type(value, "object", path)
        return
    for key, expected in types.items():
        yield from type_faults(value.get(key), expected, f"{path}.{key}")
    for key in links:
        yield from link_faults(value.get(key), f"{path}.{key}")


def _is_plain(value: object, types: Mapping[str, tuple[str, ...]], links: Sequence[str]) -> bool:
    """Tell at a glance that an object has no fault: a megabyte of them is looked at on the event loop."""
    if not isinstance(value, dict):
        return False
    for key, item in value.items():
        if item is None:
            continue
        if key in links or (key in types and type_name(item) not in types[key]):
            return False
    return True


def _items(holder: Mapping[str, object], key: str) -> Sequence[object]:
    value = holder.get(key)
    return value if isinstance(value, list) else ()


def _objects(holder: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    return [item for item in _items(holder, key) if isinstance(item, Mapping)]


def _field(field: Mapping[str, object]) -> dict[str, object]:
    value = field.get("value")
    return {**field, "value": _as_text(value)} if isinstance(value, bool | int | float) else dict(field)


def _as_text(value: bool | float) -> str:
    """Write a number or bool as the original's language does: `4.0` is `4`, true is `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value)
