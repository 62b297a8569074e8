"""Brings an opened file to the version of the program; apart from what only opens files, which needs far less."""

import sqlite3
from pathlib import Path

from sqlite_utils import Database

from storage.errors import Corrupt, NewerVersion
from storage.sqlite.connect import translated
from storage.sqlite.schema import migrations


def pending_migrations(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Return the names of the pending migrations; raise NewerVersion for a file we do not know."""
    with translated(path):
        database = Database(connection)
        pending = [migration.name for migration in migrations.pending(database)]
        applied = {migration.name for migration in migrations.applied(database)}
        tables = set(database.table_names()) - {migrations.migrations_table}
    with Database(memory=True) as nothing:
        known = {migration.name for migration in migrations.pending(nothing)}
    if applied - known:
        raise NewerVersion(f"{path}: {(NewerVersion.__doc__ or '').strip()}")
    if tables and not applied:
        raise Corrupt(f"{path}: {(Corrupt.__doc__ or '').strip()}")
    return pending


def migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Apply every pending migration, each in a transaction of its own."""
    with translated(path):
        migrations.apply(Database(connection))
