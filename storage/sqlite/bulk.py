"""Inserts many rows with few statements: each step of one hands the interpreter lock over (delivery.md §8)."""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

Row = Sequence[object]
SIZES = (64, 16, 4, 1)
"""Rows a statement; a few fixed sizes, so that the prepared ones are found again."""


def insert_rows(connection: sqlite3.Connection, head: str, rows: Sequence[Row]) -> None:
    """Insert rows; `head` is the statement up to its values, as in `INSERT INTO event (seq, kind)`."""
    place = 0
    for size in SIZES:
        while len(rows) - place >= size:
            chunk = rows[place : place + size]
            connection.execute(_statement(head, len(chunk[0]), size), tuple(chain.from_iterable(chunk)))
            place += size


@lru_cache(maxsize=256)
def _statement(head: str, width: int, size: int) -> str:
    marks = "(" + ", ".join("?" * width) + ")"
    return f"{head} VALUES {', '.join([marks] * size)}"
