"""What really stands in a server's database file, read beside the running server."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any  # columns hold anything


def rows(data: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Return what a query finds in the file; the connection cannot write."""
    with closing(sqlite3.connect(f"file:{data / 'patchbay.db'}?mode=ro", uri=True)) as database:
        return database.execute(sql, values).fetchall()


def message_row(data: Path, message_id: str) -> dict[str, Any]:
    """Return the one stored message of that id: room, user, text and what its body holds."""
    [(room_id, user_id, thread_id, text, body)] = rows(
        data, "SELECT room_id, user_id, thread_id, text, body FROM message WHERE id = ?", message_id
    )
    return {"room": room_id, "user": user_id, "thread": thread_id, "text": text, **json.loads(body)}
