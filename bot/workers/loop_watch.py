"""A debug mode: says what keeps the event loop from its work for longer than it may (`PATCHBAY_LOOP_WATCH_MS`)."""

import asyncio
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType

import structlog

from storage.clock import Clock

BEAT_S = 0.001
DEEPEST = 12
"""Frames of the stack that are reported, innermost last."""

Report = Callable[[float, float, list[str]], None]
"""Takes how many milliseconds the loop stood still, how many of them its thread worked, and where it stood."""


def log_stall(milliseconds: float, worked_ms: float, stack: list[str]) -> None:
    """Write one line for a stall; what it did not work it waited for a processor or another thread."""
    log = structlog.get_logger("patchbay.loop")
    log.warning("loop blocked", duration_ms=round(milliseconds, 1), worked_ms=round(worked_ms, 1), stack=stack)


class LoopWatch:
    """A worker that lets the loop beat, and a thread beside it that looks where it stands when the beat is late."""

    name = "loop-watch"

    def __init__(self, clock: Clock, longest_ms: int, report: Report = log_stall) -> None:
        self._clock = clock
        self._longest_s = longest_ms / 1000
        self._report = report
        self._beat = 0.0
        self._stack: list[str] | None = None

    async def run(self) -> None:
        """Watch until cancelled."""
        stopped = threading.Event()
        self._beat, worked = self._clock.monotonic(), time.thread_time()
        watcher = threading.Thread(
            target=self._watch, args=(threading.get_ident(), stopped), name="patchbay-loop-watch", daemon=True
        )
        watcher.start()
        try:
            while True:
                await asyncio.sleep(BEAT_S)
                now = self._clock.monotonic()
                late, self._beat = now - self._beat - BEAT_S, now
                work, worked = time.thread_time() - worked, time.thread_time()
                stack, self._stack = self._stack, None
                if late > self._longest_s:
                    self._report(late * 1000, work * 1000, stack or [])
        finally:
            stopped.set()

    def _watch(self, loop_thread: int, stopped: threading.Event) -> None:
        while not stopped.wait(self._longest_s / 2):
            if self._stack is None and self._clock.monotonic() - self._beat > self._longest_s:
                frame = sys._current_frames().get(loop_thread)
                if frame is not None:
                    self._stack = _places(frame)


def _places(frame: FrameType) -> list[str]:
    return [f"{step.filename}:{step.lineno} {step.name}" for step in traceback.extract_stack(frame)[-DEEPEST:]]
