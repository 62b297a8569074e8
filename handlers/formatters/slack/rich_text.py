"""Flatten a Slack `rich_text` block (chat-dialects.md §1.7); its texts are plain, without escapes."""

from collections.abc import Callable, Iterable, Mapping

from handlers.formatters.slack.mrkdwn import broadcast, link

_MARKS = (("code", "`"), ("strike", "~"), ("italic", "_"), ("bold", "*"))


def rich_text(block: Mapping[str, object]) -> str:
    """Return the lines of a rich text block."""
    return "\n".join(filter(None, (_part(part) for part in elements(block))))


def elements(holder: Mapping[str, object]) -> list[Mapping[str, object]]:
    """Return the well-formed elements of a block."""
    found = holder.get("elements")
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def any_text(value: object) -> str:
    """Return every text inside something unknown, in order."""
    return "\n".join(_texts(value))


def _texts(value: object) -> Iterable[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key == "text" and isinstance(inner, str):
                yield inner
            else:
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _part(part: Mapping[str, object]) -> str:
    match part.get("type"):
        case "rich_text_section":
            return _inline(part)
        case "rich_text_preformatted":
            return f"```\n{_inline(part)}\n```"
        case "rich_text_quote":
            return "\n".join(f"> {line}" for line in _inline(part).split("\n"))
        case "rich_text_list":
            return _list(part)
        case _:
            return any_text(part)


def _list(part: Mapping[str, object]) -> str:
    indent = part.get("indent")
    # Slack offers nine levels; a hostile number must not become megabytes of blanks
    margin = "  " * min(indent, 8) if isinstance(indent, int) else ""
    ordered = part.get("style") == "ordered"
    return "\n".join(
        f"{margin}{f'{number}.' if ordered else '-'} {_part(item)}"
        for number, item in enumerate(elements(part), start=1)
    )


def _inline(part: Mapping[str, object]) -> str:
    return "".join(_styled(piece) for piece in elements(part))


def _styled(piece: Mapping[str, object]) -> str:
    kind = piece.get("type")
    reader = _PIECES.get(kind) if isinstance(kind, str) else None
    text = reader(piece) if reader else any_text(piece)
    style = piece.get("style")
    core = text.strip()
    if not isinstance(style, Mapping) or not core:
        return text
    marks = [mark for name, mark in _MARKS if style.get(name) is True]
    # marks only work right at the words: blanks stay outside
    return text.replace(core, "".join([*reversed(marks), core, *marks]), 1)


def _string(piece: Mapping[str, object], key: str) -> str:
    value = piece.get(key)
    return value if isinstance(value, str) else ""


_PIECES: Mapping[str, Callable[[Mapping[str, object]], str]] = {
    "text": lambda piece: _string(piece, "text"),
    "link": lambda piece: link(piece.get("url"), _string(piece, "text") or _string(piece, "url")),
    "user": lambda piece: f"@{_string(piece, 'user_id')}",
    "usergroup": lambda piece: f"@{_string(piece, 'usergroup_id')}",
    "channel": lambda piece: f"#{_string(piece, 'channel_id')}",
    "broadcast": lambda piece: broadcast(_string(piece, "range")) or "",
    "emoji": lambda piece: f":{_string(piece, 'name')}:",
    "date": lambda piece: _string(piece, "fallback"),
    "color": lambda piece: _string(piece, "value"),
}
