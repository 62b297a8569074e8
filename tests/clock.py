"""A clock that moves only when a test says so."""

from storage.clock import Millis
from tests.records import NOON


class ManualClock:
    """Implements `storage.clock.Clock`; starts at the moment of the sample records."""

    def __init__(self, wall: int = NOON) -> None:
        self._wall = wall
        self._started = wall
        self._passed = 0

    def now(self) -> Millis:
        return Millis(self._wall)

    def monotonic(self) -> float:
        return self._passed / 1000

    def steady(self) -> Millis:
        return Millis(self._started + self._passed)

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self._wall += ms
        self._passed += ms

    def step_wall(self, ms: int) -> None:
        """Set the wall clock forward or back, as an administrator or NTP does; no time passes."""
        self._wall += ms
