"""Compile the part of Mongo's filter language that a `query` may use (rocketchat.md 1.4, decision 53).

Plain equality, `$and`, `$or` and `$regex` (with `$options` `i`), on listed fields only. What is not
understood is refused: a condition that was silently dropped would answer with too much.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import re2

MAX_LEVELS = 4
MAX_CONDITIONS = 20
MAX_REGEX = 256
"""Characters of every `$regex` of one filter together: each of them is compiled before anything is answered."""
MAX_REGEX_CLASSES = 8
"""Unicode classes (`\\pL`, `\\P{Greek}`) of one filter: each takes a tenth of a millisecond to read."""
MAX_REGEX_MEMORY = 1 << 18
"""Bytes one compiled `$regex` may take. The engine stops there, so a counted repeat of a large class is refused within
a millisecond instead of being built (100 ms) and judged afterwards."""
MAX_REGEX_PROGRAM = 2_000
"""Instructions a compiled `$regex` may have: counted repeats make short patterns slow, if still linear."""

Matcher = Callable[[Mapping[str, object]], bool]
Condition = Callable[[object], bool]


def compile_filter(document: object, visible: Collection[str]) -> Matcher | None:
    """Return the predicate a filter document stands for, or None when it is not allowed.

    `visible` lists the exact paths that may be asked for, dotted ones included (`_createdBy.username`).
    """
    try:
        return _Compiler(visible).document(document, MAX_LEVELS)
    except _RefusedError:
        return None


def values_at(item: object, path: str) -> list[object]:
    """Return what stands at a dotted path: nothing, one value, or several when the path crosses lists."""
    found = [item]
    for key in path.split("."):
        found = [value[key] for value in spread(found) if isinstance(value, Mapping) and key in value]
    return found


def spread(values: Iterable[object]) -> Iterator[object]:
    """Yield the values, each list replaced by its elements."""
    for value in values:
        if isinstance(value, list):
            yield from value
        else:
            yield value


class _RefusedError(Exception):
    """the filter is not allowed"""


class _Compiler:
    """Compile one filter and count its conditions on the way, so that an oversized one stops early."""

    def __init__(self, visible: Collection[str]) -> None:
        self._visible = visible
        self._left = MAX_CONDITIONS
        self._characters, self._classes = MAX_REGEX, MAX_REGEX_CLASSES

    def document(self, document: object, levels: int) -> Matcher:
        if not isinstance(document, Mapping) or levels == 0:
            raise _RefusedError
        return _all_of([self._clause(key, value, levels) for key, value in document.items()])

    def _clause(self, key: str, value: object, levels: int) -> Matcher:
        if key in ("$and", "$or"):
            if not isinstance(value, list) or not value:
                raise _RefusedError
            parts = [self._member(part, levels - 1) for part in value]
            return _all_of(parts) if key == "$and" else _any_of(parts)
        if key not in self._visible:
            raise _RefusedError
        self._spend()
        return _on_field(key, self._condition(value, levels))

    def _member(self, document: object, levels: int) -> Matcher:
        if document == {}:
            self._spend()
        return self.document(document, levels)

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _RefusedError

    def _condition(self, operand: object, levels: int) -> Condition:
        if isinstance(operand, Mapping) and any(key.startswith("$") for key in operand):
            return self._regex(operand)
        if not _is_plain(operand, levels):
            raise _RefusedError
        return lambda value: _same(operand, value)

    def _regex(self, operand: Mapping[str, object]) -> Condition:
        pattern, options = operand.get("$regex"), operand.get("$options", "")
        if not operand.keys() <= {"$regex", "$options"} or options not in ("", "i"):
            raise _RefusedError
        if not isinstance(pattern, str):
            raise _RefusedError
        self._characters -= len(pattern)
        self._classes -= pattern.count("\\p") + pattern.count("\\P")
        if self._characters < 0 or self._classes < 0:
            raise _RefusedError
        search = _linear_search(pattern, ignore_case=options == "i")
        return lambda value: isinstance(value, str) and search(value)


def _all_of(parts: list[Matcher]) -> Matcher:
    return lambda item: all(part(item) for part in parts)


def _any_of(parts: list[Matcher]) -> Matcher:
    return lambda item: any(part(item) for part in parts)


def _on_field(path: str, condition: Condition) -> Matcher:
    def matches(item: Mapping[str, object]) -> bool:
        # as in Mongo: a missing field counts as null, a list matches as a whole or by an element
        found = values_at(item, path) or [None]
        return any(condition(value) for value in (*found, *spread(found)))

    return matches


def _is_plain(operand: object, levels: int) -> bool:
    if isinstance(operand, Mapping):
        return levels > 1 and all(
            not key.startswith("$") and _is_plain(value, levels - 1) for key, value in operand.items()
        )
    if isinstance(operand, list):
        return levels > 1 and all(_is_plain(value, levels - 1) for value in operand)
    return True


def _same(operand: object, value: object) -> bool:
    """Compare as JSON does: true is not 1. The operand's depth was checked, so it bounds the recursion."""
    if isinstance(operand, Mapping) and isinstance(value, Mapping):
        return operand.keys() == value.keys() and all(_same(operand[key], value[key]) for key in operand)
    if isinstance(operand, list) and isinstance(value, list):
        return len(operand) == len(value) and all(map(_same, operand, value))
    if isinstance(operand, Mapping | list) or isinstance(value, Mapping | list):
        return False
    return isinstance(operand, bool) is isinstance(value, bool) and operand == value


def _linear_search(pattern: str, *, ignore_case: bool) -> Callable[[str], bool]:
    settings = re2.Options()
    settings.case_sensitive = not ignore_case
    settings.never_capture = True
    settings.max_mem = MAX_REGEX_MEMORY
    settings.log_errors = False  # it would print the caller's pattern to standard error
    try:
        # bytes, because the engine raises on texts with lone surrogates
        compiled = re2.compile(pattern.encode(), settings)
    except (re2.error, UnicodeEncodeError) as error:
        raise _RefusedError from error
    if compiled.programsize > MAX_REGEX_PROGRAM:
        raise _RefusedError
    return lambda text: compiled.search(text.encode(errors="replace")) is not None
