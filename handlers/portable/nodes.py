"""Read plain YAML into nodes that know their line: no tags, no aliases, bounded in size and depth (decision 67).

Only the parser's events are used; nothing of YAML's own typing is, so no document can make an object.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import yaml

MAX_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 4
"""The file, its list, one hook, one list in it."""
MAX_NODES: Final = 200_000

_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # Any: the C one is there only where libyaml was


@dataclass(frozen=True, slots=True)
class DocumentFault:
    """Why a text is no document at all, and where."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as it was written; its `repr` tells nothing of it."""

    line: int
    text: str
    plain: bool
    """Without quotes, so that `true` or `6` is no text."""

    def __repr__(self) -> str:
        return f"Scalar(line={self.line})"


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    items: "tuple[Node, ...]"


@dataclass(frozen=True, slots=True)
class Pairs:
    """Keys with values, in their order; no key stands twice."""

    line: int
    pairs: "tuple[tuple[Scalar, Node], ...]"


Node = Scalar | Items | Pairs


def read_nodes(text: str) -> Node | DocumentFault:
    """Return the one document of a text; never raises, and stops at the first thing that is not allowed."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return DocumentFault(1, "It holds characters that are no text.")
    if size > MAX_BYTES:
        return DocumentFault(1, f"It has {size:,} bytes; at most {MAX_BYTES:,} are taken.")
    try:
        return _tree(yaml.parse(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return DocumentFault(mark.line + 1 if mark else 1, "It cannot be read as YAML from here on.")
    except (yaml.YAMLError, ValueError, OverflowError):
        return DocumentFault(1, "It holds characters that YAML does not allow.")


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    line: int
    mapping: bool
    found: list[Node]


def _tree(events: Iterator[yaml.Event]) -> Node | DocumentFault:
    stack: list[_Open] = []
    whole: Node | None = None
    count = 0
    for event in events:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if fault := _forbidden(event, line, whole is not None):
            return fault
        node: Node | DocumentFault
        match event:
            case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                if len(stack) == MAX_DEPTH:
                    return DocumentFault(line, f"It is nested deeper than {MAX_DEPTH} levels.")
                stack.append(_Open(line, isinstance(event, yaml.MappingStartEvent), []))
                continue
            case yaml.ScalarEvent():
                node = Scalar(line, event.value, not event.style)
            case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                node = _closed(stack.pop())
            case _:
                continue
        if isinstance(node, DocumentFault):
            return node
        count += 1
        if count > MAX_NODES:
            return DocumentFault(line, f"It has more than {MAX_NODES:,} values.")
        if stack:
            stack[-1].found.append(node)
        else:
            whole = node
    return DocumentFault(1, "It is empty.") if whole is None else whole


def _forbidden(event: yaml.Event, line: int, after_whole: bool) -> DocumentFault | None:
    """Refuse what plain YAML does not need and what makes small files huge or strange."""
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
        return DocumentFault(line, "Anchors and aliases (& and *) are not taken; write the values out.")
    if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
        return DocumentFault(line, "Tags (!) are not taken; put quotes around a text that begins with one.")
    if isinstance(event, yaml.DocumentStartEvent) and (after_whole or event.tags):
        return DocumentFault(line, "One document without directives is taken, not several.")
    return None


def _closed(opened: _Open) -> Node | DocumentFault:
    if not opened.mapping:
        return Items(opened.line, tuple(opened.found))
    pairs: list[tuple[Scalar, Node]] = []
    seen: set[str] = set()
    for key, value in zip(opened.found[::2], opened.found[1::2], strict=True):
        if not isinstance(key, Scalar):
            return DocumentFault(key.line, "A key must be a word.")
        if key.text in seen:
            return DocumentFault(key.line, "A key stands twice in one block.")
        seen.add(key.text)
        pairs.append((key, value))
    return Pairs(opened.line, tuple(pairs))
