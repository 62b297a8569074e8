"""Full collections wait for an idle loop, and come all the same when there is none."""

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator

import pytest

from bot import collecting


class Circle:
    """Something that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def taken_over() -> Iterator[None]:
    """Collections as a server has them, for the time of a test."""
    before = gc.get_threshold()
    collecting.begin()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def old_circle(freed: asyncio.Event) -> "weakref.ref[Circle]":
    """Let something go that has lived through the collections of the young and of the older."""
    circle = Circle()
    gc.collect(0)
    gc.collect(1)
    return weakref.ref(circle, lambda _: freed.set())


async def busy() -> None:
    """Keep the loop's thread at work, with a step for others after each millisecond."""
    while True:
        end = time.thread_time() + 0.001
        while time.thread_time() < end:
            pass
        await asyncio.sleep(0)


@pytest.mark.usefixtures("taken_over")
async def test_an_idle_loop_frees_what_lies_in_circles() -> None:
    """What ended connections leave does not pile up, though Python itself collects no more."""
    collector, freed = asyncio.create_task(collecting.collect_when_idle(0.01, 0.05)), asyncio.Event()
    circle = old_circle(freed)
    assert circle() is not None
    async with asyncio.timeout(10):
        await freed.wait()
    collector.cancel()


@pytest.mark.usefixtures("taken_over")
async def test_a_busy_loop_is_not_held_up_but_once_in_an_hour() -> None:
    """Work goes on without a full collection, until it has gone on for too long."""
    work, freed = asyncio.create_task(busy()), asyncio.Event()
    circle = old_circle(freed)
    collector = asyncio.create_task(collecting.collect_when_idle(0.01, 0.05))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(freed.wait(), 0.5)
    collector.cancel()
    assert circle() is not None
    collector = asyncio.create_task(collecting.collect_when_idle(0.01, 0.05, most_looks=2))
    async with asyncio.timeout(10):
        await freed.wait()
    collector.cancel()
    work.cancel()
