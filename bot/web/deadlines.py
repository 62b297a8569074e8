"""Deadlines of many that all have equally long, with one timer for them together."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Deadlines(Generic[T]):
    """Calls `late` for each whose time has ended; it is forgotten before."""

    def __init__(self, seconds: float, late: Callable[[T], None]) -> None:
        self._seconds = seconds
        self._late = late
        self._due: OrderedDict[T, float] = OrderedDict()
        """In order, since all have equally long."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, one: T) -> None:
        """Let somebody's time begin, unless it runs already."""
        if one in self._due:
            return
        loop = asyncio.get_running_loop()
        deadline = self._due[one] = loop.time() + self._seconds
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._sweep)

    def end(self, one: T) -> None:
        """Forget somebody's time."""
        self._due.pop(one, None)

    def first(self) -> T | None:
        """Return whose time ends first."""
        return next(iter(self._due), None)

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        while self._due:
            one, deadline = next(iter(self._due.items()))
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._sweep)
                return
            del self._due[one]
            self._late(one)
