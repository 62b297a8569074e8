"""Every sealed value: sealed again with the first key, counted by key, looked through for damage."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress

from storage.errors import VaultError
from storage.vault import Vault, key_of

COLUMNS: tuple[tuple[str, str, str, str], ...] = (
    # first: every process looks here which key is in use, so that none seals with an older one from then on
    ("setting", "key", "'setting:' || key", "value"),
    ("integration", "rowid", "'integration:' || id", "sealed"),
    ("integration_version", "rowid", "'integration:' || integration_id || ':' || version", "sealed"),
    ("hook_request", "rowid", "'request:' || id", "sealed"),
    ("attempt", "rowid", "'attempt:' || id", "sealed"),
    ("pending", "seq", "'pending:' || kind || ':' || hex(key_hash)", "sealed"),
    ("workspace", "rowid", "'workspace:' || id", "sealed"),
)
"""Every sealed column: table, key, the record's identity as SQL, column; NULL where there was nothing to seal."""

RESEAL_ROWS = 200
"""Secrets sealed again in one transaction."""
RESEAL_BYTES = 4 << 20
"""What they hold, too: the bodies of requests are sealed, and each may be a megabyte."""

Place = tuple[int, object]
"""How far re-encryption has come: which sealed column, and the last key looked at."""

_BEFORE_ALL = -1  # sorts before every key, of either type
FIRST: Place = (0, _BEFORE_ALL)


def reseal(connection: sqlite3.Connection, *, vault: Vault, after: Place) -> tuple[Place | None, int, int]:
    """Seal one slice again with the first key; what no key opens stays as it is.

    Returns where to go on (None: all is done), how many were looked at and how many changed.
    """
    number, last = after
    table, key, identity, column = COLUMNS[number]
    found = connection.execute(
        f"SELECT {key}, {identity}, {column} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?", (last, RESEAL_ROWS)
    )
    looked = changed = size = 0
    for row_key, name, sealed in found:
        looked += 1
        if sealed is not None and not vault.is_current(sealed):
            with suppress(VaultError):
                fresh = vault.seal(vault.open(sealed, name), name)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (fresh, row_key))
                changed, size = changed + 1, size + len(fresh)
        if looked == RESEAL_ROWS or size >= RESEAL_BYTES:
            found.close()
            return (number, row_key), looked, changed
    following = (number + 1, _BEFORE_ALL) if number + 1 < len(COLUMNS) else None
    return following, looked, changed


def count(connection: sqlite3.Connection) -> int:
    """Return how many sealed values there are."""
    return sum(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table, *_ in COLUMNS)


def keys_in_use(connection: sqlite3.Connection) -> frozenset[bytes]:
    """Return the ids of the keys that anything is sealed with."""
    found = set[bytes]()
    for table, _, _, column in COLUMNS:
        rows = connection.execute(f"SELECT DISTINCT substr({column}, 1, 4) FROM {table} WHERE {column} IS NOT NULL")
        found |= {key_of(row[0]) for row in rows}
    return frozenset(found)


def damaged(connection: sqlite3.Connection, vault: Vault) -> Iterator[str]:
    """Return the identities of the sealed values that no key opens: changed, moved, or of a key that is not there."""
    for table, key, identity, column in COLUMNS:
        rows = connection.execute(f"SELECT {identity}, {column} FROM {table} WHERE {column} IS NOT NULL ORDER BY {key}")
        for name, sealed in rows:
            try:
                vault.open(sealed, name)
            except VaultError:
                yield name
