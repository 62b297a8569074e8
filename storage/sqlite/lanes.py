"""Lanes: one per integration and address, so that one slow endpoint delays nobody else (delivery.md §1)."""

import sqlite3
from collections.abc import Sequence

from storage.ids import IntegrationId, LaneId
from storage.records.integration import Hook, OutgoingHook
from storage.sqlite.schema import IDLE
from storage.vault import Vault


class Lanes:
    """Finds and wakes lanes; remembers their ids, which only the writing thread uses."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[tuple[IntegrationId, bytes], LaneId] = {}

    def forget(self) -> None:
        """Drop what is remembered: a rollback or another process may have changed it."""
        self._known.clear()

    def find(self, connection: sqlite3.Connection, hook_id: IntegrationId, url_hash: bytes, *, ordered: bool) -> LaneId:
        """Return a lane's id, making the lane when it is new."""
        known = self._known.get((hook_id, url_hash))
        if known is not None:
            return known
        connection.execute(
            "INSERT INTO lane (integration_id, url_hash, ordered, held, next_at)"
            " VALUES (?1, ?2, ?3, coalesce((SELECT NOT enabled FROM integration WHERE id = ?1), 0), ?4)"
            " ON CONFLICT DO NOTHING",
            (hook_id, url_hash, ordered, IDLE),
        )
        lane = LaneId(
            connection.execute(
                "SELECT id FROM lane WHERE integration_id = ? AND url_hash = ?", (hook_id, url_hash)
            ).fetchone()[0]
        )
        self._known[(hook_id, url_hash)] = lane
        return lane

    def wake(self, connection: sqlite3.Connection, lanes: dict[LaneId, int]) -> None:
        """Make lanes due at a time, unless they are due earlier."""
        connection.executemany(
            "UPDATE lane SET next_at = ?1 WHERE id = ?2 AND next_at > ?1",
            [(at, lane) for lane, at in lanes.items()],
        )

    def follow(self, connection: sqlite3.Connection, hook: Hook, now: int) -> None:
        """Bring lanes in line with a changed hook: hold, let go, reorder, discard removed addresses."""
        if not isinstance(hook, OutgoingHook):
            return
        kept = [self._vault.lookup(url) for url in hook.urls]
        marks = ",".join("?" * len(kept))
        gone = connection.execute(
            f"SELECT id FROM lane WHERE integration_id = ? AND url_hash NOT IN ({marks})", (hook.id, *kept)
        ).fetchall()
        self._discard(connection, [LaneId(row[0]) for row in gone], now, "address removed")
        connection.execute(
            "UPDATE lane SET ordered = ?1, held = ?2, held_at = CASE WHEN ?2 THEN coalesce(held_at, ?3) END"
            " WHERE integration_id = ?4",
            (hook.ordered, not hook.enabled, now, hook.id),
        )

    def discard(self, connection: sqlite3.Connection, hook_id: IntegrationId, now: int) -> None:
        """Discard everything queued for a removed integration, leased items included (delivery.md §1)."""
        rows = connection.execute("SELECT id FROM lane WHERE integration_id = ?", (hook_id,)).fetchall()
        self._discard(connection, [LaneId(row[0]) for row in rows], now, "integration removed")

    def _discard(self, connection: sqlite3.Connection, lanes: Sequence[LaneId], now: int, reason: str) -> None:
        for lane in lanes:
            connection.execute(
                "UPDATE delivery SET state = 'discarded', lease = NULL, reason = ?, updated_at = ?"
                " WHERE lane_id = ? AND state = 'queued'",
                (reason, now, lane),
            )
            connection.execute("DELETE FROM lane WHERE id = ?", (lane,))
        if lanes:
            self.forget()
