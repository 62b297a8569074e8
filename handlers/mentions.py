"""Find the people, rooms and addresses a text names (rocketchat.md §10: `mentions`, `channels`, `urls`)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

MAX_FOUND = 100
EVERYBODY = ("all", "here")
"""Names that mean everybody in a room: they call only where whoever says them may."""

# Every alternative ends at the first character it cannot take, so that a scan stays linear. An address may
# hold one level of round brackets; an unpaired one belongs to the Markdown around it.
_CANDIDATE = re.compile(
    r"""
      `[^`\n]+`
    | (?<![A-Za-z0-9]) (?P<url> (?ai:https?)://(?=[\w\[]) [^\s<>"`|()]+ (?: \([^\s<>"`|()]*\) [^\s<>"`|()]* )* )
    | (?<![\w@\#/.&+-]) (?P<mark>[@\#]) (?P<name>[A-Za-z0-9_.-]+)
    """,
    re.VERBOSE,
)
_AFTER_ADDRESS = ".,;:!?'*_~]}"


@dataclass(frozen=True)
class Mentions:
    """What a text names, each once, in order, at most `MAX_FOUND` of a kind.

    Names are not looked up: `users` may hold `all` and `here`, `rooms` may hold an issue number.
    """

    users: tuple[str, ...]
    rooms: tuple[str, ...]
    urls: tuple[str, ...]


NOTHING_NAMED = Mentions((), (), ())


def names_everybody(text: str) -> bool:
    """Tell whether a text may call everybody in its room; whether it does, `find_mentions` says."""
    return any(f"@{name}" in text for name in EVERYBODY)


def find_mentions(text: str) -> Mentions:
    """Return what a text names outside of its code."""
    if "@" not in text and "#" not in text and "://" not in text:
        return NOTHING_NAMED
    found: dict[str, dict[str, None]] = {"@": {}, "#": {}, "url": {}}
    for kind, name in _candidates(text):
        found[kind][name] = None
    users, rooms, urls = (tuple(islice(names, MAX_FOUND)) for names in found.values())
    return Mentions(users, rooms, urls)


def _candidates(text: str) -> Iterator[tuple[str, str]]:
    for prose in _outside_fences(text):
        for match in _CANDIDATE.finditer(prose):
            if match["url"]:
                yield "url", match["url"].rstrip(_AFTER_ADDRESS)
            elif match["mark"] and (name := match["name"].rstrip(".")):
                yield match["mark"], name


def _outside_fences(text: str) -> list[str]:
    """Return the pieces of a text between its code blocks; a fence that is never closed opens none."""
    pieces = text.split("```")
    is_closed = len(pieces) % 2 == 1
    return pieces[::2] if is_closed else [*pieces[:-1:2], pieces[-1]]
