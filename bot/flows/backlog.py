"""Which of the deliveries that wait do so for this process, and which for their receivers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from storage.ids import LaneId

OWN_TURNS: Final = 8
"""A call passes the event loop a few times, and each time waits as long as the loop is late. One that took longer than
so many times that waited for its receiver."""
STANDS_S: Final = 0.05
"""A lane of which nothing ended for so long, and for longer than the loop explains, waits for its receiver, too: its
first calls have not come back yet."""
FORGOTTEN_S: Final = 60.0
"""After so long without an end a lane is forgotten: what was queued for it may have been discarded."""


@dataclass(slots=True)
class _Lane:
    waiting: int
    moved_at: float


class Backlog:
    """Counts deliveries from their commit to their end; `ours` are those that wait for this process.

    A receiver that is slow keeps its lane's slots, so a backlog of it says nothing of how this process is doing. A lane
    is ours until its calls are seen to take long, and again once one is seen not to. `late_s` is how late the event
    loop runs what is due, `now_s` a monotonic clock.
    """

    def __init__(self) -> None:
        # each in the order in which something of its lanes ended last, so that a look stops at the first that moves
        self._ours: dict[LaneId, _Lane] = {}
        self._theirs: dict[LaneId, _Lane] = {}
        self.ours = 0

    def __bool__(self) -> bool:
        return bool(self._ours or self._theirs)

    def queued(self, lanes: Sequence[LaneId], *, now_s: float) -> None:
        """Take the lanes of the deliveries a commit has queued."""
        for name in lanes:
            theirs = self._theirs.get(name)
            if theirs is not None:
                theirs.waiting += 1
                continue
            lane = self._ours.get(name)
            if lane is None:
                lane = self._ours[name] = _Lane(0, now_s)
            lane.waiting += 1
            self.ours += 1

    def ended(self, name: LaneId, *, took_s: float | None, late_s: float, now_s: float) -> None:
        """Take the end of a delivery's attempt, whose call took so long; None when none was made."""
        lane = self._ours.pop(name, None)
        was_ours = lane is not None
        if lane is None:
            lane = self._theirs.pop(name, None)
        if lane is None:
            return
        if was_ours:
            self.ours -= lane.waiting
        lane.waiting -= 1
        lane.moved_at = now_s
        if not lane.waiting:
            return
        if was_ours if took_s is None else took_s <= OWN_TURNS * late_s:
            self._ours[name] = lane
            self.ours += lane.waiting
        else:
            self._theirs[name] = lane

    def look(self, *, late_s: float, now_s: float) -> None:
        """Leave out lanes that stand, and forget those that have stood for long."""
        for name in _stood(self._ours, now_s - max(STANDS_S, OWN_TURNS * late_s)):
            lane = self._theirs[name] = self._ours.pop(name)
            self.ours -= lane.waiting
        for name in _stood(self._theirs, now_s - FORGOTTEN_S):
            del self._theirs[name]


def _stood(lanes: Mapping[LaneId, _Lane], since_s: float) -> list[LaneId]:
    """Return the first lanes of which nothing ended since then."""
    return [name for name, _ in takewhile(lambda each: each[1].moved_at < since_s, lanes.items())]
