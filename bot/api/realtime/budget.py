"""How many frames a connection may send, of whatever kind: each costs the loop something, the empty ones most."""

from dataclasses import dataclass
from typing import Final

STEP_BYTES: Final = 4096
"""A frame costs one, and one more for each so many bytes."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and so many a second after that."""

    burst: float
    per_s: float


BEFORE_LOGIN: Final = Rate(100, 5)
"""Connect, login, and pings; nothing else is answered there."""
LOGGED_IN: Final = Rate(1_000, 100)
"""A client that comes back repeats 100 subscriptions and asks for the history of each room."""


class Budget:
    """What a connection may still send; `now` is any clock that only goes forward, in seconds."""

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.burst
        self._at = now

    def grant(self, rate: Rate, now: float) -> None:
        """Begin anew at another rate."""
        self._rate, self._left, self._at = rate, rate.burst, now

    def spend(self, size: int, now: float) -> bool:
        """Count a frame of so many bytes; False when that is one too many."""
        self._left = min(self._rate.burst, self._left + (now - self._at) * self._rate.per_s) - 1 - size / STEP_BYTES
        self._at = now
        return self._left >= 0
