"""A receiver that fails now and then: its room is told of the outage, not of each failure (`handlers/outages.py`)."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
from aiohttp import web

from storage.ids import GENERAL
from storage.records.delivery import DeliveryState
from tests.clock import ManualClock
from tests.delivering import HOOK, Bench, Receiver, answering, delivering, receiving, retrying, until

MINUTE = 60_000
NAME = f"The outgoing webhook “ops-bot” ({HOOK})"
AFTERWARDS = (
    f" When the receiver works again, `/hook dead retry {HOOK}` sends what failed once more;"
    f" `/hook out history {HOOK}` shows every call. It is told here when deliveries arrive again."
)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "patchbay.db"


async def post(bench: Bench, number: int) -> None:
    """Post so many messages and wait until each delivery has ended."""
    for _ in range(number):
        await bench.say("! hello")

    async def ended() -> bool:
        return (await bench.store.counts()).queued == 0

    await until(ended)


async def news(bench: Bench) -> list[str]:
    """Return what stands in the room besides what people said."""
    found, _ = await bench.store.messages(GENERAL, count=1000)
    return [message.text for message in reversed(found) if message.notice]


async def test_a_receiver_that_fails_now_and_then(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """Of 75 failures among 300 deliveries the room reads one alert, and one recovery after it has calmed down."""
    numbers = count(1)

    async def fourth_fails(_: web.Request) -> web.StreamResponse:
        return web.Response(status=500 if next(numbers) % 4 == 0 else 200, body=b"broken")

    receiver.answer = fourth_fails
    hook = retrying(receiver.url, trigger_words=("!",), retry_failed_calls=False)
    async with delivering(path, clock, hook) as bench:
        for _ in range(6):
            await post(bench, 50)
        (alert,) = await news(bench)
        assert alert.startswith(
            f"{NAME} cannot deliver to 127.0.0.1: The receiver answered 500. The delivery is a dead"
        )
        receiver.answer = answering()
        await post(bench, 20)
        assert await news(bench) == [alert]
        clock.advance(5 * MINUTE)
        await post(bench, 20)
        told = await news(bench)
        assert (await bench.store.deliveries(state=DeliveryState.DEAD))[1] == 75
    assert told == [
        alert,
        f"{NAME} delivers to 127.0.0.1 again. 75 deliveries failed between 2026-03-02 09:14 and 2026-03-02 09:14;"
        f" what has not been sent since, `/hook dead retry {HOOK}` sends.",
    ]


async def test_a_restart_changes_nothing(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """What was told and counted before it is told once, and the recovery is told by the process that sees it."""
    receiver.answer = answering(400)
    hook = retrying(receiver.url, trigger_words=("!",), retry_failed_calls=False)
    async with delivering(path, clock, hook) as bench:
        await post(bench, 2)
        alert = f"{NAME} cannot deliver to 127.0.0.1: The receiver answered 400. The delivery is a dead letter now."
        assert await news(bench) == [alert + AFTERWARDS]
    async with delivering(path, clock) as bench:
        await post(bench, 1)
        receiver.answer = answering()
        await post(bench, 9)
        assert len(await news(bench)) == 1
    clock.advance(5 * MINUTE)
    async with delivering(path, clock) as bench:
        await post(bench, 1)
        assert len(told := await news(bench)) == 2
        assert "again. 3 deliveries failed" in told[1]


async def test_the_next_outage_is_told_an_hour_later(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """What fails within the hour after an alert is not told at once; the next alert counts it."""
    hook = retrying(receiver.url, trigger_words=("!",), retry_failed_calls=False)
    async with delivering(path, clock, hook) as bench:
        receiver.answer = answering(400)
        await post(bench, 1)
        receiver.answer = answering()
        clock.advance(5 * MINUTE)
        await post(bench, 10)
        receiver.answer = answering(400)
        clock.advance(40 * MINUTE)
        await post(bench, 2)
        assert len(await news(bench)) == 2
    async with delivering(path, clock) as bench:
        clock.advance(15 * MINUTE)
        await post(bench, 1)
        told = await news(bench)
    assert len(told) == 3
    assert told[2] == (
        f"{NAME} cannot deliver to 127.0.0.1: The receiver answered 400."
        f" 3 deliveries have become dead letters since 2026-03-02 09:59.{AFTERWARDS}"
    )


async def test_each_address_has_its_own(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """One address of a hook may fail while the other delivers; the news name which."""
    async with receiving(answering(400)) as other:
        both = (receiver.url, other.url.replace("127.0.0.1", "localhost"))
        hook = retrying(receiver.url, urls=both, retry_failed_calls=False)
        async with delivering(path, clock, hook, allow="127.0.0.1,localhost") as bench:
            await bench.say("! hello")
            await bench.ended(DeliveryState.DEAD)
            await bench.ended(DeliveryState.DELIVERED)
            (alert,) = await news(bench)
    assert "cannot deliver to localhost" in alert
