"""What a room keeps no longer goes with all that hung on it, a slice at a time; what is queued still goes out."""

from dataclasses import replace

import pytest

from storage.clock import Millis
from storage.ids import GENERAL, MessageId, RoomId, timed_id
from storage.ports import Store
from storage.records.changes import Changes, Fact
from storage.records.delivery import NewDelivery
from storage.records.message import Message
from storage.records.room import Removed
from storage.records.upload import Upload
from storage.records.version import revised
from storage.sqlite.message_retention import SLICE_BYTES, SLICE_MESSAGES
from tests.contracts.store.test_upkeep import purge_all
from tests.contracts.store.units import claim, event, texts
from tests.records import ANN, NOON, ORG, message, outgoing, room

HOUR_MS = 3_600_000
NOW = NOON + 100 * HOUR_MS


def posted(number: int, **changes: object) -> Message:
    """Return a message of so many hours after noon."""
    at = Millis(NOON + number * HOUR_MS)
    return message(**{"id": MessageId(f"m{number}"), "at": at, "text": f"text {number}", **changes})


async def keep(store: Store, *, keep_ms: int | None = None, keep_last: int | None = None) -> None:
    found = await store.room(GENERAL)
    assert found is not None
    await store.commit(Changes(put_rooms=(revised(found, keep_ms=keep_ms, keep_last=keep_last),)))


async def left(store: Store, room_id: RoomId = GENERAL) -> list[str]:
    found, total = await store.messages(room_id, count=10_000)
    counts = await store.room_counts([room_id])
    assert counts[room_id][1] == total, "the room's count says what is there"
    assert counts[room_id][2] == (found[0].at if found else None)
    return [one.id for one in reversed(found)]


async def test_by_default_everything_stays(store: Store) -> None:
    """Without a setting no age removes anything."""
    await store.commit(Changes(new_messages=(posted(0),)))
    await purge_all(store, NOW + 10_000 * HOUR_MS)
    assert await left(store) == ["m0"]
    assert await store.room_removals([GENERAL]) == {}


@pytest.mark.parametrize(
    ("keep_ms", "keep_last", "stays"),
    [
        (97 * HOUR_MS, None, ["m3", "m4", "m5"]),
        (97 * HOUR_MS - 1, None, ["m4", "m5"]),
        (None, 2, ["m4", "m5"]),
        (None, 6, ["m0", "m1", "m2", "m3", "m4", "m5"]),
        (97 * HOUR_MS, 5, ["m3", "m4", "m5"]),
        (97 * HOUR_MS, 1, ["m5"]),
        (HOUR_MS, 100, []),
    ],
)
async def test_by_age_and_by_number(store: Store, keep_ms: int | None, keep_last: int | None, stays: list[str]) -> None:
    """Each bound alone, and both: a message stays only within all that are set. Other rooms keep theirs."""
    other = room(id=RoomId("ops"), name="ops")
    elsewhere = posted(0, id=MessageId("o0"), room_id=other.id)
    await store.commit(Changes(new_rooms=(other,), new_messages=(*map(posted, range(6)), elsewhere)))
    await keep(store, keep_ms=keep_ms, keep_last=keep_last)
    await purge_all(store, NOW)
    assert await left(store) == stays
    assert await left(store, other.id) == ["o0"]
    gone = 6 - len(stays)
    removed = Removed(messages=gone, until=Millis(NOON + (gone - 1) * HOUR_MS))
    assert await store.room_removals([GENERAL, other.id]) == ({GENERAL: removed} if gone else {})


async def test_a_slice_is_bounded_in_number_and_bytes(store: Store) -> None:
    """One purge removes so many messages at most, and stops early where they are long."""
    many = tuple(posted(0, id=MessageId(timed_id(NOON))) for _ in range(SLICE_MESSAGES + 1))
    await store.commit(Changes(new_messages=many))
    await keep(store, keep_ms=HOUR_MS)
    assert await store.purge(Millis(NOW)) == SLICE_MESSAGES
    assert len(await left(store)) == 1
    long = tuple(posted(1, id=MessageId(timed_id(NOON)), text=f"{n}" * 1_000_000) for n in range(8))
    await store.commit(Changes(new_messages=long))
    await store.purge(Millis(NOW))
    assert len(await left(store)) == 8 - (SLICE_BYTES // 1_000_000 + 1)
    assert await purge_all(store, NOW) > 0
    assert await left(store) == []


async def test_files_go_with_their_messages(store: Store) -> None:
    """The record of a removed message's file goes, so that its bytes are swept; those of others stay."""
    for number, upload_id in ((0, "old"), (5, "new")):
        upload = Upload(
            id=upload_id, org_id=ORG, room_id=GENERAL, user_id=ANN, name="a.png", size=5, type="image/png",
            confirmed=True, created_at=NOON,
        )  # fmt: skip
        shows = posted(number, file={"_id": upload_id, "name": "a.png", "type": "image/png", "size": 5})
        await store.commit(Changes(new_uploads=(upload,), new_messages=(shows,)))
    await keep(store, keep_last=1)
    await purge_all(store, NOW)
    assert await store.upload("old") is None
    assert await store.upload("new") is not None


async def test_replies_outlive_the_message_they_answer(store: Store) -> None:
    """A reply that stays is in no thread any more, as a new version of it; a removed one is not touched."""
    replies = [posted(number, thread_id=MessageId("m0")) for number in (1, 5)]
    many = tuple(posted(6, id=MessageId(timed_id(NOON)), thread_id=MessageId("m0")) for _ in range(SLICE_MESSAGES))
    await store.commit(Changes(new_messages=(posted(0), *replies, *many)))
    await keep(store, keep_last=SLICE_MESSAGES + 1)
    await purge_all(store, NOW)
    assert (await left(store))[0] == "m5"
    reply = await store.message(MessageId("m5"))
    assert reply is not None
    assert (reply.thread_id, reply.version) == (None, replies[1].version + 1)
    assert all(one.thread_id is None for one in (await store.messages(GENERAL, count=10_000))[0])


async def test_what_is_queued_for_a_removed_message_still_goes_out(store: Store) -> None:
    """A delivery needs the event, not the message; the event stays until it is settled."""
    hook = outgoing()
    await store.commit(Changes(new_hooks=(hook,)))
    heard = Fact(
        event=event(body={"text": "text 0"}),
        deliveries=(NewDelivery(integration_id=hook.id, url_hash=store.lookup(hook.urls[0])),),
        message_id=MessageId("m0"),
    )
    await store.commit(Changes(new_messages=(posted(0),), facts=(heard,)))
    await store.commit(Changes(facts=(Fact(event=event(body={"text": "later"})),)))
    await keep(store, keep_ms=HOUR_MS)
    await purge_all(store, NOW + 30 * 24 * HOUR_MS)
    assert await left(store) == []
    assert texts((await claim(store, NOW)).leases) == ["text 0"]


async def test_a_setting_survives_other_changes_of_the_room(store: Store) -> None:
    """It is a part of the room's record."""
    await keep(store, keep_ms=HOUR_MS, keep_last=7)
    found = await store.room(GENERAL)
    assert found is not None
    await store.commit(Changes(put_rooms=(replace(revised(found), topic="new"),)))
    changed = await store.room(GENERAL)
    assert changed is not None
    assert (changed.keep_ms, changed.keep_last, changed.topic) == (HOUR_MS, 7, "new")
