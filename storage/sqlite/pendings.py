"""What waits for a person, in its table: written as part of a unit of work, read while it stands."""

import sqlite3

from storage.clock import Millis
from storage.errors import Spent, VaultError
from storage.plain_json import read, write_bytes
from storage.records.changes import Changes
from storage.records.pending import MOST_TRIES, Pending, PendingEnd, PendingKind
from storage.vault import Vault

Connection = sqlite3.Connection

_STANDS = "ended IS NULL AND expires_at > ?"
_NAMED = "kind = ? AND key_hash = ?"


def _hash(vault: Vault, kind: PendingKind, key: str) -> bytes:
    return vault.lookup(f"pending:{kind.value}:{key}")


def _identity(kind: PendingKind, key_hash: bytes) -> str:
    """Return the record's identity, as `upkeep` writes it in SQL."""
    return f"pending:{kind.value}:{key_hash.hex().upper()}"


def _seal(vault: Vault, pending: Pending, key_hash: bytes) -> bytes:
    return vault.seal(write_bytes([pending.key, pending.body]), _identity(pending.kind, key_hash))


def write(connection: Connection, vault: Vault, unit: Changes, now: Millis) -> None:
    """Write what a unit says of pending things; raise Spent when one it builds on does not stand any more."""
    for kind, key in unit.pending_take:
        taken = connection.execute(
            f"UPDATE pending SET ended = ? WHERE {_NAMED} AND {_STANDS}",
            (PendingEnd.TAKEN.value, kind.value, _hash(vault, kind, key), now),
        )
        if taken.rowcount == 0:
            raise Spent
    for kind, user_id, place in unit.pending_clear:
        connection.execute(
            f"UPDATE pending SET ended = ? WHERE user_id = ? AND kind = ? AND place = ? AND {_STANDS}",
            (PendingEnd.REPLACED.value, user_id, kind.value, place, now),
        )
    for pending in unit.pending_put:
        key_hash = _hash(vault, pending.kind, pending.key)
        connection.execute(
            f"DELETE FROM pending WHERE {_NAMED} AND NOT ({_STANDS})", (pending.kind.value, key_hash, now)
        )
        connection.execute(
            "INSERT INTO pending (kind, key_hash, user_id, place, sealed, expires_at, tries)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                pending.kind.value, key_hash, pending.user_id, pending.place, _seal(vault, pending, key_hash),
                pending.expires_at, pending.tries,
            ),
        )  # fmt: skip
    for pending in unit.pending_fill:
        key_hash = _hash(vault, pending.kind, pending.key)
        filled = connection.execute(
            f"UPDATE pending SET sealed = ?, expires_at = ? WHERE {_NAMED} AND {_STANDS}",
            (_seal(vault, pending, key_hash), pending.expires_at, pending.kind.value, key_hash, now),
        )
        if filled.rowcount == 0:
            raise Spent
    for kind, key in unit.pending_try:
        connection.execute(
            f"UPDATE pending SET tries = tries + 1, ended = CASE WHEN tries + 1 >= ? THEN ? END"
            f" WHERE {_NAMED} AND {_STANDS}",
            (MOST_TRIES, PendingEnd.GUESSED.value, kind.value, _hash(vault, kind, key), now),
        )


_SELECT = "SELECT kind, key_hash, user_id, place, sealed, expires_at, tries FROM pending"


def pending(connection: Connection, vault: Vault, kind: PendingKind, key: str, now: Millis) -> Pending | None:
    row = connection.execute(
        f"{_SELECT} WHERE {_NAMED} AND {_STANDS}", (kind.value, _hash(vault, kind, key), now)
    ).fetchone()
    return _from(row, vault) if row else None


def pending_of(
    connection: Connection, vault: Vault, kind: PendingKind, user_id: str, place: str, now: Millis
) -> Pending | None:
    row = connection.execute(
        f"{_SELECT} WHERE user_id = ? AND kind = ? AND place = ? AND {_STANDS} ORDER BY seq DESC LIMIT 1",
        (user_id, kind.value, place, now),
    ).fetchone()
    return _from(row, vault) if row else None


def pending_end(connection: Connection, vault: Vault, kind: PendingKind, key: str, now: Millis) -> PendingEnd | None:
    row = connection.execute(
        f"SELECT ended, expires_at FROM pending WHERE {_NAMED}", (kind.value, _hash(vault, kind, key))
    ).fetchone()
    if row is None or (row["ended"] is None and row["expires_at"] > now):
        return None
    return PendingEnd(row["ended"] or PendingEnd.EXPIRED)


def _from(row: sqlite3.Row, vault: Vault) -> Pending | None:
    kind = PendingKind(row["kind"])
    try:
        key, body = read(vault.open(row["sealed"], _identity(kind, row["key_hash"])))
    except VaultError:  # damaged: it is as good as over, and whoever waits for it asks for a new one
        return None
    return Pending(
        kind=kind, key=key, user_id=row["user_id"], place=row["place"], body=body,
        expires_at=Millis(row["expires_at"]), tries=row["tries"],
    )  # fmt: skip
