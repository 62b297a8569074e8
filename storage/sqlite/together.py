"""Answers what several ask for at once with one query, as a commit writes what several have to write."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Together(Generic[K, V]):
    """Reads keys: those asked for while a query runs wait for the next, so nobody gets what was read before they asked.

    Each query is a step into another thread and back, which costs a busy loop more than a usual query itself. One runs
    at a time: a long one delays those who ask meanwhile by as much.
    """

    def __init__(self, read: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]) -> None:
        self._read = read
        self._one_at_a_time = asyncio.Lock()
        self._asked: dict[K, None] = {}
        self._next: asyncio.Task[Mapping[K, V]] | None = None

    async def of(self, keys: Sequence[K]) -> dict[K, V]:
        """Return what is found of the keys; raises what the query raises, for all who waited for it."""
        self._asked.update(dict.fromkeys(keys))
        if self._next is None:
            self._next = asyncio.create_task(self._query())
            self._next.add_done_callback(_heard)
        found = await asyncio.shield(self._next)  # others wait for it, too
        return {key: found[key] for key in keys if key in found}

    async def _query(self) -> Mapping[K, V]:
        async with self._one_at_a_time:
            asked, self._asked, self._next = list(self._asked), {}, None
            return await self._read(asked)


def _heard(query: asyncio.Task[Mapping[K, V]]) -> None:
    """Take note of an error, so that asyncio does not log it where everybody who waited has gone."""
    if not query.cancelled():
        query.exception()
