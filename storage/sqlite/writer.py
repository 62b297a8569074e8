"""The one writer: a thread that commits everything waiting at once, then answers (delivery.md §2)."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from storage.errors import Corrupt, Unavailable
from storage.sqlite.connect import translate

BATCH_ROWS = 256
"""Most units of work in one commit."""

T = TypeVar("T")
I_ = TypeVar("I_")
Single = Callable[[sqlite3.Connection], T]
Batch = Callable[[sqlite3.Connection, Sequence[I_]], Sequence[T]]


@dataclass(slots=True)
class _Job:
    # Any: a job carries whatever its function takes and gives; the typed door is `run` and `run_batched`
    function: Callable[..., Any]
    item: Any
    batched: bool
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


class Writer:
    """Runs functions on the writing connection, many in one durable transaction.

    A unit that fails alone is rolled back alone; when the transaction itself fails (disk full,
    locked, read-only), every unit of it gets the error and nothing of it is written.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        began: Callable[[sqlite3.Connection], None],
        rolled_back: Callable[[], None],
        committed: Callable[[list[Any]], None],
    ) -> None:
        """Take the connection and who is told what happens to its transactions.

        `began` and `rolled_back` run in the thread, `committed` with a commit's results in the loop.
        """
        self._connection = connection
        self._began = began
        self._rolled_back = rolled_back
        self._committed = committed
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="patchbay-writer", daemon=True)
        self._closed = False
        self.turn = threading.Lock()
        """Held while a batch is committed; whoever else holds it keeps the writer waiting."""
        self._thread.start()

    def run(self, function: Single[T]) -> asyncio.Future[T]:
        """Run one function in a transaction; raise StorageError when it cannot be committed."""
        return self._submit(function, None, batched=False)

    def run_batched(self, function: Batch[I_, T], item: I_) -> asyncio.Future[T]:
        """Hand one item to a function that takes many at once; items of one commit arrive together."""
        return self._submit(function, item, batched=True)

    async def close(self) -> None:
        """Finish what waits, then stop the thread."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    def _submit(self, function: Callable[..., Any], item: object, *, batched: bool) -> asyncio.Future[Any]:
        if self._closed:
            raise Unavailable("The database is closed.")
        job = _Job(function, item, batched, self._loop.create_future())
        self._jobs.put(job)
        # a caller that goes away takes nothing back: its future is cancelled, the job is committed all the same
        return job.future

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            batch, last = [job], False
            while len(batch) < BATCH_ROWS:
                try:
                    more = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    last = True
                    break
                batch.append(more)
            with self.turn:
                self._commit(batch)
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                self._loop.call_soon_threadsafe(self._answer, batch)
            if last:
                return

    def _commit(self, batch: list[_Job]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._began(connection)
            for group in _groups(batch):
                self._run_group(group)
            connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 # the writer must go on; everyone waiting gets the fault
            fault = translate(error) if isinstance(error, sqlite3.Error) else error
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._rolled_back()
            for job in batch:
                job.error = fault

    def _run_group(self, group: list[_Job]) -> None:
        """Run jobs of one function together; when that fails, each alone, so that only the guilty fail."""
        connection = self._connection
        connection.execute("SAVEPOINT unit")
        try:
            if group[0].batched:
                results = group[0].function(connection, [job.item for job in group])
                for job, result in zip(group, results, strict=True):
                    job.result = result
            else:
                group[0].result = group[0].function(connection)
        except Exception as error:  # one unit's fault is handed to its caller
            fault = translate(error) if isinstance(error, sqlite3.Error) else error
            if isinstance(fault, Unavailable | Corrupt) or not connection.in_transaction:
                raise  # disk full, read-only, damaged: the whole transaction is lost
            connection.execute("ROLLBACK TO unit")
            connection.execute("RELEASE unit")
            self._rolled_back()
            if len(group) == 1:
                group[0].error = fault
                return
            for job in group:
                self._run_group([job])
        else:
            connection.execute("RELEASE unit")

    def _answer(self, batch: list[_Job]) -> None:
        try:
            self._committed([job.result for job in batch if job.error is None])
        finally:  # a listener's fault must not keep those waiting who caused the events
            for job in batch:
                if job.future.done():  # its caller has gone away
                    continue
                if job.error is None:
                    job.future.set_result(job.result)
                else:
                    job.future.set_exception(job.error)
                    job.future.exception()  # seen, also when the caller goes away before it looks


def _groups(batch: list[_Job]) -> list[list[_Job]]:
    groups: list[list[_Job]] = []
    batched: dict[Callable[..., Any], list[_Job]] = {}
    for job in batch:
        if not job.batched:
            groups.append([job])
        elif job.function in batched:
            batched[job.function].append(job)
        else:
            batched[job.function] = [job]
            groups.append(batched[job.function])
    return groups
