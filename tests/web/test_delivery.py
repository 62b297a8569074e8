"""Outgoing webhooks from a posted message to the settled delivery, over real sockets and a real file."""

import asyncio
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from handlers.http import OutboundRequest
from handlers.rocketchat.views import JsonObject
from storage.ids import IntegrationId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook, SigningKey
from storage.records.room import direct_room_id
from tests.clock import ManualClock
from tests.delivering import (
    CAT,
    HOOK,
    OWNER,
    Bench,
    Receiver,
    answering,
    delivering,
    receiving,
    retrying,
    until,
    waiting,
)
from tests.records import outgoing, room

ANSWER = {"text": "done", "username": "deployer"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "patchbay.db"


async def only_hook(store: Store) -> OutgoingHook:
    hook = await store.hook(HOOK)
    assert isinstance(hook, OutgoingHook)
    return hook


async def _entry(bench: Bench) -> JsonObject:
    """Return the only entry of the hook's history, as its owner sees it."""
    attempts, _ = await bench.replay.page([HOOK])
    [(_, entry)] = [each async for each in bench.replay.entries(OWNER, attempts)]
    return entry


async def test_a_message_is_delivered(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """A message reaches the address with the contract's payload, and history shows the call."""
    async with delivering(path, clock, retrying(receiver.url, trigger_words=("!deploy",))) as bench:
        said = await bench.say("!deploy api v2", hops=2)
        (attempt,) = await bench.attempts(1)
        assert (attempt.step, attempt.status, attempt.failed) == ("after-http-call", 200, False)
        entry = await _entry(bench)
    body = receiver.bodies[0]
    assert (body["token"], body["text"], body["trigger_word"]) == ("s3cret", "!deploy api v2", "!deploy")
    assert (body["message_id"], body["siteUrl"]) == (said.id, "https://chat.example.test/")
    assert receiver.headers[0]["X-Patchbay-Hops"] == "2"
    assert (entry["url"], entry["data"]) == (receiver.url, {**body, "token": "***"})


async def test_the_answer_is_posted(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """An answer with text becomes one message of the hook's user, one hop further, in the same transaction."""
    receiver.answer = answering(json=ANSWER)
    async with delivering(path, clock, retrying(receiver.url, trigger_words=("!",), emoji=":gear:")) as bench:
        await bench.say("!deploy", hops=1)
        (attempt,) = await bench.attempts(1)
        posted = await bench.message(attempt.message_id)
        entry = await _entry(bench)
    assert (attempt.step, attempt.finished) == ("url-response-sent-message", True)
    assert (posted.text, posted.alias, posted.emoji) == ("done", "deployer", ":gear:")
    assert (posted.username, posted.integration_id, posted.hops) == ("rocket.cat", HOOK, 2)
    assert entry["resultMessage"][0]["channel"] == "#general"  # type: ignore[index] # history is plain JSON


@pytest.mark.parametrize(
    ("answer", "hook", "place"),
    [
        ({"text": "x"}, {}, "GENERAL"),
        ({"text": "x"}, {"target_room": "#ops"}, "OPS"),
        ({"text": "x", "channel": "#dev"}, {"target_room": "#ops"}, "DEV"),
        ({"text": "x", "channel": "#nowhere"}, {"target_room": "#ops"}, "GENERAL"),
        ({"text": "x", "channel": "#nowhere"}, {}, "GENERAL"),
        ({"text": "x"}, {"target_room": "#nowhere"}, "GENERAL"),
        ({"text": "x", "channel": "@ann"}, {}, direct_room_id((OWNER.id, CAT.id))),
    ],
)
async def test_where_an_answer_goes(
    path: Path, clock: ManualClock, receiver: Receiver, answer: object, hook: dict[str, object], place: str
) -> None:
    """The answer's channel, else the target room, else the event's room, which also stands in for an unknown one."""
    receiver.answer = answering(json=answer)
    async with delivering(path, clock, retrying(receiver.url, trigger_words=("!",), **hook)) as bench:
        others = tuple(room(id=name.upper(), name=name) for name in ("ops", "dev"))
        await bench.store.commit(Changes(new_rooms=others))
        await bench.say("!deploy")
        (attempt,) = await bench.attempts(1)
        posted = await bench.message(attempt.message_id)
    assert posted.room_id == place


async def test_an_answer_in_the_name_of_the_author(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """With impersonateUser the answer is posted as the author of the message."""
    receiver.answer = answering(json={"text": "done"})
    async with delivering(path, clock, retrying(receiver.url, trigger_words=("!",), impersonate_user=True)) as bench:
        await bench.say("!deploy")
        (attempt,) = await bench.attempts(1)
        posted = await bench.message(attempt.message_id)
    assert (posted.username, posted.integration_id) == ("ann", HOOK)


async def test_an_archived_room_takes_no_answer(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """History says that the room is archived, and the hook's creator is told once by direct message."""
    receiver.answer = answering(json={"text": "done", "channel": "#old"})
    async with delivering(path, clock, retrying(receiver.url, trigger_words=("!",))) as bench:
        await bench.store.commit(Changes(new_rooms=(room(id="OLD", name="old", archived=True),)))
        await bench.say("!one")
        await bench.attempts(1)
        await bench.say("!two")
        attempts = await bench.attempts(2)
        told = await bench.texts(direct_room_id((OWNER.id, CAT.id)))
    assert {attempt.step for attempt in attempts} == {"after-http-call-send-message-failed"}
    assert {attempt.error for attempt in attempts} == {"The channel, old, is archived [error-room-archived]"}
    assert told == [
        f"The webhook “ops-bot” ({HOOK}) posts to #old, which is archived; unarchive it or edit the webhook."
    ]


async def test_retries_survive_a_restart(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """A failed call is tried again at its time, also by the next process."""
    receiver.answer = answering(503)
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        (attempt,) = await bench.attempts(1)
        assert (attempt.step, attempt.error) == ("going-to-retry-1", "The receiver answered 503.")
        clock.advance(100)
        bench.worker.notify()
        await bench.attempts(2)
    receiver.answer = answering()
    async with delivering(path, clock) as bench:
        clock.advance(999)
        await bench.say("another")
        await bench.attempts(3)
        assert receiver.texts == ["hello", "hello", "another"]
        clock.advance(1)
        bench.worker.notify()
        await bench.attempts(4)
        assert (await bench.store.counts()).queued == 0
    assert receiver.texts[3:] == ["hello"]


async def test_retries_end(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """After the last retry the delivery is a dead letter, and its room is told once."""
    receiver.answer = answering(502)
    async with delivering(path, clock, retrying(receiver.url, retry_count=1, trigger_words=("!",))) as bench:
        for number in (1, 3):
            await bench.say("!x")
            await bench.attempts(number)
            clock.advance(100)
            bench.worker.notify()
            await bench.attempts(number + 1)
        dead = await bench.ended(DeliveryState.DEAD, 2)
        assert {one.reason for one in dead} == {"The receiver answered 502."}
        receiver.answer = answering()
        assert await bench.store.replay_dead([dead[0].id]) == 1
        bench.worker.notify()
        attempts = await bench.attempts(5)
        texts = await bench.texts()
    assert Counter(one.step for one in attempts) == {
        "going-to-retry-1": 2,
        "too-many-retries": 2,
        "after-http-call": 1,
    }
    assert texts[0] == texts[2] == "!x"
    assert texts[1].startswith(
        f"The outgoing webhook “ops-bot” ({HOOK}) cannot deliver to 127.0.0.1: The receiver answered 502."
    )
    assert len(texts) == 3


async def test_gone_disables_the_hook(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """410 disables the hook and says so in the room that owns it; what follows is held."""
    receiver.answer = answering(410)
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        (attempt,) = await bench.attempts(1)
        hook = await only_hook(bench.store)
        texts = await bench.texts()
    assert (attempt.step, attempt.version) == ("after-process-http-status-410", 1)
    assert (hook.enabled, hook.version, hook.updated_by) == (False, 2, ("rocket.cat", "rocket.cat"))
    assert texts[1].startswith(f"The outgoing webhook “ops-bot” ({HOOK}) was disabled: 127.0.0.1 answered 410 Gone.")


async def test_many_gone_at_once_disable_once(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """Of several calls that end with 410 together one disables the hook; every one is settled."""
    gate = asyncio.Event()

    async def gone_together(_: object) -> object:
        await gate.wait()
        return await answering(410)(None)  # type: ignore[arg-type] # it looks at no request

    receiver.answer = gone_together  # type: ignore[assignment] # as above
    async with delivering(path, clock, retrying(receiver.url), concurrency=64, probes=5) as bench:
        for _ in range(5):
            await bench.say("hello")
        await receiver.called(5)
        gate.set()
        await bench.attempts(5)
        assert (await only_hook(bench.store)).version == 2
        assert len(await bench.texts()) == 6


async def test_a_broken_receiver_is_not_asked_again(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """500 with a body ends the delivery at once."""
    receiver.answer = answering(500, json={"error": "boom"})
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        (attempt,) = await bench.attempts(1)
        assert (await bench.ended(DeliveryState.DEAD))[0].tries == 1
    assert (attempt.step, attempt.response) == ("after-process-http-status-500", '{"error": "boom"}')


async def test_a_private_address_is_refused(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """A private address is not called, not retried, and the reason names the setting that would open it."""
    async with delivering(path, clock, retrying(receiver.url), allow="") as bench:
        await bench.say("hello")
        (attempt,) = await bench.attempts(1)
        (dead,) = await bench.ended(DeliveryState.DEAD)
    assert attempt.error is not None
    assert "PATCHBAY_ALLOW_TARGETS" in attempt.error
    assert (dead.reason, receiver.bodies) == (attempt.error, [])


async def test_a_call_that_cannot_be_built(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """Our own fault is a visible failed attempt without a call; once it is mended the whole budget is left."""
    hook = retrying(receiver.url, signing_keys=(SigningKey(key="whsec_nonsense!"),))
    async with delivering(path, clock, hook) as bench:
        await bench.say("hello")
        (attempt,) = await bench.attempts(1)
        (dead,) = await bench.ended(DeliveryState.DEAD)
        assert (attempt.failed, attempt.called, receiver.bodies) == (True, False, [])
        assert "could not be built" in str(attempt.error)
        assert "nonsense" not in str(attempt.error)
        clock.advance(1)
        await bench.edit_hook(signing_keys=())
        await bench.store.replay_dead([dead.id])
        bench.worker.notify()
        assert not (await bench.attempts(2))[1].failed


async def test_deleting_discards_what_is_in_flight(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """After a delete no call begins, and the end of one that had begun is dropped."""
    gate = asyncio.Event()
    receiver.answer = waiting(gate)
    async with delivering(path, clock, retrying(receiver.url), concurrency=1) as bench:
        await bench.say("first")
        await bench.say("second")
        await receiver.called(1)
        await bench.remove_hook()
        gate.set()
        await bench.ended(DeliveryState.DISCARDED, 2)
        await bench.stop()
        assert (await bench.store.attempts([HOOK]))[1] == 0
    assert receiver.texts == ["first"]


@pytest.mark.parametrize(
    "changes",
    [{"urls": ("https://other.example.test/",)}, {"trigger_words": ("!",)}, {"event": "roomJoined"}],
    ids=["address", "trigger", "event"],
)
async def test_a_retry_looks_at_the_hook_again(
    path: Path, clock: ManualClock, receiver: Receiver, changes: dict[str, object]
) -> None:
    """A delivery whose hook no longer wants it is discarded without another call."""
    receiver.answer = answering(503)
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        await bench.attempts(1)
        await bench.edit_hook(**changes)
        clock.advance(100)
        bench.worker.notify()
        (discarded,) = await bench.ended(DeliveryState.DISCARDED)
    assert discarded.reason
    assert receiver.texts == ["hello"]


async def test_a_damaged_hook_ends_in_a_dead_letter(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """What its addresses are nobody knows any more; put right, it can be sent again."""
    receiver.answer = answering(503)
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        await bench.attempts(1)
    with sqlite3.connect(path) as connection:
        [(sealed,)] = connection.execute("SELECT sealed FROM integration WHERE id = ?", (HOOK,)).fetchall()
        connection.execute("UPDATE integration SET sealed = ? WHERE id = ?", (sealed[:16] + bytes(40), HOOK))
    connection.close()
    receiver.answer = answering()
    async with delivering(path, clock) as bench:
        clock.advance(100)
        bench.worker.notify()
        (dead,) = await bench.ended(DeliveryState.DEAD)
        assert dead.reason == "what is sealed of the webhook is damaged"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE integration SET sealed = ? WHERE id = ?", (sealed, HOOK))
    connection.close()
    async with delivering(path, clock) as bench:
        assert await bench.store.replay_dead([dead.id]) == 1
        await bench.ended(DeliveryState.DELIVERED)
    assert receiver.texts == ["hello", "hello"]


async def test_a_disabled_hook_holds_its_queue(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """A retry of a disabled hook waits until it is enabled, and then uses the hook as it is."""
    receiver.answer = answering(503)
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        await bench.attempts(1)
        await bench.edit_hook(enabled=False)
        clock.advance(100)
        bench.worker.notify()
        receiver.answer = answering()
        await bench.edit_hook(enabled=True, token="rotated")
        await bench.attempts(2)
    assert [body["token"] for body in receiver.bodies] == ["s3cret", "rotated"]


async def test_an_expired_hook_holds_and_then_drops(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """What an expired hook has queued waits a day for a prolongation, then it is a dead letter."""
    receiver.answer = answering(503)
    async with delivering(path, clock, retrying(receiver.url, expires_at=clock.now() + 50)) as bench:
        await bench.say("hello")
        await bench.attempts(1)
        clock.advance(100)
        bench.worker.notify()

        async def looked() -> bool:
            found, _ = await bench.store.deliveries()
            return found[0].available_at == clock.steady() + 60_000

        await until(looked)
        clock.advance(25 * 3600 * 1000)
        bench.worker.notify()
        (dead,) = await bench.ended(DeliveryState.DEAD)
    assert (dead.reason, receiver.texts) == ("expired", ["hello"])


async def test_a_slow_address_delays_nobody(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """While one address hangs it is called once, and others are served."""
    gate = asyncio.Event()
    other = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e440"), urls=(receiver.url,), channels=("#general",))
    async with receiving(waiting(gate)) as slow, delivering(path, clock, retrying(slow.url), other) as bench:
        for number in range(40):
            await bench.say(f"m{number}")
        attempts = await bench.attempts(40, other.id)
        assert not any(attempt.failed for attempt in attempts)
        assert len(slow.bodies) == 1
        gate.set()
        await bench.attempts(40)


async def test_an_ordered_lane(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """A successor waits for its predecessor's end, also when that is tried again."""
    receiver.answer = answering(503)
    async with delivering(path, clock, retrying(receiver.url, ordered=True)) as bench:
        await bench.say("m0")
        await bench.attempts(1)
        for number in range(1, 200):
            await bench.say(f"m{number}")
        assert receiver.texts == ["m0"]
        receiver.answer = answering()
        clock.advance(100)
        bench.worker.notify()
        await bench.attempts(201)
    assert receiver.texts == ["m0", *(f"m{number}" for number in range(200))]


async def test_a_stop_lets_attempts_finish(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """What is under way when the server stops still gets its answer and its place in history."""
    gate = asyncio.Event()
    receiver.answer = waiting(gate)
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        await receiver.called()
        stopping = asyncio.create_task(bench.stop())
        await bench.say("too late")
        gate.set()
        await stopping
        assert [attempt.failed for attempt in await bench.attempts(1)] == [False]
    assert receiver.texts == ["hello"]


async def test_a_stop_is_not_an_attempt(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """An attempt cut off by a stop is given back untried, at once, and made by the next process."""
    gate = asyncio.Event()
    receiver.answer = waiting(gate)
    async with delivering(path, clock, retrying(receiver.url), grace_s=0) as bench:
        await bench.say("hello")
        await receiver.called()
        await bench.stop()
        ((delivery,), _), (_, attempts) = await bench.store.deliveries(), await bench.store.attempts([HOOK])
        assert (delivery.state, delivery.tries, delivery.receives, attempts) == (DeliveryState.QUEUED, 0, 0, 0)
    receiver.answer = answering()
    async with delivering(path, clock) as bench:
        assert not (await bench.attempts(1))[0].failed
    gate.set()


async def test_what_kills_its_attempt_ends_as_poison(
    path: Path, clock: ManualClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delivery whose attempts never come to an end is a dead letter after 20 leases."""
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        calls = 0

        async def crash(request: OutboundRequest) -> object:
            nonlocal calls
            calls += 1
            raise RuntimeError("a fault of ours")

        monkeypatch.setattr("bot.outbound.Outbound.send", lambda _, request: crash(request))
        with capture_logs():
            await bench.say("hello")

            async def given_up() -> bool:
                clock.advance(60_000)  # each lease runs out; one that is found in hand is renewed, and runs out again
                bench.worker.notify()
                return (await bench.store.deliveries(state=DeliveryState.DEAD))[1] == 1

            await until(given_up)
            (dead,) = await bench.ended(DeliveryState.DEAD)
    assert (dead.reason, calls) == ("poison", 20)


async def test_a_locked_store_loses_no_end(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """An attempt that ends while the file cannot be written is settled when it can, without another call."""
    gate = asyncio.Event()
    receiver.answer = waiting(gate)
    with capture_logs() as logs:
        async with delivering(path, clock, retrying(receiver.url)) as bench:
            await bench.say("hello")
            await receiver.called()
            other = sqlite3.connect(path, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            gate.set()

            async def refused() -> bool:
                return any(line["event"] == "settle" for line in logs)

            await until(refused)
            clock.advance(600_000)  # the lease is over by far: until its end is written, it is renewed
            bench.worker.notify()
            other.execute("ROLLBACK")
            other.close()
            assert not (await bench.attempts(1))[0].failed
            await bench.ended(DeliveryState.DELIVERED)
    assert receiver.texts == ["hello"]


async def test_a_410_disables_a_hook_that_was_edited_during_the_call(
    path: Path, clock: ManualClock, receiver: Receiver
) -> None:
    """What a 410 causes is built anew on the hook as it is when the attempt ends (decision 42)."""
    gate = asyncio.Event()
    receiver.answer = waiting(gate, 410)
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("hello")
        await receiver.called()
        stale = await bench.directory.hook(HOOK)
        assert isinstance(stale, OutgoingHook)
        # without a fact, as another process's change that the directory has not noticed yet
        await bench.store.commit(Changes(put_hooks=(replace(stale, name="renamed", version=stale.version + 1),)))
        gate.set()
        await bench.ended(DeliveryState.DEAD)
        hook = await bench.store.hook(HOOK)
    assert hook is not None
    assert (hook.enabled, hook.name) == (False, "renamed")


async def test_loops_end(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """A hook that answers every message with a message stops after five hops, and history says why."""
    receiver.answer = answering(json={"text": "again"})
    async with delivering(path, clock, retrying(receiver.url)) as bench:
        await bench.say("start")
        attempts = await bench.attempts(6)
    assert Counter(one.step for one in attempts) == {"url-response-sent-message": 5, "stopped-by-hop-limit": 1}
    assert len(receiver.bodies) == 5


async def test_one_line_for_each_attempt(path: Path, clock: ManualClock, receiver: Receiver) -> None:
    """An attempt logs ids, host, outcome and duration; never the body, the path or the token."""
    with capture_logs() as logs:
        async with delivering(path, clock, retrying(receiver.url)) as bench:
            await bench.say("a private word")
            await bench.attempts(1)
            figures, _ = bench.metrics.expose()
    (line,) = [one for one in logs if one["event"] == "attempt"]
    assert (line["hook"], line["host"], line["outcome"], line["status"], line["tries"]) == (
        HOOK,
        "127.0.0.1",
        "delivered",
        200,
        1,
    )
    assert not any(secret in repr(line) for secret in ("private", "/in", "s3cret"))
    assert b'patchbay_attempt_seconds_count{outcome="delivered"} 1.0' in figures
