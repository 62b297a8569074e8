"""The event stream: every reader gets every event once, in order, or is told that it missed some."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from bot.workspace import stream as module
from bot.workspace.stream import Lagged, Stream, Subscription
from handlers.outgoing.scopes import hook_scopes
from storage.errors import Unavailable
from storage.ids import EventSeq
from storage.records.changes import Changes, Fact
from storage.records.event import Event, EventKind, NewEvent
from storage.sqlite.store import SqliteStore, open_store
from storage.vault import Vault
from tests.clock import ManualClock
from tests.records import NOON, ORG, room, user


def open_at(path: Path) -> SqliteStore:
    """Open a store on a file, as one of several processes."""
    return open_store(path, Vault([bytes(32)]), ManualClock(), hook_scopes, serving=False)


class Late:
    """The real store, but its commits are announced only when the test says so."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self._listeners: list[Callable[[Sequence[Event]], None]] = []
        self._events: list[Event] = []
        self.faults = 0
        """How many reads fail from now on."""
        store.subscribe(self._events.extend)

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> None:
        self._listeners.append(listener)

    def announce(self) -> None:
        """Tell of all commits since the last time."""
        for listener in self._listeners:
            listener(tuple(self._events))
        self._events.clear()

    async def event(self, seq: EventSeq) -> Event | None:
        return await self._store.event(seq)

    async def events_after(self, seq: EventSeq, limit: int = 1000) -> list[Event]:
        if self.faults:
            self.faults -= 1
            raise Unavailable
        return await self._store.events_after(seq, limit)

    async def last_event(self) -> EventSeq:
        return await self._store.last_event()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = open_at(tmp_path / "patchbay.db")
    await store.make_organisation(ORG, "Test", NOON)
    await store.commit(Changes(new_users=(user(),), new_rooms=(room(),)))
    yield store
    await store.close()


async def happen(store: SqliteStore, number: int = 1) -> None:
    """Commit so many events, each on its own."""
    event = NewEvent(kind=EventKind.USER_CHANGED, org_id=ORG, at=NOON, json="{}")
    for _ in range(number):
        await store.commit(Changes(facts=(Fact(event=event),)))


async def read(subscription: Subscription, last: int) -> list[int]:
    """Read up to a number."""
    found: list[int] = []
    async with asyncio.timeout(10):
        while not found or found[-1] < last:
            found.append((await subscription.next()).seq)
    return found


async def test_a_reader_hears_what_comes(store: SqliteStore) -> None:
    """From the moment it joins on, in order, and not what was before."""
    stream = Stream(store, await store.last_event())
    await happen(store, 3)
    async with stream.subscribe() as one, stream.subscribe() as other:
        await happen(store, 3)
        assert await read(one, 6) == await read(other, 6) == [4, 5, 6]
        assert one.last == 6


@pytest.mark.parametrize("after", [0, 1, 25, 49, 50])
async def test_a_reader_resumes_while_commits_go_on(store: SqliteStore, after: int) -> None:
    """Nothing between its number and now is left out or comes twice, wherever the commits fall."""
    stream = Stream(store, await store.last_event())
    await happen(store, 50)
    going_on = asyncio.create_task(happen(store, 50))
    for _ in range(5):
        async with stream.subscribe(EventSeq(after)) as subscription:
            assert await read(subscription, 60) == list(range(after + 1, 61))
    await going_on


async def test_an_event_found_in_the_store_is_not_heard_again(store: SqliteStore) -> None:
    """A commit that is durable but not yet announced when a reader resumes reaches it once."""
    late = Late(store)
    stream = Stream(late, EventSeq(0))
    await happen(store, 2)
    async with stream.subscribe(EventSeq(1)) as subscription:
        late.announce()
        await happen(store)
        late.announce()
        assert await read(subscription, 3) == [2, 3]
    assert stream.last == 3


async def test_another_process_is_heard_in_order(store: SqliteStore, tmp_path: Path) -> None:
    """Its commits come by number also when our own are announced first."""
    stream = Stream(store, await store.last_event())
    other = open_at(tmp_path / "patchbay.db")
    async with stream.subscribe() as subscription:
        await happen(other, 2)
        await happen(store, 2)
        await happen(other)
        assert await read(subscription, 4) == [1, 2, 3, 4]
        assert await stream.read_elsewhere()
        assert await read(subscription, 5) == [5]
        assert not await stream.read_elsewhere()
    await other.close()


async def test_a_slow_reader_is_cut_off(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It still gets what was kept for it, then is told; resuming by its number misses nothing."""
    monkeypatch.setattr(module, "BACKLOG", 3)
    stream = Stream(store, await store.last_event())
    async with stream.subscribe() as slow, stream.subscribe() as quick:
        for number in range(1, 6):
            await happen(store)
            assert await read(quick, number) == [number]
        assert await read(slow, 3) == [1, 2, 3]
        with pytest.raises(Lagged):
            await slow.next()
    async with stream.subscribe(slow.last) as resumed:
        assert await read(resumed, 5) == [4, 5]


async def test_a_slow_reader_of_large_events_is_cut_off(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a reader is bounded in bytes, too; a single event always finds room, and it resumes by number."""
    monkeypatch.setattr("bot.workspace.stream.BACKLOG_BYTES", 3_000)
    stream = Stream(store, await store.last_event())
    sizes = [1_000] * 5 + [9_000, 10]
    async with stream.subscribe() as subscription:
        for size in sizes:
            event = NewEvent(kind=EventKind.USER_CHANGED, org_id=ORG, at=NOON, json=f'"{"x" * size}"')
            await store.commit(Changes(facts=(Fact(event=event),)))
        with pytest.raises(Lagged):
            await read(subscription, len(sizes))
        last = subscription.last
        assert 0 < last < 5
    seen = []
    while last < len(sizes):
        async with stream.subscribe(last) as subscription:
            with suppress(Lagged):
                while last < len(sizes):
                    last = (await subscription.next()).seq
                    seen.append(last)
    assert seen == list(range(seen[0], len(sizes) + 1))


async def test_what_nobody_heard_of_is_read(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading on brings what was committed and never announced, also when the store cannot be read at first."""
    monkeypatch.setattr("bot.workspace.stream.RETRY_S", 0.01)
    late = Late(store)
    stream = Stream(late, EventSeq(0))
    async with stream.subscribe() as subscription:
        await happen(store, 2)
        late.faults = 2
        stream.read_on()
        assert await read(subscription, 2) == [1, 2]
    stream.close()


async def test_a_reader_far_behind_catches_up_in_steps(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """More missed events than are kept for one reader are read by resuming again and again."""
    monkeypatch.setattr(module, "BACKLOG", 3)
    await happen(store, 8)
    stream = Stream(store, await store.last_event())
    found: list[int] = []
    last = EventSeq(0)
    while last < 8:
        async with stream.subscribe(last) as subscription:
            try:
                while subscription.last < 8:
                    found.append((await subscription.next()).seq)
            except Lagged:
                pass
            assert subscription.last > last
            last = subscription.last
    assert found == list(range(1, 9))


async def test_the_end_wakes_everybody(store: SqliteStore) -> None:
    """When the stream closes, waiting readers end at once and others after what they have."""
    stream = Stream(store, await store.last_event())
    async with stream.subscribe() as waiting, stream.subscribe() as reading:
        task = asyncio.create_task(waiting.next())
        await happen(store)
        assert (await task).seq == 1
        task = asyncio.create_task(waiting.next())
        await asyncio.sleep(0)
        stream.close()
        with pytest.raises(Lagged):
            await task
        assert (await reading.next()).seq == 1
        with pytest.raises(Lagged):
            await reading.next()
