"""Hooks that are expired, muted or have just got a new token (decisions 35, 65; commands.md §2.2, §2.6)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.workspace.hook_options import NEVER, Options
from bot.workspace.hook_records import with_new_token
from handlers.errors import Fault
from storage.clock import Millis
from storage.ids import IntegrationId, MessageId
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.hook_request import Verdict
from storage.records.integration import Hook, IncomingHook, PreviousCalls
from tests.clock import ManualClock
from tests.delivering import Receiver, receiving, until
from tests.hook_door import OK, UNKNOWN, Door, door, owner, texts
from tests.hook_stage import INCOMING, OUTGOING
from tests.server import Server, serving

HOUR_MS = 3600 * 1000
OFF = (503, "Service Unavailable")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def timed(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Server]:
    """A server whose time the test moves."""
    async with serving(tmp_path / "data", clock) as server:
        yield server


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


def later(clock: ManualClock, ms: int = HOUR_MS) -> Millis:
    return Millis(clock.now() + ms)


async def edit(server: Server, hook_id: IntegrationId, options: Options) -> Hook:
    """Set what the REST schema does not know."""
    done = await server.services.hooks.edit(await owner(server), hook_id, options)
    assert not isinstance(done, Fault)
    return done


async def stored(server: Server, hook_id: IntegrationId) -> IncomingHook:
    hook = await server.services.store.hook(hook_id)
    assert isinstance(hook, IncomingHook)
    return hook


async def rotate(hook: Door, until: Millis | None) -> Door:
    """Give a hook a new token and let the old one work until a time."""
    services = hook.server.services
    old = await stored(hook.server, hook.id)
    assert old.token is not None
    fresh = with_new_token(old, old_hash=services.store.lookup(old.token), old_until=until)
    assert fresh.token is not None
    await services.store.commit(Changes(put_hooks=(replace(fresh, version=old.version + 1),)))
    services.directory.clear()
    return Door(hook.server, hook.id, fresh.token)


async def previous_calls(hook: Door) -> PreviousCalls | None:
    found = await hook.server.services.store.previous_calls([await stored(hook.server, hook.id)])
    return found.get(hook.id)


# --- expired and muted incoming hooks -------------------------------------------------------------------


async def test_an_expired_hook_answers_like_a_disabled_one(timed: Server, clock: ManualClock) -> None:
    """From its expiry on a hook answers 503 and posts nothing; prolonged, it posts again (decision 65)."""
    hook = await door(timed)
    await hook.edit(Options(expires_at=later(clock)))
    assert await hook.send({"text": "in time"}) == (200, OK)
    clock.advance(HOUR_MS)
    assert await hook.send({"text": "late"}) == OFF
    await hook.edit(Options(expires_at=NEVER))
    assert await hook.send({"text": "prolonged"}) == (200, OK)
    assert await texts(timed) == ["in time", "prolonged"]
    assert await hook.verdicts() == ["posted", "refused", "posted"]


async def test_a_muted_hook_takes_requests_and_posts_nothing(timed: Server, clock: ManualClock) -> None:
    """Senders get their 200 and history says `muted`; at the end of the mute it posts again (decision 65)."""
    hook = await door(timed)
    await hook.edit(Options(muted_until=later(clock)))
    bodies: list[object] = [{"text": "quiet"}, [], {"attachments": 1}]
    for body in bodies:
        assert await hook.send(body) == (200, OK)
    clock.advance(HOUR_MS)
    assert await hook.send({"text": "loud"}) == (200, OK)
    assert await texts(timed) == ["loud"]
    assert await hook.verdicts() == ["muted", "muted", "muted", "posted"]
    assert [(one.status, one.message_ids) for one in (await hook.requests())[1:]] == [(200, ())] * 3


async def test_a_mute_can_be_ended(timed: Server, clock: ManualClock) -> None:
    """Who unmutes a hook hears it at once; a mute cannot end in the past."""
    hook = await door(timed)
    await hook.edit(Options(muted_until=later(clock)))
    await hook.edit(Options(muted_until=NEVER))
    assert await hook.send({"text": "loud"}) == (200, OK)
    assert await texts(timed) == ["loud"]
    done = await timed.services.hooks.edit(await owner(timed), hook.id, Options(muted_until=clock.now()))
    assert isinstance(done, Fault)


async def test_a_muted_request_uses_no_id_up(timed: Server, clock: ManualClock) -> None:
    """What was not posted may be sent again with its id after the mute (decision 37)."""
    hook = await door(timed)
    await hook.edit(Options(muted_until=later(clock)))
    for verdict in ("muted", "muted", "posted", "duplicate"):
        assert await hook.send({"text": "once"}, {"Idempotency-Key": "1"}) == (200, OK)
        assert (await hook.verdicts())[-1] == verdict
        if (await hook.verdicts()).count("muted") == 2:
            clock.advance(HOUR_MS)
    assert await texts(timed) == ["once"]


async def test_a_muted_hook_is_still_guarded(timed: Server, clock: ManualClock) -> None:
    """Muting opens nothing: wrong tokens, signatures and a disabled hook are refused as ever."""
    hook = await door(timed)
    await hook.edit(Options(muted_until=later(clock), secret="shh"))
    assert (await hook.send({"text": "unsigned"}))[0] == 401
    assert await replace(hook, token="x" * 48).send({"text": "wrong"}) == (404, UNKNOWN)
    await hook.edit(Options(secret="", enabled=False))
    assert await hook.send({"text": "off"}) == OFF


async def test_a_muted_hook_that_keeps_no_requests(timed: Server, clock: ManualClock) -> None:
    """Nothing is kept where nothing is to be kept."""
    hook = await door(timed)
    await hook.edit(Options(muted_until=later(clock), keep_requests=False))
    assert await hook.send({"text": "quiet"}) == (200, OK)
    assert await hook.requests() == []


# --- expired and muted outgoing hooks -------------------------------------------------------------------


async def listen(server: Server, receiver: Receiver, **changes: object) -> IntegrationId:
    body = {**OUTGOING, "urls": [receiver.url], **changes}
    return IntegrationId((await server.post("integrations.create", body))["integration"]["_id"])


async def say(server: Server, text: str) -> MessageId:
    answer = await server.post("chat.postMessage", {"channel": "#general", "text": text})
    return MessageId(answer["message"]["_id"])


async def test_an_expired_hook_fires_no_more(timed: Server, clock: ManualClock, receiver: Receiver) -> None:
    """From its expiry on nothing is queued for an outgoing hook (decision 65)."""
    hook_id = await listen(timed, receiver)
    await edit(timed, hook_id, Options(expires_at=later(clock)))
    await say(timed, "in time")
    await receiver.called(1)
    clock.advance(HOUR_MS)
    await say(timed, "late")
    assert (await timed.services.store.deliveries(hook_id=hook_id))[1] == 1
    await edit(timed, hook_id, Options(expires_at=NEVER))
    await say(timed, "prolonged")
    await receiver.called(2)
    assert receiver.texts == ["in time", "prolonged"]


async def test_a_muted_hook_does_not_fire_and_says_so(timed: Server, clock: ManualClock, receiver: Receiver) -> None:
    """What happens meanwhile is not called later either; each event has an entry `muted` without call or error."""
    hook_id = await listen(timed, receiver)
    await edit(timed, hook_id, Options(muted_until=later(clock)))
    message_id = await say(timed, "quiet")
    clock.advance(HOUR_MS)
    await say(timed, "loud")
    await receiver.called(1)
    assert receiver.texts == ["loud"]
    history = (await timed.get("integrations.history", id=hook_id))["history"]
    (entry,) = [one for one in history if one["step"] == "muted"]
    assert (entry["finished"], "error" in entry, "url" in entry) == (True, False, False)
    assert entry["data"]["text"] == "quiet"
    seq = await timed.services.store.event_posting(message_id)
    assert seq is not None
    assert [one.id for one in await timed.services.store.stopped_of(seq)] == [entry["_id"]]
    assert await timed.services.store.deliveries_of(seq) == []


async def test_other_events_are_muted_too(timed: Server, clock: ManualClock, receiver: Receiver) -> None:
    """Hooks on events without a message are quiet in the same way."""
    hook_id = await listen(timed, receiver, event="roomCreated", channel="")
    await edit(timed, hook_id, Options(muted_until=later(clock)))
    await timed.post("channels.create", {"name": "quiet"})
    await edit(timed, hook_id, Options(muted_until=NEVER, expires_at=later(clock)))
    clock.advance(HOUR_MS)
    await timed.post("channels.create", {"name": "expired"})
    await edit(timed, hook_id, Options(expires_at=NEVER))
    await timed.post("channels.create", {"name": "loud"})
    await receiver.called(1)
    assert [body["channel_name"] for body in receiver.bodies] == ["loud"]
    steps = [one.step for one in (await timed.services.store.attempts([hook_id]))[0]]
    assert steps.count("muted") == 1


# --- the previous token ---------------------------------------------------------------------------------


async def test_the_old_token_works_until_its_end_and_is_counted(timed: Server, clock: ManualClock) -> None:
    """Both tokens post meanwhile; history and count tell which calls still use the old one (commands.md §2.6)."""
    old = await door(timed)
    new = await rotate(old, later(clock))
    assert await previous_calls(new) is None
    assert await old.send({"text": "by the old one"}) == (200, OK)
    clock.advance(HOUR_MS - 1)
    assert await new.send({"text": "by the new one"}) == (200, OK)
    assert await old.send({"text": "the old one again"}) == (200, OK)
    assert await previous_calls(new) == PreviousCalls(2, clock.now())
    assert [one.previous_token for one in await new.requests()] == [True, False, True]
    clock.advance(1)
    assert await old.send({"text": "too late"}) == (404, UNKNOWN)
    assert await new.send({"text": "new"}) == (200, OK)
    assert len(await texts(timed)) == 4
    assert await previous_calls(new) == PreviousCalls(2, Millis(clock.now() - 1))


async def test_every_call_by_the_old_token_counts(timed: Server, clock: ManualClock) -> None:
    """Also those that are muted, repeated or refused, and those of a hook that keeps no requests."""
    old = await door(timed)
    new = await rotate(old, later(clock))
    for _ in range(2):
        await old.send({"text": "once"}, {"Idempotency-Key": "1"})
    await old.send({"text": 1, "channel": "#other"})
    await old.send_raw(b"{", "application/json")
    await new.edit(Options(muted_until=later(clock), keep_requests=False))
    await old.send({"text": "quiet"})
    await new.edit(Options(enabled=False))
    assert await old.send({"text": "off"}) == OFF
    assert await previous_calls(new) == PreviousCalls(6, clock.now())


async def test_only_the_last_token_lives_on(timed: Server, clock: ManualClock) -> None:
    """Rotating again ends the one before, and without an overlap the old one ends at once."""
    first = await door(timed)
    second = await rotate(first, later(clock))
    third = await rotate(second, later(clock))
    assert await first.send({"text": "first"}) == (404, UNKNOWN)
    assert await second.send({"text": "second"}) == (200, OK)
    assert await previous_calls(third) == PreviousCalls(1, clock.now())
    fourth = await rotate(third, None)
    assert await third.send({"text": "third"}) == (404, UNKNOWN)
    assert await fourth.send({"text": "fourth"}) == (200, OK)
    assert await previous_calls(fourth) is None


@pytest.mark.parametrize("token", ["x" * 48, "%FF%FE", "%ED%A0%80"])
async def test_other_tokens_stay_unknown(timed: Server, clock: ManualClock, token: str) -> None:
    """An overlap lets in nobody but who knows one of the two tokens, whatever bytes are tried."""
    hook = await rotate(await door(timed), later(clock))
    assert await replace(hook, token=token).send({"text": "x"}) == (404, UNKNOWN)


async def test_the_old_token_opens_the_extras_too(timed: Server, clock: ManualClock) -> None:
    """A form builder that still knows the old address goes on reading samples from it (§5.5)."""
    old = await door(timed)
    await rotate(old, later(clock))
    async with timed.http.get(f"{timed.url}/hooks/sample/{old.id}/{old.token}") as response:
        assert response.status == 200


# --- what REST must not lose, what `why` needs ----------------------------------------------------------


async def test_a_rest_update_keeps_what_it_does_not_know(timed: Server, clock: ManualClock, receiver: Receiver) -> None:
    """Expiry, mute and the old token survive every update and are never shown over REST (decision 35)."""
    old = await door(timed)
    new = await rotate(old, later(clock))
    kept = Options(expires_at=later(clock, 2 * HOUR_MS), muted_until=later(clock))
    before = await edit(timed, new.id, kept)
    update = {**INCOMING, "integrationId": new.id, "name": "renamed"}
    shown = (await timed.api("PUT", "integrations.update", update))[1]["integration"]
    after = await stored(timed, new.id)
    assert after.name == "renamed"
    assert isinstance(before, IncomingHook)
    for name in ("expires_at", "muted_until", "previous_token", "token"):
        assert getattr(after, name) == getattr(before, name) is not None, name
    hook_id = await listen(timed, receiver)
    before_out = await edit(timed, hook_id, kept)
    update = {**OUTGOING, "integrationId": hook_id, "urls": [receiver.url], "token": "t", "name": "renamed"}
    shown_out = (await timed.api("PUT", "integrations.update", update))[1]["integration"]
    after_out = await timed.services.store.hook(hook_id)
    assert after_out is not None
    assert (after_out.expires_at, after_out.muted_until) == (before_out.expires_at, before_out.muted_until)
    assert not {"expires_at", "expiresAt", "muted_until", "mutedUntil", "previous_token"} & {*shown, *shown_out}


async def test_a_message_leads_back_to_its_request(timed: Server, clock: ManualClock, receiver: Receiver) -> None:
    """From a message to the request, its verdicts and the deliveries it caused (decision 59)."""
    hook, hook_id = await door(timed), await listen(timed, receiver)
    await hook.edit(Options(secret="shh"))
    assert (await hook.send({"text": "unsigned"}))[0] == 401
    await hook.edit(Options(secret=""))
    assert await hook.send({"text": "hello"}, {"Idempotency-Key": "1"}) == (200, OK)
    await receiver.called(1)
    store = timed.services.store
    posted, refused = await hook.requests()
    (message_id,) = posted.message_ids
    found = await store.request_posting(hook.id, MessageId(message_id))
    assert found == posted
    assert (posted.verdict, posted.signature, posted.dedup_key) == (Verdict.POSTED, None, "1")
    assert (refused.verdict, refused.signature) == (Verdict.REFUSED, "signature-missing")
    seq = await store.event_posting(MessageId(message_id))
    assert seq is not None

    async def settled() -> bool:
        return [one.state for one in await store.deliveries_of(seq)] == [DeliveryState.DELIVERED]

    await until(settled)  # before that, two looks at the delivery may differ
    (delivery,) = await store.deliveries_of(seq)
    assert delivery.integration_id == hook_id
    assert (await store.deliveries(hook_id=hook_id))[0] == [await store.delivery(delivery.id)]
