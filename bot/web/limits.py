"""Rate limits: so many calls a minute for each key, with that much burst (decision 11)."""

from collections.abc import Hashable
from dataclasses import dataclass
from math import ceil

from storage.clock import Clock

MOST_KEYS = 100_000
"""Keys remembered; beyond them those that have refilled are dropped."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a call may go on, and the headers that say what is left (`rocketchat.md` §1.3)."""

    allowed: bool
    wait_s: int
    headers: dict[str, str]


class RateLimit:
    """A token bucket for each key; 0 a minute switches it off."""

    def __init__(self, per_minute: int, clock: Clock) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._buckets: dict[Hashable, _Bucket] = {}

    def take(self, key: Hashable) -> Allowance | None:
        """Count one call; None when the limit is off."""
        if not self._per_minute:
            return None
        now, rate = self._clock.monotonic(), self._per_minute / 60
        bucket = self._buckets.get(key)
        if bucket is None:
            self._make_room(now)
            bucket = self._buckets[key] = _Bucket(self._per_minute, now)
        bucket.tokens = min(self._per_minute, bucket.tokens + (now - bucket.at) * rate)
        bucket.at = now
        allowed = bucket.tokens >= 1
        if allowed:
            bucket.tokens -= 1
        full_in_ms = (self._per_minute - bucket.tokens) / rate * 1000
        headers = {
            "X-RateLimit-Limit": str(self._per_minute),
            "X-RateLimit-Remaining": str(int(bucket.tokens)),
            "X-RateLimit-Reset": str(int(self._clock.now() + full_in_ms)),
        }
        wait = 0 if allowed else max(1, ceil((1 - bucket.tokens) / rate))
        return Allowance(allowed, wait, headers if allowed else {**headers, "Retry-After": str(wait)})

    def _make_room(self, now: float) -> None:
        if len(self._buckets) < MOST_KEYS:
            return
        # a bucket untouched for a minute is full again: dropping it changes nothing
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if now - bucket.at < 60}
        if len(self._buckets) >= MOST_KEYS:
            self._buckets.clear()
