"""Workers are kept running, each on its own, and stopped in order."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from structlog.testing import capture_logs

from bot.workers.supervisor import Supervisor, WorkerHealth
from bot.workers.upkeep import foreign_commits, held_expiry, retention, unconfirmed_uploads
from handlers.outgoing.scopes import hook_scopes
from storage.clock import Millis, SystemClock
from storage.errors import Unavailable
from storage.ids import EventSeq
from storage.records.changes import Changes, Fact
from storage.records.delivery import DeliveryState, NewDelivery
from storage.records.event import EventKind, NewEvent
from storage.sqlite.store import SqliteStore, open_store
from storage.vault import Vault
from tests.clock import ManualClock
from tests.records import NOON, ORG, outgoing, user

DAY_MS = 24 * 3600 * 1000


class Steps:
    """A worker that does one step of its list each time it runs."""

    def __init__(self, name: str, *steps: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._steps = iter(steps)

    async def run(self) -> None:
        await next(self._steps)()


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_dead_worker_is_restarted() -> None:
    """A worker that fails, or returns, runs again; the others do not notice, and health tells."""
    reached = asyncio.Event()

    async def fails() -> None:
        raise LookupError

    async def returns() -> None:
        pass

    async def stays() -> None:
        reached.set()
        await forever()

    workers = (Steps("shaky", fails, returns, stays), Steps("calm", forever))
    supervisor = Supervisor(workers, SystemClock(), first_pause_s=0)
    with capture_logs() as logs:
        await supervisor.start()
        async with asyncio.timeout(5):
            await reached.wait()
        assert supervisor.health() == {
            "shaky": WorkerHealth(running=True, restarts=2, fault="Returned"),
            "calm": WorkerHealth(running=True),
        }
        await supervisor.stop()
    assert [line["worker"] for line in logs] == ["shaky", "shaky"]
    assert not any(health.running for health in supervisor.health().values())


async def test_workers_stop_in_reverse_order() -> None:
    """The worker started last is stopped first, and each has the time to tidy up."""
    stopped: list[str] = []
    running = asyncio.Barrier(3)

    def tidy(name: str) -> Callable[[], Awaitable[None]]:
        async def run() -> None:
            try:
                await running.wait()
                await forever()
            finally:
                await asyncio.sleep(0)
                stopped.append(name)

        return run

    supervisor = Supervisor([Steps(name, tidy(name)) for name in ("first", "second")], SystemClock())
    await supervisor.start()
    await running.wait()
    await supervisor.stop()
    assert stopped == ["second", "first"]


async def test_a_stop_before_the_first_step() -> None:
    """Stopping at once ends, although no worker ever ran."""
    supervisor = Supervisor([Steps("never", forever)], SystemClock())
    await supervisor.start()
    async with asyncio.timeout(5):
        await supervisor.stop()
    assert supervisor.health() == {"never": WorkerHealth(running=False)}


async def open_at(path: Path, clock: ManualClock) -> SqliteStore:
    store = open_store(path, Vault([bytes(32)]), clock, hook_scopes, serving=True)
    if await store.organisation() is None:
        await store.make_organisation(ORG, "Test", NOON)
        await store.commit(Changes(new_users=(user(),), new_hooks=(outgoing(),)))
    return store


def fact(store: SqliteStore, at: Millis) -> Changes:
    event = NewEvent(kind=EventKind.ROOM_CHANGED, org_id=ORG, at=at, json="{}")
    delivery = NewDelivery(integration_id=outgoing().id, url_hash=store.lookup(outgoing().urls[0]))
    return Changes(facts=(Fact(event=event, deliveries=(delivery,)), Fact(event=event)))


async def run_until(worker: Callable[[], Awaitable[None]], condition: Callable[[], Awaitable[bool]]) -> None:
    task = asyncio.ensure_future(worker())
    async with asyncio.timeout(5):
        while not await condition():  # noqa: ASYNC110 # what is waited for is a row, which signals nobody
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


async def test_retention_and_expiry(tmp_path: Path) -> None:
    """Old events go; what a disabled hook has held for a day is a dead letter."""
    clock = ManualClock()
    store = await open_at(tmp_path / "patchbay.db", clock)
    await store.commit(fact(store, clock.now()))
    disabled = outgoing(enabled=False, version=2)
    await store.commit(Changes(put_hooks=(disabled,)))
    clock.advance(8 * DAY_MS)
    await store.commit(Changes(facts=fact(store, clock.now()).facts[1:]))

    async def dead() -> bool:
        return (await store.counts()).dead == 1

    async def old_events_gone() -> bool:
        return len(await store.events_after(0)) == 2  # type: ignore[arg-type] # from the beginning

    await run_until(held_expiry(store, every_s=0.01).run, dead)
    await run_until(retention(store, clock, every_s=0.01).run, old_events_gone)
    (held,), _ = await store.deliveries()
    assert (held.state, held.reason) == (DeliveryState.DEAD, "expired")
    assert await store.event(EventSeq(2)) is None
    assert [event.at for event in await store.events_after(EventSeq(0))][-1] == clock.now()
    await store.close()


async def test_commits_of_another_process_are_noticed(tmp_path: Path) -> None:
    """A commit through another connection is reacted to, our own is not."""
    clock = ManualClock()
    store = await open_at(tmp_path / "patchbay.db", clock)
    noticed = asyncio.Event()

    async def react() -> None:
        noticed.set()

    async def is_noticed() -> bool:
        return noticed.is_set()

    worker = foreign_commits(store, react, every_s=0.01)
    await store.commit(fact(store, clock.now()))
    assert not await store.changed_elsewhere()
    other = await open_at(tmp_path / "patchbay.db", clock)
    await other.commit(Changes(new_users=(user(id="bob", username="bob"),)))
    await run_until(worker.run, is_noticed)
    await other.close()
    await store.close()


async def test_a_store_that_cannot_be_written_is_waited_out() -> None:
    """Upkeep goes on after the store refused a write; uploads are asked for by age."""
    clock, asked = ManualClock(), list[Millis]()

    async def remove(before: Millis) -> None:
        asked.append(before)
        if len(asked) == 1:
            raise Unavailable

    async def twice() -> bool:
        return len(asked) >= 2

    with capture_logs() as logs:
        await run_until(unconfirmed_uploads(remove, clock, every_s=0).run, twice)
    assert (asked[0], logs[0]["fault"]) == (NOON - DAY_MS, "storage-unavailable")
