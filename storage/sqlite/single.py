"""Writes one record: a new one, or a changed one over the version it was made from."""

import sqlite3
from typing import Protocol

from storage.errors import Gone, Stale
from storage.sqlite.rows import Row


class _Versioned(Protocol):
    """A record that is put."""

    @property
    def id(self) -> str: ...
    @property
    def version(self) -> int: ...


def insert(table: str, names: str) -> str:
    """Return an INSERT with a mark for each column."""
    return f"INSERT INTO {table} ({names}) VALUES ({_marks(names)})"


def put(connection: sqlite3.Connection, table: str, names: str, row: Row, record: _Versioned) -> None:
    """Replace a row by the record's next version; raise Stale when it is another one by now, Gone when it is not there.

    Without that a record that was read a while ago would undo whatever was changed since.
    """
    changed = connection.execute(
        f"UPDATE {table} SET ({names}) = ({_marks(names)}) WHERE id = ? AND version = ?",
        (*row, record.id, record.version - 1),
    )
    if changed.rowcount == 0:
        there = connection.execute(f"SELECT 1 FROM {table} WHERE id = ?", (record.id,)).fetchone()
        raise Stale if there else Gone


def _marks(names: str) -> str:
    return ", ".join("?" * len(names.split(",")))
