"""The outages of lanes as this process has counted them; it alone delivers, so nobody else changes them."""

from handlers import outages
from handlers.outages import Failing, Recovered
from storage.clock import Clock
from storage.ids import LaneId
from storage.ports import Queue
from storage.records.outage import Outage

FEWEST_REMEMBERED = 1_000
"""Outages that are remembered whatever was stored at the last look; beyond twice that, the store is read again, which
forgets lanes that were removed."""


class Outages:
    """Remembers them from one end of an attempt to the next; each change is to be stored with the end's settle."""

    def __init__(self, queue: Queue, clock: Clock) -> None:
        self._queue = queue
        self._clock = clock
        self._known: dict[LaneId, Outage] | None = None
        self._most = 0

    async def read(self) -> None:
        """Read what is stored, unless it is remembered; to be awaited before an end is counted."""
        if self._known is None or len(self._known) > self._most:
            self._known = dict(await self._queue.outages())
            self._most = 2 * max(FEWEST_REMEMBERED, len(self._known))

    def failed(self, lane: LaneId) -> tuple[Outage, Failing | None]:
        """Count a delivery that failed for good; return what to store, and to tell."""
        outage, news = outages.failed(self._all.get(lane), self._clock.steady())
        self._all[lane] = outage
        return outage, news

    def faltered(self, lane: LaneId) -> Outage | None:
        """Count a try that is made again; return what to store, if anything."""
        before = self._all.get(lane)
        after = outages.faltered(before, self._clock.steady())
        return self._changed(lane, before, after)

    def delivered(self, lane: LaneId) -> tuple[Outage | None, Recovered | None]:
        """Count a delivery; return what to store, if anything, and to tell."""
        before = self._all.get(lane)
        if before is None:
            return None, None
        after, news = outages.delivered(before, self._clock.steady())
        return self._changed(lane, before, after), news

    def _changed(self, lane: LaneId, before: Outage | None, after: Outage | None) -> Outage | None:
        if after is None or after is before:
            return None
        self._all[lane] = after
        return after

    @property
    def _all(self) -> dict[LaneId, Outage]:
        assert self._known is not None  # noqa: S101 # `read` comes first
        return self._known
