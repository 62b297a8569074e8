"""Opens connections with the settings durability rests on, and translates SQLite's faults into ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.errors import Corrupt, Gone, ReadOnly, StorageError, StorageFull, Taken, Unavailable

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another process, such as the CLI beside a running server (decision 28)."""

WRITER_CACHE_KIB = 32 * 1024
"""Pages the writer keeps: random request ids touch the whole of their index (delivery.md §8)."""

_ADVICE = {
    sqlite3.SQLITE_FULL: StorageFull,
    sqlite3.SQLITE_READONLY: ReadOnly,
    sqlite3.SQLITE_CANTOPEN: ReadOnly,
    sqlite3.SQLITE_PERM: ReadOnly,
    sqlite3.SQLITE_CORRUPT: Corrupt,
    sqlite3.SQLITE_NOTADB: Corrupt,
    # what a full disk gives when the WAL's index cannot grow or the file system finds out late
    sqlite3.SQLITE_IOERR_SHMSIZE: StorageFull,
    sqlite3.SQLITE_IOERR_WRITE: StorageFull,
    sqlite3.SQLITE_IOERR_FSYNC: StorageFull,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: Taken,
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: Taken,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: Gone,
    sqlite3.SQLITE_BUSY: Unavailable,
    sqlite3.SQLITE_LOCKED: Unavailable,
    sqlite3.SQLITE_PROTOCOL: Unavailable,
    sqlite3.SQLITE_IOERR: Unavailable,
    sqlite3.SQLITE_NOMEM: Unavailable,
}
"""Our error for SQLite's extended code, else for its primary code; any other is a fault of the program."""


def translate(error: sqlite3.Error, path: Path | None = None) -> StorageError:
    """Return our error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0)
    kind: type[StorageError] = _ADVICE.get(code) or _ADVICE.get(code & 0xFF, StorageError)
    reason = (kind.__doc__ or "").strip()
    return kind(f"{path}: {reason} (SQLite: {error})" if path else f"{reason} (SQLite: {error})")


@contextmanager
def translated(path: Path | None = None) -> Iterator[None]:
    """Raise our errors instead of SQLite's."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def side_files(path: Path) -> tuple[Path, ...]:
    """Return the files of the log beside a database; they are there while it is open, and after a crash."""
    return tuple(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))


def connect(
    path: Path,
    *,
    readonly: bool = False,
    new: bool = False,
    immutable: bool = False,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
) -> sqlite3.Connection:
    """Open the database file without changing it yet; raise StorageError when it cannot be opened.

    Only with `new` is one made where there is none. `immutable` reads a file that nobody else has open, and makes no
    file beside it.
    """
    mode = "ro" if readonly else "rwc" if new else "rw"
    with translated(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}&immutable={int(immutable)}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=busy_timeout_s,
            cached_statements=256,
        )
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
    return connection


def make_durable(connection: sqlite3.Connection, path: Path) -> None:
    """Let a commit mean what a 2xx promises (delivery.md §1); raise Unavailable when the file cannot do that."""
    with translated(path):
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
        settings = ("journal_mode", "synchronous", "foreign_keys")
        found = tuple(connection.execute(f"PRAGMA {name}").fetchone()[0] for name in settings)
    if found != ("wal", 2, 1):
        raise Unavailable(f"The database must run with WAL, synchronous=FULL and foreign keys; it runs with {found}.")
