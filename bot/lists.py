"""Answers that list things: how large one may get, and how it is put together without holding anybody up.

Every list of every door is built here, so that the bound is one. Items are encoded one by one as they come, and who
brings them (a store, a view) is asked for no more once the answer is full.
"""

import asyncio
import heapq
import json
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar  # Any: keys that can be compared

from bot.slices import Slices
from handlers.rocketchat.query import Item, ListParams, sort_keys

MAX_ANSWER_BYTES: Final = 4 << 20
"""Bytes of items in one answer. The most a client gets is a page of 100; at the longest message each that were 40 MB,
built and held for as long as the client takes to read them."""

MAX_ANSWERS_AT_ONCE: Final = 4
"""List answers of one caller that are built or not yet read: the next one waits its turn, so that one who asks without
reading holds 16 MiB at most."""

RUN: Final = 1_000
"""Items sorted in one go, about a millisecond; more are sorted in runs that are merged."""

T = TypeVar("T")

_encode: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(frozen=True, slots=True)
class Listed:
    """A list answer, encoded: `pieces` are its items, `more` what stands beside them."""

    key: str
    pieces: Sequence[bytes]
    more: Mapping[str, object]

    def body(self, **last: object) -> bytes:
        """Return the whole as a JSON object, `last` at its end."""
        head, tail = _json(self.key), _json({**self.more, **last})[1:]
        comma = b"" if tail == b"}" else b","
        return b"{" + head + b":" + self.array() + comma + tail

    def array(self) -> bytes:
        """Return the items alone, as a JSON array."""
        return b"[" + b",".join(self.pieces) + b"]"


async def in_order(items: Iterable[T]) -> AsyncIterator[T]:
    """Bring what is in memory anyway."""
    for item in items:
        yield item


async def encoded(items: AsyncIterable[Item], *, most: int = MAX_ANSWER_BYTES) -> tuple[list[bytes], bool]:
    """Return items as JSON, and whether the bound cut them off; the first one always finds room."""
    pieces, size, slices = list[bytes](), 0, Slices()
    async for item in items:
        await slices.rest()
        piece = _json(item)
        await slices.rest()
        size += len(piece) + 1
        if pieces and size > most:
            return pieces, True
        pieces.append(piece)
    return pieces, False


async def chosen(items: AsyncIterable[tuple[T, Item]], params: ListParams) -> tuple[list[T], int]:
    """Return the things on the asked-for page and how many match in all, each thing given with its view.

    Only what it is sorted by is kept of a view. Without `sort` the things stay in their order.
    """
    kept, slices = list[tuple[T, Sequence[Any]]](), Slices()
    keys = sort_keys(params.sort)
    async for thing, view in items:
        await slices.rest()
        if params.matches(view):
            kept.append((thing, [key(view) for key in keys]))
    for number, (_, direction) in reversed(list(enumerate(params.sort))):
        kept = await sorted_in_slices(kept, _part(number), reverse=direction < 0)
    return [thing for thing, _ in kept[params.offset : params.offset + params.count]], len(kept)


def _part(number: int) -> Callable[[tuple[Any, Sequence[Any]]], Any]:
    return lambda entry: entry[1][number]


async def sorted_in_slices(entries: Sequence[T], key: Callable[[T], Any], *, reverse: bool = False) -> list[T]:
    """Return what `sorted` does; others have their turns meanwhile."""
    slices, runs = Slices(), list[list[T]]()
    for start in range(0, len(entries), RUN):
        runs.append(sorted(entries[start : start + RUN], key=key, reverse=reverse))
        await slices.rest()
    if len(runs) < 2:
        return runs[0] if runs else []
    found = list[T]()
    merged: Iterator[T] = heapq.merge(*runs, key=key, reverse=reverse)
    for entry in merged:
        found.append(entry)
        await slices.rest()
    return found


def _json(value: object) -> bytes:
    # half a surrogate pair has no UTF-8; the error handler's \udXXX is JSON's own way to write it
    return _encode(value).encode("utf-8", "backslashreplace")


class Turns:
    """Lets each caller have a few list answers under way; who asks for more waits, and takes nobody else's place."""

    def __init__(self, at_once: int = MAX_ANSWERS_AT_ONCE) -> None:
        self._at_once = at_once
        self._under_way: dict[str, tuple[asyncio.Semaphore, int]] = {}

    @asynccontextmanager
    async def turn(self, caller: str) -> AsyncIterator[None]:
        """Hold one of the caller's turns, from before the first item is read until the answer has been taken."""
        turns, holders = self._under_way.get(caller, (asyncio.Semaphore(self._at_once), 0))
        self._under_way[caller] = turns, holders + 1
        try:
            async with turns:
                yield
        finally:
            turns, holders = self._under_way.pop(caller)
            if holders > 1:
                self._under_way[caller] = turns, holders - 1
