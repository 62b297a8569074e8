"""Lanes: one per integration and address, so that one slow endpoint delays nobody else (delivery.md §1).

A parallel lane orders its deliveries by `available_at`, then id. In an ordered lane every delivery has
`available_at` 0 and so goes by id alone; what waits (a lease, a retry) is the lane itself, through `not_before`.
"""

import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from storage.clock import Millis
from storage.ids import IntegrationId, LaneId, UserId
from storage.records.integration import Hook, OutgoingHook
from storage.vault import Vault

IDLE = 1 << 62
"""`lane.next_at` of a lane with nothing to do: later than any time. The index of due lanes leaves them out."""
_READY = f"held = 0 AND next_at < {IDLE}"
"""As the index says it, literally, or it were not used."""
TURNS = f"""
WITH RECURSIVE next(id) AS (
  SELECT (SELECT id FROM lane WHERE {_READY} ORDER BY creator, silent, next_at LIMIT 1)
  UNION ALL
  SELECT coalesce(
    (SELECT id FROM lane WHERE {_READY} AND creator = last.creator AND silent > last.silent
      ORDER BY silent, next_at LIMIT 1),
    (SELECT id FROM lane WHERE {_READY} AND creator > last.creator ORDER BY creator, silent, next_at LIMIT 1))
  FROM next JOIN lane last ON last.id = next.id)
SELECT creator, silent, next_at FROM next JOIN lane ON lane.id = next.id"""
"""Whose lanes have something queued, and when the first of them is due: a step or two through the index for each."""
DUE_LANES = f"""
SELECT id, integration_id, ordered, NOT EXISTS (
    SELECT 1 FROM lane other WHERE other.integration_id = lane.integration_id AND other.id <> lane.id) AS alone
  FROM lane WHERE {_READY} AND creator = ? AND silent = ? AND next_at <= ?
  AND integration_id NOT IN (SELECT value FROM json_each(?)) ORDER BY next_at LIMIT ?"""
"""With whether their hooks have no other address."""
NEXT_LANE = f"SELECT min(next_at) FROM lane WHERE {_READY} AND creator = ? AND silent = ? AND next_at > ?"
DUE = """
UPDATE lane SET next_at = max(?2, not_before, coalesce(
  (SELECT min(available_at) FROM delivery WHERE lane_id = lane.id AND state = 'queued'), ?3)) WHERE id = ?1"""
_IN_HAND = """
lane_id = ?1 AND state = 'queued' AND (lease IS NOT NULL
  OR id = (SELECT min(id) FROM delivery WHERE lane_id = ?1 AND state = 'queued'))"""
"""What a lane's waiting is about when it is ordered: its leased deliveries and its head."""


class Lane(NamedTuple):
    """Where a new delivery goes."""

    id: LaneId
    ordered: bool


class Turn(NamedTuple):
    """The lanes of one creator that are silent, or that are not."""

    creator: UserId
    silent: bool
    next_at: Millis
    """When the first of them is due."""


class Lanes:
    """Finds and wakes lanes; remembers them, which only the writing thread uses."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._known: dict[tuple[IntegrationId, bytes], Lane] = {}

    def forget(self) -> None:
        """Drop what is remembered: a rollback or another process may have changed it."""
        self._known.clear()

    def find(self, connection: sqlite3.Connection, hook_id: IntegrationId, url_hash: bytes) -> Lane | None:
        """Return the lane of an address; None when the integration or its address is gone meanwhile."""
        known = self._known.get((hook_id, url_hash))
        if known is None:
            row = connection.execute(
                "SELECT id, ordered FROM lane WHERE integration_id = ? AND url_hash = ?", (hook_id, url_hash)
            ).fetchone()
            if row is None:
                return None
            known = self._known[(hook_id, url_hash)] = Lane(LaneId(row[0]), bool(row[1]))
        return known

    def wake(self, connection: sqlite3.Connection, lanes: Mapping[LaneId, int]) -> None:
        """Make lanes due at a time, unless they are due earlier or must wait longer."""
        connection.executemany(
            "UPDATE lane SET next_at = max(?1, not_before) WHERE id = ?2 AND next_at > max(?1, not_before)",
            [(at, lane) for lane, at in lanes.items()],
        )

    def turns(self, connection: sqlite3.Connection) -> list[Turn]:
        """Return whose lanes have something queued, due now or later."""
        return [Turn(UserId(row[0]), bool(row[1]), Millis(row[2])) for row in connection.execute(TURNS)]

    def silence(self, connection: sqlite3.Connection, lanes: Mapping[LaneId, bool]) -> None:
        """Note of lanes whether their last attempt got no answer."""
        connection.executemany(
            "UPDATE lane SET silent = ?1 WHERE id = ?2 AND silent <> ?1",
            [(silent, lane) for lane, silent in lanes.items()],
        )

    def due(self, connection: sqlite3.Connection, lanes: Iterable[LaneId], *, earliest: int = 0) -> None:
        """Set lanes due when their next delivery is, but not before `earliest`."""
        connection.executemany(DUE, [(lane, earliest, IDLE) for lane in lanes])

    def follow(self, connection: sqlite3.Connection, hook: Hook, now: int) -> None:
        """Bring lanes in line with a hook: make new ones, hold, let go, reorder, discard removed addresses."""
        if not isinstance(hook, OutgoingHook):
            return
        kept = [self._vault.lookup(url) for url in hook.urls]
        marks = ",".join("?" * len(kept))
        gone = connection.execute(
            f"SELECT id FROM lane WHERE integration_id = ? AND url_hash NOT IN ({marks})", (hook.id, *kept)
        ).fetchall()
        self._discard(connection, [LaneId(row[0]) for row in gone], now, "address removed")
        connection.executemany(
            "INSERT INTO lane (integration_id, url_hash, creator, ordered, next_at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO NOTHING",
            [(hook.id, url_hash, hook.created_by[0], hook.ordered, IDLE) for url_hash in kept],
        )
        other = connection.execute(
            "SELECT id FROM lane WHERE integration_id = ? AND ordered <> ?", (hook.id, hook.ordered)
        ).fetchall()
        for row in other:
            self._reorder(connection, LaneId(row[0]), ordered=hook.ordered)
        connection.execute(
            "UPDATE lane SET creator = ?4, held = ?1, held_at = CASE WHEN ?1 THEN coalesce(held_at, ?2) END"
            " WHERE integration_id = ?3",
            (not hook.enabled, now, hook.id, hook.created_by[0]),
        )
        self.forget()

    def discard(self, connection: sqlite3.Connection, hook_id: IntegrationId, now: int) -> None:
        """Discard everything queued for a removed integration, leased items included (delivery.md §1)."""
        rows = connection.execute("SELECT id FROM lane WHERE integration_id = ?", (hook_id,)).fetchall()
        self._discard(connection, [LaneId(row[0]) for row in rows], now, "integration removed")
        self.forget()

    def _reorder(self, connection: sqlite3.Connection, lane: LaneId, *, ordered: bool) -> None:
        """Move the waiting from the deliveries to the lane, or back; nobody is tried earlier than planned."""
        if ordered:
            connection.execute(
                "UPDATE lane SET ordered = 1, not_before ="
                f" coalesce((SELECT max(available_at) FROM delivery WHERE {_IN_HAND}), 0) WHERE id = ?1",
                (lane,),
            )
            connection.execute(
                "UPDATE delivery SET available_at = 0 WHERE lane_id = ? AND state = 'queued'",
                (lane,),
            )
        else:
            connection.execute(
                f"UPDATE delivery SET available_at = (SELECT not_before FROM lane WHERE id = ?1) WHERE {_IN_HAND}",
                (lane,),
            )
            connection.execute("UPDATE lane SET ordered = 0, not_before = 0 WHERE id = ?", (lane,))
        self.due(connection, [lane])

    def _discard(self, connection: sqlite3.Connection, lanes: Iterable[LaneId], now: int, reason: str) -> None:
        for lane in lanes:
            connection.execute(
                "UPDATE delivery SET state = 'discarded', lease = NULL, reason = ?, updated_at = ?"
                " WHERE lane_id = ? AND state = 'queued'",
                (reason, now, lane),
            )
            connection.execute("DELETE FROM lane WHERE id = ?", (lane,))
