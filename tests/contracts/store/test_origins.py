"""What made a message and what it caused: request, outgoing call, event, deliveries and their attempts."""

from storage.clock import Millis
from storage.ids import EventSeq, IntegrationId, MessageId
from storage.ports import Store
from storage.records.changes import Changes, Fact
from storage.records.delivery import DeliveryState, NewDelivery
from storage.records.hook_request import Verdict
from storage.records.message import Message
from storage.records.version import revised
from tests.clock import ManualClock
from tests.contracts.store.units import attempt, claim, event, queue_up, request, settle
from tests.records import NOON, incoming, message, outgoing


def posted(*messages: Message, fires: bool = False, store: Store | None = None) -> Changes:
    """Post messages with the fact of each; `fires` queues a delivery of it."""
    deliveries: tuple[NewDelivery, ...] = ()
    if fires and store is not None:
        deliveries = (NewDelivery(integration_id=outgoing().id, url_hash=store.lookup(outgoing().urls[0])),)
    facts = tuple(Fact(event=event(), deliveries=deliveries, message_id=one.id) for one in messages)
    return Changes(new_messages=messages, facts=facts)


async def test_a_message_leads_to_its_event_and_deliveries(store: Store) -> None:
    """Each of several messages of one request knows its own event; an edit does not change that."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    first, second = message(id=MessageId("m1")), message(id=MessageId("m2"))
    await store.commit(Changes(facts=(Fact(event=event()),)))
    done = await store.commit(posted(first, second, fires=True, store=store))
    assert [await store.event_posting(one.id) for one in (first, second)] == list(done.numbers)
    await store.commit(Changes(put_messages=(revised(second, text="edited"),)))
    seq = await store.event_posting(second.id)
    assert seq is not None
    assert seq == done.numbers[1]
    (delivery,) = await store.deliveries_of(seq)
    assert delivery.event_seq == seq
    assert await store.deliveries_of(EventSeq(99)) == []
    await store.commit(Changes(new_messages=(message(id=MessageId("silent")),), drop_messages=(first.id,)))
    assert await store.event_posting(MessageId("silent")) is None
    assert await store.event_posting(first.id) is None


async def test_a_message_leads_to_the_request_that_made_it(store: Store) -> None:
    """Found among the hook's requests while they are kept, by whole ids and per hook."""
    other = incoming(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"))
    made = request(message_ids=("m1", "m12"), signature="signature-valid", previous_token=True)
    await store.commit(Changes(new_hooks=(incoming(), other), request=made))
    assert await store.request_posting(incoming().id, MessageId("m12")) == made
    assert await store.request_posting(incoming().id, MessageId("m")) is None
    assert await store.request_posting(incoming().id, MessageId('m1"')) is None
    assert await store.request_posting(other.id, MessageId("m1")) is None


async def test_a_message_leads_to_the_call_that_answered_it(store: Store) -> None:
    """What an outgoing hook's receiver answered is found by the message it became."""
    made = attempt(message_id="answer")
    await store.commit(Changes(facts=(Fact(event=event(), stopped=(made, attempt())),)))
    found = await store.attempt_posting(MessageId("answer"))
    assert found is not None
    assert found.id == made.id
    assert await store.attempt_posting(MessageId("other")) is None


async def test_attempts_are_found_by_delivery(store: Store, clock: ManualClock) -> None:
    """All tries of the deliveries asked for, oldest first, and no others."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), ["a", "b"])
    for _ in range(2):
        for leased in (await claim(store, clock.steady())).leases:
            await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=clock.steady() + 1)
        clock.advance(1)
    first, second = (one.id for one in (await store.deliveries())[0][::-1])
    assert [one.delivery_id for one in await store.attempts_of([first])] == [first] * 2
    assert {one.delivery_id for one in await store.attempts_of([second, first])} == {first, second}
    assert await store.attempts_of([]) == []
    await store.commit(Changes(drop_hooks=(outgoing().id,)))
    assert await store.attempts_of([first]) == []


async def test_hooks_that_were_not_called_are_found_by_event(store: Store) -> None:
    """Muted or stopped hooks stand beside the deliveries of an event; attempts at those do not."""
    quiet = attempt(delivery_id=None, step="muted", called=False)
    done = await store.commit(Changes(facts=(Fact(event=event(), stopped=(quiet, attempt())),)))
    (seq,) = done.numbers
    assert seq is not None
    assert [one.id for one in await store.stopped_of(seq)] == [quiet.id]
    assert await store.stopped_of(EventSeq(seq + 1)) == []


async def test_requests_are_found_by_time_and_verdict(store: Store) -> None:
    """`in history --since --failed`: both conditions at once, newest first."""
    made = [
        request(at=Millis(NOON + number), verdict=Verdict.REFUSED if number % 2 else Verdict.POSTED)
        for number in range(5)
    ]
    await store.commit(Changes(new_hooks=(incoming(),)))
    for one in made:
        await store.commit(Changes(request=one))
    assert await store.requests(incoming().id, since=Millis(NOON + 2)) == made[:1:-1]
    assert await store.requests(incoming().id, since=Millis(NOON + 2), verdict=Verdict.REFUSED) == [made[3]]
    assert await store.requests_count(incoming().id) == len(made)
    assert await store.requests_count(incoming().id, since=Millis(NOON + 2), verdict=Verdict.REFUSED) == 1
    assert await store.requests(incoming().id, verdict=Verdict.POSTED, offset=1, count=1) == [made[2]]


async def test_attempts_are_found_by_time_and_end(store: Store) -> None:
    """`out history --since --failed`: both conditions at once, with the total of what matches."""
    made = tuple(attempt(updated_at=NOON + number, failed=number % 2 == 1) for number in range(5))
    await store.commit(Changes(facts=(Fact(event=event(), stopped=made),)))
    found, total = await store.attempts([outgoing().id], since=Millis(NOON + 1), failed=True, count=1)
    assert ([one.id for one in found], total) == ([made[3].id], 2)
    found, total = await store.attempts([outgoing().id], failed=False)
    assert ([one.id for one in found], total) == ([made[4].id, made[2].id, made[0].id], 3)


async def test_deliveries_are_found_by_time(store: Store, clock: ManualClock) -> None:
    """Everything queued at a time or later, whatever gaps retention has left between the numbers."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    assert await store.deliveries(since=NOON) == ([], 0)
    for text in "abcdef":
        await queue_up(store, outgoing(), text)
        clock.advance(10)
    queued = (await store.deliveries())[0]
    for back, since in enumerate(range(NOON + 50, NOON - 10, -10), 1):
        assert await store.deliveries(since=Millis(since), hook_id=outgoing().id) == (queued[:back], back)
        assert (await store.deliveries(since=Millis(since + 1)))[1] == back - 1
    taken = (await claim(store, clock.steady())).leases
    for leased in taken[1:4]:
        await settle(store, leased, clock.steady())
    for leased in (taken[0], *taken[4:]):
        await settle(store, leased, clock.steady(), state=DeliveryState.DEAD)
    while await store.purge(Millis(clock.now() + 31 * 24 * 3600 * 1000)):
        pass
    left = (await store.deliveries())[0]
    assert [one.id for one in left] == [queued[0].id, queued[1].id, queued[5].id]
    assert await store.deliveries(since=Millis(NOON + 10)) == (left[:2], 2)
