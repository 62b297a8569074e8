"""How many bytes a hook, or a user who posts, may store a day; counted by the store, judged here."""

from math import ceil
from typing import Protocol

from handlers.errors import Fault
from storage.clock import Clock
from storage.ids import ROCKET_CAT

SETTING = "PATCHBAY_HOOK_BYTES_PER_DAY"
DAY_MS = 24 * 3600 * 1000
STORED_TIMES = 3
"""How often what a request holds may be stored: as message, as event, and as it came."""
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


class Totals(Protocol):
    """What is asked of the store."""

    def stored_today(self, payer: str) -> int:
        """Return the bytes stored today (UTC) on the account of a hook or user."""
        ...


class Allotment:
    """Tells who has stored all they may today; days are those of UTC.

    What is under way counts with what it may come to, so that many posts at once go over the bound by little.
    """

    def __init__(self, totals: Totals, clock: Clock, per_day: int) -> None:
        self._totals = totals
        self._clock = clock
        self._per_day = per_day
        self._under_way: dict[str, int] = {}
        self._told: dict[str, int] = {}

    def spent(self, payer: str) -> Fault | None:
        """Return why somebody may store nothing more today, with the time until they may; None when they may."""
        # what the server itself says is not somebody's
        if not self._per_day or payer == ROCKET_CAT or self._totals.stored_today(payer) < self._per_day:
            return None
        return self._fault("and are", ceil((DAY_MS - self._clock.now() % DAY_MS) / 1000))

    def refused(self, payer: str) -> Fault | None:
        """Return why a request may not begin now: all is stored, or may be once what is under way has ended."""
        if spent := self.spent(payer):
            return spent
        under_way = self._under_way.get(payer)
        if not self._per_day or not under_way or self._totals.stored_today(payer) + under_way < self._per_day:
            return None
        return self._fault("and requests under way may come to more", 1)

    def _fault(self, why: str, wait: int) -> Fault:
        return Fault(
            f"Error, too many requests. Please slow down: {_size(self._per_day)} a day may be stored ({SETTING}) "
            f"{why}. You must wait {wait} seconds before trying this endpoint again.",
            "error-too-many-requests",
            status=429,
            retry_after_s=wait,
        )

    def first_refusal(self, payer: str) -> bool:
        """Tell once a day that somebody has stored all they may."""
        day = self._clock.now() // DAY_MS
        if self._told.get(payer) == day or self._totals.stored_today(payer) < self._per_day:
            return False
        self._told = {one: told for one, told in self._told.items() if told == day}
        self._told[payer] = day
        return True

    def begin(self, payer: str, size: int) -> None:
        """Count a request of this many bytes as under way, until its `end`."""
        self._under_way[payer] = self._under_way.get(payer, 0) + size * STORED_TIMES

    def end(self, payer: str, size: int) -> None:
        """Count it no longer: what it stored is counted by the store."""
        left = self._under_way[payer] - size * STORED_TIMES
        if left:
            self._under_way[payer] = left
        else:
            del self._under_way[payer]


def _size(number: int) -> str:
    for unit, name in _UNITS:
        if number >= unit and number % unit == 0:
            return f"{number // unit:,} {name}"
    return f"{number:,} bytes"
