"""A debug mode: says which callback keeps the event loop from the others for too long (`PATCHBAY_LOOP_WATCH_MS`)."""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any  # what asyncio calls a callback through, whose parts are not in its types

import structlog

from storage.clock import Clock

HANDLE: Any = asyncio.Handle
DEEPEST = 12
"""Frames of the stack that are reported, innermost last."""

Report = Callable[[float, float, list[str]], None]
"""Takes how many milliseconds a callback took, how many of them its thread worked, and where it stood."""


def log_stall(milliseconds: float, worked_ms: float, stack: list[str]) -> None:
    """Write one line for a stall; what it did not work it waited for a processor or another thread."""
    log = structlog.get_logger("patchbay.loop")
    log.warning("loop blocked", duration_ms=round(milliseconds, 1), worked_ms=round(worked_ms, 1), stack=stack)


class LoopWatch:
    """A worker that times each callback of its loop, and a thread beside it that looks where a slow one stands.

    asyncio's own debug mode times them, too, but takes the stack of every call: too slow for usual load. One watch in a
    process: it stands between the loop and its callbacks.
    """

    name = "loop-watch"

    def __init__(self, clock: Clock, longest_ms: int, report: Report = log_stall) -> None:
        self._clock = clock
        self._longest_s = longest_ms / 1000
        self._report = report
        self._began: float | None = None
        self._stack: list[str] | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        loop, run, stopped = asyncio.get_running_loop(), HANDLE._run, threading.Event()

        def timed(handle: Any) -> None:
            if handle._loop is not loop:
                run(handle)
                return
            callback = handle._callback
            self._began, worked = self._clock.monotonic(), time.thread_time()
            try:
                run(handle)
            finally:
                took, self._began = self._clock.monotonic() - self._began, None
                stack, self._stack = self._stack, None
                if took > self._longest_s:
                    worked = time.thread_time() - worked
                    # in a callback of its own: here an error would end the loop
                    loop.call_soon(self._report, took * 1000, worked * 1000, stack or [_name(callback)])

        watcher = threading.Thread(
            target=self._watch, args=(threading.get_ident(), stopped), name="patchbay-loop-watch", daemon=True
        )
        watcher.start()
        HANDLE._run = timed
        try:
            await loop.create_future()
        finally:
            HANDLE._run = run
            stopped.set()

    def _watch(self, loop_thread: int, stopped: threading.Event) -> None:
        while not stopped.wait(self._longest_s / 2):
            began = self._began
            if began is None or self._stack is not None or self._clock.monotonic() - began <= self._longest_s:
                continue
            frame = sys._current_frames().get(loop_thread)
            if frame is not None and self._began == began:  # else it stands in the next one
                self._stack = _places(frame)


def _places(frame: FrameType) -> list[str]:
    return [f"{step.filename}:{step.lineno} {step.name}" for step in traceback.extract_stack(frame)[-DEEPEST:]]


def _name(callback: object) -> str:
    """Name what ran, where it had ended before the watcher's next look; never with its values."""
    owner = getattr(callback, "__self__", None)
    named = owner.get_coro() if isinstance(owner, asyncio.Task) else callback
    return str(getattr(named, "__qualname__", type(named).__name__))
