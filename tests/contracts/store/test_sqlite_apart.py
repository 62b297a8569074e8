"""The writer in a process of its own: keeps every promise of the one in a thread, and may die."""

import asyncio
import os
import pickle
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from msgspec import structs

from storage.clock import SystemClock
from storage.condition import Condition
from storage.errors import StorageError, Taken, Unavailable
from storage.ids import GENERAL, ROCKET_CAT, MessageId
from storage.records.changes import Changes
from storage.records.event import Event
from storage.sqlite import apart, child
from storage.sqlite.engine import Engine, Opening
from storage.sqlite.files import FileId
from storage.sqlite.store import SqliteStore, open_store
from storage.sqlite.wire import Frames, frame
from storage.vault import Vault
from tests.contracts.store.engine import KEY, scopes
from tests.contracts.store.units import fact, queue_up, request
from tests.records import NOON, ORG, incoming, message, outgoing, room, user


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = open_store(tmp_path / "apart.db", Vault([KEY]), SystemClock(), scopes, serving=True, apart=True)
    await opened.make_organisation(ORG, "Home", NOON)
    cat = user(id=ROCKET_CAT, username="rocket.cat", is_bot=True)
    await opened.commit(Changes(new_users=(user(), cat), new_rooms=(room(),), new_hooks=(incoming(), outgoing())))
    yield opened
    await opened.close()


def unit(number: int, **changes: object) -> Changes:
    mine = message(id=MessageId(f"m{number}"), text=f"text {number}")
    plain = Changes(new_messages=(mine,), facts=(fact(body={"text": mine.text}),), request=request())
    return structs.replace(plain, **changes)


async def written(store: SqliteStore) -> list[str]:
    return sorted(one.text for one in (await store.messages(GENERAL, count=1000))[0])


def writers() -> list[int]:
    """Return the processes this one has started that write a database."""
    own = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    found = own.read_text().split() if own.exists() else []
    return [int(pid) for pid in found if b"storage.sqlite.child" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_many_units_at_once_keep_their_order_and_their_results(store: SqliteStore) -> None:
    """What is handed in together is committed in order; each caller gets its own numbers, listeners every event."""
    heard: list[Event] = []
    store.subscribe(heard.extend)
    results = await asyncio.gather(*(store.commit(unit(number)) for number in range(700)))
    assert [event.body["text"] for event in heard] == [f"text {number}" for number in range(700)]
    assert [result.numbers for result in results] == [(event.seq,) for event in heard]
    assert len(await written(store)) == 700


async def test_a_unit_that_cannot_be_written_fails_alone(store: SqliteStore) -> None:
    """An id in use fails its own unit, with the error a caller knows; its neighbours are written."""
    results = await asyncio.gather(*(store.commit(unit(number)) for number in (1, 2, 1, 3)), return_exceptions=True)
    assert [isinstance(result, Taken) for result in results] == [False, False, True, False]
    assert await written(store) == ["text 1", "text 2", "text 3"]


@pytest.mark.parametrize(
    "text", ["\ud800 half a pair", "x" * 3_000_000, ""], ids=["half a surrogate pair", "three million", "empty"]
)
async def test_every_text_arrives(store: SqliteStore, text: str) -> None:
    """What the fast way cannot carry goes another way; a unit larger than the socket's buffer arrives whole."""
    big = {"number": 2**70, "list": [1, {"two": None}]}
    body = text.encode("utf-8", "surrogatepass")
    mine = message(id=MessageId("big"), text=text.replace("\ud800", "?"), custom_fields=big)
    sent = request(body=body, headers=(("X-Odd", text[:10]),))
    await store.commit(Changes(new_messages=(mine,), request=sent, facts=(fact(body=big),)))
    assert await store.message(MessageId("big")) == mine
    assert await store.requests(incoming().id) == [sent]


async def test_records_of_every_kind_pass(store: SqliteStore) -> None:
    """Hooks, users, rooms, deliveries, claims and settles pass between the processes unchanged."""
    changed = replace(outgoing(), name="renamed", version=2)
    await store.commit(Changes(put_hooks=(changed,)))
    await queue_up(store, changed, ["one", "two"])
    claimed = await store.claim(now=SystemClock().steady(), limit=10, busy={}, lease_ms=60_000, lane_leases=16)
    assert [leased.hook for leased in claimed.leases] == [changed, changed]
    assert [leased.event.body["text"] for leased in claimed.leases] == ["one", "two"]
    assert await store.hook(changed.id) == changed
    assert not await store.changed_elsewhere()


async def test_a_killed_writer_loses_nothing_and_is_replaced(store: SqliteStore) -> None:
    """Who waits gets `Unavailable`; what was acknowledged stays; soon a new writer goes on, with new leases."""
    await queue_up(store, outgoing(), ["one"])
    claim = {"limit": 10, "busy": {}, "lease_ms": 60_000, "lane_leases": 16}
    first = await store.claim(now=SystemClock().steady(), **claim)  # type: ignore[arg-type] # plain values
    [pid] = writers()
    waiting = [asyncio.ensure_future(store.commit(unit(number))) for number in range(50)]
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    results = await asyncio.gather(*waiting, return_exceptions=True)
    acknowledged = [f"text {number}" for number, one in enumerate(results) if not isinstance(one, BaseException)]
    assert all(isinstance(one, Unavailable) for one in results if isinstance(one, BaseException))
    async with asyncio.timeout(30):
        while True:
            try:
                await store.commit(unit(1000))
                break
            except Unavailable:
                await asyncio.sleep(0.01)
    assert set(acknowledged) <= set(await written(store))
    [other] = writers()
    assert other != pid
    await queue_up(store, outgoing(), ["two"])
    second = await store.claim(now=SystemClock().steady(), **claim)  # type: ignore[arg-type] # plain values
    # the lease in hand was not voided, and its number is not given again
    assert [leased.event.body["text"] for leased in second.leases] == ["two"]
    assert second.leases[0].lease > first.leases[0].lease


async def test_the_writer_ends_with_its_server(store: SqliteStore) -> None:
    """Closing writes what waits, then no process is left."""
    waiting = [asyncio.ensure_future(store.commit(unit(number))) for number in range(100)]
    await asyncio.sleep(0)
    [pid] = writers()
    await store.close()
    await asyncio.gather(*waiting)
    assert pid not in writers()
    with pytest.raises(Unavailable):
        await store.commit(unit(101))


async def test_an_interrupt_of_the_server_does_not_reach_its_writer(store: SqliteStore) -> None:
    """Ctrl-C goes to the whole process group of a terminal; the writer ends when the server says so, also while both
    still start."""
    [pid] = writers()
    assert os.getpgid(pid) == pid
    await store.commit(unit(1))


@pytest.mark.parametrize("waits", [True, False])
async def test_a_writer_that_hangs_does_not_keep_the_server_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    """Who waits for it gets an error, nothing of theirs is written, and it holds the database no longer."""
    monkeypatch.setattr(apart, "END_S", 0.1)
    path = tmp_path / "hung.db"
    hung = open_store(path, Vault([KEY]), SystemClock(), scopes, serving=True, apart=True)
    await hung.make_organisation(ORG, "Home", NOON)
    await hung.commit(Changes(new_users=(user(),)))
    [pid] = writers()
    os.kill(pid, signal.SIGSTOP)
    commit = asyncio.ensure_future(hung.commit(Changes(new_rooms=(room(),))))
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        if waits:
            hung.hurry()
            with pytest.raises(Unavailable):
                await commit
        await hung.close()
    assert commit.done()
    assert isinstance(commit.exception(), Unavailable)
    assert writers() == []
    again = open_store(path, Vault([KEY]), SystemClock(), scopes, serving=True, apart=True)
    assert await again.room(room().id) is None
    await again.close()


async def test_a_writer_that_dies_at_the_end_is_not_started_again(tmp_path: Path) -> None:
    """Nobody would end the new one; who waited gets an error."""
    dying = open_store(tmp_path / "dying.db", Vault([KEY]), SystemClock(), scopes, serving=True, apart=True)
    await dying.make_organisation(ORG, "Home", NOON)
    [pid] = writers()
    os.kill(pid, signal.SIGSTOP)
    commit = asyncio.ensure_future(dying.commit(Changes(new_users=(user(),))))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(dying.close())
    os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable):
            await commit
        await closing
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
    assert writers() == []


async def test_a_writer_that_cannot_start_leaves_no_process(tmp_path: Path) -> None:
    """What was begun is ended: here the path is a folder."""
    opening = Opening(
        path=tmp_path,
        file=FileId(0, 0),
        vault=Vault([KEY]),
        clock=SystemClock(),
        scopes=scopes,
        serving=True,
        recovering=False,
    )
    with pytest.raises(StorageError):
        apart.ProcessWriter[Engine](opening, heard=lambda _: None, condition=Condition())
    assert writers() == []


def test_a_database_another_writer_holds_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer of a killed server may hang: the next one says so, and names what to end."""
    monkeypatch.setattr(child, "LOCK_S", 0.0)
    opening = Opening(
        path=tmp_path / "held.db",
        file=FileId(0, 0),
        vault=Vault([KEY]),
        clock=SystemClock(),
        scopes=scopes,
        serving=True,
        recovering=False,
    )
    ours, theirs = socket.socketpair()
    with ours, theirs, FileLock(f"{opening.path}.writer"):
        ours.sendall(frame(pickle.dumps(opening)))
        child.serve(child._Line(theirs))  # the process itself would wait ten seconds
        [told] = Frames().feed(ours.recv(1 << 16))
    fault = pickle.loads(told)
    assert isinstance(fault, Unavailable)
    assert "storage.sqlite.child" in str(fault)
