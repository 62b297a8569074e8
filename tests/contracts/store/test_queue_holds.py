"""What changes to hooks do to their queue: removal discards, disabling holds, a person replays (decisions 14, 43)."""

from dataclasses import replace

from msgspec import structs

from storage.clock import Millis
from storage.ids import DeliveryId, EventSeq, IntegrationId, LaneId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.queue import Claimed, Counts
from tests.clock import ManualClock
from tests.contracts.store.units import claim, queue_up, settle, texts
from tests.records import NOON, message, outgoing

DAY_MS = 24 * 3600 * 1000
ONE = outgoing()
TWO = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"), urls=("https://a.test/1", "https://b.test/2"))


async def test_deleting_a_hook_discards_everything_it_has_queued(store: Store, clock: ManualClock) -> None:
    """Waiting, delayed and leased deliveries are gone at once; a worker that holds one is fenced."""
    await store.commit(Changes(new_hooks=(ONE, TWO)))
    await queue_up(store, ONE, "abc")
    await queue_up(store, TWO, "x", urls=TWO.urls[:1])
    delayed, leased, *_ = (await claim(store, clock.steady(), limit=2)).leases
    await settle(store, delayed, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 5_000)
    await store.commit(Changes(drop_hooks=(ONE.id,)))
    settled = await settle(store, leased, clock.steady(), changes=Changes(new_messages=(message(),)))
    assert settled.fenced
    assert await store.message(message().id) is None
    clock.advance(DAY_MS)
    assert texts((await claim(store, clock.steady())).leases) == ["x"]
    found, total = await store.deliveries(hook_id=ONE.id, state=DeliveryState.DISCARDED)
    assert total == 3
    assert {one.reason for one in found} == {"integration removed"}
    assert await store.counts() == Counts(queued=1, dead=0, oldest_queued_at=NOON, lanes=1)


async def test_a_delivery_to_what_was_removed_meanwhile_is_left_out(store: Store, clock: ManualClock) -> None:
    """Who looked for listeners before a hook or address went queues nothing for it; the event stands."""
    await store.commit(Changes(new_hooks=(ONE, TWO)))
    await store.commit(Changes(drop_hooks=(ONE.id,), put_hooks=(replace(TWO, urls=TWO.urls[:1], version=2),)))
    await queue_up(store, ONE, ["gone"])
    await queue_up(store, TWO, ["half gone"], urls=TWO.urls)
    claimed = (await claim(store, clock.steady())).leases
    assert [(one.delivery.url_hash, one.event.body["text"]) for one in claimed] == [
        (store.lookup(TWO.urls[0]), "half gone")
    ]
    assert (await store.deliveries())[1] == 1
    assert texts(await store.events_after(EventSeq(claimed[0].event.seq - 2))) == ["gone", "half gone"]


async def test_removing_one_address_discards_only_its_lane(store: Store, clock: ManualClock) -> None:
    """The other addresses of a hook keep what is queued for them (decision 43)."""
    await store.commit(Changes(new_hooks=(TWO,)))
    await queue_up(store, TWO, "ab")
    claimed = (await claim(store, clock.steady(), limit=2)).leases
    dropped = store.lookup(TWO.urls[0])
    await store.commit(Changes(put_hooks=(replace(TWO, urls=TWO.urls[1:], version=2),)))
    for leased in claimed:
        gone = leased.delivery.url_hash == dropped
        assert (await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED)).fenced is gone
    left = (await claim(store, clock.steady())).leases
    assert [one.delivery.url_hash for one in left] == [store.lookup(TWO.urls[1])] * 2
    discarded, total = await store.deliveries(state=DeliveryState.DISCARDED)
    assert total == 2
    assert {(one.url_hash, one.reason) for one in discarded} == {(b"", "address removed")}


async def test_a_new_lane_inherits_nothing(store: Store, clock: ManualClock) -> None:
    """Dead letters of a removed address are not replayed to whichever lane came next."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "a")
    (leased,) = (await claim(store, clock.steady())).leases
    await settle(store, leased, clock.steady(), state=DeliveryState.DEAD)
    await store.commit(Changes(drop_hooks=(ONE.id,)))
    await store.commit(Changes(new_hooks=(TWO,)))
    assert await store.replay_dead([leased.delivery.id]) == 0
    assert (await claim(store, clock.steady())).leases == ()


async def test_disabling_holds_and_enabling_releases(store: Store, clock: ManualClock) -> None:
    """A disabled hook's deliveries wait, also new lanes'; nothing is lost (decision 14)."""
    await store.commit(Changes(new_hooks=(TWO, ONE)))
    await queue_up(store, TWO, "a", urls=TWO.urls[:1])
    await store.commit(Changes(put_hooks=(replace(TWO, enabled=False, version=2),)))
    await queue_up(store, TWO, "b", urls=TWO.urls[1:])
    await queue_up(store, ONE, "x")
    assert texts((await claim(store, clock.steady())).leases) == ["x"]
    held = Counts(queued=2, dead=0, oldest_queued_at=NOON, lanes=2, held=2)
    assert await store.counts(TWO.id) == held
    assert await store.counts() == structs.replace(held, queued=3, lanes=3)
    await store.commit(Changes(put_hooks=(replace(TWO, version=3),)))
    assert texts((await claim(store, clock.steady())).leases) == ["a", "b"]


async def test_what_is_held_for_a_day_expires(store: Store, clock: ManualClock) -> None:
    """Held items die after 24 h of being held, not earlier, and not what a person replays then (decision 43)."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "ab")
    (leased,) = (await claim(store, clock.steady(), limit=1)).leases
    clock.advance(2 * DAY_MS)
    clock.step_wall(-DAY_MS)
    await store.commit(Changes(put_hooks=(replace(ONE, enabled=False, version=2),)))
    clock.advance(DAY_MS)
    clock.step_wall(30 * DAY_MS)
    await queue_up(store, ONE, ["late"])
    assert await store.expire_held() == 0
    clock.advance(1)
    assert await store.expire_held() == 2
    assert (await settle(store, leased, clock.steady())).fenced
    assert await store.expire_held() == 0
    dead, total = await store.deliveries(state=DeliveryState.DEAD)
    assert total == 2
    assert {one.reason for one in dead} == {"expired"}
    assert await store.replay_dead([dead[0].id]) == 1
    assert await store.expire_held() == 0
    await store.commit(Changes(put_hooks=(replace(ONE, version=3),)))
    assert texts((await claim(store, clock.steady())).leases) == ["late", "b"]


async def test_a_step_of_the_wall_clock_disturbs_nothing(store: Store, clock: ManualClock) -> None:
    """Leases, retries and new arrivals follow the time that passed (decision 29)."""
    await store.commit(Changes(new_hooks=(ONE,)))
    clock.step_wall(-10 * DAY_MS)
    await queue_up(store, ONE, "a")
    (leased,) = (await claim(store, clock.steady())).leases
    await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=clock.steady() + 5_000)
    clock.step_wall(20 * DAY_MS)
    assert (await claim(store, clock.steady())).leases == ()
    await queue_up(store, ONE, "b")
    assert texts((await claim(store, clock.steady())).leases) == ["b"]
    clock.advance(5_000)
    assert texts((await claim(store, clock.steady())).leases) == ["a"]


async def test_turning_a_lane_ordered_and_back_loses_no_waiting(store: Store, clock: ManualClock) -> None:
    """A hook that changes to ordered goes by age from then on, and retries wait as planned both ways."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "abc")
    first, second = (await claim(store, clock.steady(), limit=2)).leases
    await settle(store, first, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 5_000)
    await settle(store, second, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 2_000)
    await store.commit(Changes(put_hooks=(replace(ONE, ordered=True, version=2),)))
    assert await claim(store, NOON + 4_999) == Claimed(leases=(), next_at=Millis(NOON + 5_000))
    await store.commit(Changes(put_hooks=(replace(ONE, version=3),)))
    assert texts((await claim(store, NOON + 4_999)).leases) == ["b", "c"]
    assert texts((await claim(store, NOON + 5_000)).leases) == ["a"]


async def test_counts_pages_and_replay(store: Store, clock: ManualClock) -> None:
    """What a person sees of the queue: depth, oldest, dead letters by page, replayed once with a fresh budget."""
    await store.commit(Changes(new_hooks=(ONE, TWO)))
    await queue_up(store, ONE, "abc")
    clock.advance(10)
    await queue_up(store, TWO, "x", urls=TWO.urls[:1])
    assert await store.counts() == Counts(queued=4, dead=0, oldest_queued_at=NOON, lanes=2)
    assert await store.counts(TWO.id) == Counts(queued=1, dead=0, oldest_queued_at=Millis(NOON + 10), lanes=1)
    leases = (await claim(store, clock.steady(), limit=3)).leases
    for leased in leases:
        await settle(store, leased, clock.steady(), state=DeliveryState.DEAD, reason="500")
    page, total = await store.deliveries(hook_id=ONE.id, state=DeliveryState.DEAD, offset=1, count=1)
    assert (total, page[0].id) == (3, leases[1].delivery.id)
    assert await store.counts(ONE.id) == Counts(queued=0, dead=3, oldest_queued_at=None)
    wanted = [leases[1].delivery.id, DeliveryId(999_999)]
    assert await store.replay_dead(wanted) == 1
    assert await store.replay_dead(wanted) == 0
    (again,) = (leased for leased in (await claim(store, clock.steady())).leases if leased.hook.id == ONE.id)
    assert texts([again]) == ["b"]
    assert (again.delivery.tries, again.delivery.reason) == (0, None)
    assert await store.delivery(DeliveryId(999_999)) is None


async def test_busy_lanes_that_do_not_exist_are_ignored(store: Store, clock: ManualClock) -> None:
    """A worker may still count slots of a lane that went with its hook."""
    assert (await claim(store, clock.steady(), busy={LaneId(77): 3})).leases == ()
