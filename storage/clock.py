"""The only place that reads the time: wall clock for what is stored, monotonic clock for waiting."""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NewType, Protocol

Millis = NewType("Millis", int)
"""A point in time: milliseconds since 1970-01-01 UTC, as stored and sent."""


class Clock(Protocol):
    """What tells the time; tests hand in their own."""

    def now(self) -> Millis:
        """Return the wall clock, for everything that is stored or shown."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never step back, for waits inside the process (decision 29)."""
        ...

    def steady(self) -> Millis:
        """Return the wall clock of the start plus the time passed since: for leases and retries.

        A step of the wall clock neither delays nor hurries what is queued (decision 29).
        """
        ...


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._anchor = time.time_ns() - time.monotonic_ns()

    def now(self) -> Millis:
        return Millis(time.time_ns() // 1_000_000)

    def monotonic(self) -> float:
        return time.monotonic()

    def steady(self) -> Millis:
        return Millis((self._anchor + time.monotonic_ns()) // 1_000_000)


@lru_cache(maxsize=1024)
def iso(moment: int) -> str:
    """Write a moment as the Rocket.Chat contract does: ISO 8601 with milliseconds and `Z` (§1)."""
    return f"{_second(moment // 1000)}.{moment % 1000:03d}Z"


@lru_cache(maxsize=64)
def _second(moment: int) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def parse_iso(text: str) -> Millis | None:
    """Read an ISO 8601 moment; a moment without zone counts as UTC; None when it is not one."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return Millis(round(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        return None
