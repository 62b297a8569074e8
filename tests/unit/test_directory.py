"""Remembered look-ups: never older than the last change, never mixed up, and bounded."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any  # the slow store hands on whatever is asked of it

import pytest

from bot.workspace import directory as module
from bot.workspace.directory import Directory
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.scopes import hook_scopes
from storage.ids import RoomId, UserId
from storage.records.changes import Changes, Fact
from storage.records.event import Event, EventKind, NewEvent
from storage.records.room import Member, RoomKind
from storage.records.user import Role
from storage.records.version import revised
from storage.sqlite.store import SqliteStore, open_store
from storage.vault import Vault
from tests.clock import ManualClock
from tests.records import NOON, ORG, message, outgoing, room, user

PRIVATE = RoomKind.PRIVATE


class Watched:
    """The real store, whose answers can be held back on their way and are counted."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.gate = asyncio.Event()
        self.gate.set()
        self.read = asyncio.Event()
        self.reads = 0

    async def user_named(self, username: str) -> Any:
        self.reads += 1
        found = await self.store.user_named(username)
        self.read.set()
        await self.gate.wait()
        return found

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> None:
        self.store.subscribe(listener)


class Counting:
    """The real store, and which questions it was asked."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        return getattr(self._store, name)


@pytest.fixture
async def watched(tmp_path: Path) -> Any:
    store = open_store(tmp_path / "patchbay.db", Vault([bytes(32)]), ManualClock(), hook_scopes, serving=True)
    await store.make_organisation(ORG, "Test", NOON)
    await store.commit(Changes(new_users=(user(),), new_rooms=(room(),)))
    yield Watched(store)
    await store.close()


@pytest.fixture
def directory(watched: Watched) -> Directory:
    return Directory(watched, ORG)  # type: ignore[arg-type] # the one question these tests ask


def fact(kind: EventKind) -> Fact:
    return Fact(event=NewEvent(kind=kind, org_id=ORG, at=NOON, json="{}"))


async def rename(watched: Watched, name: str) -> None:
    """Give Ann another display name."""
    ann = await watched.store.user(user().id)
    assert ann is not None
    await watched.store.commit(Changes(put_users=(revised(ann, name=name),), facts=(fact(EventKind.USER_CHANGED),)))


async def test_a_change_is_seen_at_once(watched: Watched, directory: Directory) -> None:
    """Found or not found is remembered until something changes, and never after."""
    for name in ("Ann", "Anna", "Anne"):
        await rename(watched, name)
        reads = watched.reads
        for asked in ("ann", "ANN", "Ann"):
            found = await directory.user_named(asked)
            assert found is not None
            assert found.name == name
        assert watched.reads == reads + 1
    assert await directory.user_named("bob") is None
    bob = user(id=UserId("b0b"), username="bob")
    await watched.store.commit(Changes(new_users=(bob,), facts=(fact(EventKind.USER_CREATED),)))
    assert await directory.user_named("bob") == bob


async def test_an_answer_from_before_a_change_is_not_remembered(watched: Watched, directory: Directory) -> None:
    """A look-up that overlaps a change may return the old record once, but does not keep it."""
    watched.gate.clear()
    overlapping = asyncio.create_task(directory.user_named("ann"))
    await watched.read.wait()
    await rename(watched, "Anna")
    watched.gate.set()
    old = await overlapping
    new = await directory.user_named("ann")
    assert old is not None
    assert new is not None
    assert (old.name, new.name) == ("Ann", "Anna")


async def test_messages_forget_nothing(watched: Watched, directory: Directory) -> None:
    """Messages are most of all changes and touch nothing that is remembered."""
    await directory.user_named("ann")
    await watched.store.commit(Changes(new_messages=(message(),), facts=(fact(EventKind.MESSAGE_POSTED),)))
    await directory.user_named("ann")
    assert watched.reads == 1
    directory.clear()
    await directory.user_named("ann")
    assert watched.reads == 2


async def test_letters_that_fold_to_ascii_are_not_ascii(watched: Watched, directory: Directory) -> None:
    """The store folds ASCII only; a name that folds to one elsewhere (U+212A to k) must not hide or show it."""
    ken = user(id=UserId("k3n"), username="ken")
    await watched.store.commit(Changes(new_users=(ken,)))
    assert await directory.user_named("\u212aen") is None
    assert await directory.user_named("ken") == ken
    assert await directory.user_named("KEN") == ken
    assert await directory.user_named("\u212aen") is None


async def test_what_strangers_ask_for_is_bounded(
    watched: Watched, directory: Directory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long names are not remembered at all, and many names make room for new ones."""
    for _ in range(2):
        await directory.user_named("x" * 10_000)
    assert watched.reads == 2
    monkeypatch.setattr(module, "MOST_ENTRIES", 10)
    for number in range(11):
        await directory.user_named(f"guess{number}")
    reads = watched.reads
    await directory.user_named("guess10")
    assert watched.reads == reads
    await directory.user_named("guess0")
    assert watched.reads == reads + 1


async def test_rights_of_hooks_are_remembered_too(watched: Watched) -> None:
    """A message in a private room asks nothing of the store about whose hooks may hear it, until somebody leaves."""
    ed, ops = user(id=UserId("ed"), username="ed", role=Role.EDITOR), room(id=RoomId("0ps"), name="ops", kind=PRIVATE)
    member = Member(room_id=ops.id, user_id=ed.id, joined_at=NOON)
    hook = outgoing(created_by=(ed.id, "ed"), channels=("#ops",))
    await watched.store.commit(Changes(new_users=(ed,), new_rooms=(ops,), add_members=(member,), new_hooks=(hook,)))
    counting = Counting(watched.store)
    directory = Directory(counting, ORG)
    assert await directory.listening(OutgoingEvent.SEND_MESSAGE, ops, user()) == [hook]
    assert await directory.reaches(hook, ops)
    counting.asked.clear()
    for _ in range(3):
        assert await directory.listening(OutgoingEvent.SEND_MESSAGE, ops, user()) == [hook]
        assert await directory.reaches(hook, ops)
    assert counting.asked == []
    left = Changes(drop_members=((ops.id, ed.id),), facts=(fact(EventKind.ROOM_LEFT),))
    await watched.store.commit(left)
    assert await directory.listening(OutgoingEvent.SEND_MESSAGE, ops, user()) == []
    assert not await directory.reaches(hook, ops)
