"""A fresh store for every test, with an organisation, two people and a room."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from storage.ids import ROCKET_CAT
from storage.ports import Store
from storage.records.changes import Changes
from tests.clock import ManualClock
from tests.contracts.store.engine import SqliteEngine
from tests.records import NOON, ORG, room, user


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def engine(tmp_path: Path, clock: ManualClock) -> SqliteEngine:
    return SqliteEngine(tmp_path / "patchbay.db", clock)


@pytest.fixture
async def store(engine: SqliteEngine) -> AsyncIterator[Store]:
    opened = engine.open()
    await opened.make_organisation(ORG, "Home", NOON)
    await opened.commit(
        Changes(new_users=(user(), user(id=ROCKET_CAT, username="rocket.cat", is_bot=True)), new_rooms=(room(),))
    )
    yield opened
    await opened.close()


@pytest.fixture
async def reopen(engine: SqliteEngine, store: Store) -> AsyncIterator[Callable[[], Awaitable[Store]]]:
    """Close the store and open it again, as a restart does."""
    opened: list[Store] = []

    async def again() -> Store:
        await (opened[-1] if opened else store).close()
        opened.append(engine.open())
        return opened[-1]

    yield again
    for one in opened:
        await one.close()
