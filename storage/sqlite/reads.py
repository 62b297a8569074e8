"""Queries for users, rooms, messages, integrations and events; each a plain function of a connection."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from storage.clock import Millis
from storage.errors import VaultError
from storage.plain_json import write
from storage.records.event import Event
from storage.records.integration import Hook, OutgoingHook, PreviousCalls
from storage.records.message import Message
from storage.records.room import Member, Room, WantedRooms
from storage.records.upload import Upload
from storage.records.user import Token, User
from storage.sqlite import rows
from storage.sqlite.packing import size_of, unpacked
from storage.vault import Vault

Connection = sqlite3.Connection

EVENTS_BYTES = 4 << 20
"""Bodies of events in one page."""


def marks(values: Sequence[object]) -> str:
    """Return as many question marks as there are values."""
    return ", ".join("?" * len(values))


# --- users and tokens -------------------------------------------------------------------------------


def organisation(connection: Connection) -> str | None:
    row = connection.execute("SELECT id FROM organisation ORDER BY rowid LIMIT 1").fetchone()
    return row[0] if row else None


def user(connection: Connection, where: str, value: str) -> User | None:
    """Find one user by a condition with one mark, written by this package only."""
    row = connection.execute(f"SELECT {rows.USER_COLUMNS} FROM user WHERE {where}", (value,)).fetchone()
    return rows.user_from(row) if row else None


def users(connection: Connection, org: str) -> list[User]:
    found = connection.execute(f"SELECT {rows.USER_COLUMNS} FROM user WHERE org_id = ? ORDER BY created_at, id", (org,))
    return [rows.user_from(row) for row in found]


def user_page(connection: Connection, org: str, offset: int, count: int) -> tuple[list[User], int]:
    total = connection.execute("SELECT count(*) FROM user WHERE org_id = ?", (org,)).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.USER_COLUMNS} FROM user WHERE org_id = ? ORDER BY created_at, id LIMIT ? OFFSET ?",
        (org, count, offset),
    )
    return [rows.user_from(row) for row in found], total


def member_page(connection: Connection, room_id: str, offset: int, count: int) -> tuple[list[User], int]:
    total = connection.execute("SELECT count(*) FROM member WHERE room_id = ?", (room_id,)).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.USER_COLUMNS} FROM user WHERE id IN (SELECT user_id FROM member WHERE room_id = ?)"
        " ORDER BY username LIMIT ? OFFSET ?",
        (room_id, count, offset),
    )
    return [rows.user_from(row) for row in found], total


def token(connection: Connection, key: bytes) -> Token | None:
    row = connection.execute(f"SELECT {rows.TOKEN_COLUMNS} FROM token WHERE hash = ?", (key,)).fetchone()
    return rows.token_from(row) if row else None


def tokens_of(connection: Connection, user_id: str, kind: str | None) -> list[Token]:
    found = connection.execute(
        f"SELECT {rows.TOKEN_COLUMNS} FROM token WHERE user_id = ?1 AND (?2 IS NULL OR kind = ?2) ORDER BY created_at",
        (user_id, kind),
    )
    return [rows.token_from(row) for row in found]


# --- rooms ------------------------------------------------------------------------------------------


def room(connection: Connection, where: str, value: str) -> Room | None:
    row = connection.execute(f"SELECT {rows.ROOM_COLUMNS} FROM room WHERE {where}", (value,)).fetchone()
    return rows.room_from(row) if row else None


def rooms(connection: Connection, org: str) -> list[Room]:
    found = connection.execute(f"SELECT {rows.ROOM_COLUMNS} FROM room WHERE org_id = ? ORDER BY created_at, id", (org,))
    return [rows.room_from(row) for row in found]


def rooms_of(connection: Connection, user_id: str) -> list[Room]:
    found = connection.execute(
        f"SELECT {rows.ROOM_COLUMNS} FROM room WHERE id IN (SELECT room_id FROM member WHERE user_id = ?)"
        " ORDER BY created_at, id",
        (user_id,),
    )
    return [rows.room_from(row) for row in found]


def room_page(connection: Connection, wanted: WantedRooms, offset: int, count: int) -> tuple[list[Room], int]:
    tables, conditions, values = "room", ["room.org_id = ?"], list[object]([wanted.org_id])
    if wanted.member is not None:
        tables += " JOIN member ON member.room_id = room.id"
        conditions.append("member.user_id = ?")
        values.append(wanted.member)
    if wanted.kind is not None:
        conditions.append("room.kind = ?")
        values.append(wanted.kind)
    if wanted.since is not None:
        joined = ", member.joined_at" if wanted.member is not None else ""
        conditions.append(f"max(room.updated_at, coalesce(room.last_message_at, 0){joined}) > ?")
        values.append(wanted.since)
    where = " AND ".join(conditions)
    total = connection.execute(f"SELECT count(*) FROM {tables} WHERE {where}", values).fetchone()[0]
    found = connection.execute(
        f"SELECT room.* FROM {tables} WHERE {where} ORDER BY room.name, room.id LIMIT ? OFFSET ?",
        (*values, count, offset),
    )
    return [rows.room_from(row) for row in found], total


def members(connection: Connection, room_id: str) -> list[Member]:
    found = connection.execute("SELECT * FROM member WHERE room_id = ? ORDER BY joined_at, user_id", (room_id,))
    return [rows.member_from(row) for row in found]


def member(connection: Connection, room_id: str, user_id: str) -> Member | None:
    row = connection.execute("SELECT * FROM member WHERE room_id = ? AND user_id = ?", (room_id, user_id)).fetchone()
    return rows.member_from(row) if row else None


def room_counts(connection: Connection, room_ids: Sequence[str]) -> dict[str, tuple[int, int, int | None]]:
    found = connection.execute(
        "SELECT id, (SELECT count(*) FROM member WHERE room_id = room.id), messages, last_message_at"
        " FROM room WHERE id IN (SELECT value FROM json_each(?))",
        (write(room_ids),),
    )
    return {row[0]: (row[1], row[2], row[3]) for row in found}


def room_removals(connection: Connection, room_ids: Sequence[str]) -> list[tuple[str, int, int]]:
    found = connection.execute(
        f"SELECT id, removed, removed_until FROM room WHERE id IN ({marks(room_ids)}) AND removed_until IS NOT NULL",
        room_ids,
    )
    return [(row[0], row[1], row[2]) for row in found]


# --- messages, events, uploads ----------------------------------------------------------------------


def message(connection: Connection, message_id: str) -> Message | None:
    row = connection.execute(f"SELECT {rows.MESSAGE_COLUMNS} FROM message WHERE id = ?", (message_id,)).fetchone()
    return rows.message_from(row) if row else None


def messages(
    connection: Connection,
    room_id: str,
    latest: int | None,
    oldest: int | None,
    inclusive: bool,
    offset: int,
    count: int,
    most_bytes: int | None,
) -> tuple[list[Message], int]:
    edge = "=" if inclusive else ""
    where, values = "room_id = ?", list[object]([room_id])
    for sign, bound in (("<", latest), (">", oldest)):
        if bound is not None:
            where += f" AND at {sign}{edge} ?"
            values.append(bound)
    total = connection.execute(f"SELECT count(*) FROM message WHERE {where}", values).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.MESSAGE_COLUMNS} FROM message WHERE {where} ORDER BY at DESC, seq DESC LIMIT ? OFFSET ?",
        (*values, count, offset),
    )
    return [rows.message_from(row) for row in _up_to(most_bytes, found)], total


def _up_to(most_bytes: int | None, found: Iterable[sqlite3.Row]) -> Iterator[sqlite3.Row]:
    """Yield rows until they hold so many bytes; those behind are not even read from the file."""
    size = 0
    for row in found:
        before, size = size, size + size_of(row["text"]) + size_of(unpacked(row["body"]))
        if most_bytes is not None and before and size > most_bytes:
            return
        yield row


def event(connection: Connection, seq: int) -> Event | None:
    row = connection.execute("SELECT * FROM event WHERE seq = ?", (seq,)).fetchone()
    return rows.event_from(row) if row else None


def events_after(connection: Connection, seq: int, limit: int) -> list[Event]:
    """Return the next events: as many as asked for, or as their bytes allow, but one at least."""
    events, size = list[Event](), 0
    for row in connection.execute("SELECT * FROM event WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)):
        events.append(rows.event_from(row))
        size += len(events[-1].json)
        if size >= EVENTS_BYTES:
            break
    return events


def last_event(connection: Connection) -> int:
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0])


def event_posting(connection: Connection, message_id: str) -> int | None:
    row = connection.execute("SELECT event_seq FROM message WHERE id = ?", (message_id,)).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def upload(connection: Connection, upload_id: str) -> Upload | None:
    row = connection.execute(f"SELECT {rows.UPLOAD_COLUMNS} FROM upload WHERE id = ?", (upload_id,)).fetchone()
    return rows.upload_from(row) if row else None


def uploaded_bytes(connection: Connection, user_id: str) -> int:
    query = "SELECT coalesce(sum(size), 0) FROM upload WHERE user_id = ?"
    return int(connection.execute(query, (user_id,)).fetchone()[0])


def unconfirmed_uploads(connection: Connection, before: int) -> list[Upload]:
    found = connection.execute(
        f"SELECT {rows.UPLOAD_COLUMNS} FROM upload WHERE confirmed = 0 AND created_at < ?", (before,)
    )
    return [rows.upload_from(row) for row in found]


# --- integrations -----------------------------------------------------------------------------------


def hook(connection: Connection, vault: Vault, hook_id: str) -> Hook | None:
    row = connection.execute(f"SELECT {rows.HOOK_COLUMNS} FROM integration WHERE id = ?", (hook_id,)).fetchone()
    return rows.hook_from(row, vault) if row else None


def hooks_calling(connection: Connection, vault: Vault, url: str) -> list[OutgoingHook]:
    found = connection.execute(
        f"SELECT {rows.HOOK_COLUMNS} FROM integration WHERE id IN"
        " (SELECT integration_id FROM integration_url WHERE url_hash = ?) ORDER BY created_at, id",
        (vault.lookup(url),),
    )
    return [one for row in found if isinstance(one := rows.hook_from(row, vault), OutgoingHook)]


def hooks_made_by(connection: Connection, user_id: str) -> int:
    return int(connection.execute("SELECT count(*) FROM integration WHERE created_by = ?", (user_id,)).fetchone()[0])


def hooks_listening(connection: Connection, vault: Vault, name: str, scopes: Sequence[str]) -> list[OutgoingHook]:
    found = connection.execute(
        f"SELECT {rows.HOOK_COLUMNS} FROM integration WHERE enabled AND id IN"
        f" (SELECT integration_id FROM integration_scope WHERE event = ? AND scope IN ({marks(scopes)}))"
        " ORDER BY created_at, id",
        (name, *scopes),
    )
    return [one for row in found if isinstance(one := rows.hook_from(row, vault), OutgoingHook)]


def hook_version(connection: Connection, vault: Vault, hook_id: str, version: int) -> Hook | None:
    row = connection.execute(
        "SELECT sealed FROM integration_version WHERE integration_id = ? AND version = ?", (hook_id, version)
    ).fetchone()
    try:
        return rows.open_version(row[0], hook_id, version, vault) if row else None
    except VaultError:  # as good as one that is no longer kept
        return None


def previous_calls(connection: Connection, tokens: Sequence[tuple[str, bytes]]) -> dict[str, PreviousCalls]:
    found = {}
    for hook_id, token_hash in tokens:
        row = connection.execute(
            "SELECT calls, last_at FROM previous_call WHERE integration_id = ? AND hash = ?", (hook_id, token_hash)
        ).fetchone()
        if row is not None:
            found[hook_id] = PreviousCalls(row[0], Millis(row[1]))
    return found
