"""Lists hooks, opening the secrets of those alone that changed since the last list."""

import sqlite3
import threading

from storage.ids import IntegrationId, OrgId
from storage.records.integration import Hook
from storage.sqlite import rows
from storage.vault import Vault


class KnownHooks:
    """Keeps each hook beside the ciphertext it was read from.

    Opening 10,000 hooks takes a quarter of a second, and one of them changes often while the rest are listed and
    completed (commands.md §2.7). Every write of a hook seals it with a fresh nonce: the same ciphertext is the same
    hook, whoever wrote it, also after one was removed and made again under its id.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        # who asks while another opens them all waits for what that one finds: together they would take far longer
        self._one_at_a_time = threading.Lock()
        self._known: dict[OrgId, dict[IntegrationId, tuple[bytes, Hook]]] = {}

    def all(self, connection: sqlite3.Connection, org: OrgId) -> list[Hook]:
        """Return an organisation's hooks as they are stored now, oldest first."""
        with self._one_at_a_time:
            before = self._known.get(org, {})
            now: dict[IntegrationId, tuple[bytes, Hook]] = {}
            for row in connection.execute(
                "SELECT id, body, sealed FROM integration WHERE org_id = ? ORDER BY created_at, id", (org,)
            ):
                known = before.get(row["id"])
                if known is None or known[0] != row["sealed"]:
                    known = row["sealed"], rows.hook_from(row, self._vault)
                now[row["id"]] = known
            self._known[org] = now
        return [hook for _, hook in now.values()]
