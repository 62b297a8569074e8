"""Rate limits: so many calls a minute for each key, with that much burst (decision 11)."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from math import ceil

from storage.clock import Clock

MOST_KEYS = 100_000
"""Keys remembered; beyond them the one that was not used for longest is dropped."""


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
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()
        """The one used last at the end."""

    def take(self, key: Hashable) -> Allowance | None:
        """Count one call; None when the limit is off."""
        if not self._per_minute:
            return None
        now, rate = self._clock.monotonic(), self._per_minute / 60
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MOST_KEYS:
                self._buckets.popitem(last=False)
            bucket = self._buckets[key] = _Bucket(self._per_minute, now)
        else:
            self._buckets.move_to_end(key)
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
