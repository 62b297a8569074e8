"""The debug mode that names what blocks the event loop."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from bot.workers.loop_watch import LoopWatch, Report
from storage.clock import SystemClock
from tests.server import serving


def spin(clock: SystemClock, seconds: float) -> None:
    """Keep the thread busy."""
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        pass


@asynccontextmanager
async def watching(longest_ms: int, report: Report) -> AsyncIterator[None]:
    """Watch this loop meanwhile."""
    watch = asyncio.create_task(LoopWatch(SystemClock(), longest_ms, report).run())
    await asyncio.sleep(0)  # it begins
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.wait([watch])


@pytest.mark.flaky(reruns=3)  # a measurement: a busy machine may spoil one
async def test_what_blocks_the_loop_is_named() -> None:
    """A stall is reported with its length and the function the loop stood in."""
    clock, stalls = SystemClock(), list[tuple[float, float]]()
    reported = asyncio.Event()

    def report(milliseconds: float, worked_ms: float, stack: list[str]) -> None:
        if any("spin" in place for place in stack):
            stalls.append((milliseconds, worked_ms))
            reported.set()

    async with watching(20, report):
        for _ in range(10):  # on a busy machine the watcher may look too late, once or twice
            spin(clock, 0.2)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await reported.wait()
                    break
    stood, worked = stalls[0]
    assert 150 < stood < 2_000
    assert worked > 50  # less than it stood where others keep the processor


async def test_what_waits_has_not_worked() -> None:
    """A callback that waits, busy with nothing, held the loop up all the same and worked next to nothing."""
    stalls, reported = list[tuple[float, float]](), asyncio.Event()

    def report(milliseconds: float, worked_ms: float, _: list[str]) -> None:
        if milliseconds > 100:
            stalls.append((milliseconds, worked_ms))
            reported.set()

    async with watching(20, report):
        threading.Event().wait(0.15)
        async with asyncio.timeout(5):
            await reported.wait()
    assert stalls[0][1] < 50


async def test_what_nobody_saw_is_named_without_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """A callback that ended before the watcher looked is told by its name, not by what it was called with."""
    places, reported = list[list[str]](), asyncio.Event()
    monkeypatch.setattr(LoopWatch, "_watch", lambda *_: None)

    def report(_: float, __: float, stack: list[str]) -> None:
        places.append(stack)
        reported.set()

    async def holding(secret: str) -> str:
        threading.Event().wait(0.3)
        return secret

    async with watching(200, report):
        await asyncio.create_task(holding("hidden"))
        async with asyncio.timeout(5):
            await reported.wait()
        asyncio.get_running_loop().call_soon(threading.Event().wait, 0.3)
        reported.clear()
        async with asyncio.timeout(5):
            await reported.wait()
    assert "holding" in places[0][0]
    assert places[1] == ["Event.wait"]
    assert "hidden" not in str(places)


async def test_a_report_that_fails_leaves_the_loop_at_work() -> None:
    """An error of the log is the loop's to tell, as any callback's."""
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, __: told.set())

    def report(*_: object) -> None:
        raise BrokenPipeError

    async with watching(20, report):
        threading.Event().wait(0.1)
        async with asyncio.timeout(5):
            await told.wait()


async def test_a_server_runs_with_the_watch(tmp_path: Path) -> None:
    """With the setting the watch is one more worker, and /ready knows it."""
    async with (
        serving(tmp_path / "data", loop_watch_ms=1_000) as server,
        server.http.get(f"{server.url}/ready") as answer,
    ):
        assert (await answer.json())["workers"]["loop-watch"] is True
