"""Outages of lanes: written with the end that changes them, kept over a restart, gone with their lane."""

from storage.ports import Store
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.outage import Outage
from storage.sqlite.engine import Engine as Writing
from storage.sqlite.transactions import Job
from storage.sqlite.wire import Frames, frame_of, pack_job, unpack_jobs
from tests.clock import ManualClock
from tests.contracts.store.engine import Engine
from tests.contracts.store.units import claim, ending, queue_up, settle
from tests.records import NOON, message, outgoing

FAILING = Outage(steps=3, since=NOON, failed=2, last_failed_at=NOON, delivered=1, told_at=NOON, is_told=True)


async def test_an_outage_is_kept(store: Store, engine: Engine, clock: ManualClock) -> None:
    """Every field comes back after a restart; ends that say nothing of it leave it as it is."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "abc")
    first, second, third = (await claim(store, clock.steady())).leases
    assert await store.outages() == {}
    await settle(store, first, clock.steady(), state=DeliveryState.DEAD, outage=FAILING)
    await settle(store, second, clock.steady())
    await store.close()
    again = engine.open()
    try:
        assert await again.outages() == {third.delivery.lane_id: FAILING}
    finally:
        await again.close()


async def test_the_newer_outage_stays(store: Store, clock: ManualClock) -> None:
    """Ends may be settled in another order than they were counted in, also in one transaction."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "ab")
    first, second = (await claim(store, clock.steady())).leases
    await settle(store, second, clock.steady(), outage=FAILING)
    await settle(store, first, clock.steady(), outage=Outage(steps=2, since=NOON, failed=1))
    assert list((await store.outages()).values()) == [FAILING]


async def test_what_is_fenced_changes_no_outage(store: Store, clock: ManualClock) -> None:
    """A removed lane has none, and who still holds a delivery of it brings none back."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "ab")
    first, second = (await claim(store, clock.steady())).leases
    await settle(store, first, clock.steady(), outage=FAILING)
    await store.commit(Changes(drop_hooks=(outgoing().id,)))
    assert (await settle(store, second, clock.steady(), outage=FAILING)).fenced
    assert await store.outages() == {}


async def test_an_outage_reaches_the_process_that_writes(store: Store, clock: ManualClock) -> None:
    """It travels with the end of its attempt, whether that posts something or not."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "a")
    (leased,) = (await claim(store, clock.steady())).leases
    for changes in (None, Changes(new_messages=(message(),)), Changes(put_hooks=(outgoing(version=2),))):
        end = ending(leased, clock.steady(), changes=changes, outage=FAILING)
        (data,) = Frames().feed(frame_of([pack_job(Job(Writing.settle, (end,), many=True))]))
        (job,) = unpack_jobs(data)
        assert job.arguments == (end,)
