"""Inserts many rows with few statements: each step of one hands the interpreter lock over (delivery.md §8)."""

import sqlite3
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

Row = Sequence[Any]  # Any: what a column holds
SIZES = (64, 16, 4, 1)
"""Rows a statement; a few fixed sizes, so that the prepared ones are found again."""


def insert_rows(connection: sqlite3.Connection, head: str, rows: Sequence[Row], tail: str = "") -> list[Row]:
    """Insert rows; `head` is the statement up to its values, `tail` what follows them.

    Returns what a RETURNING in the tail gives.
    """
    place, returned = 0, list[Row]()
    for size in SIZES:
        while len(rows) - place >= size:
            chunk = rows[place : place + size]
            statement = _statement(head, len(chunk[0]), size, tail)
            returned += connection.execute(statement, tuple(chain.from_iterable(chunk))).fetchall()
            place += size
    return returned


@lru_cache(maxsize=256)
def _statement(head: str, width: int, size: int, tail: str) -> str:
    marks = "(" + ", ".join("?" * width) + ")"
    return f"{head} VALUES {', '.join([marks] * size)} {tail}"
