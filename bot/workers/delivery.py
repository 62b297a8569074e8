"""Works off the queue: claims due deliveries, attempts many at once, settles each (delivery.md §3)."""

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine, Iterable, Sequence
from contextlib import suppress
from itertools import chain, repeat
from typing import Protocol

import structlog
from msgspec import structs

from bot.flows.pace import Pace
from storage.clock import Clock, Millis
from storage.errors import Gone, StorageError, Taken, Unavailable, Uncertain
from storage.ids import LaneId
from storage.ports import Queue
from storage.records.delivery import Attempt
from storage.records.event import Event, EventKind
from storage.records.queue import Claimed, Leased, Settle
from storage.shares import Caller, CallShares

LANE_SLOTS = 16
"""Attempts of one lane under way at once; 1 when it is ordered (decision 44)."""
PROBES = 1
"""Attempts of a lane under way at once while its receiver has not answered lately: a silent one costs no more."""
ANSWERS_FOR_MS = 2_000
"""How long a receiver counts as answering after it did, or twice as long as that answer took: a burst waits for one
answer, and a receiver that falls silent is not sent much more than it had."""
LOOK_MS = 500
"""How often those that count as answering are looked through."""
LANE_LEASES = 3 * LANE_SLOTS
"""Leases of one lane in hand at once: what waits for a slot takes it at once, instead of after the next claim."""
HAND_BYTES = 64 << 20
"""Events in hand, counted once for each lease, from which nothing more is claimed."""
LEASE_DEADLINES = 3
"""A lease lasts this many attempt deadlines (delivery.md §3)."""
POLL_S = 1.0
"""How often to look without being woken; nothing depends on being woken."""
SHORTEST_WAIT_S = 0.01
GRACE_S = 5.0
"""How long attempts may go on after a stop before they are given back; the whole server stops within 10 s."""
MOST_REVISIONS = 3
"""How often an end is built anew because its hook changed."""
OWN_FAULT_MS = 5_000
"""When a delivery is tried again that our own storage kept from an end."""
SETTLE_PAUSES_S = (0.1, 0.2, 0.5, 1.0)
"""Waits between tries to settle while the store cannot be written; the last one repeats."""

_HOOK_CHANGES = frozenset({EventKind.INTEGRATION_CHANGED, EventKind.INTEGRATION_REMOVED})

log = structlog.get_logger()


class Attempts(Protocol):
    """What is done with a claimed delivery."""

    async def attempt(self, leased: Leased) -> Settle: ...
    def release(self, leased: Leased, *, after_ms: int = 0) -> Settle: ...
    async def revised(self, leased: Leased, settle: Settle) -> Settle: ...


class DeliveryWorker:
    """Runs until it is cancelled; then lets attempts finish, and gives back what is left.

    Whose attempts have the slots is `CallShares`' to say, which a claim asks as well.

    It claims ahead: a lane has more leases in hand than slots, and the next one takes the slot of an attempt
    that ended. A lease counts as in hand until its settle is handed to the store, which runs calls in the order
    they are made. No settle is handed over while a claim is under way: the claim might be run after it, find
    the lane due but, by the count it was given, full, and put it to sleep for a whole lease.
    """

    name = "delivery"

    def __init__(
        self,
        queue: Queue,
        attempts: Attempts,
        clock: Clock,
        pace: Pace,
        *,
        concurrency: int,
        deadline_s: float,
        grace_s: float = GRACE_S,
        lane_slots: int = LANE_SLOTS,
        lane_leases: int = LANE_LEASES,
        probes: int = PROBES,
    ) -> None:
        self._queue = queue
        self._attempts = attempts
        self._clock = clock
        self._pace = pace
        self._concurrency = concurrency
        self._lease_ms = round(LEASE_DEADLINES * deadline_s * 1000)
        self._grace_s = grace_s
        self._lane_slots = lane_slots
        self._lane_leases = lane_leases
        self._running: dict[asyncio.Task[None], Leased] = {}
        self._in_hand: dict[int, Leased] = {}
        """By the number of their lease, until their settle is handed over."""
        self._shares = CallShares(concurrency, lane_slots=lane_slots, probes=probes)
        self._looked_at = clock.steady()
        self._slots: dict[int, Caller] = {}
        """Who holds the slot of a lease, by its number."""
        self._ahead: dict[LaneId, deque[Leased]] = {}
        """What waits for a slot of its lane; lanes where nothing waits are not there."""
        self._stalled: dict[LaneId, None] = {}
        """Lanes where something waits and nothing is under way: others took the share, so any end may let them on."""
        self._changed: set[object] = set()
        """Hooks that changed since the last claim began."""
        self._lost = False
        """The answer to a claim was lost: what it leased is in nobody's hand."""
        self._claiming: asyncio.Task[Claimed] | None = None
        self._between_claims = asyncio.Event()
        self._between_claims.set()
        self._wake = asyncio.Event()

    def heard(self, events: Sequence[Event]) -> None:
        """Take the events of a commit: note changed hooks, and end calls for removed ones at once.

        Such a call's result would be dropped anyway, and one that has not begun must not (delivery.md §1).
        """
        for event in events:
            if event.kind not in _HOOK_CHANGES:
                continue
            hook_id = event.body.get("id")
            self._changed.add(hook_id)
            for lane in [lane for lane, ahead in self._ahead.items() if ahead[0].hook.id == hook_id]:
                self._give_back(lane)  # it is claimed again, with the hook as it is now
            if event.kind is EventKind.INTEGRATION_REMOVED:
                for task, leased in self._running.items():
                    if leased.hook.id == hook_id:
                        task.cancel()
            self.notify()  # it may have been enabled

    def queued(self, lanes: Sequence[LaneId]) -> None:
        """Take what a commit has queued."""
        self._pace.queued(lanes)
        self.notify()

    def notify(self) -> None:
        """Ring the bell: something may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Claim and attempt until cancelled."""
        try:
            while True:
                self._wake.clear()
                wait = await self._claim()
                if wait > 0:
                    # not wait_for: up to Python 3.11 it loses a cancellation that comes with the bell
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait):
                            await self._wake.wait()
        finally:
            await self._drain()

    # --- claim --------------------------------------------------------------------------------------

    async def _claim(self) -> float:
        """Start what is due; return how many seconds to wait for more."""
        free = self._concurrency - len(self._running)
        if free <= 0 or sum(len(leased.event.json) for leased in self._in_hand.values()) >= HAND_BYTES:
            return POLL_S
        try:
            claimed = await self._claimed(free)
        except Unavailable as error:
            log.warning("claim", fault=error.code)
            self._lost = self._lost or isinstance(error, Uncertain)
            return POLL_S
        self._lost = False
        for leased in claimed.leases:
            self._take(leased)
        await asyncio.sleep(0)  # settles that waited for the claim go first
        if claimed.leases:
            return 0.0
        due_in = POLL_S if claimed.next_at is None else (claimed.next_at - self._clock.steady()) / 1000
        return min(max(due_in, SHORTEST_WAIT_S), POLL_S)

    async def _claimed(self, free: int) -> Claimed:
        self._changed.clear()
        now = self._clock.steady()
        if now - self._looked_at >= LOOK_MS:
            self._looked_at = now
            self._shares.forget(now)
        self._between_claims.clear()
        self._claiming = asyncio.create_task(
            self._queue.claim(
                now=now,
                limit=free,
                busy=Counter([leased.delivery.lane_id for leased in self._in_hand.values()]),
                in_hand=frozenset([leased.delivery.id for leased in self._known()]),
                lease_ms=self._lease_ms,
                # where many lanes are busy, none may keep the slots it has for what it holds ahead
                lane_leases=self._lane_leases if 2 * free > self._concurrency else self._lane_slots,
                lost=self._lost,
                shares=self._shares.copy(),
            )
        )
        try:
            claimed = await asyncio.shield(self._claiming)
        except Exception:
            self._claiming = None  # it brought nothing that a stop could give back
            raise
        finally:
            self._between_claims.set()
        self._claiming = None
        return claimed

    def _known(self) -> Iterable[Leased]:
        """Return what is in hand; after a claim was lost, with what is being settled: that must not be taken for it."""
        return chain(self._in_hand.values(), self._running.values()) if self._lost else self._in_hand.values()

    def _take(self, leased: Leased) -> None:
        """Begin with a lease, or let it wait for a slot."""
        self._in_hand[leased.lease] = leased
        if leased.hook.id in self._changed:  # while it was claimed: it is claimed again, with the hook as it is now
            self._start(leased, self._release(leased))
            return
        lane = leased.delivery.lane_id
        self._ahead.setdefault(lane, deque()).append(leased)
        self._go_on(lane)

    def _go_on(self, lane: LaneId) -> None:
        """Begin what waits in a lane, the longest first, as far as there are slots for it."""
        ahead = self._ahead.get(lane)
        while ahead and self._shares.room(ahead[0].caller) > 0:
            leased = ahead.popleft()
            self._slots[leased.lease] = leased.caller
            self._shares.take(leased.caller)
            self._start(leased, self._attempt(leased))
        if not ahead:
            self._ahead.pop(lane, None)
            self._stalled.pop(lane, None)
        elif self._shares.held(ahead[0].caller):
            self._stalled.pop(lane, None)
        else:
            self._stalled[lane] = None

    def _leave(self, leased: Leased) -> None:
        """Give the slot of an attempt that ended, if it has not yet, to what waits for one."""
        caller = self._slots.pop(leased.lease, None)
        if caller is None:
            return
        self._shares.leave(caller)
        self._go_on(caller.lane)
        for lane in list(self._stalled):
            self._go_on(lane)

    def _give_back(self, lane: LaneId) -> None:
        """Give back untried what waits in a lane."""
        self._stalled.pop(lane, None)
        for leased in self._ahead.pop(lane, ()):
            self._start(leased, self._release(leased))

    def _note(self, leased: Leased, attempt: Attempt | None) -> None:
        """Note whether a lane's receiver answers; what waits for one that does not is claimed in its turn again."""
        if attempt is None or not attempt.called:
            return
        lane = leased.delivery.lane_id
        if attempt.status is None:
            self._shares.unanswered(lane)
            self._give_back(lane)
        else:
            counts_for = max(ANSWERS_FOR_MS, 2 * attempt.duration_ms)
            self._shares.answered(lane, Millis(self._clock.steady() + counts_for))

    def _start(self, leased: Leased, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._running[task] = leased
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        leased = self._running.pop(task)
        self._in_hand.pop(leased.lease, None)
        self._leave(leased)  # a task that is cancelled before its first step has not
        if not task.cancelled() and (error := task.exception()):
            # no settle: the lease runs out and counts, so that what keeps failing ends as poison
            log.error("attempt", hook=leased.hook.id, delivery=leased.delivery.id, fault=type(error).__name__)
        self.notify()

    # --- attempt and settle -------------------------------------------------------------------------

    async def _attempt(self, leased: Leased) -> None:
        try:
            settle = await self._attempts.attempt(leased)
            self._note(leased, settle.attempt)
        except StorageError as error:
            log.warning("attempt", hook=leased.hook.id, delivery=leased.delivery.id, fault=error.code)
            settle = self._attempts.release(leased, after_ms=OWN_FAULT_MS)
        except Exception:
            self._in_hand.pop(leased.lease, None)  # it has no end: a claim just now must not renew its lease
            raise
        finally:
            self._leave(leased)
        await self._settle(leased, settle)

    async def _release(self, leased: Leased) -> None:
        await self._settle(leased, self._attempts.release(leased))

    async def _settle(self, leased: Leased, settle: Settle) -> None:
        """Write an end, trying again until it is written; a fenced one is dropped silently.

        Giving up would make the next claim call the receiver a second time; until then claims leave it alone.
        """
        revisions = 0
        for pause in chain(SETTLE_PAUSES_S, repeat(SETTLE_PAUSES_S[-1])):
            while not self._between_claims.is_set():
                await self._between_claims.wait()
            self._in_hand.pop(leased.lease, None)
            try:
                await self._queue.settle(settle)
                self._pace.ended(settle.lane_id, settle.attempt)
                return
            except (Taken, Gone):  # the hook or room changed meanwhile
                revisions += 1
                if revisions > MOST_REVISIONS:
                    settle = structs.replace(settle, changes=None)  # the attempt's end stands without what it causes
                else:
                    settle = await self._attempts.revised(leased, settle)
            except Unavailable as error:
                log.warning("settle", delivery=leased.delivery.id, fault=error.code)
                self._in_hand[leased.lease] = leased
                await asyncio.sleep(pause)

    # --- stop ---------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        """Let attempts finish for a while, then give back what has not: a stop is not an attempt."""
        left = [leased for ahead in self._ahead.values() for leased in ahead]
        self._ahead.clear()
        self._stalled.clear()
        if self._claiming is not None:
            with suppress(StorageError):
                left += (await self._claiming).leases
            self._claiming = None
        if self._running:
            _, late = await asyncio.wait(list(self._running), timeout=self._grace_s)
            left += [self._running[task] for task in late]
            for task in late:
                task.cancel()
        for leased in left:  # a worker that failed runs again, and must not take it for something in hand
            self._in_hand.pop(leased.lease, None)
        settles = (self._queue.settle(self._attempts.release(leased)) for leased in left)
        ends = await asyncio.gather(*settles, return_exceptions=True)
        faults = [end for end in ends if isinstance(end, BaseException)]
        if faults:  # leases run out, and those found at the next start are void anyway (decision 45)
            log.warning("release", count=len(faults), fault=type(faults[0]).__name__)
