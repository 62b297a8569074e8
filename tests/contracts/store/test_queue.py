"""The delivery queue: claims, lanes, leases, fences, retries, and what a restart keeps (delivery.md §1, §3)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from storage.ids import GENERAL, IntegrationId, MessageId
from storage.ports import Store
from storage.records.changes import Changes, Fact
from storage.records.delivery import DeliveryState
from storage.records.event import Event, EventKind
from storage.records.queue import Claimed, Settled
from tests.clock import ManualClock
from tests.contracts.store.engine import Engine
from tests.contracts.store.units import LEASE_MS, claim, event, queue_up, settle, texts
from tests.records import NOON, message, outgoing

DAY_MS = 24 * 3600 * 1000
ONE = outgoing()
TWO = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"), urls=("https://a.test/1", "https://b.test/2"))
ORDERED = outgoing(ordered=True)
Reopen = Callable[[], Awaitable[Store]]


async def test_a_claim_hands_over_what_an_attempt_needs(store: Store, clock: ManualClock) -> None:
    """A lease carries the event, the hook as it is now and the address; what is leased is not handed out again."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, ["a"])
    renamed = replace(ONE, name="renamed", version=2)
    await store.commit(Changes(put_hooks=(renamed,)))
    (leased,) = (await claim(store, clock.steady())).leases
    assert leased.hook == renamed
    assert leased.until == clock.steady() + LEASE_MS
    assert leased.event == await store.event(leased.event.seq)
    assert leased.event.kind is EventKind.MESSAGE_POSTED
    assert leased.delivery.url_hash == store.lookup(ONE.urls[0])
    assert (leased.delivery.integration_id, leased.delivery.tries) == (ONE.id, 0)
    assert (leased.delivery.created_at, leased.delivery.state) == (NOON, DeliveryState.QUEUED)
    again = await claim(store, clock.steady())
    assert again.leases == ()
    assert again.next_at == leased.until


async def test_an_empty_queue_has_nothing_to_wait_for(store: Store, clock: ManualClock) -> None:
    """Without deliveries there is no next moment, also after all are delivered."""
    assert (await claim(store, clock.steady())).next_at is None
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, ["a"])
    (leased,) = (await claim(store, clock.steady())).leases
    await settle(store, leased, clock.steady())
    assert await claim(store, clock.steady()) == Claimed(leases=(), next_at=None)


async def test_first_attempts_go_out_in_order_of_arrival(store: Store, clock: ManualClock) -> None:
    """A lane hands out the oldest first, however small the portions and whatever the wall clock says."""
    await store.commit(Changes(new_hooks=(ONE,)))
    for text in "abcdef":
        await queue_up(store, ONE, [text])
        clock.advance(1)
        clock.step_wall(-3_600_000)
    handed: list[object] = []
    for _ in range(3):
        handed += texts((await claim(store, clock.steady(), limit=2)).leases)
    assert handed == list("abcdef")


async def test_lanes_do_not_wait_for_each_other(store: Store, clock: ManualClock) -> None:
    """Each address has its own slots: a lane whose slots are busy leaves the others theirs (decision 44)."""
    await store.commit(Changes(new_hooks=(TWO,)))
    await queue_up(store, TWO, "abcd", urls=TWO.urls[:1])
    first = (await claim(store, clock.steady(), lane_leases=2)).leases
    assert texts(first) == ["a", "b"]
    busy = {first[0].delivery.lane_id: 2}
    assert (await claim(store, clock.steady(), lane_leases=2, busy=busy)).leases == ()
    await queue_up(store, TWO, "xy", urls=TWO.urls[1:])
    other = (await claim(store, clock.steady(), lane_leases=2, busy=busy)).leases
    assert texts(other) == ["x", "y"]
    assert {one.delivery.lane_id for one in other}.isdisjoint(busy)
    await settle(store, first[0], clock.steady())
    freed = await claim(store, clock.steady(), lane_leases=2, busy={first[0].delivery.lane_id: 1})
    assert texts(freed.leases) == ["c"]


async def test_a_claim_takes_no_more_than_asked_and_leaves_the_rest_due(store: Store, clock: ManualClock) -> None:
    """The limit holds over all lanes; what is left over is due at once."""
    await store.commit(Changes(new_hooks=(TWO,)))
    await queue_up(store, TWO, "abc")
    claimed = await claim(store, clock.steady(), limit=4)
    assert len(claimed.leases) == 4
    assert claimed.next_at is not None
    assert claimed.next_at <= clock.steady()
    assert len((await claim(store, clock.steady(), limit=4)).leases) == 2


async def test_a_retry_waits_for_its_time_and_delays_nobody(store: Store, clock: ManualClock) -> None:
    """In a parallel lane what failed comes back at its time; successors go on meanwhile."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "ab")
    (leased,) = (await claim(store, clock.steady(), limit=1)).leases
    await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 5_000, reason="500")
    claimed = await claim(store, clock.steady())
    assert texts(claimed.leases) == ["b"]
    assert claimed.next_at == NOON + 5_000
    found = await store.delivery(leased.delivery.id)
    assert found is not None
    assert (found.tries, found.receives, found.available_at, found.reason) == (1, 0, NOON + 5_000, "500")
    clock.advance(4_999)
    assert (await claim(store, clock.steady())).leases == ()
    clock.advance(1)
    assert texts((await claim(store, clock.steady())).leases) == ["a"]


async def test_an_ordered_lane_waits_for_its_head(store: Store, clock: ManualClock) -> None:
    """In an ordered lane a successor waits until its predecessor is settled for good; a retry keeps its place."""
    await store.commit(Changes(new_hooks=(ORDERED,)))
    await queue_up(store, ORDERED, "ab")
    (head,) = (await claim(store, clock.steady())).leases
    await queue_up(store, ORDERED, "c")
    assert (await claim(store, clock.steady(), busy={head.delivery.lane_id: 1})).leases == ()
    # a worker that lost count of what it holds still gets no successor while the lease lasts
    assert (await claim(store, clock.steady())).leases == ()
    await settle(store, head, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 5_000)
    await queue_up(store, ORDERED, "d")
    waiting = await claim(store, clock.steady())
    assert (waiting.leases, waiting.next_at) == ((), NOON + 5_000)
    found = await store.delivery(head.delivery.id)
    assert found is not None
    assert found.available_at == NOON + 5_000
    clock.advance(5_000)
    (again,) = (await claim(store, clock.steady())).leases
    assert texts([again]) == ["a"]
    await settle(store, again, clock.steady(), state=DeliveryState.DEAD, reason="gave up")
    for text in "bcd":
        (leased,) = (await claim(store, clock.steady())).leases
        assert texts([leased]) == [text]
        await settle(store, leased, clock.steady())
    assert (await claim(store, clock.steady())).next_at is None


async def test_an_ordered_head_whose_worker_died_goes_first_again(store: Store, clock: ManualClock) -> None:
    """When a lease runs out without a settle, the head is handed out again, not its successor."""
    await store.commit(Changes(new_hooks=(ORDERED,)))
    await queue_up(store, ORDERED, "ab")
    (lost,) = (await claim(store, clock.steady())).leases
    clock.advance(LEASE_MS)
    (again,) = (await claim(store, clock.steady())).leases
    assert texts([again]) == ["a"]
    assert (await settle(store, lost, clock.steady())).fenced
    assert not (await settle(store, again, clock.steady())).fenced
    assert texts((await claim(store, clock.steady())).leases) == ["b"]


@pytest.mark.parametrize("ordered", [False, True], ids=["parallel", "ordered"])
async def test_a_restart_voids_leases_and_keeps_order_and_retries(
    store: Store, reopen: Reopen, clock: ManualClock, ordered: bool
) -> None:
    """After a crash what was in hand goes first, at once; a planned retry still waits for its time."""
    hook = replace(ONE, ordered=ordered)
    await store.commit(Changes(new_hooks=(hook,)))
    await queue_up(store, hook, "ab")
    (held,) = (await claim(store, clock.steady(), limit=1)).leases
    clock.advance(1)
    store = await reopen()
    assert (await settle(store, held, clock.steady())).fenced
    (again,) = (await claim(store, clock.steady(), limit=1)).leases
    assert texts([again]) == ["a"]
    assert again.delivery.receives == 1
    await settle(store, again, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 9_000)
    store = await reopen()
    claimed = await claim(store, clock.steady())
    assert texts(claimed.leases) == ([] if ordered else ["b"])
    assert claimed.next_at == NOON + 9_000
    clock.advance(9_000)
    assert texts((await claim(store, clock.steady())).leases) == ["a"]


async def test_opening_beside_the_server_leaves_leases_alone(store: Store, engine: Engine, clock: ManualClock) -> None:
    """Only the serving process voids leases; the CLI opens the same database without doing so (decision 28)."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "a")
    (held,) = (await claim(store, clock.steady())).leases
    beside = engine.open(serving=False)
    assert (await beside.counts()).queued == 1
    await beside.close()
    assert not (await settle(store, held, clock.steady())).fenced


async def test_what_is_in_hand_longer_than_its_lease_holds_no_free_slot_up(store: Store, clock: ManualClock) -> None:
    """Leases in hand are renewed, not given again, and what arrives meanwhile gets the slot that is free."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "ab")
    held = (await claim(store, clock.steady())).leases
    clock.advance(LEASE_MS)
    await queue_up(store, ONE, "c")
    taken: list[object] = []
    for _ in "abc":  # the slot may first be spent on renewing
        claimed = await store.claim(
            now=clock.steady(), limit=100, busy={held[0].delivery.lane_id: 2},
            in_hand=[leased.delivery.id for leased in held], lease_ms=LEASE_MS, lane_leases=3,
        )  # fmt: skip
        taken += texts(claimed.leases)
    assert taken == ["c"]
    assert claimed.next_at == clock.steady() + LEASE_MS
    for leased in held:
        assert not (await settle(store, leased, clock.steady())).fenced


async def test_a_settle_with_an_old_lease_writes_nothing(store: Store, clock: ManualClock) -> None:
    """Who lost the lease neither settles nor posts, delays the lane, or writes history."""
    await store.commit(Changes(new_hooks=(ORDERED,)))
    await queue_up(store, ORDERED, "a")
    (old,) = (await claim(store, clock.steady())).leases
    clock.advance(LEASE_MS)
    (new,) = (await claim(store, clock.steady())).leases
    late = await settle(
        store, old, clock.steady(), state=DeliveryState.QUEUED, retry_at=clock.steady() + DAY_MS,
        changes=Changes(new_messages=(message(),)),
    )  # fmt: skip
    assert late == Settled(fenced=True)
    assert await store.message(message().id) is None
    assert (await store.attempts([ORDERED.id]))[1] == 0
    assert not (await settle(store, new, clock.steady(), state=DeliveryState.QUEUED)).fenced
    assert texts((await claim(store, clock.steady())).leases) == ["a"]


async def test_a_settle_twice_counts_once(store: Store, clock: ManualClock) -> None:
    """Terminal states are final: a second settle of the same lease is fenced."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "a")
    (leased,) = (await claim(store, clock.steady())).leases
    assert not (await settle(store, leased, clock.steady())).fenced
    assert (await settle(store, leased, clock.steady(), state=DeliveryState.DEAD)).fenced
    found = await store.delivery(leased.delivery.id)
    assert found is not None
    assert found.state is DeliveryState.DELIVERED


async def test_what_a_verdict_causes_is_written_with_it(store: Store, clock: ManualClock) -> None:
    """The posted answer, its events and the disabled hook stand in the settle's own transaction."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "ab")
    first, second = (await claim(store, clock.steady())).leases
    heard: list[Event] = []
    store.subscribe(heard.extend)
    done = await settle(
        store, first, clock.steady(),
        changes=Changes(
            new_messages=(message(id=MessageId("answer")),), facts=(Fact(event=event(body={"text": "answer"})),),
            put_hooks=(replace(ONE, enabled=False, version=2),),
        ),
    )  # fmt: skip
    assert texts(heard) == ["answer"]
    assert done.numbers == tuple(event.seq for event in heard)
    assert [one.id for one in (await store.messages(GENERAL))[0]] == ["answer"]
    assert (await store.attempts([ONE.id]))[1] == 1
    await settle(store, second, clock.steady(), state=DeliveryState.QUEUED)
    assert (await claim(store, clock.steady())).leases == ()


async def test_a_release_eats_no_tries_and_keeps_its_place(store: Store, clock: ManualClock) -> None:
    """Our own fault or a stop leaves no attempt and no used-up try, and the item is first again."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "ab")
    for _ in range(30):
        (leased,) = (await claim(store, clock.steady(), limit=1)).leases
        assert texts([leased]) == ["a"]
        await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, tried=False)
    found = await store.delivery(leased.delivery.id)
    assert found is not None
    assert (found.tries, found.receives, found.state) == (0, 0, DeliveryState.QUEUED)
    assert (await store.attempts([ONE.id]))[1] == 0


async def test_a_delivery_that_kills_its_worker_goes_to_the_dead_letters(store: Store, clock: ManualClock) -> None:
    """After 20 leases without a settle a delivery is poison; the next one goes on, and a replay starts afresh."""
    await store.commit(Changes(new_hooks=(ORDERED,)))
    await queue_up(store, ORDERED, "ab")
    for _ in range(20):
        (lost,) = (await claim(store, clock.steady())).leases
        assert texts([lost]) == ["a"]
        clock.advance(LEASE_MS)
    assert (await claim(store, clock.steady())).leases == ()
    (leased,) = (await claim(store, clock.steady())).leases
    assert texts([leased]) == ["b"]
    found = await store.delivery(lost.delivery.id)
    assert found is not None
    assert (found.state, found.reason, found.tries) == (DeliveryState.DEAD, "poison", 0)
    await settle(store, leased, clock.steady())
    assert await store.replay_dead([found.id]) == 1
    assert (await settle(store, lost, clock.steady())).fenced
    assert texts((await claim(store, clock.steady())).leases) == ["a"]


async def test_what_stands_beside_poison_is_not_poisoned(store: Store, clock: ManualClock) -> None:
    """What was leased often without a settle is leased by itself, so that only what kills the worker ends as poison."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "abc")
    for _ in range(5):  # each time "b" ends the process, whatever else it has in hand
        assert texts((await claim(store, clock.steady())).leases) == list("abc")
        clock.advance(LEASE_MS)
    while leases := (await claim(store, clock.steady())).leases:
        (alone,) = leases
        assert (await claim(store, clock.steady(), busy={alone.delivery.lane_id: 1})).leases == ()
        if texts(leases) != ["b"]:
            await settle(store, alone, clock.steady())
        clock.advance(LEASE_MS)
    (dead,) = (await store.deliveries(state=DeliveryState.DEAD))[0]
    event = await store.event(dead.event_seq)
    assert event is not None
    assert (dead.reason, texts([event])) == ("poison", ["b"])


async def test_retries_do_not_make_poison(store: Store, clock: ManualClock) -> None:
    """A receiver that fails often is not a crash loop: each settled attempt starts the count again."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "a")
    for number in range(25):
        (leased,) = (await claim(store, clock.steady())).leases
        assert leased.delivery.tries == number
        await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=clock.steady())
