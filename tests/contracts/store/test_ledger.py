"""Units of work: whole or not at all, many at once, each request once, events in order."""

import asyncio
from collections.abc import Sequence

import pytest

from storage.errors import Gone, Taken
from storage.ids import GENERAL, EventSeq, MessageId, RoomId, UserId, timed_id
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.event import Event
from storage.records.hook_request import Verdict
from storage.records.room import Member
from storage.records.version import revised
from tests.contracts.store.units import dedup, event, fact, request
from tests.records import ANN, NOON, incoming, message, outgoing, room, user


def posting(number: int) -> Changes:
    """Build the unit of an ordinary post."""
    return Changes(
        new_messages=(message(id=MessageId(f"m{number}"), text=str(number)),), facts=(fact(body={"text": str(number)}),)
    )


async def test_concurrent_units_get_their_own_results_in_order(store: Store) -> None:
    """Units handed in together keep their order, and each caller gets its own events."""
    results = await asyncio.gather(*(store.commit(posting(number)) for number in range(300)))
    events = await store.events_after(EventSeq(0))
    assert [one.body["text"] for one in events] == [str(n) for n in range(300)]
    assert [result.numbers for result in results] == [(one.seq,) for one in events]
    assert [one.seq for one in events] == list(range(events[0].seq, events[0].seq + 300))


async def test_events_are_published_in_order_once_they_can_be_read(store: Store) -> None:
    """A listener hears every event once, in order, after the commit and before the writer's caller goes on."""
    heard: list[Event] = []
    store.subscribe(heard.extend)
    results = await asyncio.gather(*(store.commit(posting(number)) for number in range(100)))
    assert [(one.seq,) for one in heard] == [result.numbers for result in results]
    assert heard == await store.events_after(EventSeq(heard[0].seq - 1))
    assert await store.last_event() == heard[-1].seq


async def test_a_failing_listener_keeps_nobody_waiting(store: Store) -> None:
    """Who commits gets the answer although a listener to its events breaks; the fault reaches the loop."""

    def broken(_: Sequence[Event]) -> None:
        raise RuntimeError("listener")

    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(str(context["exception"])))
    store.subscribe(broken)
    result = await asyncio.wait_for(store.commit(posting(1)), 5)
    assert len(result.numbers) == 1
    assert faults == ["listener"]


async def test_a_failing_unit_fails_alone(store: Store) -> None:
    """One unit that cannot be written leaves nothing behind and does not touch its neighbours."""
    taken = Changes(
        new_rooms=(room(id=RoomId("R2"), name="General"),),
        new_messages=(message(id=MessageId("lost")),),
        facts=(fact(body={"text": "lost"}),),
    )
    units = [posting(0), taken, posting(2), Changes(new_messages=(message(id=MessageId("x"), room_id=RoomId("no")),))]
    good, bad, also_good, nowhere = await asyncio.gather(*map(store.commit, units), return_exceptions=True)
    assert isinstance(bad, Taken)
    assert isinstance(nowhere, Gone)
    assert not isinstance(good, BaseException)
    assert not isinstance(also_good, BaseException)
    assert await store.message(MessageId("lost")) is None
    assert [one.text for one in (await store.messages(GENERAL))[0]] == ["2", "0"]
    (first,) = good.numbers
    assert first is not None
    assert [one.body["text"] for one in await store.events_after(EventSeq(first - 1))] == ["0", "2"]


async def test_a_caller_that_goes_away_takes_nothing_back(store: Store) -> None:
    """A cancelled commit is still written, whole."""
    waiting = asyncio.ensure_future(store.commit(posting(1)))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await store.commit(posting(2))
    assert await store.message(MessageId("m1")) is not None


async def test_the_same_request_64_times_at_once_posts_once(store: Store) -> None:
    """Of identical requests exactly one is stored; the others leave a line that says whether the body differed."""
    await store.commit(Changes(new_hooks=(incoming(),)))

    def unit(number: int) -> Changes:
        mine = message(id=MessageId(timed_id(NOON)), text=str(number))
        return Changes(
            dedup=dedup(body_hash=b"other" if number == 40 else b"same"),
            request=request(message_ids=(mine.id,)),
            new_messages=(mine,),
            facts=(fact(),),
        )

    results = await asyncio.gather(*(store.commit(unit(number)) for number in range(64)))
    assert sum(not result.duplicate for result in results) == 1
    assert sum(len(result.numbers) for result in results) == 1
    assert (await store.messages(GENERAL))[1] == 1
    lines = await store.requests(incoming().id, count=100)
    duplicates = [line for line in lines if line.verdict is Verdict.DUPLICATE]
    assert len(lines) == 64
    assert len(duplicates) == 63
    assert {line.message_ids for line in duplicates} == {()}
    assert sum(line.body_differed for line in lines) == 1


async def test_request_ids_count_per_hook_and_of_any_length(store: Store) -> None:
    """The same id at another hook, or one that differs late, is another request."""
    other = incoming(id="65e2f0b72dd9f928ada3e4ff")
    await store.commit(Changes(new_hooks=(incoming(), other)))
    long = "x" * 100_000
    for key, hook, expected in [
        ("a", incoming(), False),
        ("a", incoming(), True),
        ("a", other, False),
        ("A", incoming(), False),
        (long, incoming(), False),
        (long + "y", incoming(), False),
        (long, incoming(), True),
        ("\udcff", incoming(), False),
    ]:
        one = dedup(key=key)
        unit = Changes(dedup=type(one)(integration_id=hook.id, key=one.key, body_hash=b"", at=one.at))
        assert (await store.commit(unit)).duplicate is expected


async def test_an_existing_message_id_changes_nothing(store: Store) -> None:
    """A client may choose an id; one that is there already posts nothing, writes nothing, uses nothing up (56)."""
    await store.commit(Changes(new_hooks=(incoming(),), new_messages=(message(),)))
    again = Changes(
        dedup=dedup(),
        request=request(),
        new_messages=(message(id=MessageId("fresh")), message(text="other", room_id=GENERAL)),
        chosen_ids=True,
        facts=(fact(),),
    )
    result = await store.commit(again)
    assert result.existed
    assert result.numbers == ()
    assert await store.message(message().id) == message()
    assert await store.message(MessageId("fresh")) is None
    assert await store.requests(incoming().id) == []
    assert not (await store.commit(Changes(dedup=dedup()))).duplicate


async def test_the_same_message_id_twice_at_once(store: Store) -> None:
    """Of two posts with one id that arrive together one is posted, the other finds it there."""
    first, second = await asyncio.gather(
        store.commit(Changes(new_messages=(message(text="first"),), chosen_ids=True, facts=(fact(),))),
        store.commit(Changes(new_messages=(message(text="second"),), chosen_ids=True, facts=(fact(),))),
    )
    assert (first.existed, second.existed) == (False, True)
    assert (await store.messages(GENERAL))[0] == [message(text="first")]


async def test_editing_what_was_deleted_is_refused(store: Store) -> None:
    """An edit does not bring back a message deleted meanwhile."""
    await store.commit(Changes(new_messages=(message(),)))
    await store.commit(Changes(drop_messages=(message().id,)))
    with pytest.raises(Gone):
        await store.commit(Changes(put_messages=(revised(message(text="edited")),), facts=(fact(),)))
    assert await store.message(message().id) is None


async def test_a_request_to_a_removed_hook_is_refused_alone(store: Store) -> None:
    """A request whose hook goes while it is handled posts nothing; neighbours do."""
    kept = incoming(id="65e2f0b72dd9f928ada3e4ff")
    await store.commit(Changes(new_hooks=(incoming(), kept)))
    await store.commit(Changes(drop_hooks=(incoming().id,)))
    late, other = await asyncio.gather(
        store.commit(Changes(request=request(), new_messages=(message(),))),
        store.commit(Changes(request=request(integration_id=kept.id))),
        return_exceptions=True,
    )
    assert isinstance(late, Gone)
    assert not isinstance(other, BaseException)
    assert await store.message(message().id) is None


@pytest.mark.parametrize(
    "again",
    [
        Changes(new_users=(user(id=UserId("U2"), username="ANN"),)),
        Changes(new_users=(user(id=UserId("U2"), username="bob", emails=("ANN@example.test",)),)),
        Changes(new_users=(user(username="bob"),)),
        Changes(new_rooms=(room(id=RoomId("R2"), name="GENERAL"),)),
        Changes(put_rooms=(room(id=RoomId("R3"), name="General", version=2),)),
        Changes(new_hooks=(outgoing(),)),
    ],
    ids=["user name", "e-mail", "user id", "room name", "room name on put", "hook id"],
)
async def test_names_and_ids_are_unique_whatever_their_case(store: Store, again: Changes) -> None:
    """A second record of the same name or id is refused as taken (decision 17)."""
    ann, other = revised(user(emails=("ann@example.test",))), room(id=RoomId("R3"), name="ops")
    await store.commit(Changes(put_users=(ann,), new_rooms=(other,), new_hooks=(outgoing(),)))
    with pytest.raises(Taken):
        await store.commit(again)
    assert [one.username for one in await store.users(user().org_id)] == ["ann", "rocket.cat"]


async def test_room_counts_follow_posts_and_deletions(store: Store) -> None:
    """A room knows its members, messages and last message, also after its last message is deleted."""
    early, late = message(id=MessageId("a"), at=NOON), message(id=MessageId("b"), at=NOON + 5)
    await store.commit(
        Changes(new_messages=(late, early), add_members=(Member(room_id=GENERAL, user_id=ANN, joined_at=NOON),))
    )
    assert await store.room_counts([GENERAL]) == {GENERAL: (1, 2, NOON + 5)}
    await store.commit(Changes(drop_messages=(late.id, MessageId("never there"))))
    assert await store.room_counts([GENERAL]) == {GENERAL: (1, 1, NOON)}
    await store.commit(Changes(drop_messages=(early.id,), put_rooms=(revised(room(topic="quiet")),)))
    assert await store.room_counts([GENERAL]) == {GENERAL: (1, 0, None)}


async def test_an_event_keeps_everything(store: Store) -> None:
    """An event comes back as it was written, with its number."""
    written = event(user_id=ANN, body={"nested": {"list": [1, 2.5, None, True, "ü"]}})
    heard: list[Event] = []
    store.subscribe(heard.extend)
    await store.commit(Changes(facts=(fact(user_id=ANN, body=written.body),)))
    (stored,) = heard
    assert await store.event(stored.seq) == stored
    assert (stored.kind, stored.org_id, stored.at, stored.room_id, stored.user_id, stored.body) == (
        written.kind,
        written.org_id,
        written.at,
        written.room_id,
        written.user_id,
        written.body,
    )
