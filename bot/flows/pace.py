"""Keeps what is accepted in step with what is delivered, so that a flood cannot starve deliveries (delivery.md §8)."""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

from bot.flows.backlog import Backlog
from storage.clock import Clock
from storage.ids import LaneId
from storage.records.delivery import Attempt

MOST_WAITING: Final = 64
"""Deliveries that may wait for this process before requests are held."""
LONGEST_HOLD_S: Final = 0.25
"""No request is held longer, whatever waits."""
LOOK_S: Final = 0.01
"""How often it is looked how late the event loop is, while deliveries wait."""
LATE_FADES: Final = 0.8
"""What a look leaves of a lateness seen earlier: a few looks find a quiet moment in the busiest loop."""


class Pace:
    """Holds requests while too many deliveries wait for this process; what waits for a receiver holds nobody."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._backlog = Backlog()
        self._entering = 0
        self._held: deque[asyncio.Future[bool]] = deque()
        self._late_s = 0.0
        self._looking: asyncio.TimerHandle | None = None

    def queued(self, lanes: Sequence[LaneId]) -> None:
        """Take the lanes of the deliveries a commit has queued."""
        self._backlog.queued(lanes, now_s=self._clock.monotonic())
        if self._looking is None and self._backlog:
            self._look_again()

    def ended(self, lane: LaneId, attempt: Attempt | None) -> None:
        """Take the end of a delivery's attempt, if one was made; held requests may go on."""
        took_s = attempt.duration_ms / 1000 if attempt is not None and attempt.called else None
        self._backlog.ended(lane, took_s=took_s, late_s=self._late_s, now_s=self._clock.monotonic())
        self._let_in()

    def enters_at_once(self) -> bool:
        """Let a request enter if it need not be held; tell whether it has entered."""
        if self._is_full():
            return False
        self._entering += 1
        return True

    async def enter(self) -> None:
        """Hold a request while too many deliveries wait for us; until it leaves it counts as one of them."""
        if not self.enters_at_once() and not await self._hold():
            self._entering += 1

    def leave(self) -> None:
        """Take the end of a request that had entered."""
        self._entering -= 1
        self._let_in()

    def _is_full(self) -> bool:
        # without any delivery there is nothing to starve: requests alone are never held
        return self._backlog.ours > 0 and self._backlog.ours + self._entering >= MOST_WAITING

    async def _hold(self) -> bool:
        """Wait for a place, but not for long; tell whether there was one, which is taken by then."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._held.append(turn)
        # not asyncio.timeout, which costs three times as much; a turn that is over lets nobody in any more
        longest = loop.call_later(LONGEST_HOLD_S, _end, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()
            raise
        finally:
            longest.cancel()

    def _let_in(self) -> None:
        while self._held and not self._is_full():
            turn = self._held.popleft()
            if not turn.done():
                self._entering += 1
                turn.set_result(True)

    def _look_again(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + LOOK_S
        self._looking = loop.call_at(due, self._look, due)

    def _look(self, due: float) -> None:
        self._looking = None
        self._late_s = max(asyncio.get_running_loop().time() - due, LATE_FADES * self._late_s)
        self._backlog.look(late_s=self._late_s, now_s=self._clock.monotonic())
        self._let_in()
        if self._backlog:
            self._look_again()


def _end(turn: "asyncio.Future[bool]") -> None:
    if not turn.done():
        turn.set_result(False)
