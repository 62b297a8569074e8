"""How many bytes each hook and user has stored today, counted where rows are written and known where posts come in."""

import sqlite3
from collections.abc import Iterable

from storage.clock import Clock
from storage.records.changes import Changes

DAY_MS = 24 * 3600 * 1000
KEPT_FROM = 1 << 20
"""Bytes counted in memory before the total is written: usual posts write no row for it, and what a crash forgets is
little against a day's bound."""


def payer_of(unit: Changes) -> str | None:
    """Return on whose account a unit of work is stored: the hook's that was called or that posts, else the user's."""
    if unit.request is not None:
        return unit.request.integration_id
    if unit.new_messages:
        first = unit.new_messages[0]
        return first.integration_id or first.user_id
    # an edit or a reaction: the message may be somebody else's, the event tells whose deed it is
    return unit.facts[0].event.user_id if unit.put_messages and unit.facts else None


class DayTotals:
    """Totals of one day in memory; they begin anew with each day of UTC."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._day = -1
        self._totals: dict[str, int] = {}

    def today(self) -> int:
        """Return which day it is, dropping the totals of another one."""
        day = self._clock.now() // DAY_MS
        if day != self._day:
            self._day = day
            self._totals.clear()
        return day

    def get(self, payer: str) -> int | None:
        """Return today's total; None when nothing is known of it."""
        self.today()
        return self._totals.get(payer)

    def put(self, payer: str, total: int) -> None:
        """Set today's total."""
        self._totals[payer] = total

    def add(self, payer: str, size: int) -> None:
        """Count further bytes."""
        self._totals[payer] = (self.get(payer) or 0) + size

    def clear(self) -> None:
        """Forget them."""
        self._totals.clear()


class Tally:
    """Counts on the writing connection, and writes a total whenever it has grown by `KEPT_FROM`."""

    def __init__(self, clock: Clock) -> None:
        self._totals = DayTotals(clock)

    def forget(self) -> None:
        """Drop what is remembered; the totals go on from what was written."""
        self._totals.clear()

    def count(self, connection: sqlite3.Connection, payer: str, size: int) -> None:
        """Count bytes that were just stored."""
        day, before = self._totals.today(), self._totals.get(payer)
        if before is None:
            found = connection.execute("SELECT bytes FROM stored_bytes WHERE payer = ? AND day = ?", (payer, day))
            before = next((int(row[0]) for row in found), 0)
        total = before + size
        self._totals.put(payer, total)
        if total // KEPT_FROM != before // KEPT_FROM:
            connection.execute(
                "INSERT INTO stored_bytes (payer, day, bytes) VALUES (?, ?, ?)"
                " ON CONFLICT (payer) DO UPDATE SET day = excluded.day, bytes = excluded.bytes",
                (payer, day, total),
            )


def totals_of(connection: sqlite3.Connection, day: int) -> Iterable[tuple[str, int]]:
    """Return the totals that were written on a day."""
    return connection.execute("SELECT payer, bytes FROM stored_bytes WHERE day = ?", (day,)).fetchall()
