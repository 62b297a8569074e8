"""Stopped at every commit and every await while deliveries wait for the slot of their lane, and their hook changes."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from handlers.http import Answered
from storage.ports import Store
from storage.records.delivery import DeliveryState
from tests.clock import ManualClock
from tests.delivering import HOOK, until
from tests.faults.crashing import WHOLE_PATH, Boundaries, Outside, Process, live, process
from tests.records import outgoing

SAID = ["first", "second", "third", "fourth"]
LEASES = 3
WELL = Answered(200, {}, b"", False, 1)
ROTATED = "rotated"

Change = Callable[[Process], Awaitable[None]]


async def edit(life: Process) -> None:
    await life.edit_hook(token=ROTATED)


async def remove(life: Process) -> None:
    await life.remove_hook()


@dataclass
class Seen:
    """What was before a life, and how many calls had begun when."""

    token: str | None
    """The hook's; None when the hook was gone."""
    delivered: list[str]
    calls_before: int
    calls_before_change: int | None = None
    """None when the life ended before the change was answered."""


@pytest.mark.parametrize("change", [edit, remove])
async def test_every_place_to_crash_while_some_wait_for_a_slot(tmp_path: Path, change: Change) -> None:
    """What is leased ahead is neither lost nor called twice in a life, nor at all once its hook is gone."""
    smooth = Boundaries()
    await crash_and_check(tmp_path / "smooth.db", change, smooth)
    places = [(name, number + 1) for name in sorted(WHOLE_PATH) for number in range(smooth.passed[name])]
    crashed = set[str]()
    for number, place in enumerate(places):
        boundaries = Boundaries(place)
        try:
            await crash_and_check(tmp_path / f"{number}.db", change, boundaries)
        except Exception as error:
            error.add_note(f"crashed at {place}")
            raise
        if boundaries.crashed.is_set():
            crashed.add(place[0])
    assert crashed == WHOLE_PATH


async def crash_and_check(path: Path, change: Change, boundaries: Boundaries) -> None:
    """Live once until the crash, then once more as after a restart; in each the hook changes while some wait."""
    clock, outside, hook, lives = ManualClock(), Outside(WELL), outgoing(channels=("#general",)), list[Seen]()
    for places in (boundaries, Boundaries()):
        async with process(path, clock, outside, hook, places, lane_slots=1, lane_leases=LEASES) as life:
            stored = await life.store.hook(HOOK)
            seen = Seen(stored.token if stored else None, await delivered(life.store), outside.calls)
            lives.append(seen)
            await live(life, places, change_while_some_wait(life, places, clock, outside, change, seen))
            states = [one.state for one in (await life.store.deliveries())[0]]
            assert await life.store.check() == []
    check_calls(outside, lives)
    # what a crash interrupts was in the slot, or had left it and was being settled
    assert outside.calls <= len(SAID) + 2, "something was called again for nothing"
    assert len(states) == len(SAID)
    if change is edit:
        assert set(states) == {DeliveryState.DELIVERED}
    else:
        assert set(states) == {DeliveryState.DELIVERED, DeliveryState.DISCARDED}


async def change_while_some_wait(
    life: Process, boundaries: Boundaries, clock: ManualClock, outside: Outside, change: Change, seen: Seen
) -> None:
    """Say all, let one be delivered, change the hook while the next one calls, and let the rest come to its end."""

    async def waiting_after(ended: int) -> bool:
        queued = (await life.store.deliveries(state=DeliveryState.QUEUED))[0]
        leased = [one for one in queued if one.available_at > clock.steady()]
        ended_here = len(await delivered(life.store)) - len(seen.delivered)
        calling = outside.calls - seen.calls_before - ended_here
        expected = (ended, min(1, len(queued)), min(LEASES, len(queued)))
        return (ended_here, calling, len(leased)) == expected

    outside.hold()
    for number, text in enumerate(SAID):
        await life.accept(f"request-{number}", text)
    if seen.token is not None:
        left = len(SAID) - len(seen.delivered)
        await until(lambda: waiting_after(0))
        outside.permit(1)
        await until(lambda: waiting_after(min(1, left)))
        await change(life)
        seen.calls_before_change = outside.calls
        outside.permit(left)
    await until(lambda: all_ended(life, boundaries))


async def all_ended(life: Process, boundaries: Boundaries) -> bool:
    """Tell whether nothing is queued, and a claim has gone by since in which anything left over would have begun."""
    if (await life.store.counts()).queued or boundaries.passed["after settle"] < boundaries.passed["before settle"]:
        return False
    target = boundaries.passed["before claim"] + 1
    life.worker.notify()

    async def claimed_once_more() -> bool:
        return boundaries.passed["after claim"] >= target

    await until(claimed_once_more)
    return True


def check_calls(outside: Outside, lives: list[Seen]) -> None:
    """Assert that each life called what was left, oldest first and once, with the hook as it was when a call began."""
    ends = [*(seen.calls_before for seen in lives[1:]), outside.calls]
    for seen, end in zip(lives, ends, strict=True):
        bodies = outside.bodies[seen.calls_before : end]
        left = [text for text in SAID if text not in seen.delivered]
        assert [body["text"] for body in bodies] == left[: len(bodies)]
        before_change = (end if seen.calls_before_change is None else seen.calls_before_change) - seen.calls_before
        tokens = [body["token"] for body in bodies]
        assert tokens == [seen.token] * before_change + [ROTATED] * (len(tokens) - before_change)


async def delivered(store: Store) -> list[str]:
    """Return the texts of what was delivered."""
    events = [await store.event(one.event_seq) for one in (await store.deliveries(state=DeliveryState.DELIVERED))[0]]
    return [str(cast(dict[str, object], event.body["message"])["msg"]) for event in events if event is not None]
