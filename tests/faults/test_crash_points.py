"""Stopped at every commit and every await of accept, claim, attempt and settle: the promises of delivery.md §1 hold."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast  # Any: the changes are any fields of a hook

import pytest

from handlers.http import Answered
from storage.ids import GENERAL, EventSeq
from storage.ports import Store
from storage.records.delivery import Delivery, DeliveryState
from storage.records.event import EventKind
from storage.records.hook_request import Verdict
from storage.records.integration import OutgoingHook
from tests.clock import ManualClock
from tests.delivering import HOOK
from tests.faults.crashing import IN, WHOLE_PATH, Boundaries, Outside, Process, live, process
from tests.records import outgoing

ASKED = "! deploy"
DONE = Answered(200, {"content-type": "application/json"}, b'{"text":"done"}', False, 1)
BUSY = Answered(503, {}, b"", False, 1)
GONE = Answered(410, {}, b"", False, 1)


@dataclass(frozen=True)
class Story:
    """How a delivery goes when nothing crashes; a crash may add calls, and nothing else."""

    answers: tuple[Answered, ...]
    state: DeliveryState
    attempts: int
    """How many of them history shows; a crash never takes one from the receiver's budget."""
    answer_in_room: str
    """The start of the one message that the end posts."""
    hook: dict[str, Any] = field(default_factory=dict)


STORIES = {
    "delivered and answered": Story((DONE,), DeliveryState.DELIVERED, 1, "done"),
    "answered at the second try": Story((BUSY, DONE), DeliveryState.DELIVERED, 2, "done"),
    "the same in an ordered lane": Story((BUSY, DONE), DeliveryState.DELIVERED, 2, "done", {"ordered": True}),
    "given up": Story((BUSY,), DeliveryState.DEAD, 3, "The outgoing webhook"),
    "gone": Story((GONE,), DeliveryState.DEAD, 1, "The outgoing webhook"),
}


def hook_of(story: Story) -> OutgoingHook:
    return outgoing(
        channels=("#general",),
        trigger_words=("!",),
        retry_failed_calls=True,
        retry_count=2,
        retry_delay="powers-of-ten",
        **story.hook,
    )


async def texts(store: Store) -> list[str]:
    return [message.text for message in (await store.messages(GENERAL, count=100))[0]]


async def one_delivery(store: Store) -> Delivery | None:
    found, total = await store.deliveries(hook_id=HOOK)
    assert total <= 1, "two deliveries for one message"
    return found[0] if found else None


async def ended(life: Process, clock: ManualClock, boundaries: Boundaries) -> None:
    """Let time pass until the delivery has come to its end and the worker knows."""
    async with asyncio.timeout(10):
        while (found := await one_delivery(life.store)) is not None and found.state is DeliveryState.QUEUED:
            clock.advance(50)
            life.worker.notify()
        while boundaries.passed["after settle"] < boundaries.passed["before settle"]:  # noqa: ASYNC110 # counts signal nobody
            await asyncio.sleep(0)


async def whole_or_nothing(store: Store, acknowledged: bool) -> None:
    """Assert that message, event, delivery, id and history of a request are there together, or none of them."""
    messages = (await texts(store)).count(ASKED)
    posted = [one for one in await store.events_after(EventSeq(0)) if one.kind is EventKind.MESSAGE_POSTED]
    events = sum(cast(Mapping[str, object], event.body["message"])["msg"] == ASKED for event in posted)
    request = [one for one in await store.requests(IN.id) if one.verdict is Verdict.POSTED]
    known = await store.accepted(IN.id, "request-1")
    delivery = await one_delivery(store)
    assert [messages, events, len(request), known, delivery is not None] in ([0] * 5, [1] * 5)
    assert messages == 1 or not acknowledged, "acknowledged and lost"
    assert await store.check() == []


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
async def test_every_place_to_crash(tmp_path: Path, story: Story) -> None:
    """A crash at any place loses nothing acknowledged, posts nothing twice and takes no try from the receiver."""
    smooth = Boundaries()
    await crash_and_check(tmp_path / "smooth.db", story, smooth)
    assert smooth.passed.keys() >= WHOLE_PATH
    places = [(name, number + 1) for name, times in smooth.passed.items() for number in range(times)]
    for number, place in enumerate(places):
        try:
            await crash_and_check(tmp_path / f"{number}.db", story, Boundaries(place))
        except Exception as error:
            error.add_note(f"crashed at {place}")
            raise


async def crash_and_check(path: Path, story: Story, boundaries: Boundaries) -> None:
    """Live once until the crash, then once more as after a restart, the sender asking again with the same id."""
    clock, outside, hook = ManualClock(), Outside(*story.answers), hook_of(story)
    acknowledged = False

    async def first_life(life: Process) -> None:
        nonlocal acknowledged
        assert (await life.accept("request-1", ASKED)).verdict is Verdict.POSTED
        acknowledged = True
        await ended(life, clock, boundaries)

    async def second_life(life: Process) -> None:
        await whole_or_nothing(life.store, acknowledged)
        verdict = (await life.accept("request-1", ASKED)).verdict
        assert verdict is Verdict.DUPLICATE or not acknowledged
        await whole_or_nothing(life.store, acknowledged=True)
        await ended(life, clock, never)
        await check_end(life.store, story, outside)

    never = Boundaries()
    async with process(path, clock, outside, hook, boundaries) as life:
        await live(life, boundaries, first_life(life))
    async with process(path, clock, outside, hook, never) as life:
        await live(life, never, second_life(life))


async def check_end(store: Store, story: Story, outside: Outside) -> None:
    """Assert that the delivery came to its end, once, with one more call at most."""
    delivery = await one_delivery(store)
    assert delivery is not None
    assert delivery.state is story.state
    attempts = (await store.attempts([HOOK]))[0]
    assert len([attempt for attempt in attempts if attempt.called]) in possible(story)
    assert len(attempts) <= outside.calls <= story.attempts + 1
    said = await texts(store)
    assert said.count(ASKED) == 1
    assert len([text for text in said if text.startswith(story.answer_in_room)]) == 1, said
    hook = await store.hook(HOOK)
    assert hook is not None
    assert hook.enabled is (story.answers != (GONE,))


def possible(story: Story) -> range:
    """Return how many attempts history may show: a crash may have swallowed the busy answer."""
    swallowed = story.state is DeliveryState.DELIVERED and story.attempts > 1
    return range(story.attempts - swallowed, story.attempts + 1)
