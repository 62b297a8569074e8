"""Undo how a chat writes text before a line is read: escapes, links, mentions (chat-dialects.md §1.1, §5)."""

import re
from collections.abc import Mapping

from handlers.command import Dialect

_ANGLE = re.compile(r"<([^<>|\s]{1,2000})(?:\|([^<>]{0,2000}))?>")
_ESCAPES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_USER = re.compile(r"<@([A-Za-z0-9._-]{1,64})(?:\|[^<>]{0,200})?>")
_LINK = re.compile(r"(?i)[a-z][a-z0-9+.-]{1,20}:")
_ROOM_OR_QUOTED = re.compile(
    r"""(?<![^\s=])(?:```.*?(?:```|\Z)|`[^`]*`?|"(?:[^"\\]|\\.)*+"?|'[^']*'?|[“”„«»][^“”„«»]*[“”„«»]?|[‘’][^‘’]*[‘’]?)"""
    r"|(?<![^\s=,])~(?=\w)",
    re.DOTALL,
)
"""A quoted text, also one that stays open, or the sign of a room at the start of a word; no character is read twice."""


def mentioned(text: str, dialect: Dialect) -> tuple[str, ...]:
    """Return the user ids a line mentions, so that the door can say who they are here."""
    return tuple(dict.fromkeys(_USER.findall(text))) if dialect is Dialect.SLACK else ()


def decoded(text: str, dialect: Dialect, mentions: Mapping[str, str]) -> str:
    """Return a line as its writer meant it.

    Only Slack escapes: elsewhere `&amp;` and `<…>` are what somebody typed. A user who is not linked stays `<@U1>`,
    which names nobody: the name beside the id is the other chat's, and may be somebody else's here. Mattermost writes
    rooms as `~ops`; inside quotes a text is a text.
    """
    if dialect is Dialect.MATTERMOST:
        return _ROOM_OR_QUOTED.sub(lambda found: "#" if found[0] == "~" else found[0], text)
    if dialect is not Dialect.SLACK:
        return text
    text = _ANGLE.sub(lambda found: _plain(found, mentions), text)
    for escaped, plain in _ESCAPES:  # the ampersand last: `&amp;lt;` is `&lt;`
        text = text.replace(escaped, plain)
    return text


def _plain(found: re.Match[str], mentions: Mapping[str, str]) -> str:
    inner, label = found[1], found[2]
    sign, rest = inner[0], inner[1:]
    if sign == "@":
        return f"@{mentions[rest]}" if rest in mentions else f"<@{rest}>"
    if sign == "#":
        return f"#{label or rest}"
    if sign == "!":
        return f"@{label.lstrip('@') if label else rest}"
    if inner.lower().startswith("mailto:"):
        return inner[len("mailto:") :]
    return inner if _LINK.match(inner) else found[0]
