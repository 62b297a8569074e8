"""How often somebody may fail to log in (decision 23).

Only failures count, for each user name and address: a lock never touches other addresses, so nobody can
lock the owner out. A name under attack from many addresses is slowed down, never closed.
"""

import asyncio
import hashlib
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from storage.clock import Clock

PER_MINUTE = 10
IN_A_ROW = 5
LOCK_S = 15 * 60.0
SLOW_FROM = 100
"""Failures of a name in an hour; the lock lets one address make 20, so these come from several."""
SLOW_BY_S = 3.0
REMEMBERED = 10_000
"""Names, and pairs of name and address, kept in mind; the one that failed longest ago makes room."""

Key = bytes


@dataclass(slots=True)
class _Pair:
    """What one address did with one name."""

    failures: deque[float] = field(default_factory=lambda: deque(maxlen=PER_MINUTE))
    in_a_row: int = 0
    locked_until: float = 0.0


class LoginLimits:
    """Counts failures in the memory of this process; waits follow the monotonic clock (decision 29)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pairs: OrderedDict[Key, _Pair] = OrderedDict()
        self._names: OrderedDict[Key, deque[float]] = OrderedDict()
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()

    def turn(self, name: str, address: str) -> asyncio.Lock:
        """Return the lock that makes tries of one pair wait for each other: at once they would not count."""
        key = _key(name, address)
        lock = self._turns.get(key)
        if lock is None:
            lock = self._turns[key] = asyncio.Lock()
        return lock

    def wait(self, name: str, address: str) -> float:
        """Return how many seconds this pair has to wait before its next try; 0 when it may try."""
        pair = self._pairs.get(_key(name, address))
        if pair is None:
            return 0.0
        now = self._clock.monotonic()
        minute = pair.failures[0] + 60 if len(pair.failures) == PER_MINUTE else 0.0
        return max(pair.locked_until - now, minute - now, 0.0)

    def slowdown(self, name: str) -> float:
        """Return how many seconds each try of this name is delayed."""
        failures = self._names.get(_key(name))
        if failures is None or len(failures) < SLOW_FROM or failures[0] <= self._clock.monotonic() - 3600:
            return 0.0
        return SLOW_BY_S

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        now = self._clock.monotonic()
        pair = self._pairs.setdefault(_key(name, address), _Pair())
        pair.failures.append(now)
        pair.in_a_row += 1
        if pair.in_a_row >= IN_A_ROW:
            pair.in_a_row, pair.locked_until = 0, now + LOCK_S
        self._names.setdefault(_key(name), deque(maxlen=SLOW_FROM)).append(now)
        self._pairs.move_to_end(_key(name, address))
        self._names.move_to_end(_key(name))
        if len(self._pairs) > REMEMBERED:
            self._pairs.popitem(last=False)
        if len(self._names) > REMEMBERED:
            self._names.popitem(last=False)

    def succeeded(self, name: str, address: str) -> None:
        """End the row of failures."""
        if pair := self._pairs.get(_key(name, address)):
            pair.in_a_row = 0


def _key(*parts: str) -> Key:
    """Return a key of fixed size: names are as long as a stranger likes."""
    text = "\0".join(part.lower() for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
