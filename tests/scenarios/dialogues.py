"""The page of sample dialogues in the README: read into steps, and what its placeholders stand for."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.process import ROOT

HEADING: Final = "## Sample dialogues"
COLUMN: Final = 6
"""What is said begins here; before it stands who says it."""

PLACEHOLDERS: Final = {
    "ID": r"[0-9A-Za-z]{17,24}",
    "TOKEN": r"[0-9A-Za-z]{40,60}",
    "A1B2C3": r"[0-9A-Z]{6}",
    "A1B2C3D4": r"[0-9A-Z]{8}",
    "TIME": r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?",
    "MS": r"\d+(?:\.\d+)?",
}
"""Words of the page for what differs each time, and what the server writes there."""

_WORD = re.compile(rf"\b({'|'.join((*PLACEHOLDERS, 'LINK'))})\b")


@dataclass(frozen=True, slots=True)
class Said:
    """What is said to a line; by nobody named: to whoever typed it."""

    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One line somebody types, and all that is said to it."""

    who: str
    typed: str
    said: tuple[Said, ...]


def page() -> str:
    """Return the blocks of the page."""
    _, found, rest = (ROOT / "README.md").read_text("utf-8").partition(f"\n{HEADING}\n")
    assert found, f"README.md lacks {HEADING}"
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return "\n".join(re.findall(r"^```\n(.*?)^```", section, re.MULTILINE | re.DOTALL))


def steps(page: str, cast: Collection[str]) -> Iterator[Step]:
    """Read a page: a name of the cast begins a step, other names answer, what is indented goes on."""
    who, typed, said = "", "", list[Said]()
    for line in filter(str.strip, page.splitlines()):
        name, text = line[:COLUMN].strip(), line[COLUMN:]
        if name in cast:
            if who:
                yield Step(who, typed, tuple(said))
            who, typed, said = name, text, []
        elif said and not name:
            said[-1] = Said(said[-1].by, f"{said[-1].text}\n{text}")
        else:
            said.append(Said(name, text))
    yield Step(who, typed, tuple(said))


def differs(expected: str, said: str) -> str:
    """Say how an answer differs from the page; an empty text: not at all."""
    return "" if _pattern(expected).fullmatch(said) else f"the page has\n{expected}\nbut the server says\n{said}"


def meant(expected: str, said: str) -> dict[str, str]:
    """Return what the placeholders of a text stand for, the last of each name."""
    found = _pattern(expected).fullmatch(said)
    return dict(zip(_names(expected), found.groups(), strict=True)) if found else {}


def filled(line: str, values: Mapping[str, str]) -> str:
    """Return a line to type, with what its placeholders stand for."""
    return _WORD.sub(lambda found: values.get(found[0], found[0]), line)


def _names(text: str) -> list[str]:
    return [name for name in _WORD.findall(text) if name in PLACEHOLDERS]


def _pattern(text: str) -> re.Pattern[str]:
    parts = _WORD.split(text)
    shown = (f"({PLACEHOLDERS[part]})" if part in PLACEHOLDERS else re.escape(part) for part in parts)
    return re.compile("".join(shown))
