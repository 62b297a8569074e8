"""Keeps the file healthy: retention in slices, integrity check, online backup."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from storage.errors import Corrupt
from storage.records.audit import AUDIT_DAYS
from storage.records.pending import KNOWN_DAYS
from storage.sqlite.connect import connect, translated

Progress = Callable[[int, int], None]

DAY_MS = 24 * 3600 * 1000
BACKUP_PAGES = 1000
"""Pages copied between two reports of progress."""
SLICE_ROWS = 500
"""Rows removed in one transaction, so that retention never holds up the writer."""

_OLDEST = (
    "DELETE FROM {0} WHERE {1} IN (SELECT {1} FROM (SELECT {1}, {2} FROM {0}{3} ORDER BY {1} LIMIT ?1) WHERE {2} < ?2)"
)
"""Looks at the oldest rows only, so that a slice costs the same in a large table."""

_AHEAD = "UPDATE {0} SET {2} = ?2 WHERE {1} IN (SELECT {1} FROM {0} ORDER BY {1} LIMIT ?1) AND {2} > ?2 + 86400000"
"""What was written while the clock was ahead ages from now on: else it would stay for as long as that was, and keep
all behind it, as only the oldest rows are looked at."""
_MAY_BE_AHEAD = tuple(
    _AHEAD.format(*columns)
    for columns in (
        ("attempt", "rowid", "updated_at"),
        ("hook_request", "id", "at"),
        ("dedup", "seq", "at"),
        ("delivery", "id", "updated_at"),
        ("audit", "seq", "at"),
        ("event", "seq", "at"),
    )
)

_NOT_LAST = "id < (SELECT max(id) FROM delivery)"
"""The last delivery stays, so that its number is not given again."""

_AGES: tuple[tuple[str, int], ...] = (
    (_OLDEST.format("attempt", "rowid", "updated_at", ""), 30),
    # by id, which tells the time: a request stands in the row of the one that made room for it
    (_OLDEST.format("hook_request", "id", "at", ""), 30),
    (_OLDEST.format("dedup", "seq", "at", ""), 8),
    (_OLDEST.format("delivery", "id", "updated_at", f" WHERE state IN ('delivered', 'discarded') AND {_NOT_LAST}"), 30),
    (_OLDEST.format("delivery", "id", "updated_at", f" WHERE state = 'dead' AND {_NOT_LAST}"), 90),
    (_OLDEST.format("audit", "seq", "at", ""), AUDIT_DAYS),
    ("DELETE FROM pending WHERE seq IN (SELECT seq FROM pending WHERE expires_at < ?2 LIMIT ?1)", KNOWN_DAYS),
    ("DELETE FROM stored_bytes WHERE payer IN (SELECT payer FROM stored_bytes WHERE day < ?2 / 86400000 LIMIT ?1)", 1),
    ("DELETE FROM token WHERE hash IN (SELECT hash FROM token WHERE expires_at < ?2 LIMIT ?1)", 0),
)
"""What goes at which age in days (decision 33)."""

EVENT_DAYS = 7
"""Age at which an event leaves the stream; it stays while a delivery still points at it."""

_OF_REMOVED = "DELETE FROM {0} WHERE {1} IN (SELECT {0}.{1} FROM removed CROSS JOIN {0} USING (integration_id) LIMIT ?)"
_LEFT_BY_REMOVED = (_OF_REMOVED.format("attempt", "rowid"),)


def purge(connection: sqlite3.Connection, now: int) -> int:
    """Remove one slice of each kind of row that is past its age."""
    for statement in _MAY_BE_AHEAD:
        connection.execute(statement, (SLICE_ROWS, now))
    return sum(connection.execute(statement, (SLICE_ROWS, now - days * DAY_MS)).rowcount for statement, days in _AGES)


def sweep(connection: sqlite3.Connection) -> int:
    """Remove one slice of what removed integrations left."""
    gone = sum(connection.execute(statement, (SLICE_ROWS,)).rowcount for statement in _LEFT_BY_REMOVED)
    if not gone:
        connection.execute("DELETE FROM removed")
    return gone


def purge_events(connection: sqlite3.Connection, now: int, after: int) -> tuple[int, int]:
    """Look at one slice of events after a place; returns how many went and where to go on (0: start over).

    The last event stays, so that its number is not given again.
    """
    last, reached, looked = connection.execute(
        "SELECT max(seq), max(seq) FILTER (WHERE at < ?2), count(*)"
        " FROM (SELECT seq, at FROM event WHERE seq > ?1 ORDER BY seq LIMIT ?3)",
        (after, now - EVENT_DAYS * DAY_MS, SLICE_ROWS),
    ).fetchone()
    if reached is None:
        return 0, 0
    gone = connection.execute(
        "DELETE FROM event WHERE seq > ?1 AND seq <= ?2 AND at < ?3 AND seq < (SELECT max(seq) FROM event)"
        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE event_seq = event.seq)",
        (after, reached, now - EVENT_DAYS * DAY_MS),
    ).rowcount
    return gone, last if looked == SLICE_ROWS else 0


def check(connection: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds wrong with the file and its references."""
    faults = [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
    faults += [
        f"{row[0]} row {row[1]} points at a missing {row[2]}" for row in connection.execute("PRAGMA foreign_key_check")
    ]
    return faults


def backup(source: Path, target: Path, progress: Progress | None) -> None:
    """Copy the database page by page while it is written; the copy appears whole or not at all."""
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    try:
        with closing(connect(source, readonly=True)) as reading, translated(partial):
            _copy(reading, partial, progress)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _copy(reading: sqlite3.Connection, partial: Path, progress: Progress | None) -> None:
    # one snapshot for the whole copy: without it every commit beside it would start the copy over
    reading.execute("BEGIN")
    reading.execute("SELECT count(*) FROM sqlite_master").fetchone()
    with closing(sqlite3.connect(partial)) as copy:
        reading.backup(
            copy,
            pages=BACKUP_PAGES,
            progress=lambda _, left, pages: progress(pages - left, pages) if progress else None,
        )
        copy.execute("PRAGMA journal_mode = DELETE")
        faults = check(copy)
    if faults:
        raise Corrupt(f"The backup is not sound and was not kept: {faults[0]}.")
