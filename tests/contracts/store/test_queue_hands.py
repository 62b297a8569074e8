"""What people do to the queue: look for some of it, hurry it, give it up; with what belongs to that, or not at all."""

from dataclasses import replace

import pytest

from storage.errors import Spent
from storage.ids import DeliveryId, IntegrationId, MessageId, OrgId, UserId
from storage.ports import Store
from storage.records.audit import AuditFilter, AuditRow
from storage.records.changes import Changes, Fact
from storage.records.delivery import DeliveryState, NewDelivery
from storage.records.integration import Direction, Sight
from storage.records.pending import PendingKey, PendingKind
from tests.clock import ManualClock
from tests.contracts.store.units import claim, event, queue_up, settle, texts
from tests.records import NOON, ORG, message, outgoing

ONE = outgoing()
TWO = outgoing(
    id=IntegrationId("65e2f0b72dd9f928ada3e4ff"), urls=("https://a.test/1",), created_by=(UserId("maker"), "mia")
)
ORDERED = outgoing(ordered=True)
AUDIT = AuditRow(
    id="a1",
    org_id=ORG,
    at=NOON,
    actor_id=UserId("ann"),
    actor_name="ann",
    door="test",
    place="#general",
    command="dead retry",
    line="dead retry --all",
    outcome="done",
)
ALSO = Changes(audit=(AUDIT,))
SPENT = Changes(audit=(AUDIT,), pending_take=(PendingKey(PendingKind.PROPOSAL, "USED"),))


async def _dead(store: Store, clock: ManualClock, *reasons: str) -> list[DeliveryId]:
    """Let deliveries of the first hook die of these reasons; return them oldest first."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, list(reasons))
    leases = (await claim(store, clock.steady())).leases
    for leased, reason in zip(leases, reasons, strict=True):
        await settle(store, leased, clock.steady(), state=DeliveryState.DEAD, reason=reason)
    return [leased.delivery.id for leased in leases]


async def _audited(store: Store) -> int:
    return (await store.audit_rows(AuditFilter(org_id=ORG)))[1]


async def test_dead_letters_are_given_up(store: Store, clock: ManualClock) -> None:
    """They stand as discarded, are counted once, are not queued again, and nothing else is touched."""
    first, second = await _dead(store, clock, "The receiver answered 400.", "expired")
    await queue_up(store, ONE, ["waits"])
    waiting = (await store.deliveries(state=DeliveryState.QUEUED))[0][0].id
    assert await store.discard_dead([first, waiting, DeliveryId(999_999)], ALSO) == 1
    assert await _audited(store) == 1
    found = await store.delivery(first)
    assert found is not None
    assert (found.state, found.reason) == (DeliveryState.DISCARDED, "discarded by hand")
    assert await store.discard_dead([first], ALSO) == 0
    assert await store.replay_dead([first]) == 0
    counts = await store.counts()
    assert (counts.queued, counts.dead) == (1, 1)
    assert [one.id for one in (await store.deliveries(state=DeliveryState.DEAD))[0]] == [second]


async def test_what_belongs_to_a_change_is_written_with_it(store: Store, clock: ManualClock) -> None:
    """A confirmation that was used before keeps the queue as it is; a change of nothing writes nothing."""
    letters = await _dead(store, clock, "500")
    for change in (store.replay_dead, store.discard_dead):
        with pytest.raises(Spent):
            await change(letters, SPENT)
    assert (await _audited(store), (await store.counts()).dead) == (0, 1)
    assert await store.replay_dead([DeliveryId(999_999)], SPENT) == 0
    assert await store.replay_dead(letters, ALSO) == 1
    with pytest.raises(Spent):
        await store.hasten(letters, SPENT)
    assert await _audited(store) == 1


async def test_a_retry_is_hurried(store: Store, clock: ManualClock) -> None:
    """What waits for its next try is due now and its lane with it; what is in hand is left alone."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "ab")
    first, second = (await claim(store, clock.steady())).leases
    assert await store.hasten([first.delivery.id]) == 0
    for leased, wait in ((first, 50_000), (second, 90_000)):
        await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + wait)
    assert (await claim(store, clock.steady())).next_at == NOON + 50_000
    rung: list[object] = []
    store.on_queued(rung.append)
    assert await store.hasten([second.delivery.id], ALSO) == 1
    assert (len(rung), await _audited(store)) == (1, 1)
    claimed = await claim(store, clock.steady())
    assert (texts(claimed.leases), claimed.next_at) == (["b"], NOON + 50_000)


async def test_hurrying_an_ordered_lane_keeps_its_order(store: Store, clock: ManualClock) -> None:
    """Whichever of it is hurried, the head goes first; while that is in hand nothing changes."""
    await store.commit(Changes(new_hooks=(ORDERED,)))
    await queue_up(store, ORDERED, "ab")
    (head,) = (await claim(store, clock.steady())).leases
    waiting = (await store.deliveries(state=DeliveryState.QUEUED))[0][0].id
    assert await store.hasten([waiting]) == 1
    assert (await claim(store, clock.steady())).leases == ()
    await settle(store, head, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 50_000)
    assert (await claim(store, clock.steady())).next_at == NOON + 50_000
    assert await store.hasten([waiting]) == 1
    assert texts((await claim(store, clock.steady())).leases) == ["a"]


async def test_a_disabled_hooks_queue_is_not_hurried_out(store: Store, clock: ManualClock) -> None:
    """Disabling holds, also what is hurried (decision 14)."""
    await store.commit(Changes(new_hooks=(ONE,)))
    await queue_up(store, ONE, "a")
    (leased,) = (await claim(store, clock.steady())).leases
    await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=NOON + 5_000)
    await store.commit(Changes(put_hooks=(replace(ONE, enabled=False, version=2),)))
    assert await store.hasten([leased.delivery.id]) == 1
    assert (await claim(store, clock.steady())).leases == ()


async def test_deliveries_are_sifted(store: Store, clock: ManualClock) -> None:
    """By several hooks, by organisation, by why they ended, and by the messages whose posting caused them."""
    first, second = await _dead(store, clock, "The receiver answered 400.", "expired")
    await store.commit(Changes(new_hooks=(TWO,)))
    posted = message(id=MessageId("m1"))
    deliveries = (NewDelivery(integration_id=TWO.id, url_hash=store.lookup(TWO.urls[0])),)
    told = Fact(event=event(), deliveries=deliveries, message_id=MessageId("m1"))
    await store.commit(Changes(new_messages=(posted,), facts=(told,)))
    third = (await store.deliveries(hook_id=TWO.id))[0][0].id

    async def ids(**wanted: object) -> list[DeliveryId]:
        found, total = await store.deliveries(**wanted)  # type: ignore[arg-type] # each as the port names it
        assert len(found) == total
        return [one.id for one in found]

    everything, mine = frozenset({Direction.OUTGOING}), UserId("maker")
    assert await ids(sight=Sight(user_id=mine, all_of=everything)) == [third, second, first]
    assert await ids(sight=Sight(user_id=mine, own_of=everything)) == [third]
    assert await ids(sight=Sight(user_id=mine, own_of=frozenset({Direction.INCOMING}))) == []
    assert await ids(org=ORG) == [third, second, first]
    assert await ids(org=OrgId("other")) == []
    assert await ids(reason="ANSWERED 4") == [first]
    assert await ids(reason="expired", state=DeliveryState.DEAD) == [second]
    assert await ids(message_ids=["m1", "m2"]) == [third]
    await store.commit(Changes(drop_hooks=(TWO.id,)))
    assert await ids(org=OrgId("other")) == [third]
