"""Jobs on their way to the writer: bounded in bytes, answered in order, and waited for no longer than a bound."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from storage.condition import Condition
from storage.errors import Overloaded, Unavailable, Uncertain
from storage.sqlite.transactions import Job

LINE_BYTES = 16 << 20
"""What may be on its way at once. A disk that takes 5 MB a second works this off in three seconds; whoever comes while
it is full is refused, so that a slow disk costs time and no memory. A single job always finds room."""
JOB_COST = 512
"""Bytes each job counts beside its own: what a record and somebody who waits for it take."""
ANSWER_S = 10.0
"""Longest wait for the writer, twice of what it waits for another process's lock by itself."""
LOOK_S = 0.25
"""How often to look whether somebody has waited for too long."""

STANDS_STILL = f"The process that writes the database has not answered for {ANSWER_S:g} s."


@dataclass(slots=True)
class Waiting(Job):
    """A job somebody waits for; it is committed all the same when they go away."""

    future: "asyncio.Future[Any] | None" = None
    since: float = field(default=0.0)
    """When it was handed in, by the loop's clock."""


class Line:
    """What was handed to a writer and is not answered yet, oldest first.

    Whoever has waited for `ANSWER_S` is told that nothing is certain; their job stays in its place, because the
    writer may still write it. From then until the next answer nothing more is taken.
    """

    def __init__(self, condition: Condition, overdue: Callable[[], None] = lambda: None) -> None:
        """`overdue` is called when the writer begins to stand still; it may take back what was not handed over."""
        self._condition = condition
        self._overdue = overdue
        self._loop = asyncio.get_running_loop()
        self._jobs: deque[Waiting] = deque()
        self._bytes = 0
        self._stands_still = False
        self._looking: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._jobs)

    async def drained(self, within_s: float) -> bool:
        """Wait until everything is answered; tell whether that came in time."""
        if not self._jobs:
            return True
        self._emptied = self._loop.create_future()
        await asyncio.wait([self._emptied], timeout=within_s)
        return not self._jobs

    def admit(self) -> None:
        """Raise Unavailable when nothing more may be handed in now."""
        if self._stands_still:
            raise Unavailable(f"{STANDS_STILL} Nothing was changed, try again shortly.")
        if self._bytes >= LINE_BYTES:
            raise Overloaded

    def add(self, job: Waiting) -> "asyncio.Future[Any]":
        """Take a job; its future raises StorageError when it cannot be committed."""
        future: asyncio.Future[Any] = self._loop.create_future()
        job.future, job.since = future, self._loop.time()
        job.weight += JOB_COST
        self._bytes += job.weight
        self._jobs.append(job)
        if self._looking is None:
            self._looking = self._loop.call_later(LOOK_S, self._look)
        return future

    def answered(self, count: int) -> list[Waiting]:
        """Return the oldest jobs, which the writer has answered."""
        self._goes_on()
        return self._without([self._jobs.popleft() for _ in range(count)])

    def take_back(self, count: int) -> list[Waiting]:
        """Return the newest jobs, which were never handed over."""
        return self._without([self._jobs.pop() for _ in range(count)][::-1])

    def take_all(self) -> list[Waiting]:
        """Return every job: nobody will answer them."""
        self._goes_on()
        return self._without([self._jobs.popleft() for _ in range(len(self._jobs))])

    def _without(self, jobs: list[Waiting]) -> list[Waiting]:
        self._bytes -= sum([job.weight for job in jobs])
        if self._emptied is not None and not self._jobs and not self._emptied.done():
            self._emptied.set_result(None)
        return jobs

    def _goes_on(self) -> None:
        if self._stands_still:
            self._stands_still = False
            self._condition.clear("writer")

    def _look(self) -> None:
        self._looking = None
        before = self._loop.time() - ANSWER_S
        if self._jobs and self._jobs[0].since <= before and not self._stands_still:
            self._stands_still = True
            self._condition.report("writer", STANDS_STILL)
            self._overdue()
        for job in self._jobs:
            if job.since > before:
                break
            give_up(job, Uncertain(f"{STANDS_STILL} It is not certain whether this was stored."))
        if self._jobs:
            self._looking = self._loop.call_later(LOOK_S, self._look)


def give_up(job: Waiting, error: BaseException) -> None:
    """Let whoever waits for a job wait no longer."""
    future = job.future
    if future is not None and not future.done():
        future.set_exception(error)
        future.exception()  # seen, also when the caller goes away before it looks


def fail(jobs: Iterable[Waiting], error: Callable[[], BaseException]) -> None:
    """Tell whoever waits for these jobs that they failed."""
    for job in jobs:
        job.error = error()
        give_up(job, job.error)


def answer(jobs: list[Waiting], heard: Callable[[list[Waiting]], None]) -> None:
    """Tell of the jobs of an answer, then answer everybody who waits for one of them."""
    try:
        heard(jobs)
    finally:  # a listener's fault must not keep those waiting who caused the events
        for job in jobs:
            future = job.future
            if future is None or future.done():  # its caller has gone away
                continue
            if job.error is None:
                future.set_result(job.result)
            else:
                give_up(job, job.error)
