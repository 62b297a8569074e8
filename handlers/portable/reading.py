"""Read the file of an import into entries, one for each hook, with everything that is wrong in it by line."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite

from handlers.line import one_line
from handlers.nearest import nearest
from handlers.portable.columns import COLUMNS, FORMAT, LISTS, Column, Kind
from handlers.portable.nodes import DocumentFault, Items, Node, Pairs, Scalar, read_nodes
from handlers.portable.values import Value, time_of
from storage.records.integration import Direction

_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,3})?")
_ID = re.compile(r"[0-9a-f]{24}|[0-9A-Za-z]{17}")
_MOST_CHANGES = 1_000_000_000
_WORDS = {way: word for word, way in LISTS.items()}
_TAKEN = {
    Kind.TEXT: str,
    Kind.SWITCH: bool,
    Kind.NUMBER: (int, float),
    Kind.TIME: str,
    Kind.TEXTS: tuple,
    Kind.ADDRESSES: tuple,
    Kind.KEYS: tuple,
}


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in the file that cannot be done, and in which line it stands; no value is in the text."""

    line: int
    text: str
    stale: bool = False
    """The hook changed since the file was written; asked to, an import overwrites that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One hook as the file wants it; keys it does not mention are not in it."""

    way: Direction
    line: int
    values: Mapping[str, Value] = field(repr=False)
    lines: Mapping[str, int]
    """Where each key stands."""

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        return value if isinstance(value, str) else None

    def at(self, key: str) -> int:
        """Return the line of a key, or of the hook where the key is missing."""
        return self.lines.get(key, self.line)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a file wants, as far as it can be read."""

    entries: tuple[Entry, ...]
    refused: tuple[Refused, ...]


def read_document(text: str) -> Document | DocumentFault:
    """Read a file; what is wrong inside a hook is gathered, what is wrong with the file ends it. Never raises."""
    node = read_nodes(text)
    if isinstance(node, DocumentFault):
        return node
    if not isinstance(node, Pairs):
        return DocumentFault(node.line, "It must begin with `patchbay: 1` and the lists incoming and outgoing.")
    entries: list[Entry] = []
    refused: list[Refused] = []
    marked = False
    for key, value in node.pairs:
        if key.text == "patchbay":
            if not isinstance(value, Scalar) or value.text != str(FORMAT):
                return DocumentFault(value.line, f"This server reads files of `patchbay: {FORMAT}`.")
            marked = True
        elif key.text not in LISTS:
            refused.append(_unknown(key, ("patchbay", *LISTS), "the file"))
        elif isinstance(value, Items):
            for item in value.items:
                found = _entry(item, LISTS[key.text])
                if isinstance(found, Entry):
                    entries.append(found)
                else:
                    refused += found
        elif not (isinstance(value, Scalar) and value.plain and value.text in ("", "null", "~")):
            refused.append(Refused(value.line, f"{key.text} takes a list of hooks."))
    if not marked:
        return DocumentFault(node.line, f"It does not say `patchbay: {FORMAT}`, so it is no export of this server.")
    return Document(entries=tuple(entries), refused=tuple(refused))


def _entry(node: Node, way: Direction) -> Entry | list[Refused]:
    if not isinstance(node, Pairs):
        return [Refused(node.line, "A hook is a block of keys and values.")]
    columns = {column.key: column for column in COLUMNS[way]}
    values: dict[str, Value] = {}
    refused = []
    for key, given in node.pairs:
        column = columns.get(key.text)
        if column is None:
            refused.append(_unknown(key, columns, f"an {_WORDS[way]} hook"))
            continue
        value = _value(given)
        if isinstance(value, Refused) or not _fits(column, value):
            refused.append(Refused(given.line, f"{key.text} takes {column.takes}."))
        else:
            values[key.text] = value
    lines = {key.text: key.line for key, _ in node.pairs}
    return refused or Entry(way=way, line=node.line, values=values, lines=lines)


def _unknown(key: Scalar, known: Iterable[str], what: str) -> Refused:
    words = tuple(known)
    near = nearest(key.text, words)
    meant = f" Did you mean {', '.join(near)}?" if near else f" Known: {', '.join(words)}."
    return Refused(key.line, f'"{one_line(key.text)}" is no key of {what}.{meant}')


def _value(node: Node) -> Value | Refused:
    if isinstance(node, Scalar):
        return _scalar(node)
    if isinstance(node, Pairs):
        return Refused(node.line, "")
    found = [_scalar(item) if isinstance(item, Scalar) else None for item in node.items]
    texts = tuple(text for text in found if isinstance(text, str))
    return texts if len(texts) == len(found) else Refused(node.line, "")


def _scalar(node: Scalar) -> str | bool | int | float | None:
    """Say what a value is: without quotes the words of YAML 1.2's core, and nothing of the older `yes` and `012`."""
    if not node.plain:
        return node.text
    match node.text:
        case "" | "~" | "null":
            return None
        case "true" | "false":
            return node.text == "true"
    if _NUMBER.fullmatch(node.text):
        number = float(node.text)
        return number if "." in node.text or "e" in node.text.lower() else int(node.text)
    return node.text


def _fits(column: Column, value: Value) -> bool:
    if value is None:
        return column.nullable
    if isinstance(value, bool) is not (column.kind is Kind.SWITCH):
        return False
    if not isinstance(value, _TAKEN[column.kind]):  # type: ignore[arg-type] # a table of types is one to mypy only by name
        return False
    if column.kind is Kind.TIME and isinstance(value, str):
        return time_of(value) is not None
    if isinstance(value, float) and not isfinite(value):
        return False
    if column.key == "version":
        return isinstance(value, int) and 1 <= value <= _MOST_CHANGES
    if column.key == "id" and isinstance(value, str):
        return _ID.fullmatch(value) is not None
    return True
