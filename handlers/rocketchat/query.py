"""Read the list parameters of a GET call: paging, `sort`, `fields` and `query` (rocketchat.md 1.4)."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from handlers.rocketchat.filters import MAX_LEVELS, Matcher, compile_filter, spread, values_at
from handlers.rocketchat.validation import parse_number

DEFAULT_COUNT = 50
MAX_COUNT = 100
MAX_OFFSET = 2**31 - 1
"""Beyond any table, and still a number every store takes."""

Item = Mapping[str, object]
Sort = tuple[tuple[str, int], ...]
Rank = tuple[int, Any]  # Any: the second part is only compared within one rank, so within one type
Tree = dict[str, "Tree"]

_MISSING: Rank = (0, 0)


@dataclass(frozen=True, slots=True)
class QueryFault:
    """Say which list parameter was refused; `error` is the text as sent, its code is `error_type`."""

    error: str
    error_type: str
    details: Mapping[str, str] = field(default_factory=lambda: {"helperMethod": "parseJsonQuery"})


@dataclass(frozen=True, slots=True)
class ListParams:
    """Hold what a caller asked of a list; `matches` filters, `select` keeps the asked-for fields."""

    offset: int
    count: int
    sort: Sort
    matches: Matcher
    select: Callable[[Item], Item]
    query: Mapping[str, object] = field(default_factory=dict)
    """What `matches` was compiled from, for a store that can filter by a part of it."""

    @property
    def is_plain(self) -> bool:
        """Tell whether everything is asked for, in the usual order."""
        return not self.query and not self.sort


def parse_list_params(
    params: Mapping[str, object], *, visible: Collection[str], default_count: int = DEFAULT_COUNT
) -> ListParams | QueryFault:
    """Read `offset`, `count`, `sort`, `fields` and `query`.

    `visible` lists the paths that may be filtered and sorted by: what the answer shows minus secrets
    (decision 53). Numbers that are none fall back to the default; calls that refuse them do so by schema.
    """
    sort = _document(params.get("sort"))
    if sort is None or not all(_is_one_of(value, (1, -1)) for value in sort.values()):
        return _fault("sort", params.get("sort"))
    fields = _document(params.get("fields"))
    select = None if fields is None else _selection(fields)
    if select is None:
        return _fault("fields", params.get("fields"))
    query = _document(params.get("query"))
    matches = None if query is None else compile_filter(query, visible)
    if matches is None:
        return _fault("query", params.get("query"))
    return ListParams(
        offset=_whole(params.get("offset"), default=0, most=MAX_OFFSET),
        # no answer is unlimited: 0 means the default, as in the original where that is not allowed
        count=_whole(params.get("count"), default=default_count, most=MAX_COUNT) or DEFAULT_COUNT,
        # a hidden field sorts like one that nobody has: it must not show through the order
        sort=tuple((path, 1 if value == 1 else -1) for path, value in sort.items() if path in visible),
        matches=matches,
        select=select,
        query=query or {},
    )


def sort_keys(sort: Sort) -> list[Callable[[Item], Rank]]:
    """Return what an item is sorted by: by the first path, ties by the next; what a path does not find is smallest."""
    return [_sort_key(path, direction) for path, direction in sort]


def _sort_key(path: str, direction: int) -> Callable[[Item], Rank]:
    # as in Mongo, a list stands where its smallest element does, or its largest when sorting downwards
    pick = min if direction > 0 else max
    return lambda item: pick(map(_rank, spread(values_at(item, path))), default=_MISSING)


def _rank(value: object) -> Rank:
    """Order values of different types as Mongo does: null, numbers, texts, objects, lists, booleans."""
    match value:
        case None:
            return _MISSING
        case bool():
            return 5, value
        case int() | float():
            return 1, value
        case str():
            return 2, value
        case Mapping():
            return 3, 0
        case _:
            return 4, 0


def _whole(value: object, *, default: int, most: int) -> int:
    number = parse_number(value) if isinstance(value, str) else None
    return default if number is None or number < 0 else min(int(number), most)


def _document(raw: object) -> dict[str, object] | None:
    """Parse a parameter that must be a JSON object; absent or empty counts as `{}`, None means refused."""
    if raw is None or raw == "":
        return {}
    if not isinstance(raw, str):
        return None
    try:
        parsed = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # RecursionError: brackets nested by the thousand
        return None
    return parsed if isinstance(parsed, dict) else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_one_of(value: object, numbers: tuple[int, int]) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value in numbers


def _fault(parameter: str, raw: object) -> QueryFault:
    shown = raw if isinstance(raw, str) else ""
    code = f"error-invalid-{parameter}"
    return QueryFault(f'Invalid {parameter} parameter provided: "{shown}" [{code}]', code)


def _selection(fields: Mapping[str, object]) -> Callable[[Item], Item] | None:
    """Compile `fields`: only those marked 1, or all but those marked 0; `_id` may differ from the rest."""
    if not all(_is_one_of(mark, (0, 1)) for mark in fields.values()):
        return None
    marks = {mark for path, mark in fields.items() if path != "_id"} or set(fields.values())
    if len(marks) > 1:
        return None
    keep = marks == {1}
    chosen = {path for path, mark in fields.items() if bool(mark) is keep}
    if keep and fields.get("_id", 1):
        chosen.add("_id")
    tree: Tree = {}
    for path in chosen:
        if path.count(".") >= MAX_LEVELS:
            return None
        branch = tree
        for key in path.split("."):
            branch = branch.setdefault(key, {})
    return lambda item: _selected(item, tree, keep=keep)


def _selected(item: Item, tree: Tree, *, keep: bool) -> Item:
    result: dict[str, object] = {}
    for key, value in item.items():
        branch = tree.get(key)
        if branch:
            result[key] = _within(value, branch, keep=keep)
        elif keep is (branch is not None):
            result[key] = value
    return result


def _within(value: object, tree: Tree, *, keep: bool) -> object:
    if isinstance(value, Mapping):
        return _selected(value, tree, keep=keep)
    if isinstance(value, list):
        return [_selected(part, tree, keep=keep) if isinstance(part, Mapping) else part for part in value]
    return value
