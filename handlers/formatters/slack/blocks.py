"""Flatten Slack's blocks to the text of a message (chat-dialects.md §1.7)."""

from collections.abc import Callable, Mapping

from handlers.formatters.slack.mrkdwn import from_mrkdwn, link, unescape
from handlers.formatters.slack.rich_text import any_text, elements, rich_text


def flatten(blocks: object) -> str:
    """Return the blocks as text, one below the other; what is unknown gives any text inside."""
    if not isinstance(blocks, list):
        return ""
    return "\n".join(filter(None, (_block(block) for block in blocks if isinstance(block, Mapping))))


def _block(block: Mapping[str, object]) -> str:
    kind = block.get("type")
    reader = _BLOCKS.get(kind) if isinstance(kind, str) else None
    return reader(block) if reader else from_mrkdwn(any_text(block))


def _header(block: Mapping[str, object]) -> str:
    text = _words(block.get("text"))
    return f"*{text}*" if text else ""


def _section(block: Mapping[str, object]) -> str:
    fields = block.get("fields")
    parts = [_words(block.get("text"))]
    parts += [_words(field) for field in fields] if isinstance(fields, list) else []
    parts.append(_element(block.get("accessory")))
    return "\n".join(filter(None, parts))


def _context(block: Mapping[str, object]) -> str:
    return " ".join(filter(None, map(_element, elements(block))))


def _actions(block: Mapping[str, object]) -> str:
    return " · ".join(filter(None, map(_element, elements(block))))


def _image(block: Mapping[str, object]) -> str:
    alt = block.get("alt_text")
    label = _words(block.get("title")) or (unescape(alt) if isinstance(alt, str) else "")
    return link(block.get("image_url"), label)


def _markdown(block: Mapping[str, object]) -> str:
    text = block.get("text")
    return text if isinstance(text, str) else ""


def _element(element: object) -> str:
    """Return an element of a context, of actions, or beside a section: text, image, button or menu."""
    if not isinstance(element, Mapping):
        return ""
    match element.get("type"):
        case "image":
            return _image(element)
        case "mrkdwn" | "plain_text":
            return _words(element)
        case _:
            return link(element.get("url"), _words(element.get("text") or element.get("placeholder")))


def _words(value: object) -> str:
    """Return a text object's text; some senders put the bare string in its place."""
    if isinstance(value, str):
        return from_mrkdwn(value).strip()
    if not isinstance(value, Mapping) or not isinstance(text := value.get("text"), str):
        return ""
    return (unescape(text) if value.get("type") == "plain_text" else from_mrkdwn(text)).strip()


_BLOCKS: Mapping[str, Callable[[Mapping[str, object]], str]] = {
    "header": _header,
    "section": _section,
    "context": _context,
    "divider": lambda _: "---",
    "image": _image,
    "actions": _actions,
    "markdown": _markdown,
    "rich_text": rich_text,
}
