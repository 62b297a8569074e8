"""The delivery queue: claim under a lease, settle under its guard (delivery.md §3)."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from storage.clock import Clock, Millis
from storage.errors import VaultError
from storage.ids import DeliveryId, IntegrationId, LaneId
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook
from storage.records.queue import Claimed, Leased, Settle, Settled
from storage.sqlite import rows
from storage.sqlite.apply import Applier
from storage.sqlite.lanes import IDLE, Lane
from storage.sqlite.weight import weigh
from storage.vault import Vault

POISON_RECEIVES = 20
"""Leases without a settle after which a delivery goes to the dead letters (delivery.md §3)."""
SUSPECT_RECEIVES = 5
"""Leases without a settle after which a delivery is leased only while nothing else of its lane is in hand: if it is
what ends the process each time, what is behind it in its lane must not be counted poison with it."""
HELD_FOR_MS = 24 * 3600 * 1000
"""How long a disabled integration's deliveries are held before they die as `expired` (decision 43)."""

BY_HAND = "discarded by hand"
"""Why somebody's discarded dead letters stand as they do."""

CLAIM_BYTES = 4 << 20
"""Events and hooks in the answer to one claim; what is larger comes alone."""

EXPIRE_ROWS = 1000
"""Held deliveries that die in one transaction."""

CLAIM_LANES = "SELECT id, ordered FROM lane WHERE held = 0 AND next_at <= ? ORDER BY next_at LIMIT ?"
NEXT_OF_ALL = "SELECT next_at FROM lane WHERE held = 0 ORDER BY next_at LIMIT 1"
CLAIM_DELIVERIES = f"""
SELECT {rows.DELIVERY_COLUMNS}, e.org_id, e.kind, e.at, e.room_id, e.user_id, e.body, e.seq
FROM delivery d JOIN lane l ON l.id = d.lane_id JOIN event e ON e.seq = d.event_seq
WHERE d.lane_id = ? AND d.state = 'queued' AND d.available_at <= ? ORDER BY d.available_at, d.id LIMIT ?"""
_SETTLE = """
UPDATE delivery SET state = ?, lease = NULL, tries = tries + ?, receives = CASE WHEN ? THEN 0 ELSE receives - 1 END,
  available_at = CASE WHEN (SELECT ordered FROM lane WHERE id = lane_id) THEN 0 ELSE ? END, reason = ?, updated_at = ?
WHERE id = ? AND lease = ? AND state = 'queued'"""
_OUTAGE = (
    f"INSERT INTO outage ({rows.OUTAGE_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (lane_id) DO UPDATE SET"
    " steps = excluded.steps, since = excluded.since, failed = excluded.failed,"
    " last_failed_at = excluded.last_failed_at, delivered = excluded.delivered, told_at = excluded.told_at,"
    " is_told = excluded.is_told WHERE excluded.steps > steps"
)
"""Ends are counted in one order and settled in another: the newer outage stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimOrder:
    """What a worker asks for: at most `limit` leases, and no more of a lane than `lane_leases` with what is `busy`."""

    now: Millis
    limit: int
    busy: Mapping[LaneId, int]
    in_hand: Collection[DeliveryId]
    lease_ms: int
    lane_leases: int
    lost: bool = False


class Queue:
    """The queue's writes; belongs to the writing thread."""

    def __init__(self, vault: Vault, clock: Clock, applier: Applier) -> None:
        self._vault = vault
        self._clock = clock
        self._applier = applier
        self._hooks: dict[IntegrationId, OutgoingHook] = {}
        self._sizes: dict[IntegrationId, int] = {}
        # never the number of a lease that is in hand, also not when only the writer starts again
        self._lease = clock.steady() * 1000
        self._claimed_bytes = 0

    def forget(self) -> None:
        """Drop what is remembered about integrations."""
        self._hooks.clear()
        self._sizes.clear()

    def recover(self, connection: sqlite3.Connection) -> int:
        """Void every lease found at start: one process owns the file (decision 45).

        What was in hand goes first again, so that it keeps its place before what arrived later.
        """
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute("SELECT DISTINCT lane_id FROM delivery WHERE lease IS NOT NULL").fetchall()
        lanes = [LaneId(row[0]) for row in found]
        voided = connection.execute(
            "UPDATE delivery SET lease = NULL, available_at = 0 WHERE lease IS NOT NULL"
        ).rowcount
        connection.executemany("UPDATE lane SET not_before = 0 WHERE id = ?", [(lane,) for lane in lanes])
        self._applier.lanes.due(connection, lanes)
        connection.execute("COMMIT")
        return voided

    def _void_lost(self, connection: sqlite3.Connection, order: ClaimOrder) -> None:
        """Void leases the caller knows nothing of, since the answer that held them was lost: nobody tried them."""
        found = connection.execute("SELECT id, lane_id FROM delivery WHERE lease IS NOT NULL").fetchall()
        lost = [(row["id"], LaneId(row["lane_id"])) for row in found if row["id"] not in order.in_hand]
        connection.executemany(
            "UPDATE delivery SET lease = NULL, available_at = 0, receives = receives - 1 WHERE id = ?",
            [(delivery_id,) for delivery_id, _ in lost],
        )
        lanes = {lane for _, lane in lost}
        connection.executemany("UPDATE lane SET not_before = 0 WHERE id = ? AND ordered", [(lane,) for lane in lanes])
        self._applier.lanes.due(connection, lanes)

    def claim(self, connection: sqlite3.Connection, order: ClaimOrder) -> Claimed:
        """Lease due deliveries, oldest lane first, never more of a lane than the caller may hold."""
        if order.lost:
            self._void_lost(connection, order)
        leases: list[Leased] = []
        self._claimed_bytes = 0
        for lane in connection.execute(CLAIM_LANES, (order.now, order.limit)).fetchall():
            if len(leases) >= order.limit or self._claimed_bytes >= CLAIM_BYTES:
                break
            here = Lane(LaneId(lane["id"]), bool(lane["ordered"]))
            free = (1 if here.ordered else order.lane_leases) - order.busy.get(here.id, 0)
            try:
                taken, suspected = self._claim_lane(connection, order, here, min(free, order.limit - len(leases)))
            except VaultError:  # one hook that cannot be opened must not hold up the others
                self._applier.lanes.due(connection, [here.id], earliest=order.now + order.lease_ms)
                continue
            leases += taken
            # a full lane sleeps until one of its attempts settles
            full = suspected or len(taken) >= free
            self._applier.lanes.due(connection, [here.id], earliest=order.now + order.lease_ms if full else 0)
        row = connection.execute(NEXT_OF_ALL).fetchone()
        return Claimed(leases=tuple(leases), next_at=None if row is None or row[0] >= IDLE else Millis(row[0]))

    def _claim_lane(
        self, connection: sqlite3.Connection, order: ClaimOrder, lane: Lane, room: int
    ) -> tuple[list[Leased], bool]:
        """Lease what is due in a lane; the second is whether a suspect has the lane, or waits for it, alone."""
        if room <= 0:
            return [], False
        hook = self._hook(connection, lane.id)
        until = Millis(order.now + order.lease_ms)
        leases, renewed, suspected = list[Leased](), False, False
        for row in connection.execute(CLAIM_DELIVERIES, (lane.id, order.now, room)).fetchall():
            if row["id"] in order.in_hand:  # it is at work, or waits for its turn: the lease is renewed
                connection.execute(
                    "UPDATE delivery SET available_at = ? WHERE id = ?", (0 if lane.ordered else until, row["id"])
                )
                renewed = True
                continue
            if row["receives"] >= POISON_RECEIVES:
                connection.execute(
                    "UPDATE delivery SET state = 'dead', lease = NULL, reason = 'poison', updated_at = ? WHERE id = ?",
                    (order.now, row["id"]),
                )
                continue
            if self._claimed_bytes >= CLAIM_BYTES:
                break
            suspected = row["receives"] >= SUSPECT_RECEIVES
            if suspected and (leases or order.busy.get(lane.id)):
                break
            self._lease += 1
            connection.execute(
                "UPDATE delivery SET lease = ?, available_at = ?, receives = receives + 1 WHERE id = ?",
                (self._lease, 0 if lane.ordered else until, row["id"]),
            )
            event = rows.event_from(row)
            self._claimed_bytes += len(event.json)
            leases.append(
                Leased(delivery=rows.delivery_from(row), lease=self._lease, until=until, event=event, hook=hook)
            )
            if suspected:
                break
        if leases:
            self._claimed_bytes += self._sizes[hook.id]
        if (leases or renewed) and lane.ordered:
            connection.execute("UPDATE lane SET not_before = ? WHERE id = ?", (until, lane.id))
        return leases, suspected

    def _hook(self, connection: sqlite3.Connection, lane: LaneId) -> OutgoingHook:
        """Return a lane's hook as it is now; lanes go with their hook, so it is there."""
        hook_id, version = connection.execute(
            "SELECT id, version FROM integration WHERE id = (SELECT integration_id FROM lane WHERE id = ?)", (lane,)
        ).fetchone()
        known = self._hooks.get(hook_id)
        if known is None or known.version != version:
            row = connection.execute(f"SELECT {rows.HOOK_COLUMNS} FROM integration WHERE id = ?", (hook_id,)).fetchone()
            hook = rows.hook_from(row, self._vault)
            assert isinstance(hook, OutgoingHook)  # noqa: S101 # only outgoing hooks have lanes
            known = self._hooks[hook_id] = hook
            self._sizes[hook_id] = weigh(hook)
        return known

    def settle(self, connection: sqlite3.Connection, settles: Sequence[Settle]) -> list[Settled]:
        """Write the ends of attempts, each guarded by its lease, and what they cause."""
        results: list[Settled] = []
        attempts: list[rows.Row] = []
        causes: list[tuple[int, Changes]] = []
        outages: list[rows.Row] = []
        lanes: dict[LaneId, int] = {}
        for place, one in enumerate(settles):
            fenced = not self._settle_one(connection, one)
            results.append(Settled(fenced=fenced))
            if fenced:
                continue
            again = one.retry_at if one.state is DeliveryState.QUEUED else None
            lanes[one.lane_id] = max(lanes.get(one.lane_id, 0), again or 0)
            if one.attempt is not None:
                attempts.append(rows.attempt_row(one.attempt, self._vault))
            if one.outage is not None:
                outages.append(rows.outage_row(one.lane_id, one.outage))
            if one.changes is not None:
                causes.append((place, one.changes))
        # the head of an ordered lane keeps its place: the lane waits for its retry, not the item
        connection.executemany(
            "UPDATE lane SET not_before = ? WHERE id = ? AND ordered", [(at, lane) for lane, at in lanes.items()]
        )
        self._applier.write_attempts(connection, attempts)
        connection.executemany(_OUTAGE, outages)
        if causes:
            done = self._applier.apply(connection, [changes for _, changes in causes])
            for (place, _), committed in zip(causes, done, strict=True):
                results[place] = Settled(
                    fenced=False,
                    numbers=committed.numbers,
                    queued=committed.queued,
                    payer=committed.payer,
                    stored=committed.stored,
                )
        self._applier.lanes.due(connection, lanes)
        return results

    def _settle_one(self, connection: sqlite3.Connection, one: Settle) -> bool:
        tried = one.attempt is not None
        # released without a time: it was first in its lane and is first again
        available_at = one.retry_at or 0
        return bool(
            connection.execute(
                _SETTLE,
                (one.state.value, int(tried), tried, available_at, one.reason, one.now, one.delivery_id, one.lease),
            ).rowcount
        )

    def expire_held(self, connection: sqlite3.Connection) -> int:
        """Let one slice of what a disabled integration has held for too long die (decision 43)."""
        now = self._clock.steady()
        return connection.execute(
            "UPDATE delivery SET state = 'dead', lease = NULL, reason = 'expired', updated_at = ?1 WHERE id IN"
            " (SELECT id FROM delivery WHERE state = 'queued' AND updated_at < ?2"
            " AND lane_id IN (SELECT id FROM lane WHERE held = 1 AND held_at < ?2) LIMIT ?3)",
            (now, now - HELD_FOR_MS, EXPIRE_ROWS),
        ).rowcount

    def replay_dead(self, connection: sqlite3.Connection, ids: Sequence[int]) -> int:
        """Queue dead letters again with a fresh budget; returns how many were dead and still have their address."""
        now, woken, count = self._clock.steady(), dict[LaneId, int](), 0
        for delivery_id in ids:
            row = connection.execute(
                "SELECT l.id, l.ordered FROM delivery d JOIN lane l ON l.id = d.lane_id"
                " WHERE d.id = ? AND d.state = 'dead'",
                (delivery_id,),
            ).fetchone()
            if row is None:
                continue
            count += connection.execute(
                "UPDATE delivery SET state = 'queued', tries = 0, receives = 0, available_at = ?, reason = NULL,"
                " updated_at = ? WHERE id = ?",
                (0 if row["ordered"] else now, now, delivery_id),
            ).rowcount
            woken[LaneId(row["id"])] = now
        self._applier.lanes.wake(connection, woken)
        return count

    def discard_dead(self, connection: sqlite3.Connection, ids: Sequence[int]) -> int:
        """Give dead letters up; returns how many were dead."""
        now = self._clock.steady()
        statement = (
            "UPDATE delivery SET state = 'discarded', reason = ?, updated_at = ? WHERE id = ? AND state = 'dead'"
        )
        return sum(connection.execute(statement, (BY_HAND, now, delivery_id)).rowcount for delivery_id in ids)

    def hasten(self, connection: sqlite3.Connection, ids: Sequence[int]) -> int:
        """Make waiting deliveries due; returns how many waited. What is leased is being tried already."""
        now, lanes, count = self._clock.steady(), set[LaneId](), 0
        for delivery_id in ids:
            row = connection.execute(
                "SELECT d.lane_id, l.ordered FROM delivery d JOIN lane l ON l.id = d.lane_id"
                " WHERE d.id = ? AND d.state = 'queued' AND d.lease IS NULL",
                (delivery_id,),
            ).fetchone()
            if row is None:
                continue
            if not row["ordered"]:
                connection.execute(
                    "UPDATE delivery SET available_at = min(available_at, ?) WHERE id = ?", (now, delivery_id)
                )
            else:  # the lane is what waits, unless its head is in hand
                connection.execute(
                    "UPDATE lane SET not_before = min(not_before, ?1) WHERE id = ?2 AND NOT EXISTS"
                    " (SELECT 1 FROM delivery WHERE lane_id = ?2 AND state = 'queued' AND lease IS NOT NULL)",
                    (now, row["lane_id"]),
                )
            lanes.add(LaneId(row["lane_id"]))
            count += 1
        self._applier.lanes.wake(connection, dict.fromkeys(lanes, now))
        return count
