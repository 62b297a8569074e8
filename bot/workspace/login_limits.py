"""How often somebody may fail to log in.

Only failures count, for each user name and address: a lock never touches other addresses, so nobody can
lock the owner out. A name under attack from many addresses is slowed down, never closed.
"""

import asyncio
import hashlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from bot.workspace.credentials import LoginFailure, blocked, crowded
from storage.clock import Clock

PER_MINUTE = 10
IN_A_ROW = 5
LOCK_S = 15 * 60.0
SLOW_FROM = 100
"""Failures of a name in an hour; the lock lets one address make 20, so these come from several."""
SLOW_BY_S = 3.0
"""Seconds each try of a slowed name waits; the tries take turns, so this is also the least time between two."""
MOST_IN_LINE = 10
"""Tries of a slowed name that wait at once, each from another address: the last one waits for half a minute."""
REMEMBERED = 10_000
"""Names, and pairs of name and address, kept in mind; the one that failed or logged in longest ago makes room."""

Key = bytes


@dataclass(slots=True)
class _Pair:
    """What one address did with one name."""

    failures: deque[float] = field(default_factory=lambda: deque(maxlen=PER_MINUTE))
    in_a_row: int = 0
    locked_until: float = 0.0


@dataclass(slots=True, weakref_slot=True)
class _Line:
    """The tries of a slowed name, one at a time."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0


class LoginLimits:
    """Counts failures in the memory of this process; waits follow the monotonic clock.

    An `address` is what a client counts as: an IPv6 network stands for all of its addresses.
    """

    def __init__(self, clock: Clock, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._clock = clock
        self._pause = pause
        self._pairs: OrderedDict[Key, _Pair] = OrderedDict()
        self._names: OrderedDict[Key, deque[float]] = OrderedDict()
        self._known: OrderedDict[Key, None] = OrderedDict()
        self._under_way: Counter[Key] = Counter()
        self._turns: WeakValueDictionary[Key, asyncio.Lock] = WeakValueDictionary()
        self._lines: WeakValueDictionary[Key, _Line] = WeakValueDictionary()

    @asynccontextmanager
    async def trying(self, name: str, address: str) -> AsyncIterator[LoginFailure | None]:
        """Wait until a try may be made, and hold its place while it is; gives why it may not be made at all.

        Tries of one pair wait for each other: at once they would not count. So do those of a slowed name, except
        from an address that has logged in with it before.
        """
        turn = self._turns.setdefault(_key(name, address), asyncio.Lock())
        async with turn:
            if wait := self.wait(name, address):
                yield blocked(wait)
            elif _key(name, address) in self._known or not self._is_slowed(name):
                with self._counted(name):
                    yield None
            else:
                async with self._in_line(name) as crowd:
                    yield crowd

    @asynccontextmanager
    async def _in_line(self, name: str) -> AsyncIterator[LoginFailure | None]:
        line = self._lines.setdefault(_key(name), _Line())
        if line.waiting >= MOST_IN_LINE:
            yield crowded(MOST_IN_LINE * SLOW_BY_S)
            return
        line.waiting += 1
        try:
            async with line.turn:
                await self._pause(SLOW_BY_S)
                yield None
        finally:
            line.waiting -= 1

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        """Count a try under way as a failure to come: a burst must not be over before its first one has failed."""
        key = _key(name)
        self._under_way[key] += 1
        try:
            yield
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    def wait(self, name: str, address: str) -> float:
        """Return how many seconds this pair has to wait before its next try; 0 when it may try."""
        pair = self._pairs.get(_key(name, address))
        if pair is None:
            return 0.0
        now = self._clock.monotonic()
        minute = pair.failures[0] + 60 if len(pair.failures) == PER_MINUTE else 0.0
        return max(pair.locked_until - now, minute - now, 0.0)

    def _is_slowed(self, name: str) -> bool:
        """Tell whether so many tries of this name failed within an hour, or are about to."""
        since = self._clock.monotonic() - 3600
        failed = sum(at > since for at in self._names.get(_key(name), ()))
        return failed + self._under_way[_key(name)] >= SLOW_FROM

    def failed(self, name: str, address: str) -> None:
        """Count a failure."""
        now = self._clock.monotonic()
        pair = self._pairs.setdefault(_key(name, address), _Pair())
        pair.failures.append(now)
        pair.in_a_row += 1
        if pair.in_a_row >= IN_A_ROW:
            pair.in_a_row, pair.locked_until = 0, now + LOCK_S
        self._names.setdefault(_key(name), deque(maxlen=SLOW_FROM)).append(now)
        _remember(self._pairs, _key(name, address))
        _remember(self._names, _key(name))

    def succeeded(self, name: str, address: str) -> None:
        """End the row of failures; from now on this address is not slowed down by what others try."""
        key = _key(name, address)
        if pair := self._pairs.get(key):
            pair.in_a_row = 0
        self._known[key] = None
        _remember(self._known, key)


def _remember(kept: OrderedDict[Key, Any], latest: Key) -> None:  # Any: whatever is kept by key
    kept.move_to_end(latest)
    if len(kept) > REMEMBERED:
        kept.popitem(last=False)


def _key(*parts: str) -> Key:
    """Return a key of fixed size: names are as long as a stranger likes."""
    text = "\0".join(part.lower() for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
