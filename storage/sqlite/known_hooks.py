"""Lists hooks, reading and opening those alone that changed since the last list."""

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

import orjson

from storage.ids import OrgId
from storage.records.integration import Hook
from storage.sqlite import rows
from storage.sqlite.reads import marks
from storage.vault import Vault

FEW = 500
"""Up to this many hooks are asked for by their ids."""

# one step of SQLite and one value: thousands of rows would each hand the interpreter lock over and wait for it again
_STAMPS = "SELECT json_group_object(id, hex(substr(sealed, 1, 16))) FROM integration WHERE org_id = ?"
_oldest_first = attrgetter("created_at", "id")


@dataclass(frozen=True, slots=True)
class _Known:
    """What was listed last: the same ids in both."""

    stamps: Mapping[str, str] = field(default_factory=dict)
    hooks: Mapping[str, Hook] = field(default_factory=dict)
    """Oldest first: one that is only edited keeps its place."""


def _is_moved(before: Hook | None, now: Hook) -> bool:
    return before is None or before.created_at != now.created_at


class KnownHooks:
    """Keeps each hook with the stamp of what it was read from: the key and the nonce it is sealed with.

    Opening 10,000 hooks takes a quarter of a second, and one of them changes often while the rest are listed and
    completed (commands.md §2.7). Every write of a hook seals it with a fresh nonce: the same stamp is the same hook,
    whoever wrote it, also after one was removed and made again under its id.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        # who asks while another opens them all waits for what that one finds: together they would take far longer
        self._one_at_a_time = threading.Lock()
        self._known: dict[OrgId, _Known] = {}

    def all(self, connection: sqlite3.Connection, org: OrgId) -> list[Hook]:
        """Return an organisation's hooks as they are stored now, oldest first."""
        with self._one_at_a_time:
            before = self._known.get(org, _Known())
            connection.execute("BEGIN")  # stamps and hooks of one moment
            try:
                stamps: dict[str, str] = orjson.loads(connection.execute(_STAMPS, (org,)).fetchone()[0])
                known = before.stamps.get
                read = self._read(connection, org, [key for key, stamp in stamps.items() if known(key) != stamp])
            finally:
                connection.execute("COMMIT")
            hooks = {**before.hooks, **read}
            for gone in before.stamps.keys() - stamps.keys():
                del hooks[gone]
            if any(_is_moved(before.hooks.get(key), hook) for key, hook in read.items()):
                hooks = {hook.id: hook for hook in sorted(hooks.values(), key=_oldest_first)}
            self._known[org] = _Known(stamps, hooks)
        return list(hooks.values())

    def _read(self, connection: sqlite3.Connection, org: OrgId, ids: Sequence[str]) -> dict[str, Hook]:
        where, values = (f"id IN ({marks(ids)})", ids) if len(ids) <= FEW else ("org_id = ?", [org])
        found = connection.execute(f"SELECT id, body, sealed FROM integration WHERE {where}", values)
        return {row["id"]: rows.hook_from(row, self._vault) for row in found}
