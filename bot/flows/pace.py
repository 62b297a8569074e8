"""Keeps what is accepted in step with what is delivered, so that a flood cannot starve deliveries (delivery.md §8)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from storage.clock import Clock
from storage.ids import LaneId

MOST_WAITING = 64
"""Deliveries that may wait for this process before requests are held."""
PROGRESS_S = 0.25
"""A lane of which nothing ended for so long waits for its receiver, not for us, and does not count."""
LONGEST_HOLD_S = 0.25
"""No request is held longer, whatever waits."""


@dataclass(slots=True)
class _Waiting:
    count: int
    moved_at: float


class Pace:
    """Counts deliveries from their commit to their end, and holds requests while too many wait for us."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lanes: dict[LaneId, _Waiting] = {}
        self._total = 0
        self._entering = 0
        self._held: deque[asyncio.Future[None]] = deque()

    def queued(self, lanes: Sequence[LaneId]) -> None:
        """Take the lanes of the deliveries a commit has queued."""
        now = self._clock.monotonic()
        for lane in lanes:
            waiting = self._lanes.get(lane)
            if waiting is None:
                self._lanes[lane] = _Waiting(1, now)
            else:
                waiting.count += 1
        self._total += len(lanes)

    def ended(self, lane: LaneId) -> None:
        """Take the end of an attempt; a request that was held may go on."""
        waiting = self._lanes.get(lane)
        if waiting is None:
            return
        waiting.count -= 1
        waiting.moved_at = self._clock.monotonic()
        self._total -= 1
        if waiting.count == 0:
            del self._lanes[lane]
        self._let_in()

    def enters_at_once(self) -> bool:
        """Let a request enter if it need not be held; tell whether it has entered."""
        if self._is_full():
            return False
        self._entering += 1
        return True

    async def enter(self) -> None:
        """Hold a request while too many deliveries wait for us; until it leaves it counts as one of them."""
        if self._is_full():
            self._forget_stuck_lanes()
            if self._is_full():
                await self._hold()
        self._entering += 1

    def leave(self) -> None:
        """Take the end of a request that had entered."""
        self._entering -= 1
        self._let_in()

    def _is_full(self) -> bool:
        # without any delivery there is nothing to starve: requests alone are never held
        return self._total > 0 and self._total + self._entering >= MOST_WAITING

    def _forget_stuck_lanes(self) -> None:
        oldest = self._clock.monotonic() - PROGRESS_S
        for lane, waiting in list(self._lanes.items()):
            if waiting.moved_at < oldest:
                self._total -= waiting.count
                del self._lanes[lane]

    async def _hold(self) -> None:
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[None] = loop.create_future()
        self._held.append(turn)
        # not asyncio.timeout, which costs three times as much; a turn that is over lets nobody in any more
        longest = loop.call_later(LONGEST_HOLD_S, _end, turn)
        try:
            await turn
        finally:
            longest.cancel()

    def _let_in(self) -> None:
        while self._held and not self._is_full():
            turn = self._held.popleft()
            if not turn.done():
                turn.set_result(None)
                return


def _end(turn: "asyncio.Future[None]") -> None:
    if not turn.done():
        turn.set_result(None)
