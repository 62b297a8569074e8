"""The writer: everything that waits shares one commit, the guilty fail alone."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence

import pytest

from storage.condition import Condition
from storage.errors import StorageError, Taken
from storage.sqlite.connect import connect, make_durable
from storage.sqlite.transactions import BATCH_ROWS, Transactions
from storage.sqlite.writer import ThreadWriter
from tests.contracts.store.engine import SqliteEngine


@pytest.fixture
async def connection(engine: SqliteEngine) -> AsyncIterator[sqlite3.Connection]:
    opened = connect(engine.path, new=True)
    make_durable(opened, engine.path)
    opened.execute("CREATE TABLE item (number INTEGER PRIMARY KEY) STRICT")
    yield opened
    opened.close()


class Watch:
    """Notes what the writer tells of its transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.statements: list[str] = []
        self.committed: list[list[object]] = []
        self.rolled_back = 0
        connection.set_trace_callback(self.statements.append)
        transactions = Transactions(
            connection, connection, began=lambda: None, committed=lambda: None, rolled_back=self._rolled_back
        )
        self.writer: ThreadWriter[sqlite3.Connection] = ThreadWriter(
            transactions,
            heard=lambda jobs: self.committed.append([job.result for job in jobs]),
            condition=Condition(),
            closed=lambda: None,
        )

    def _rolled_back(self) -> None:
        self.rolled_back += 1

    @property
    def commits(self) -> int:
        return self.statements.count("COMMIT")


def insert(connection: sqlite3.Connection, items: Sequence[int]) -> list[int]:
    """Write the items; a number below zero breaks the program."""
    for item in items:
        connection.execute("INSERT INTO item VALUES (?)", (item,))
        if item < 0:
            raise ZeroDivisionError(item)
    return [item * 10 for item in items]


async def test_everything_that_waits_shares_a_commit(connection: sqlite3.Connection) -> None:
    """While one transaction runs the others gather; then they are written up to 256 at a time, in order."""
    watch = Watch(connection)
    free = threading.Event()
    holding = asyncio.ensure_future(watch.writer.run(lambda _: free.wait(10)))
    await asyncio.sleep(0)
    waiting = [asyncio.ensure_future(watch.writer.run_many(insert, number)) for number in range(300)]
    await asyncio.sleep(0)
    free.set()
    assert await asyncio.gather(*waiting) == [number * 10 for number in range(300)]
    assert await holding is True
    assert watch.commits <= 1 + -(-301 // BATCH_ROWS)
    assert [result for batch in watch.committed for result in batch] == [True, *(n * 10 for n in range(300))]
    await watch.writer.close()


async def test_the_guilty_fail_alone(connection: sqlite3.Connection) -> None:
    """A unit taken, or one that breaks in our own code, is undone alone; what was remembered is dropped."""
    watch = Watch(connection)
    free = threading.Event()
    holding = asyncio.ensure_future(watch.writer.run(lambda _: free.wait(10)))
    items = [1, 2, 1, -5, 3]
    waiting = [asyncio.ensure_future(watch.writer.run_many(insert, item)) for item in items]
    await asyncio.sleep(0)
    free.set()
    await holding
    first, second, taken, broken, third = await asyncio.gather(*waiting, return_exceptions=True)
    assert (first, second, third) == (10, 20, 30)
    assert isinstance(taken, Taken)
    assert isinstance(broken, ZeroDivisionError)
    assert watch.rolled_back > 0
    assert [row[0] for row in connection.execute("SELECT number FROM item")] == [1, 2, 3]
    await watch.writer.close()


async def test_a_fault_of_the_program_is_not_called_taken(connection: sqlite3.Connection) -> None:
    """Only unique names are `Taken`; a value of the wrong type is an error of its own."""
    watch = Watch(connection)
    with pytest.raises(StorageError) as raised:
        await watch.writer.run(lambda writing: writing.execute("INSERT INTO item VALUES ('x')"))
    assert type(raised.value) is StorageError
    await watch.writer.close()
