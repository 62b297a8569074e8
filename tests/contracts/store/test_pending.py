"""What waits for a person: found while it stands, used once, together with its effect or not at all."""

import asyncio
from dataclasses import replace
from typing import Any  # the changes are any fields of the record built

import pytest

from storage.clock import Millis
from storage.errors import Spent, Taken
from storage.ids import UserId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.pending import MOST_TRIES, Pending, PendingEnd, PendingKind, PendingOf
from tests.clock import ManualClock
from tests.contracts.store.engine import SqliteEngine
from tests.records import ANN, NOON, message

PLACE = "room:GENERAL"
FOR_MS = 5 * 60 * 1000


def proposal(**changes: Any) -> Pending:
    """Build a proposal that waits for Ann."""
    plain = Pending(
        kind=PendingKind.PROPOSAL, key="7F3KQ2", user_id=ANN, place=PLACE, body='{"line":"in remove ci"}',
        expires_at=Millis(NOON + FOR_MS),
    )  # fmt: skip
    return replace(plain, **changes)


async def test_a_pending_thing_comes_back_as_it_was_put(store: Store) -> None:
    """Every field survives, also of one that is for nobody; keys of one kind do not meet those of another."""
    request = proposal(kind=PendingKind.REQUEST, user_id=None, place="ä", body='{"ä":"\\u2028"}', tries=2)
    await store.commit(Changes(pending_put=(proposal(), request)))
    assert await store.pending(PendingKind.PROPOSAL, "7F3KQ2") == proposal()
    assert await store.pending(PendingKind.REQUEST, "7F3KQ2") == request
    assert await store.pending(PendingKind.FORM, "7F3KQ2") is None
    assert await store.pending(PendingKind.PROPOSAL, "7f3kq2") is None
    assert await store.pending_end(PendingKind.PROPOSAL, "7F3KQ2") is None
    assert await store.pending_end(PendingKind.FORM, "7F3KQ2") is None


async def test_the_newest_of_a_user_in_a_place_is_found(store: Store) -> None:
    """`confirm` and `undo` without a code mean the newest; other people, places and kinds do not count."""
    others = (
        proposal(key="A", place="room:OPS"),
        proposal(key="B", user_id=UserId("bob")),
        proposal(key="C", kind=PendingKind.UNDO),
    )
    await store.commit(Changes(pending_put=(proposal(key="1"), proposal(key="2"), *others)))
    found = await store.pending_of(PendingKind.PROPOSAL, ANN, PLACE)
    assert found == proposal(key="2")
    await store.commit(Changes(pending_take=(found.named,)))
    assert await store.pending_of(PendingKind.PROPOSAL, ANN, PLACE) == proposal(key="1")


async def test_a_new_proposal_replaces_the_old_when_asked(store: Store) -> None:
    """Clearing ends what waits for the user in the place, just before the new one is put."""
    kept = proposal(key="elsewhere", place="room:OPS")
    await store.commit(Changes(pending_put=(proposal(key="old"), kept)))
    clear = PendingOf(PendingKind.PROPOSAL, ANN, PLACE)
    await store.commit(Changes(pending_clear=(clear,), pending_put=(proposal(key="new"),)))
    assert await store.pending(PendingKind.PROPOSAL, "old") is None
    assert await store.pending_end(PendingKind.PROPOSAL, "old") is PendingEnd.REPLACED
    assert await store.pending(PendingKind.PROPOSAL, "new") == proposal(key="new")
    assert await store.pending(PendingKind.PROPOSAL, "elsewhere") == kept


async def test_one_unit_may_use_one_up_and_clear_the_rest(store: Store) -> None:
    """Confirming may end all else that waits there: what is taken counts as taken, not as replaced."""
    await store.commit(Changes(pending_put=(proposal(key="1"), proposal(key="2"))))
    clear = PendingOf(PendingKind.PROPOSAL, ANN, PLACE)
    await store.commit(Changes(pending_take=(proposal(key="1").named,), pending_clear=(clear,)))
    ends = [await store.pending_end(PendingKind.PROPOSAL, key) for key in "12"]
    assert ends == [PendingEnd.TAKEN, PendingEnd.REPLACED]


async def test_pressed_twice_it_applies_once(store: Store) -> None:
    """Of many confirmations at once one takes effect; the others fail whole and write nothing."""
    await store.commit(Changes(pending_put=(proposal(),)))
    presses = [
        store.commit(Changes(pending_take=(proposal().named,), new_messages=(message(id=f"m{number}"),)))
        for number in range(20)
    ]
    results = await asyncio.gather(*presses, return_exceptions=True)
    assert sorted(type(result).__name__ for result in results) == ["Committed"] + ["Spent"] * 19
    _, total = await store.messages(message().room_id)
    assert total == 1
    assert await store.pending_end(PendingKind.PROPOSAL, proposal().key) is PendingEnd.TAKEN


async def test_an_effect_that_fails_uses_nothing_up(store: Store) -> None:
    """When the effect cannot be written, what was to be taken still stands."""
    await store.commit(Changes(pending_put=(proposal(),), new_messages=(message(),)))
    with pytest.raises(Taken):
        await store.commit(Changes(pending_take=(proposal().named,), new_messages=(message(),)))
    assert await store.pending(PendingKind.PROPOSAL, proposal().key) == proposal()


async def test_expired_ones_are_gone_at_once(store: Store, clock: ManualClock) -> None:
    """At its last moment it is not there any more, cannot be taken, filled or tried, and the store says why."""
    await store.commit(Changes(pending_put=(proposal(),)))
    clock.advance(FOR_MS - 1)
    assert await store.pending(PendingKind.PROPOSAL, proposal().key) == proposal()
    clock.advance(1)
    assert await store.pending(PendingKind.PROPOSAL, proposal().key) is None
    assert await store.pending_of(PendingKind.PROPOSAL, ANN, PLACE) is None
    with pytest.raises(Spent):
        await store.commit(Changes(pending_take=(proposal().named,)))
    with pytest.raises(Spent):
        await store.commit(Changes(pending_fill=(proposal(expires_at=clock.now() + 1),)))
    await store.commit(
        Changes(pending_try=(proposal().named,), pending_clear=(PendingOf(PendingKind.PROPOSAL, ANN, PLACE),))
    )
    assert await store.pending_end(PendingKind.PROPOSAL, proposal().key) is PendingEnd.EXPIRED


async def test_five_wrong_tries_end_it(store: Store) -> None:
    """Tries are counted, and the fifth ends what is guessed at (decision 65)."""
    await store.commit(Changes(pending_put=(proposal(),)))
    for number in range(1, MOST_TRIES):
        await store.commit(Changes(pending_try=(proposal().named,)))
        assert await store.pending(PendingKind.PROPOSAL, proposal().key) == proposal(tries=number)
    await store.commit(Changes(pending_try=(proposal().named,)))
    assert await store.pending(PendingKind.PROPOSAL, proposal().key) is None
    assert await store.pending_end(PendingKind.PROPOSAL, proposal().key) is PendingEnd.GUESSED
    with pytest.raises(Spent):
        await store.commit(Changes(pending_take=(proposal().named,)))


async def test_of_two_equal_requests_one_is_first(store: Store, clock: ManualClock) -> None:
    """A key in use is refused, and its answer is filled in later; once it expired the key is free again."""
    first = proposal(kind=PendingKind.REQUEST, body="")
    await store.commit(Changes(pending_put=(first,)))
    with pytest.raises(Taken):
        await store.commit(Changes(pending_put=(replace(first, body="second"),)))
    answered = replace(first, body='{"text":"Done"}', expires_at=Millis(NOON + 2 * FOR_MS))
    await store.commit(Changes(pending_fill=(answered,)))
    assert await store.pending(PendingKind.REQUEST, first.key) == answered
    with pytest.raises(Spent):
        await store.commit(Changes(pending_fill=(replace(first, key="unknown"),)))
    clock.advance(2 * FOR_MS)
    again = replace(first, expires_at=Millis(clock.now() + FOR_MS))
    await store.commit(Changes(pending_put=(again,)))
    assert await store.pending(PendingKind.REQUEST, first.key) == again


async def test_neither_code_nor_content_can_be_read(store: Store, engine: SqliteEngine) -> None:
    """The file holds no code and no body in clear, and neither shows in what is logged of the record."""
    secret = proposal(kind=PendingKind.LINK_CODE, key="K7CODE-in-clear", body='{"canary":"c4n4ry"}')
    await store.commit(Changes(pending_put=(secret,)))
    written = engine.bytes_on_disk() + repr(secret).encode()
    assert PLACE.encode() in written
    assert b"K7CODE" not in written
    assert b"c4n4ry" not in written
