"""Keeps hooks in an order of their own from one change to the next: sorting very many each time blocks the loop."""

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any, Final

from storage.records.integration import Hook

FEW: Final = 100
"""Up to this many hooks are put into place one by one."""


class Ordered:
    """Sorts hooks by a key; those it has sorted before (the same objects) stay in place."""

    def __init__(self, key: Callable[[Hook], Any]) -> None:  # Any: whatever can be compared
        self._key = key
        self._last: list[Hook] = []

    def of(self, hooks: Sequence[Hook]) -> list[Hook]:
        """Return these hooks in order."""
        # both lists hold on to their hooks, so that no two of them can have the same id()
        there, before = set(map(id, hooks)), set(map(id, self._last))
        new = [hook for hook in hooks if id(hook) not in before]
        if len(new) > FEW:
            found = sorted(hooks, key=self._key)
        else:
            found = [hook for hook in self._last if id(hook) in there]
            for hook in new:
                insort(found, hook, key=self._key)
        self._last = found
        return found
