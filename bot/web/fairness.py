"""Who goes when there is no room for all: of the address that holds most, who has been silent longest."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

LEAST_SHARE: Final = 64
"""What one address may hold before it gives way to others: a browser, a proxy or an office holds fewer."""


class Shares(Generic[T]):
    """Members by address; which address holds most costs the same among two and 20,000."""

    def __init__(self) -> None:
        self._members: dict[str, OrderedDict[T, None]] = {}
        self._by_count: dict[int, OrderedDict[str, None]] = {}
        self._most = 0

    def add(self, address: str, one: T) -> None:
        """Count a member in."""
        members = self._members.setdefault(address, OrderedDict())
        members[one] = None
        self._moved(address, len(members) - 1, len(members))

    def remove(self, address: str, one: T) -> None:
        """Count a member out."""
        members = self._members[address]
        del members[one]
        self._moved(address, len(members) + 1, len(members))
        if not members:
            del self._members[address]

    def moved(self, address: str, one: T) -> None:
        """Note that a member did something: it is the last to go."""
        self._members[address].move_to_end(one)

    def largest(self) -> "OrderedDict[T, None] | None":
        """Return the members of the address that holds most; None when that is no more than anybody may hold."""
        if self._most <= LEAST_SHARE:
            return None
        return self._members[next(iter(self._by_count[self._most]))]

    def _moved(self, address: str, before: int, now: int) -> None:
        if same := self._by_count.get(before):
            del same[address]
            if not same:
                del self._by_count[before]
        if now:
            self._by_count.setdefault(now, OrderedDict())[address] = None
        if now > self._most or (before == self._most and before not in self._by_count):
            self._most = now


def longest_silent(ring: "OrderedDict[T, None]", waits: Callable[[T], bool]) -> T | None:
    """Return the first that waits of those in a ring, which is in the order of their last moves; None if none does.

    Who is at work goes to the end, as one that has moved, so that a look costs little on the whole.
    """
    for _ in range(len(ring)):
        one = next(iter(ring))
        if waits(one):
            return one
        ring.move_to_end(one)
    return None
