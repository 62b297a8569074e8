"""What senders and people may call things that are shown beside a text: aliases, emoji, reactions."""

import unicodedata

LONGEST = 254
"""Characters of a name that is shown."""
LONGEST_EMOJI = 100
_JOINERS = "\u200c\u200d"
"""Invisible, but parts of many emoji and of words in some scripts; they neither break lines nor turn directions."""


def shown_name(text: str) -> str:
    """Return a name without what would forge lines or turn the direction of reading; may be empty.

    A sender is not refused for it: what is left names it still.
    """
    if text.isprintable():  # nearly always
        return text[:LONGEST]
    return "".join(map(_shown, text)).strip()[:LONGEST]


def emoji_name(text: str) -> str | None:
    """Return the name of an emoji without its colons; None for what names none."""
    name = text.strip(": ")
    if not name or len(name) > LONGEST_EMOJI or ":" in name or " " in name or shown_name(name) != name:
        return None
    return name


def _shown(char: str) -> str:
    category = unicodedata.category(char)
    if category == "Zs":
        return " "
    # C: control, format (marks of direction among it), surrogate, private, unassigned; Zl, Zp: ends of lines
    return char if char in _JOINERS or category[0] not in "CZ" else ""
