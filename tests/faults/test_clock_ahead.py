"""The clock was ahead, and the server starts again with the right time: nothing waits or lasts for as long as that."""

from dataclasses import replace
from pathlib import Path

import pytest

from storage.clock import Millis
from storage.ids import IntegrationId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.pending import LONGEST_MS, Pending, PendingKind
from tests.clock import ManualClock
from tests.contracts.store import units
from tests.contracts.store.engine import SqliteEngine
from tests.records import NOON, ORG, outgoing, room, user
from tests.scenarios.stored import rows

AHEAD_MS = 365 * 24 * 3600 * 1000
STEP_MS = 10_000
PARALLEL = outgoing(id=IntegrationId("1" * 24))
ORDERED = outgoing(id=IntegrationId("2" * 24), ordered=True)


async def start(path: Path, at: int) -> tuple[Store, ManualClock]:
    """Open the store as a process does whose wall clock says that."""
    clock = ManualClock(at)
    return SqliteEngine(path / "patchbay.db", clock).open(), clock


async def begun(path: Path, *hooks: object) -> tuple[Store, ManualClock]:
    """Open a store in a year, with something to work on."""
    store, clock = await start(path, NOON + AHEAD_MS)
    await store.make_organisation(ORG, "Home", clock.now())
    await store.commit(Changes(new_users=(user(),), new_rooms=(room(),), new_hooks=hooks))  # type: ignore[arg-type] # as above
    return store, clock


async def due(store: Store, clock: ManualClock, after_ms: int) -> list[object]:
    """Return what can be claimed then, and not before."""
    clock.advance(after_ms - 1)
    assert (await units.claim(store, clock.steady())).leases == ()
    clock.advance(1)
    return units.texts((await units.claim(store, clock.steady())).leases)


@pytest.mark.parametrize("hook", [PARALLEL, ORDERED], ids=["parallel", "ordered"])
@pytest.mark.parametrize("waits_ms", [STEP_MS, 24 * 3600 * 1000], ids=["step", "a day's Retry-After"])
async def test_a_retry_waits_no_longer_than_was_planned(tmp_path: Path, hook: object, waits_ms: int) -> None:
    """Its step, or what the receiver asked for, counted from the start."""
    store, clock = await begun(tmp_path, hook)
    await units.queue_up(store, hook, "a")  # type: ignore[arg-type] # an outgoing hook
    (leased,) = (await units.claim(store, clock.steady())).leases
    later = clock.steady() + waits_ms
    await units.settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=later)
    await store.close()
    store, clock = await start(tmp_path, NOON)
    assert await due(store, clock, waits_ms) == ["a"]
    await store.close()


@pytest.mark.parametrize("hook", [PARALLEL, ORDERED], ids=["parallel", "ordered"])
@pytest.mark.parametrize("leased", [False, True], ids=["new", "in hand"])
async def test_what_is_due_is_due(tmp_path: Path, hook: object, leased: bool) -> None:
    """What was never tried, and what was in hand when the process ended, is claimed at once."""
    store, clock = await begun(tmp_path, hook)
    await units.queue_up(store, hook, "a")  # type: ignore[arg-type] # an outgoing hook
    if leased:
        assert (await units.claim(store, clock.steady())).leases
    await store.close()
    store, clock = await start(tmp_path, NOON)
    assert units.texts((await units.claim(store, clock.steady())).leases) == ["a"]
    await store.close()


async def test_what_waits_as_planned_is_left_alone(tmp_path: Path) -> None:
    """A restart neither hurries nor delays a retry where the clock was right."""
    store, clock = await begun(tmp_path, PARALLEL)
    await units.queue_up(store, PARALLEL, "a")
    (leased,) = (await units.claim(store, clock.steady())).leases
    await units.settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=clock.steady() + STEP_MS)
    await store.close()
    store, clock = await start(tmp_path, NOON + AHEAD_MS + STEP_MS // 2)
    assert await due(store, clock, STEP_MS // 2) == ["a"]
    await store.close()


async def test_what_a_disabled_hook_holds_dies_in_its_time(tmp_path: Path) -> None:
    """A day after the start, not after the year and a day."""
    store, clock = await begun(tmp_path, PARALLEL)
    await units.queue_up(store, PARALLEL, "a")
    await store.commit(Changes(put_hooks=(replace(PARALLEL, enabled=False, version=2),)))
    await store.close()
    store, clock = await start(tmp_path, NOON)
    clock.advance(24 * 3600 * 1000)
    assert await store.expire_held() == 0
    clock.advance(1)
    assert await store.expire_held() == 1
    await store.close()


async def test_what_waits_for_a_person_lasts_no_longer_than_such_things_do(tmp_path: Path) -> None:
    """A code made in a year is no code for a year."""
    store, clock = await begun(tmp_path)
    code = Pending(
        kind=PendingKind.LINK_CODE, key="k", user_id=user().id, place="", body="{}",
        expires_at=Millis(clock.now() + 600_000),
    )  # fmt: skip
    await store.commit(Changes(pending_put=(code,)))
    await store.close()
    store, clock = await start(tmp_path, NOON)
    assert await store.pending(code.kind, code.key)
    clock.advance(LONGEST_MS)
    assert await store.pending(code.kind, code.key) is None
    await store.close()


async def test_what_was_written_ahead_ages_from_now_on(tmp_path: Path) -> None:
    """Retention is not held up for a year by rows of next year among the oldest."""
    store, clock = await begun(tmp_path, PARALLEL)
    await store.commit(Changes(dedup=units.dedup("ahead", at=clock.now()), facts=(units.fact(at=clock.now()),)))
    await store.close()
    store, clock = await start(tmp_path, NOON)
    await store.purge(clock.now())
    clock.advance(9 * 24 * 3600 * 1000)
    await store.purge(clock.now())
    assert rows(tmp_path, "SELECT count(*) FROM dedup") == [(0,)]
    await store.close()
