"""Group commit: runs many units of work in one durable transaction (delivery.md §2)."""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from storage.errors import Corrupt, Unavailable
from storage.sqlite.connect import translate

BATCH_ROWS = 256
"""Most units of work in one commit."""
BATCH_BYTES = 4 << 20
"""What one commit holds: larger ones would keep those who come meanwhile waiting, and fill memory. A single unit may
be larger."""


@dataclass(slots=True)
class Job:
    """One unit of work; an operation for `many` takes all the items of a commit at once, others their arguments."""

    # Any: a job carries whatever its operation takes and gives; the typed door is the writer's `run` and `run_many`
    operation: Callable[..., Any]
    arguments: tuple[Any, ...]
    many: bool = False
    result: Any = field(default=None)
    error: BaseException | None = None
    weight: int = 0
    """Bytes it holds, about."""


class Transactions:
    """Runs jobs on the writing connection.

    A unit that fails alone is rolled back alone; when the transaction itself fails (disk full,
    locked, read-only), every unit of it gets the error and nothing of it is written.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        subject: object,
        *,
        began: Callable[[], None],
        committed: Callable[[], None],
        rolled_back: Callable[[], None],
    ) -> None:
        """Take the connection, what the operations are called on, and who is told what happens."""
        self._connection = connection
        self._subject = subject
        self._began = began
        self._committed = committed
        self._rolled_back = rolled_back
        self.turn = threading.Lock()
        """Held while a batch is committed; whoever else holds it keeps the writer waiting."""

    def commit(self, batch: Sequence[Job]) -> None:
        """Run the jobs and commit; each then holds its result or its error."""
        with self.turn:
            self._commit(batch)

    def _commit(self, batch: Sequence[Job]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            self._began()
            for group in _groups(batch):
                self._run_group(group)
            connection.execute("COMMIT")
            self._committed()
        except Exception as error:  # noqa: BLE001 # the writer must go on; everyone waiting gets the fault
            fault = translate(error) if isinstance(error, sqlite3.Error) else error
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            self._rolled_back()
            for job in batch:
                job.error = fault

    def _run_group(self, group: Sequence[Job]) -> None:
        """Run jobs of one operation together; when that fails, each alone, so that only the guilty fail."""
        connection, first = self._connection, group[0]
        connection.execute("SAVEPOINT unit")
        try:
            if first.many:
                results = first.operation(self._subject, [job.arguments[0] for job in group])
                for job, result in zip(group, results, strict=True):
                    job.result = result
            else:
                first.result = first.operation(self._subject, *first.arguments)
        except Exception as error:  # one unit's fault is handed to its caller
            fault = translate(error) if isinstance(error, sqlite3.Error) else error
            if isinstance(fault, Unavailable | Corrupt) or not connection.in_transaction:
                raise  # disk full, read-only, damaged: the whole transaction is lost
            connection.execute("ROLLBACK TO unit")
            connection.execute("RELEASE unit")
            self._rolled_back()
            if len(group) == 1:
                first.error = fault
                return
            for job in group:
                self._run_group([job])
        else:
            connection.execute("RELEASE unit")


def batches(jobs: Iterable[Job]) -> Iterator[list[Job]]:
    """Return jobs in their order, as many together as one commit takes."""
    batch, size = list[Job](), 0
    for job in jobs:
        if batch and (len(batch) == BATCH_ROWS or size + job.weight > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(job)
        size += job.weight
    if batch:
        yield batch


def _groups(batch: Sequence[Job]) -> list[list[Job]]:
    groups: list[list[Job]] = []
    together: dict[Callable[..., Any], list[Job]] = {}
    for job in batch:
        if not job.many:
            groups.append([job])
        elif job.operation in together:
            together[job.operation].append(job)
        else:
            together[job.operation] = [job]
            groups.append(together[job.operation])
    return groups
