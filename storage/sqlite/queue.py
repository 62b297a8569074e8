"""The delivery queue: claim under a lease, settle under its guard (delivery.md §3)."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from storage.clock import Clock, Millis
from storage.errors import VaultError
from storage.ids import DeliveryId, IntegrationId, LaneId
from storage.plain_json import write
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook
from storage.records.queue import Claimed, Leased, Settle, Settled
from storage.shares import Caller, CallShares
from storage.sqlite import rows
from storage.sqlite.ahead import bring_back
from storage.sqlite.apply import Applier
from storage.sqlite.lanes import DUE_LANES, NEXT_LANE, Lane, Turn
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
    """What a worker asks for: at most `limit` leases, and no more of a lane than `lane_leases` with what is `busy`.

    `shares` are its slots as they are held; a claim hands out nothing that would not get one, but what waits for a slot
    of its own lane. Without them only lanes are bounded.
    """

    now: Millis
    limit: int
    busy: Mapping[LaneId, int]
    in_hand: Collection[DeliveryId]
    lease_ms: int
    lane_leases: int
    lost: bool = False
    shares: CallShares | None = None


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

        What was in hand goes first again, so that it keeps its place before what arrived later. Nothing waits longer
        than was planned because the clock was ahead then.
        """
        connection.execute("BEGIN IMMEDIATE")
        found = connection.execute("SELECT DISTINCT lane_id FROM delivery WHERE lease IS NOT NULL").fetchall()
        lanes = [LaneId(row[0]) for row in found]
        voided = connection.execute(
            "UPDATE delivery SET lease = NULL, available_at = 0 WHERE lease IS NOT NULL"
        ).rowcount
        connection.executemany("UPDATE lane SET not_before = 0 WHERE id = ?", [(lane,) for lane in lanes])
        waiting = bring_back(connection, self._clock.steady(), self._clock.now())
        self._applier.lanes.due(connection, {*lanes, *map(LaneId, waiting)})
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
        """Lease due deliveries, no more of anybody's than their share: who holds least first, their oldest lane."""
        if order.lost:
            self._void_lost(connection, order)
        self._claimed_bytes = 0
        shares, leases, left = order.shares, list[Leased](), False
        turns = self._applier.lanes.turns(connection)
        due = [turn for turn in turns if turn.next_at <= order.now]
        due.sort(key=lambda turn: (shares.held_of(turn.creator) if shares else 0, turn.silent))
        for turn in due:
            left |= self._claim_turn(connection, order, turn, leases)
            if len(leases) >= order.limit:
                left = True
                break
        if left:  # there is more that is due and may be claimed at once
            return Claimed(leases=tuple(leases), next_at=order.now)
        found = [connection.execute(NEXT_LANE, (*turn[:2], order.now)).fetchone()[0] for turn in due]
        nexts = [turn.next_at for turn in turns if turn.next_at > order.now]
        nexts += [Millis(at) for at in found if at is not None]
        return Claimed(leases=tuple(leases), next_at=min(nexts, default=None))

    def _claim_turn(self, connection: sqlite3.Connection, order: ClaimOrder, turn: Turn, leases: list[Leased]) -> bool:
        """Add leases of one creator's lanes; tell whether more of them may be claimed at once."""
        shares = order.shares
        full = shares.full_hooks(turn.creator) if shares else []
        found = connection.execute(DUE_LANES, (*turn[:2], order.now, write(full), order.limit)).fetchall()
        left = len(found) == order.limit
        for row in found:
            if shares and not shares.is_open(turn.creator, silent=turn.silent):
                return False  # what is due stays due until a call of theirs ends
            limit = order.limit - len(leases)
            if limit <= 0 or self._claimed_bytes >= CLAIM_BYTES:
                return True
            here = Lane(LaneId(row["id"]), bool(row["ordered"]))
            caller = Caller(
                turn.creator, IntegrationId(row["integration_id"]), here.id, turn.silent, bool(row["alone"])
            )
            busy = order.busy.get(here.id, 0)
            free = _free(order, here, caller, busy)
            if free <= 0 and not busy:
                continue  # its hook's other addresses have the share
            try:
                taken, suspected = self._claim_lane(connection, order, here, min(free, limit), silent=turn.silent)
            except VaultError:  # one hook that cannot be opened must not hold up the others
                self._applier.lanes.due(connection, [here.id], earliest=order.now + order.lease_ms)
                continue
            leases += taken
            if shares:
                shares.take(caller, min(len(taken), shares.room(caller)))
            # a full lane sleeps until one of its attempts settles; another one goes behind those that are due
            waits = suspected or len(taken) >= free
            self._applier.lanes.due(connection, [here.id], earliest=order.now + order.lease_ms * waits)
            # a bound cut it, or what was found was renewed, or poison
            left |= not waits and (len(taken) in (0, limit) or self._claimed_bytes >= CLAIM_BYTES)
        return left

    def _claim_lane(
        self, connection: sqlite3.Connection, order: ClaimOrder, lane: Lane, room: int, *, silent: bool
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
                Leased(
                    delivery=rows.delivery_from(row),
                    lease=self._lease,
                    until=until,
                    event=event,
                    hook=hook,
                    silent=silent,
                )
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
        silence: dict[LaneId, bool] = {}
        for place, one in enumerate(settles):
            fenced = not self._settle_one(connection, one)
            results.append(Settled(fenced=fenced))
            if fenced:
                continue
            again = one.retry_at if one.state is DeliveryState.QUEUED else None
            lanes[one.lane_id] = max(lanes.get(one.lane_id, 0), again or 0)
            if one.attempt is not None:
                attempts.append(rows.attempt_row(one.attempt, self._vault))
                if one.attempt.called:
                    silence[one.lane_id] = one.attempt.status is None
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
        self._applier.lanes.silence(connection, silence)
        # behind the lanes that have waited longer: what a lane has queued is mostly older than what they have
        self._applier.lanes.due(connection, lanes, earliest=max((one.now for one in settles), default=0))
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


def _free(order: ClaimOrder, lane: Lane, caller: Caller, busy: int) -> int:
    """Return how many more leases of a lane may be handed out; below 1 when none."""
    most = (1 if lane.ordered else order.lane_leases) - busy
    shares = order.shares
    if shares is None or most <= 0:
        return most
    slots = shares.held(caller) + shares.room(caller)
    if shares.is_probing(caller) or order.lane_leases <= shares.slots(caller) or not slots:
        return min(most, slots - busy)  # nothing waits for a slot
    return most
