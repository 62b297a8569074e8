"""Reads that several ask for at once are one query, and nobody notices but by the time it takes."""

import asyncio
import gc
from collections.abc import Mapping, Sequence

import pytest

from storage.errors import Unavailable
from storage.sqlite.together import Together


class Table:
    """What is read: each query waits until it is let go, and sees what stands there when it begins."""

    def __init__(self) -> None:
        self.rows = {"a": 1, "b": 2}
        self.queries: list[list[str]] = []
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.broken = False

    async def read(self, keys: Sequence[str]) -> Mapping[str, int]:
        self.queries.append(list(keys))
        self.begun.set()
        found = {key: self.rows[key] for key in keys if key in self.rows}
        await self.go.wait()
        if self.broken:
            raise Unavailable("The disk is gone.")
        return found


async def test_what_is_asked_together_is_one_query() -> None:
    """Each gets its own keys, without those that are not there; a key is asked for once."""
    table = Table()
    table.go.set()
    together = Together(table.read)
    assert await asyncio.gather(*map(together.of, (["a"], ["b", "a"], ["none"]))) == [{"a": 1}, {"b": 2, "a": 1}, {}]
    assert table.queries == [["a", "b", "none"]]


async def test_nobody_gets_what_was_read_before_they_asked() -> None:
    """Who asks while a query runs waits for the next one, which all of them share."""
    table = Table()
    together = Together(table.read)
    first = asyncio.create_task(together.of(["a"]))
    await table.begun.wait()
    table.rows["a"] = 10
    later = [asyncio.create_task(together.of([key])) for key in ("a", "b", "a")]
    for _ in range(10):
        await asyncio.sleep(0)
    assert table.queries == [["a"]]
    table.go.set()
    assert await first == {"a": 1}
    assert await asyncio.gather(*later) == [{"a": 10}, {"b": 2}, {"a": 10}]
    assert table.queries == [["a"], ["a", "b"]]


async def test_one_that_gives_up_leaves_the_others_their_answer() -> None:
    """A client that goes away ends its own request alone."""
    table = Table()
    together = Together(table.read)
    gone, stays = (asyncio.create_task(together.of([key])) for key in "ab")
    await table.begun.wait()
    gone.cancel()
    await asyncio.wait([gone])
    table.go.set()
    assert await stays == {"b": 2}


async def test_a_failure_nobody_waits_for_is_no_record_of_asyncio(caplog: pytest.LogCaptureFixture) -> None:
    """Where everybody has gone, there is nobody to tell."""
    table = Table()
    together = Together(table.read)
    gone = asyncio.create_task(together.of(["a"]))
    await table.begun.wait()
    gone.cancel()
    await asyncio.wait([gone])
    table.broken = True
    table.go.set()
    for _ in range(10):
        await asyncio.sleep(0)
    gc.collect()
    assert not caplog.records


async def test_a_query_that_fails_fails_for_all_of_its_own_and_none_after() -> None:
    """The next query is asked anew."""
    table = Table()
    table.broken = True
    table.go.set()
    together = Together(table.read)
    found = await asyncio.gather(together.of(["a"]), together.of(["b"]), return_exceptions=True)
    assert [str(one) for one in found] == ["The disk is gone."] * 2
    table.broken = False
    assert await together.of(["a"]) == {"a": 1}


@pytest.mark.parametrize("keys", [[], ["a", "a"]])
async def test_no_key_and_the_same_twice_are_answered(keys: list[str]) -> None:
    table = Table()
    table.go.set()
    assert await Together(table.read).of(keys) == dict.fromkeys(keys, 1)
