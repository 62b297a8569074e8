"""Opens connections with the settings durability rests on, and translates SQLite's faults into ours."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from storage.errors import Corrupt, NewerVersion, ReadOnly, StorageError, StorageFull, Taken, Unavailable
from storage.sqlite.schema import migrations

BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another process, such as the CLI beside a running server (decision 28)."""

_ADVICE = {
    sqlite3.SQLITE_FULL: StorageFull,
    sqlite3.SQLITE_READONLY: ReadOnly,
    sqlite3.SQLITE_CANTOPEN: ReadOnly,
    sqlite3.SQLITE_PERM: ReadOnly,
    sqlite3.SQLITE_CORRUPT: Corrupt,
    sqlite3.SQLITE_NOTADB: Corrupt,
}


def translate(error: sqlite3.Error, path: Path | None = None) -> StorageError:
    """Return our error for one of SQLite's."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    kind: type[StorageError] = _ADVICE.get(code, Unavailable)
    if isinstance(error, sqlite3.IntegrityError):
        return Taken(str(error))
    if code == sqlite3.SQLITE_IOERR:  # what a full disk gives when the WAL or its index cannot grow
        kind = StorageFull
    reason = (kind.__doc__ or "").strip()
    return kind(f"{path}: {reason} (SQLite: {error})" if path else f"{reason} (SQLite: {error})")


@contextmanager
def translated(path: Path | None = None) -> Iterator[None]:
    """Raise our errors instead of SQLite's."""
    try:
        yield
    except sqlite3.Error as error:
        raise translate(error, path) from error


def connect(path: Path, *, readonly: bool = False) -> sqlite3.Connection:
    """Open the database file; raise StorageError when it cannot be used or is not durable."""
    with translated(path):
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'ro' if readonly else 'rwc'}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_TIMEOUT_S,
            cached_statements=256,
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA temp_store = MEMORY")
            if not readonly:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                _assert_durable(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _assert_durable(connection: sqlite3.Connection) -> None:
    """A 2xx means durable (delivery.md §1): refuse to run on weaker settings."""
    found = tuple(
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous", "foreign_keys")
    )
    if found != ("wal", 2, 1):
        raise Unavailable(f"The database must run with WAL, synchronous=FULL and foreign keys; it runs with {found}.")


def pending_migrations(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Return the names of the pending migrations; raise NewerVersion for a file we do not know."""
    with translated(path):
        database = Database(connection)
        pending = [migration.name for migration in migrations.pending(database)]
        applied = {migration.name for migration in migrations.applied(database)}
        tables = database.table_names()
    known = {migration.name for migration in migrations.pending(Database(memory=True))}
    if applied - known:
        raise NewerVersion(f"{path}: {(NewerVersion.__doc__ or '').strip()}")
    if tables and not applied:
        raise Corrupt(f"{path}: {(Corrupt.__doc__ or '').strip()}")
    return pending


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply every pending migration, each in a transaction of its own."""
    with translated(path):
        migrations.apply(Database(connection))
