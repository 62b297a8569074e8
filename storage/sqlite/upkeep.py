"""Keeps the file healthy: retention in slices, integrity check, online backup, re-encryption."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

from storage.errors import Corrupt
from storage.sqlite.connect import connect, translated
from storage.vault import Vault

Progress = Callable[[int, int], None]

DAY_MS = 24 * 3600 * 1000
SLICE_ROWS = 500
"""Rows removed in one transaction, so that retention never holds up the writer."""

_OLDEST = (
    "DELETE FROM {0} WHERE {1} IN (SELECT {1} FROM (SELECT {1}, {2} FROM {0}{3} ORDER BY {1} LIMIT ?1) WHERE {2} < ?2)"
)
"""Looks at the oldest rows only, so that a slice costs the same in a large table."""

_AGES: tuple[tuple[str, int], ...] = (
    (_OLDEST.format("attempt", "rowid", "updated_at", ""), 30),
    (_OLDEST.format("hook_request", "rowid", "at", ""), 30),
    (_OLDEST.format("dedup", "seq", "at", ""), 8),
    (_OLDEST.format("delivery", "id", "updated_at", " WHERE state IN ('delivered', 'discarded')"), 30),
    (_OLDEST.format("delivery", "id", "updated_at", " WHERE state = 'dead'"), 90),
    ("DELETE FROM token WHERE hash IN (SELECT hash FROM token WHERE expires_at < ?2 LIMIT ?1)", 0),
)
"""What goes at which age in days (decision 33)."""

EVENT_DAYS = 7
"""Age at which an event leaves the stream; it stays while a delivery still points at it."""

_SEALED: tuple[tuple[str, str, str, str], ...] = (
    ("integration", "rowid", "'integration:' || id", "sealed"),
    ("integration_version", "rowid", "'integration:' || integration_id || ':' || version", "sealed"),
    ("hook_request", "rowid", "'request:' || id", "sealed"),
    ("setting", "key", "'setting:' || key", "value"),
)
"""Every sealed column: table, key, the record's identity as SQL, column."""


def purge(connection: sqlite3.Connection, now: int) -> int:
    """Remove one slice of each kind of row that is past its age."""
    return sum(connection.execute(statement, (SLICE_ROWS, now - days * DAY_MS)).rowcount for statement, days in _AGES)


def purge_events(connection: sqlite3.Connection, now: int, after: int) -> tuple[int, int]:
    """Look at one slice of events after a place; returns how many went and where to go on (0: start over)."""
    seqs = [
        row[0]
        for row in connection.execute(
            "SELECT seq FROM event WHERE seq > ? AND at < ? AND seq < (SELECT max(seq) FROM event)"
            " ORDER BY seq LIMIT ?",
            (after, now - EVENT_DAYS * DAY_MS, SLICE_ROWS),
        )
    ]
    if not seqs:
        return 0, 0
    gone = connection.execute(
        "DELETE FROM event WHERE seq BETWEEN ? AND ?"
        " AND NOT EXISTS (SELECT 1 FROM delivery WHERE event_seq = event.seq)",
        (seqs[0], seqs[-1]),
    ).rowcount
    return gone, seqs[-1]


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
    reading = connect(source, readonly=True)
    try:
        with translated(partial):
            copy = sqlite3.connect(partial)
            try:
                # all pages in one step: a page step would start over with every commit beside it
                reading.backup(copy)
                pages = copy.execute("PRAGMA page_count").fetchone()[0]
                copy.execute("PRAGMA journal_mode = DELETE")
                faults = check(copy)
            finally:
                copy.close()
    finally:
        reading.close()
    if faults:
        raise Corrupt(f"The backup is not sound and was not kept: {faults[0]}.")
    partial.replace(target)
    if progress:
        progress(pages, pages)


def reseal(
    connection: sqlite3.Connection, vault: Vault, after: tuple[int, object], limit: int
) -> tuple[int, object, int, int]:
    """Seal one slice again with the first key; returns where to go on, rows looked at and rows changed."""
    table_number, last = after
    table, key, identity, column = _SEALED[table_number]
    found = connection.execute(
        f"SELECT {key}, {identity}, {column} FROM {table} WHERE ?1 IS NULL OR {key} > ?1 ORDER BY {key} LIMIT ?2",
        (last, limit),
    ).fetchall()
    changed = 0
    for row_key, name, sealed in found:
        if not vault.is_current(sealed):
            fresh = vault.seal(vault.open(sealed, name), name)
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (fresh, row_key))
            changed += 1
    if len(found) == limit:
        return table_number, found[-1][0], limit, changed
    return table_number + 1, None, len(found), changed


def sealed_tables() -> int:
    """Return how many tables hold sealed values."""
    return len(_SEALED)


def sealed_rows(connection: sqlite3.Connection) -> int:
    """Return how many sealed values there are."""
    return sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table, *_ in _SEALED)
