"""A worker holds more leases of a lane than run: they wait for a slot, and what happens meanwhile still counts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bot.workers.delivery import LANE_LEASES, LANE_SLOTS
from storage.ids import IntegrationId
from storage.records.delivery import DeliveryState
from tests.clock import ManualClock
from tests.delivering import Bench, Receiver, delivering, receiving, retrying, until, waiting
from tests.records import outgoing
from tests.scenarios.stored import rows

BEHIND = 4
"""Deliveries that find no slot."""
SAID = [f"number {number:02}" for number in range(LANE_SLOTS + BEHIND)]


@dataclass
class Queue:
    """A receiver that answers nothing before its gate opens, and a lane with all slots taken."""

    bench: Bench
    receiver: Receiver
    gate: asyncio.Event
    folder: Path

    async def fill(self) -> None:
        """Say more than there are slots, and wait until all of it is leased and all slots call."""
        for text in SAID:
            await self.bench.say(text)
        await self.receiver.called(LANE_SLOTS)
        await until(self.all_leased)

    async def all_leased(self) -> bool:
        return self.leased() == len(SAID)

    def leased(self) -> int:
        [(count,)] = rows(self.folder, "SELECT count(*) FROM delivery WHERE lease IS NOT NULL")
        return int(count)

    def untried(self) -> list[tuple[Any, ...]]:
        """Return number of leases without an end and number of tries of what is queued and not in hand."""
        return rows(self.folder, "SELECT receives, tries FROM delivery WHERE state = 'queued' AND lease IS NULL")


@pytest.fixture
async def queue(tmp_path: Path) -> AsyncIterator[Queue]:
    gate = asyncio.Event()
    async with (
        receiving(waiting(gate)) as receiver,
        delivering(
            tmp_path / "patchbay.db", ManualClock(), retrying(receiver.url), concurrency=64, grace_s=0.0
        ) as bench,
    ):
        yield Queue(bench, receiver, gate, tmp_path)
        gate.set()


async def test_what_waits_takes_a_slot_that_gets_free(queue: Queue) -> None:
    """No more than its slots are called at once; the others follow, and each is called once."""
    await queue.fill()
    assert sorted(queue.receiver.texts) == SAID[:LANE_SLOTS]
    queue.gate.set()
    await queue.bench.ended(DeliveryState.DELIVERED, len(SAID))
    assert sorted(queue.receiver.texts[LANE_SLOTS:]) == SAID[LANE_SLOTS:]


async def test_a_lane_holds_no_more_than_its_leases(queue: Queue) -> None:
    """What is leased ahead is bounded, however much is queued."""
    for number in range(LANE_LEASES + BEHIND):
        await queue.bench.say(f"number {number}")
    await queue.receiver.called(LANE_SLOTS)

    async def full() -> bool:
        return queue.leased() == LANE_LEASES

    await until(full)
    queue.gate.set()
    await queue.bench.ended(DeliveryState.DELIVERED, LANE_LEASES + BEHIND)
    assert len(queue.receiver.bodies) == LANE_LEASES + BEHIND


async def test_what_waits_is_attempted_with_the_hook_as_it_is_then(queue: Queue) -> None:
    """A token that is rotated while a delivery waits for its slot is the one it is called with (decision 43)."""
    await queue.fill()
    await queue.bench.edit_hook(token="rotated")
    queue.gate.set()
    await queue.bench.ended(DeliveryState.DELIVERED, len(SAID))
    tokens = [body["token"] for body in queue.receiver.bodies]
    assert tokens == ["s3cret"] * LANE_SLOTS + ["rotated"] * BEHIND


async def test_what_waits_is_held_when_its_hook_is_disabled(queue: Queue) -> None:
    """It goes back untried, and is delivered once the hook is enabled again (decision 14)."""
    await queue.fill()
    await queue.bench.edit_hook(enabled=False)
    queue.gate.set()
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
    queue.gate.set()
    await queue.bench.ended(DeliveryState.DISCARDED, len(SAID))
    await queue.bench.stop()
    assert len(queue.receiver.bodies) == LANE_SLOTS


async def test_a_stop_gives_back_what_waits(queue: Queue) -> None:
    """A stop is not an attempt, for what was called as for what waited."""
    await queue.fill()
    await queue.bench.stop()
    assert queue.untried() == [(0, 0)] * len(SAID)


async def test_nothing_is_held_ahead_while_most_slots_of_the_process_are_taken(tmp_path: Path) -> None:
    """Else lanes that hang would keep their slots for what they hold, and others never get one."""
    gate, few = asyncio.Event(), LANE_SLOTS + BEHIND
    other = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e440"), channels=("#general",))
    async with receiving(waiting(gate)) as slow, receiving() as swift:
        hooks = (retrying(slow.url), replace(other, urls=(swift.url,)))
        async with delivering(tmp_path / "patchbay.db", ManualClock(), *hooks, concurrency=few) as bench:
            queue = Queue(bench, slow, gate, tmp_path)
            for number in range(LANE_LEASES):
                await bench.say(f"number {number}")
                await bench.attempts(number + 1, other.id)
            assert queue.leased() == len(slow.bodies) == LANE_SLOTS
            gate.set()
            await bench.ended(DeliveryState.DELIVERED, 2 * LANE_LEASES)
