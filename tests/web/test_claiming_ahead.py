"""A worker holds more leases of a lane than run: they wait for a slot, and what happens meanwhile still counts."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast  # Any: columns hold anything, and a claim is handed on as it comes

import pytest
from aiohttp import web

from bot.flows.pace import Pace
from bot.workers.delivery import LANE_LEASES, LANE_SLOTS, LEASE_DEADLINES, DeliveryWorker
from bot.workers.supervisor import Supervisor
from storage import ports
from storage.ids import IntegrationId, UserId
from storage.records.delivery import DeliveryState
from storage.records.queue import Claimed, Leased, Settle, Settled
from tests.clock import ManualClock
from tests.delivering import Bench, Receiver, delivering, receiving, retrying, until, waiting
from tests.scenarios.stored import rows

DEADLINE_S = 20.0
LEASE_MS = round(LEASE_DEADLINES * DEADLINE_S * 1000)
BEHIND = 4
"""Deliveries that find no slot."""
SAID = [f"number {number:02}" for number in range(LANE_SLOTS + BEHIND)]


@dataclass
class Queue:
    """A receiver that answers nothing without a permit, and a lane with all slots taken."""

    bench: Bench
    receiver: Receiver
    permits: asyncio.Semaphore
    folder: Path
    clock: ManualClock

    def open(self) -> None:
        """Let every call have its answer."""
        for _ in range(LANE_LEASES + BEHIND):
            self.permits.release()

    async def end_one_by_one(self) -> None:
        """Let calls end, each when the one before has made room for another, until all have begun."""
        for number in range(LANE_SLOTS + 1, len(SAID) + 1):
            self.permits.release()
            await self.receiver.called(number)

    async def fill(self) -> None:
        """Say more than there are slots, and wait until all of it is leased and all slots call."""
        for text in SAID:
            await self.bench.say(text)
        await self.receiver.called(LANE_SLOTS)
        await until(self.all_leased)

    async def all_leased(self) -> bool:
        return self.leased() == len(SAID)

    def leased(self) -> int:
        return leased(self.folder)

    def untried(self) -> list[tuple[Any, ...]]:
        """Return number of leases without an end and number of tries of what is queued and not in hand."""
        return rows(self.folder, "SELECT receives, tries FROM delivery WHERE state = 'queued' AND lease IS NULL")


def leased(folder: Path) -> int:
    """Return how many deliveries are in hand."""
    [(count,)] = rows(folder, "SELECT count(*) FROM delivery WHERE lease IS NOT NULL")
    return int(count)


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    permits, clock = asyncio.Semaphore(0), ManualClock()

    async def answer(_: web.Request) -> web.Response:
        await permits.acquire()
        return web.Response()

    async with (
        receiving(answer) as receiver,
        delivering(
            tmp_path / "patchbay.db",
            clock,
            retrying(receiver.url),
            concurrency=256,
            grace_s=0.0,
            deadline_s=DEADLINE_S,
            probes=LANE_SLOTS,
        ) as bench,
    ):
        queue = Queue(bench, receiver, permits, tmp_path, clock)
        yield queue
        queue.open()


async def test_what_waits_takes_a_slot_that_gets_free(queue: Queue) -> None:
    """No more than its slots are called at once; the others follow, oldest first, and each is called once."""
    await queue.fill()
    assert sorted(queue.receiver.texts) == SAID[:LANE_SLOTS]  # which connection is made first is chance
    await queue.end_one_by_one()
    queue.open()
    await queue.bench.ended(DeliveryState.DELIVERED, len(SAID))
    assert queue.receiver.texts[LANE_SLOTS:] == SAID[LANE_SLOTS:]


async def test_what_is_in_hand_is_bounded_in_bytes(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many slots are free, no more is claimed while the events in hand hold too much; all are called once."""
    monkeypatch.setattr("storage.sqlite.queue.CLAIM_BYTES", 1)  # one event a claim
    monkeypatch.setattr("bot.workers.delivery.HAND_BYTES", 1)
    for text in SAID[:BEHIND]:
        await queue.bench.say(text)
    for number in range(1, BEHIND + 1):
        await queue.receiver.called(number)
        assert (queue.leased(), queue.receiver.texts) == (1, SAID[:number])
        queue.permits.release()
    await queue.bench.ended(DeliveryState.DELIVERED, BEHIND)


async def test_a_lane_holds_no_more_than_its_leases(queue: Queue) -> None:
    """What is leased ahead is bounded, however much is queued."""
    for number in range(LANE_LEASES + BEHIND):
        await queue.bench.say(f"number {number}")
    await queue.receiver.called(LANE_SLOTS)

    async def full() -> bool:
        return queue.leased() == LANE_LEASES

    await until(full)
    queue.open()
    await queue.bench.ended(DeliveryState.DELIVERED, LANE_LEASES + BEHIND)
    assert len(queue.receiver.bodies) == LANE_LEASES + BEHIND


async def test_what_waits_is_attempted_with_the_hook_as_it_is_then(queue: Queue) -> None:
    """A token that is rotated while a delivery waits for its slot is the one it is called with (decision 43)."""
    await queue.fill()
    await queue.bench.edit_hook(token="rotated")
    await queue.end_one_by_one()
    queue.open()
    await queue.bench.ended(DeliveryState.DELIVERED, len(SAID))
    tokens = [body["token"] for body in queue.receiver.bodies]
    assert tokens == ["s3cret"] * LANE_SLOTS + ["rotated"] * BEHIND
    assert queue.receiver.texts[LANE_SLOTS:] == SAID[LANE_SLOTS:]


async def test_what_waits_is_held_when_its_hook_is_disabled(queue: Queue) -> None:
    """It goes back untried, and is delivered once the hook is enabled again (decision 14)."""
    await queue.fill()
    await queue.bench.edit_hook(enabled=False)
    queue.open()
    await queue.bench.ended(DeliveryState.DELIVERED, LANE_SLOTS)

    async def given_back() -> bool:
        return queue.untried() == [(0, 0)] * BEHIND

    await until(given_back)
    assert len(queue.receiver.bodies) == LANE_SLOTS
    await queue.bench.edit_hook(enabled=True)
    await queue.bench.ended(DeliveryState.DELIVERED, len(SAID))


async def test_what_waits_is_not_called_when_its_hook_is_removed(queue: Queue) -> None:
    """Deleting discards it, and no call begins after that (delivery.md §1)."""
    await queue.fill()
    await queue.bench.remove_hook()
    queue.open()
    await queue.bench.ended(DeliveryState.DISCARDED, len(SAID))
    await queue.bench.stop()
    assert len(queue.receiver.bodies) == LANE_SLOTS


async def test_a_stop_gives_back_what_waits(queue: Queue) -> None:
    """A stop is not an attempt, for what was called as for what waited."""
    await queue.fill()
    await queue.bench.stop()
    assert queue.untried() == [(0, 0)] * len(SAID)


async def test_what_hangs_and_what_waits_longer_than_a_lease_is_called_once(queue: Queue) -> None:
    """A lease that runs out in our own hand is renewed: nothing is called, leased or delivered a second time."""
    await queue.fill()

    async def renewed() -> bool:
        queued = (await queue.bench.store.deliveries(count=len(SAID)))[0]
        return all(one.available_at > queue.clock.steady() for one in queued)

    for _ in range(2):
        queue.clock.advance(LEASE_MS + 1)
        queue.bench.worker.notify()
        await until(renewed)
    assert rows(queue.folder, "SELECT DISTINCT receives FROM delivery") == [(1,)]
    assert len(queue.receiver.bodies) == LANE_SLOTS
    queue.open()
    await queue.bench.ended(DeliveryState.DELIVERED, len(SAID))
    assert sorted(queue.receiver.texts) == SAID
    assert len(await queue.bench.attempts(len(SAID))) == len(SAID)


async def test_nothing_is_held_ahead_while_most_slots_of_the_process_are_taken(tmp_path: Path) -> None:
    """Else what is in hand would grow with the lanes that hang, each with three times what it has under way."""
    gate, total, creators = asyncio.Event(), 32, 9
    async with receiving(waiting(gate)) as slow:
        hooks = [
            replace(
                retrying(slow.url), id=IntegrationId(f"{number:024x}"), created_by=(UserId(f"u{number}"), f"u{number}")
            )
            for number in range(creators)
        ]
        async with delivering(
            tmp_path / "patchbay.db", ManualClock(), *hooks, concurrency=total, probes=LANE_SLOTS
        ) as bench:
            for number in range(LANE_SLOTS):
                await bench.say(f"number {number}")
            await slow.called(total // 2 + 2)
            for number in range(LANE_SLOTS):
                await bench.say(f"number {number}")

            # what was claimed before most slots were taken may wait, one behind each call; nothing of the second round
            assert leased(tmp_path) <= total
            gate.set()
            await bench.ended(DeliveryState.DELIVERED, 2 * LANE_SLOTS * creators)


# --- between the worker and the store ---------------------------------------------------------------


class WatchedQueue:
    """The store as a worker sees it; a claim can be held before or after the store runs it, or fail."""

    def __init__(self, store: ports.Queue) -> None:
        self._store = store
        self.asked: list[str] = []
        self.before, self.after = asyncio.Event(), asyncio.Event()
        self.before.set()
        self.after.set()
        self.held = asyncio.Event()
        self.faults: list[Exception] = []

    async def claim(self, **order: Any) -> Claimed:
        self.asked.append("claim begins")
        if self.faults:
            raise self.faults.pop()
        await self._pass(self.before)
        claimed = await self._store.claim(**order)
        await self._pass(self.after)
        self.asked.append("claim ends")
        return claimed

    async def _pass(self, gate: asyncio.Event) -> None:
        if not gate.is_set():
            self.held.set()
            await gate.wait()

    async def is_holding(self) -> None:
        """Wait until a claim is held."""
        async with asyncio.timeout(10):
            await self.held.wait()

    async def settle(self, settle: Settle) -> Settled:
        self.asked.append("settle")
        return await self._store.settle(settle)


class HeldCalls:
    """Attempts that end well, each when it gets a permit."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.permits = asyncio.Semaphore(0)
        self.begun: list[object] = []
        self.tokens: list[str | None] = []
        self.ended = 0

    async def attempt(self, leased: Leased) -> Settle:
        self.begun.append(cast(dict[str, object], leased.event.body["message"])["msg"])
        self.tokens.append(leased.hook.token)
        await self.permits.acquire()
        self.ended += 1
        return self._settle(leased, DeliveryState.DELIVERED)

    def release(self, leased: Leased, *, after_ms: int = 0) -> Settle:
        assert not after_ms
        return self._settle(leased, DeliveryState.QUEUED)

    async def revised(self, leased: Leased, settle: Settle) -> Settle:
        return settle

    def _settle(self, leased: Leased, state: DeliveryState) -> Settle:
        one = leased.delivery
        return Settle(
            delivery_id=one.id,
            lane_id=one.lane_id,
            lease=leased.lease,
            state=state,
            attempt=None,
            now=self._clock.steady(),
        )


@dataclass
class Watched:
    """A worker under its supervisor, between a store and calls that are watched."""

    bench: Bench
    queue: WatchedQueue
    calls: HeldCalls
    worker: DeliveryWorker


@asynccontextmanager
async def watching(path: Path, *said: str, lane_leases: int) -> AsyncIterator[Watched]:
    """Run a worker with one slot a lane on what was said, and wait until all it may lease is leased."""
    clock = ManualClock()
    async with delivering(path / "patchbay.db", clock, retrying("http://127.0.0.1:9/in")) as bench:
        await bench.stop()
        for text in said:
            await bench.say(text)
        queue, calls = WatchedQueue(bench.store), HeldCalls(clock)
        worker = DeliveryWorker(
            cast(ports.Queue, queue),
            calls,
            clock,
            Pace(clock),
            concurrency=8,
            deadline_s=DEADLINE_S,
            grace_s=0.0,
            lane_slots=1,
            lane_leases=lane_leases,
        )
        bench.store.subscribe(worker.heard)
        supervisor = Supervisor([worker], clock, first_pause_s=0.0)
        await supervisor.start()

        async def all_in_hand() -> bool:
            return len(calls.begun) == 1 and leased(path) == min(lane_leases, len(said))

        try:
            await until(all_in_hand)
            yield Watched(bench, queue, calls, worker)
        finally:
            queue.before.set()
            queue.after.set()
            await supervisor.stop()


async def test_no_end_is_handed_over_while_a_claim_is_under_way(tmp_path: Path) -> None:
    """Run after it, the claim would take the lane for full, by the count it was given, and let it sleep for a lease."""
    async with watching(tmp_path, "a", "b", lane_leases=1) as here:
        here.queue.before.clear()
        here.worker.notify()
        await here.queue.is_holding()
        here.calls.permits.release()

        async def ended() -> bool:
            return here.calls.ended == 1

        await until(ended)
        assert here.queue.asked[-1] == "claim begins"
        here.queue.before.set()
        here.calls.permits.release()
        await here.bench.ended(DeliveryState.DELIVERED, 2)
        assert here.calls.begun == ["a", "b"]
        before_settles = [what for what, then in pairwise(here.queue.asked) if then == "settle"]
        assert "claim begins" not in before_settles


async def test_what_waits_when_the_worker_dies_is_delivered_by_the_next_one(tmp_path: Path) -> None:
    """It is given back, and the restarted worker does not take it for something it has in hand."""
    async with watching(tmp_path, "a", "b", "c", lane_leases=3) as here:
        here.queue.faults.append(RuntimeError("a fault of our own"))
        here.worker.notify()

        async def begun_anew() -> bool:
            return len(here.calls.begun) == 2

        await until(begun_anew)
        for _ in "abc":
            here.calls.permits.release()
        await here.bench.ended(DeliveryState.DELIVERED, 3)
        assert here.calls.begun == ["a", "a", "b", "c"]


async def test_what_is_claimed_while_its_hook_changes_is_claimed_again(tmp_path: Path) -> None:
    """A claim that was run before an edit and comes back after it brings the hook as it was (decision 43)."""
    async with watching(tmp_path, "a", lane_leases=3) as here:
        here.queue.before.clear()
        here.worker.notify()
        await here.queue.is_holding()
        await here.bench.say("b")
        here.queue.held.clear()
        here.queue.after.clear()
        here.queue.before.set()
        await here.queue.is_holding()
        await here.bench.edit_hook(token="rotated")
        here.queue.after.set()
        for _ in "ab":
            here.calls.permits.release()
        await here.bench.ended(DeliveryState.DELIVERED, 2)
        assert here.calls.begun == ["a", "b"]
        assert here.calls.tokens == ["s3cret", "rotated"]
