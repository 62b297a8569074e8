"""Keeps the workers of the process running, and says how they are (delivery.md §7)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from storage.clock import Clock

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
"""A worker that ran this long is restarted as if it had never failed."""

log = structlog.get_logger()


class Worker(Protocol):
    """Something that runs until it is cancelled, and tidies up then."""

    @property
    def name(self) -> str: ...
    async def run(self) -> None: ...


@dataclass(frozen=True, slots=True)
class WorkerHealth:
    """How one worker is; `fault` is the kind of error that ended it last."""

    running: bool = False
    restarts: int = 0
    fault: str | None = None


class Supervisor:
    """Owns its workers' tasks in one coroutine; starts them in order and stops them in reverse."""

    def __init__(self, workers: Sequence[Worker], clock: Clock, *, first_pause_s: float = FIRST_PAUSE_S) -> None:
        self._workers = workers
        self._clock = clock
        self._first_pause_s = first_pause_s
        self._health = {worker.name: WorkerHealth() for worker in workers}
        self._tasks: list[asyncio.Task[None]] = []
        self._group: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start every worker."""
        self._group = asyncio.create_task(self._own())

    async def stop(self) -> None:
        """Stop the workers one after the other, last started first, each with the time it needs."""
        for task in reversed(self._tasks):
            task.cancel()
            await asyncio.wait([task])
        if self._group is not None:
            self._group.cancel()  # stopped before its first step, it has no tasks to stop yet
            await asyncio.wait([self._group])

    def health(self) -> Mapping[str, WorkerHealth]:
        """Return how each worker is, by name."""
        return dict(self._health)

    async def _own(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._tasks = [group.create_task(self._keep(worker), name=worker.name) for worker in self._workers]

    async def _keep(self, worker: Worker) -> None:
        pause, restarts = self._first_pause_s, 0
        fault: str | None = None
        try:
            while True:
                started = self._clock.monotonic()
                self._health[worker.name] = WorkerHealth(running=True, restarts=restarts, fault=fault)
                error = await _end(worker)
                if self._clock.monotonic() - started >= STEADY_S:
                    pause = self._first_pause_s
                restarts, fault = restarts + 1, type(error).__name__
                self._health[worker.name] = WorkerHealth(restarts=restarts, fault=fault)
                log.error("worker died", worker=worker.name, restart_in_s=pause, exc_info=error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE_S)
        finally:
            self._health[worker.name] = WorkerHealth(restarts=restarts, fault=fault)


class Returned(Exception):
    """The worker came to an end although nobody stopped it."""


async def _end(worker: Worker) -> Exception:
    """Run a worker to its end, and return what ended it."""
    try:
        await worker.run()
    except Exception as error:  # noqa: BLE001 # whatever it is, the others go on and this one is restarted
        return error
    return Returned()
