"""The history of outgoing hooks: shown, cleared, and run again with what stands there now."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handlers.errors import Fault
from handlers.permissions import MANAGE_OUTGOING, MANAGE_OWN_OUTGOING
from handlers.rocketchat.views import JsonObject
from storage.ids import UserId
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.event import EventKind
from storage.records.user import User
from storage.records.version import revised
from tests.clock import ManualClock
from tests.delivering import HOOK, OWNER, Bench, Receiver, answering, delivering, receiving, retrying
from tests.records import incoming, user

EDITOR = user(id=UserId("editor"), username="editor", granted=frozenset({MANAGE_OWN_OUTGOING}))


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def bench(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Bench]:
    """A bench whose hook has delivered one message and its clock has moved on."""
    clock = ManualClock()
    hooks = (retrying(receiver.url, trigger_words=("!",)), incoming())
    async with delivering(tmp_path / "patchbay.db", clock, *hooks) as running:
        await running.say("!deploy")
        await running.attempts(1)
        clock.advance(1000)
        yield running


async def entries_of(bench: Bench) -> list[JsonObject]:
    """Return the hook's history as it is shown, newest first."""
    attempts, _ = await bench.replay.page([HOOK])
    return [entry async for _, entry in bench.replay.entries(OWNER, attempts)]


async def entry_id(bench: Bench) -> str:
    return (await bench.attempts(1))[0].id


async def test_replay_calls_with_the_message_as_it_is_now(bench: Bench, receiver: Receiver) -> None:
    """A replay is a delivery of its own: same address and event, today's text, an entry of its own."""
    said = await bench.message(str(receiver.bodies[0]["message_id"]))
    edited = revised(said, text="!deploy again")
    fact = bench.fanout.plain(EventKind.MESSAGE_DELETED, OWNER, {})
    await bench.store.commit(Changes(put_messages=(edited,), facts=(fact,)))
    assert await bench.replay.replay(OWNER, HOOK, await entry_id(bench)) is None
    _, again = await bench.attempts(2)
    entries, total = await entries_of(bench), (await bench.replay.page([HOOK]))[1]
    assert receiver.texts == ["!deploy", "!deploy again"]
    assert receiver.bodies[1]["message_id"] == said.id
    assert [entry["_id"] for entry in entries] == [again.id, await entry_id(bench)]
    assert (total, entries[0]["data"]) == (2, {**receiver.bodies[1], "token": "***"})


async def test_a_replay_can_be_replayed(bench: Bench, receiver: Receiver) -> None:
    """The entry of a replay runs the first event again, not a replay of a replay."""
    await bench.replay.replay(OWNER, HOOK, await entry_id(bench))
    _, again = await bench.attempts(2)
    assert await bench.replay.replay(OWNER, HOOK, again.id) is None
    await bench.attempts(3)
    assert receiver.texts == ["!deploy"] * 3


async def test_the_answer_to_a_replay_goes_to_the_room(bench: Bench, receiver: Receiver) -> None:
    """What a replay is answered stands in the room of the event."""
    receiver.answer = answering(json={"text": "done"})
    await bench.replay.replay(OWNER, HOOK, await entry_id(bench))
    await bench.attempts(2)
    assert await bench.texts() == ["!deploy", "done"]


@pytest.mark.parametrize(
    ("actor", "hook", "entry", "expected"),
    [
        (user(), HOOK, "?", "Unauthorized [not_authorized]"),
        (OWNER, "nope", "?", "Invalid integration [error-invalid-integration]"),
        (EDITOR, HOOK, "?", "Invalid integration [error-invalid-integration]"),
        (OWNER, HOOK, "nope", "Invalid Integration History [error-invalid-integration-history]"),
        (OWNER, incoming().id, "?", "Invalid Integration History [error-invalid-integration-history]"),
    ],
)
async def test_who_may_replay_what(bench: Bench, actor: User, hook: str, entry: str, expected: str) -> None:
    """Rights come first, then the hook, then the entry, each refused in the contract's words."""
    wanted = await entry_id(bench) if entry == "?" else entry
    fault = await bench.replay.replay(actor, hook, wanted)
    assert isinstance(fault, Fault)
    assert fault.bracketed == expected


async def test_what_is_gone_cannot_be_replayed(bench: Bench, receiver: Receiver) -> None:
    """A deleted message is not sent once more."""
    said = receiver.bodies[0]["message_id"]
    await bench.store.commit(Changes(drop_messages=(said,)))
    fault = await bench.replay.replay(OWNER, HOOK, await entry_id(bench))
    assert isinstance(fault, Fault)
    assert fault.code == "history-data-must-be-defined"


async def test_a_removed_address_is_not_called_again(bench: Bench, receiver: Receiver) -> None:
    """Replay uses the hook as it is now: an address it lost stays uncalled."""
    await bench.edit_hook(urls=("https://other.example.test/",))
    fault = await bench.replay.replay(OWNER, HOOK, await entry_id(bench))
    assert isinstance(fault, Fault)
    assert fault.code == "error-invalid-urls"


@pytest.mark.parametrize(("grants", "cleared"), [({MANAGE_OUTGOING}, True), ({MANAGE_OWN_OUTGOING}, False)])
async def test_clear(bench: Bench, grants: set[str], cleared: bool) -> None:
    """Whoever may manage the hook may clear its history."""
    actor = user(id=UserId("other"), username="other", granted=frozenset(grants))
    fault = await bench.replay.clear(actor, HOOK)
    assert (fault is None) is cleared
    assert await entries_of(bench) == [] or not cleared


async def test_history_shows_the_hook_as_it_was(bench: Bench) -> None:
    """An entry carries the record and address of its time, whatever became of them."""
    before = (await entries_of(bench))[0]
    await bench.edit_hook(name="renamed", urls=("https://other.example.test/",))
    after = (await entries_of(bench))[0]
    assert after == before
    assert await bench.replay.page([]) == ([], 0)
    assert (await bench.ended(DeliveryState.DELIVERED))[0].integration_id == HOOK
