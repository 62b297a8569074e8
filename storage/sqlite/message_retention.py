"""Removes what a room keeps no longer: the oldest messages by age or number, a slice at a time."""

import sqlite3

from storage.plain_json import read, write
from storage.sqlite.packing import size_of, unpacked

SLICE_MESSAGES = 500
SLICE_BYTES = 4 << 20
"""Messages removed, or replies changed, in one transaction, and the bytes of them: it holds up posts for a few
milliseconds."""

KEEPING = "SELECT id, keep_ms, keep_last, messages FROM room WHERE keep_ms IS NOT NULL OR keep_last IS NOT NULL"
OLDEST_AT = "SELECT at FROM message WHERE room_id = ? ORDER BY at, seq LIMIT 1"
OLDEST = "SELECT seq, id, at, text, body FROM message WHERE room_id = ? ORDER BY at, seq LIMIT ?"
REPLIES = (
    "UPDATE message SET thread_id = NULL, version = version + 1 WHERE seq IN (SELECT seq FROM message"
    " WHERE thread_id IN (SELECT value FROM json_each(?1)) AND id NOT IN (SELECT value FROM json_each(?1)) LIMIT ?2)"
)


def purge_messages(connection: sqlite3.Connection, now: int) -> int:
    """Remove one slice of what rooms keep no longer; returns how many rows were removed or changed.

    Events stay for as long as deliveries need them. What is left of an uploaded file without its record is removed
    by whoever looks after the files.
    """
    for room_id, keep_ms, keep_last, messages in connection.execute(KEEPING).fetchall():
        before = None if keep_ms is None else now - keep_ms
        beyond = 0 if keep_last is None else messages - keep_last
        oldest = connection.execute(OLDEST_AT, (room_id,)).fetchone()
        if oldest is not None and (beyond > 0 or (before is not None and oldest[0] < before)):
            return _remove(connection, room_id, _going(connection, room_id, before, beyond))
    return 0


def _going(connection: sqlite3.Connection, room_id: str, before: int | None, beyond: int) -> "_Slice":
    """Return the oldest messages of a room that go: the first so many, and those from before a moment."""
    found = _Slice()
    for row in connection.execute(OLDEST, (room_id, SLICE_MESSAGES)):
        if found.size >= SLICE_BYTES or not (len(found.seqs) < beyond or (before is not None and row["at"] < before)):
            break
        found.take(row)
    return found


class _Slice:
    """Messages to remove, without what they hold."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.ids: list[str] = []
        self.files: list[str] = []
        self.until = 0
        self.size = 0

    def take(self, row: sqlite3.Row) -> None:
        self.seqs.append(row["seq"])
        self.ids.append(row["id"])
        self.until = max(self.until, row["at"])
        self.size += size_of(row["text"]) + size_of(row["body"])
        body = unpacked(row["body"])
        if '"file"' in body and (file := read(body).get("file")):
            self.files.append(file["_id"])


def _remove(connection: sqlite3.Connection, room_id: str, going: _Slice) -> int:
    """Remove messages; replies that stay lose their thread first, in slices of their own where they are many."""
    changed = connection.execute(REPLIES, (write(going.ids), SLICE_MESSAGES)).rowcount
    if changed == SLICE_MESSAGES:
        return changed
    connection.executemany("DELETE FROM upload WHERE id = ?", [(file,) for file in going.files])
    connection.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq in going.seqs])
    connection.execute(
        "UPDATE room SET messages = messages - ?1, removed = removed + ?1,"
        " removed_until = max(coalesce(removed_until, 0), ?2),"
        " last_message_at = (SELECT max(at) FROM message WHERE room_id = room.id) WHERE id = ?3",
        (len(going.seqs), going.until, room_id),
    )
    return changed + len(going.seqs)
