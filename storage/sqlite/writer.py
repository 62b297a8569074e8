"""The one writer, seen from the event loop: hands jobs over and answers those who wait (delivery.md §2, §8)."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar

from storage.condition import Condition
from storage.errors import Unavailable
from storage.sqlite.line import Line, Waiting, answer
from storage.sqlite.transactions import BATCH_BYTES, BATCH_ROWS, Transactions
from storage.sqlite.weight import weigh

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
I_ = TypeVar("I_")
Single = Callable[Concatenate[S, P], T]
Many = Callable[[S, Sequence[I_]], Sequence[T]]

Heard = Callable[[Sequence[Waiting]], None]
"""Is told the jobs the writer has answered, those that failed too, in the loop, before those who wait for them."""


class Writer(Protocol[S_co]):
    """Runs operations on a subject (the engine), many in one durable transaction."""

    def run(self, operation: Callable[Concatenate[S_co, P], T], *arguments: P.args, **_: P.kwargs) -> asyncio.Future[T]:
        """Run one operation in a transaction; its future raises StorageError when it cannot be committed."""
        ...

    def run_many(self, operation: Many[S_co, I_, T], item: I_) -> asyncio.Future[T]:
        """Hand one item to an operation that takes many at once; items of one commit arrive together."""
        ...

    def hurry(self) -> None:
        """Say that the end is near: a writer that hangs holds nothing up any more, where it can be ended."""
        ...

    async def close(self) -> None:
        """Finish what waits, then close the connection."""
        ...


class ThreadWriter(Generic[S]):
    """A writer in a thread of this process: for commands, and wherever the clock is not the machine's."""

    def __init__(
        self, transactions: Transactions, *, heard: Heard, condition: Condition, closed: Callable[[], None]
    ) -> None:
        """Take what commits, who is told of answers, and what to do at the end of the thread."""
        self._transactions = transactions
        self._heard = heard
        self._at_end = closed
        self._line = Line(condition)
        self._jobs: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="patchbay-writer", daemon=True)
        self._closed = False
        self._thread.start()

    def run(self, operation: Callable[Concatenate[S, P], T], *arguments: P.args, **_: P.kwargs) -> asyncio.Future[T]:
        return self._submit(Waiting(operation, arguments))

    def run_many(self, operation: Many[S, I_, T], item: I_) -> asyncio.Future[T]:
        return self._submit(Waiting(operation, (item,), many=True))

    def hurry(self) -> None:
        """A thread cannot be ended from outside."""

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _submit(self, job: Waiting) -> asyncio.Future[Any]:
        if self._closed:
            raise Unavailable("The database is closed.")
        self._line.admit()
        job.weight = weigh(job.arguments)
        future = self._line.add(job)
        self._jobs.put(job)
        return future

    def _answer(self, count: int) -> None:
        answer(self._line.answered(count), self._heard)

    def _work(self) -> None:
        last = False
        while not last:
            batch: list[Waiting] = []
            size = 0
            job = self._jobs.get()
            while job is not None:
                batch.append(job)
                size += job.weight
                if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            last = job is None
            if batch:
                self._transactions.commit(batch)
                with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                    self._loop.call_soon_threadsafe(self._answer, len(batch))
        self._at_end()
