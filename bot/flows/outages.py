"""The outages of lanes as this process has counted them; it alone delivers, so nobody else changes them."""

from collections.abc import Mapping
from typing import Final, Protocol

from handlers import outages
from handlers.outages import Failing, Recovered
from storage.clock import Clock
from storage.ids import LaneId
from storage.records.outage import Outage

FEWEST_REMEMBERED: Final = 1_000
"""Outages remembered before it is looked which of their lanes were removed: then, and when there are twice as many."""
SETTLED_MS: Final = 10 * 60_000
"""After so long an outage is stored, if its lane is still there."""


class Stored(Protocol):
    """Where outages are stored, by the settles of what changed them."""

    async def outages(self) -> Mapping[LaneId, Outage]: ...


class Outages:
    """Remembers them from one end of an attempt to the next; each change is to be stored with the end's settle."""

    def __init__(self, stored: Stored, clock: Clock) -> None:
        self._stored = stored
        self._clock = clock
        self._known: dict[LaneId, Outage] = {}
        self._most = -1

    async def read(self) -> None:
        """Read what is stored, unless it is known; to be awaited before an end is counted.

        Raises StorageError when it cannot be read.
        """
        if len(self._known) <= self._most:
            return
        is_first = self._most < 0
        found = await self._stored.outages()
        if is_first and self._most < 0:  # of several that read at first, one is enough: ends may be counted by now
            self._known = dict(found)
        elif not is_first:
            old = self._clock.steady() - SETTLED_MS
            self._known = {
                lane: outage for lane, outage in self._known.items() if lane in found or outage.last_failed_at > old
            }
        self._most = 2 * max(FEWEST_REMEMBERED, len(self._known))

    def failed(self, lane: LaneId) -> tuple[Outage, Failing | None]:
        """Count a delivery that failed for good; return what to store, and to tell."""
        self._known[lane], news = outages.failed(self._known.get(lane), self._clock.steady())
        return self._known[lane], news

    def faltered(self, lane: LaneId) -> Outage | None:
        """Count a try that is made again; return what to store, if anything."""
        before = self._known.get(lane)
        return self._changed(lane, before, outages.faltered(before, self._clock.steady()))

    def delivered(self, lane: LaneId) -> tuple[Outage | None, Recovered | None]:
        """Count a delivery; return what to store, if anything, and to tell."""
        before = self._known.get(lane)
        after, news = outages.delivered(before, self._clock.steady())
        return self._changed(lane, before, after), news

    def _changed(self, lane: LaneId, before: Outage | None, after: Outage | None) -> Outage | None:
        if after is None or after is before:
            return None
        self._known[lane] = after
        return after
