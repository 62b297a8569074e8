"""`webhook-id` of signed calls: one for each delivery, the same on all its tries, never given twice."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handlers.signing.standard_webhooks import new_key
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook, SigningKey
from tests.clock import ManualClock
from tests.delivering import HOOK, OWNER, Bench, Receiver, answering, delivering, receiving, retrying


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def signed(receiver: Receiver) -> OutgoingHook:
    """Build a hook whose calls carry the headers."""
    return retrying(receiver.url, signing_keys=(SigningKey(key=new_key()),))


def ids(receiver: Receiver) -> list[tuple[str, str]]:
    """Return text and id of each call, in their order."""
    return [
        (body["text"], headers["webhook-id"]) for body, headers in zip(receiver.bodies, receiver.headers, strict=True)
    ]


async def delivered(bench: Bench, *texts: str) -> None:
    """Post texts and wait until each has arrived."""
    before = (await bench.store.deliveries(state=DeliveryState.DELIVERED))[1]
    for text in texts:
        await bench.say(text)
    await bench.ended(DeliveryState.DELIVERED, before + len(texts))


async def test_tries_restarts_and_a_second_chance_keep_the_id(
    tmp_path: Path, clock: ManualClock, receiver: Receiver
) -> None:
    """Tried again, by the next process, or taken from the dead letters, it is the message it was."""
    path = tmp_path / "patchbay.db"
    receiver.answer = answering(503)
    async with delivering(path, clock, signed(receiver)) as bench:
        await bench.say("hello")
        await bench.attempts(1)
    async with delivering(path, clock) as bench:
        clock.advance(100)
        bench.worker.notify()
        await bench.attempts(2)
        receiver.answer = answering(500, json={"sorry": True})
        clock.advance(1_000)
        bench.worker.notify()
        (dead,) = await bench.ended(DeliveryState.DEAD)
        receiver.answer = answering()
        assert await bench.store.replay_dead([dead.id]) == 1
        await bench.ended(DeliveryState.DELIVERED)
    assert [text for text, _ in ids(receiver)] == ["hello"] * 4
    assert len({webhook_id for _, webhook_id in ids(receiver)}) == 1


async def test_an_entry_of_the_history_run_again_is_another_message(
    tmp_path: Path, clock: ManualClock, receiver: Receiver
) -> None:
    """Who runs an old call again wants it to be acted upon, so the receiver must not take it for a repetition."""
    async with delivering(tmp_path / "patchbay.db", clock, signed(receiver)) as bench:
        await delivered(bench, "hello")
        (attempt,) = await bench.attempts(1)
        assert await bench.replay.replay(OWNER, HOOK, attempt.id) is None
        await bench.ended(DeliveryState.DELIVERED, 2)
    assert [text for text, _ in ids(receiver)] == ["hello", "hello"]
    assert len({webhook_id for _, webhook_id in ids(receiver)}) == 2


async def test_a_restored_copy_gives_no_id_again(tmp_path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """What is said after a restore is not dropped as something the lost original sent; what waited keeps its id."""
    path, copy = tmp_path / "patchbay.db", tmp_path / "copy.db"
    async with delivering(path, clock, signed(receiver)) as bench:
        await delivered(bench, "before")
        receiver.answer = answering(503)
        await bench.say("waiting")
        await bench.attempts(2)
    shutil.copy(path, copy)
    receiver.answer = answering()
    for file, text in ((path, "lost"), (copy, "after")):
        async with delivering(file, clock) as bench:
            await delivered(bench, text)
            clock.advance(100)
            bench.worker.notify()
            await bench.ended(DeliveryState.DELIVERED, 3)
    found = ids(receiver)
    assert sorted(text for text, _ in found) == ["after", "before", "lost", "waiting", "waiting", "waiting"]
    assert len({webhook_id for text, webhook_id in found if text == "waiting"}) == 1
    assert len({webhook_id for _, webhook_id in found}) == 4


async def test_a_new_folder_gives_no_id_again(tmp_path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """A server that begins anew, at the very same moment, is not taken for the old one."""
    for name in ("first.db", "second.db"):
        async with delivering(tmp_path / name, clock, signed(receiver)) as bench:
            await delivered(bench, "one", "two")
    assert len({webhook_id for _, webhook_id in ids(receiver)}) == 4
