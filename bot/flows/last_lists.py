"""The last list each caller saw in each place, so that `#3` means its third row for ten minutes (commands.md §2.1)."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from handlers.command import Answer
from storage.clock import Clock

KEPT_S: Final = 600.0
MOST: Final = 10_000
"""Lists remembered; the oldest go first."""


class LastLists:
    """Kept in memory: after a restart people list again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lists: OrderedDict[tuple[str, str], tuple[float, Mapping[int, str]]] = OrderedDict()

    def keep(self, key: tuple[str, str], answer: Answer) -> None:
        """Remember the rows of an answer; a later page of a list adds to none before it."""
        rows = dict(enumerate(answer.rows, answer.first_row))
        self._lists.pop(key, None)
        self._lists[key] = (self._clock.monotonic() + KEPT_S, rows)
        while len(self._lists) > MOST:
            self._lists.popitem(last=False)

    def rows(self, key: tuple[str, str]) -> Mapping[int, str]:
        """Return the rows of the last list by their number; none when it is older than ten minutes."""
        until, rows = self._lists.get(key, (0.0, {}))
        return rows if self._clock.monotonic() < until else {}
