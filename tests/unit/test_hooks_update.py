"""Changing integrations: `rocketchat.md` §4.4, what REST does not know, renamed rooms, and two writers at once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.workspace.hook_options import NEVER, Options
from handlers.errors import Fault
from handlers.outgoing.retries import DAY_MS
from handlers.permissions import (
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
)
from handlers.rocketchat.schemas import SCHEMAS
from handlers.rocketchat.validation import validate
from handlers.signing.standard_webhooks import new_key, parse_key
from storage.clock import Millis
from storage.ids import GENERAL, UserId
from storage.records.changes import Changes, Committed
from storage.records.event import EventKind
from storage.records.integration import Hook, IncomingHook, OutgoingHook, SigningKey
from tests.hook_stage import ANN, CAT, DAN, INCOMING, OTHER_ORG, OUTGOING, Body, Stage, fault, staged
from tests.records import NOON, hooks_in, incoming, outgoing, user

UPDATE_IN = {"method": "updateIncomingIntegration"}
UPDATE_OUT = {"method": "updateOutgoingIntegration"}
START = "Invalid channel. Start with @ or # [error-invalid-channel-start-with-chars]"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as set_up:
        yield set_up


def change(hook: Hook, **changes: object) -> Body:
    """Return an update of a hook that passes the schema."""
    good = INCOMING if isinstance(hook, IncomingHook) else OUTGOING | {"token": "t"}
    body = good | {"integrationId": hook.id} | changes
    assert validate(SCHEMAS["integrations.update"], body) is None
    return body


# --- incoming ---------------------------------------------------------------------------------------


async def test_an_incoming_update_writes_what_it_may(stage: Stage) -> None:
    """Posting user, token and type stay whatever is sent; texts not sent go, the override flag stays."""
    made = await stage.incoming(alias="CI", overrideDestinationChannelEnabled=True)
    stage.clock.advance(1000)
    changed = await stage.hooks.update(
        ANN, change(made, name="new", enabled=False, channel="#ops", username="ann", token="mine", emoji=":x:")
    )
    expected = replace(
        made,
        name="new",
        enabled=False,
        channels=("#ops",),
        alias=None,
        emoji=":x:",
        updated_at=Millis(NOON + 1000),
        updated_by=(ANN.id, "ann"),
        version=2,
    )
    assert changed == expected == await stage.store.hook(made.id)
    assert stage.last() == (EventKind.INTEGRATION_CHANGED, {"id": made.id, "name": "new"})
    again = await stage.hooks.update(ANN, change(made, overrideDestinationChannelEnabled=False, scriptEngine="vm2"))
    assert isinstance(again, IncomingHook)
    assert (again.override_destination, again.script_engine, again.version) == (False, "vm2", 3)


@pytest.mark.parametrize(
    ("held", "changes", "error", "details"),
    [
        ((), {"channel": " "}, "Invalid channel [error-invalid-channel]", UPDATE_IN),
        ((), {"channel": "general"}, START, UPDATE_IN),
        ((), {}, "Unauthorized [not_authorized]", UPDATE_IN),
        ((MANAGE_OUTGOING,), {"script": "x"}, "Unauthorized [not_authorized]", UPDATE_IN),
        ((MANAGE_OWN_INCOMING,), {"script": "x"}, "Invalid integration [error-invalid-integration]", UPDATE_IN),
        ((MANAGE_INCOMING,), {"script": "x", "channel": "#nowhere"}, "integration-scripts-disabled", None),
        ((MANAGE_INCOMING,), {"channel": "#nowhere"}, "Invalid room [error-invalid-room]", UPDATE_IN),
        ((MANAGE_INCOMING,), {"channel": "#ops"}, "Invalid Channel [error-invalid-channel]", UPDATE_IN),
        ((MANAGE_INCOMING,), {"integrationId": "nope", "channel": ""}, "No integration found.", None),
        ((MANAGE_INCOMING,), {"type": "xwebhook-incoming"}, "Invalid integration type.", None),
        ((MANAGE_INCOMING,), {"type": "xwebhook-incoming", "integrationId": "nope"}, "No integration found.", None),
    ],
)
async def test_refusals_of_an_incoming_update(
    stage: Stage, held: tuple[str, ...], changes: Body, error: str, details: Body | None
) -> None:
    """Each refusal has its text and details, an earlier one wins, and nothing changes."""
    made = await stage.incoming()
    actor = await stage.user(*held, member_of=(GENERAL,))
    refused = fault(await stage.hooks.update(actor, change(made, **changes)))
    assert (refused.bracketed, refused.details) == (error, details)
    assert await stage.store.hook(made.id) == made


async def test_the_posting_user_must_still_be_there(stage: Stage) -> None:
    """A hook of a deactivated user may be changed while it stays disabled, not be enabled (decision 24)."""
    made = await stage.incoming(username="dan", enabled=False)
    refused = fault(await stage.hooks.update(ANN, change(made, enabled=True)))
    assert (refused.bracketed, refused.details) == (
        "Invalid Post As User [error-invalid-post-as-user]",
        UPDATE_IN,
    )
    assert isinstance(await stage.hooks.update(ANN, change(made, enabled=False, name="later")), IncomingHook)
    assert "activate that user" in str(fault(await stage.hooks.edit(ANN, made.id, Options(enabled=True))).reason)


async def test_an_owner_with_the_own_permission_may_change_a_hook(stage: Stage) -> None:
    """The own permission suffices for hooks one has made, in rooms one is in."""
    owner = await stage.user(MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING, member_of=(GENERAL,))
    for made in (await stage.incoming(owner), await stage.outgoing(owner)):
        changed = await stage.hooks.update(owner, change(made, name="mine"))
        assert not isinstance(changed, Fault)
        assert changed.name == "mine"


# --- outgoing ---------------------------------------------------------------------------------------


async def test_an_outgoing_update_replaces_every_field(stage: Stage) -> None:
    """What is not sent is gone; the origin and what REST does not know stay (decision 35)."""
    made = await stage.outgoing(
        token="old", alias="Ops", triggerWords=["!x"], runOnEdits=True, retryFailedCalls=True, targetRoom="#ops"
    )
    keys = (SigningKey(key=new_key()),)
    await stage.put_hook(replace(made, ordered=True, signing_keys=keys, expires_at=Millis(NOON + 5)))
    stage.clock.advance(1)
    changed = await stage.hooks.update(
        ANN, change(made, event="fileUploaded", username="ann", urls=["https://new.example.test"], token="new")
    )
    expected = outgoing(
        id=made.id,
        username="ann",
        user_id=ANN.id,
        channels=("#general",),
        token="new",
        event="fileUploaded",
        urls=("https://new.example.test",),
        updated_at=Millis(NOON + 1),
        updated_by=(ANN.id, "ann"),
        version=3,
        ordered=True,
        signing_keys=keys,
        expires_at=Millis(NOON + 5),
    )
    assert changed == expected == await stage.store.hook(made.id)


@pytest.mark.parametrize(
    ("held", "changes", "error", "details"),
    [
        ((MANAGE_OUTGOING,), {"integrationId": "nope", "event": "nope"}, "No integration found.", None),
        ((MANAGE_OUTGOING,), {"integrationId": None}, "No integration found.", None),
        ((MANAGE_OUTGOING,), {"target_url": "https://unknown.example.test"}, "No integration found.", None),
        ((MANAGE_OUTGOING,), {"type": "webhook-outgoing!"}, "Invalid integration type.", None),
        ((), {"script": "x", "event": "nope"}, "integration-scripts-disabled", None),
        (
            (),
            {"event": "nope", "token": ""},
            "Invalid event type [error-invalid-event-type]",
            {"function": "validateOutgoing._verifyRequiredFields"},
        ),
        (
            (MANAGE_OUTGOING,),
            {"channel": "#ops", "token": ""},
            "Invalid Channel [error-invalid-channel]",
            {"function": "validateOutgoing._verifyUserHasPermissionForChannels"},
        ),
        ((), {"token": None}, "Invalid token [error-invalid-token]", UPDATE_OUT),
        ((), {"token": "  "}, "Invalid token [error-invalid-token]", UPDATE_OUT),
        ((), {}, "Unauthorized [not_authorized]", UPDATE_OUT),
        (
            (MANAGE_OWN_OUTGOING,),
            {},
            "[methods] updateOutgoingIntegration -> integration not found [invalid_integration]",
            None,
        ),
    ],
)
async def test_refusals_of_an_outgoing_update(
    stage: Stage, held: tuple[str, ...], changes: Body, error: str, details: Body | None
) -> None:
    """All of §4.1 but the permission comes first, then the token, then whose hook it is."""
    made = await stage.outgoing()
    actor = await stage.user(*held, member_of=(GENERAL,))
    refused = fault(await stage.hooks.update(actor, change(made, **changes)))
    assert (refused.bracketed, refused.details) == (error, details)
    assert await stage.store.hook(made.id) == made


async def test_an_outgoing_update_must_carry_a_token(stage: Stage) -> None:
    """A body without `token` is refused although the hook has one."""
    made = await stage.outgoing(token="old")
    body = change(made)
    del body["token"]
    assert fault(await stage.hooks.update(ANN, body)).bracketed == "Invalid token [error-invalid-token]"


async def test_an_outgoing_hook_is_found_by_one_of_its_addresses(stage: Stage) -> None:
    """`target_url` goes before `integrationId`, and finds the caller's own hook among several."""
    other = await stage.user(MANAGE_OUTGOING, MANAGE_OWN_OUTGOING)
    await stage.outgoing(other, urls=["https://one.example.test"])
    made = await stage.outgoing(urls=["https://two.example.test", "https://one.example.test"])
    changed = await stage.hooks.update(
        ANN,
        change(made, integrationId="nope", target_url="https://one.example.test", urls=["https://one.example.test"]),
    )
    assert isinstance(changed, OutgoingHook)
    assert changed.id == made.id


async def test_a_hook_is_not_changed_as_the_other_direction(stage: Stage) -> None:
    """The stored direction must be the one the body names (decision 10)."""
    made = await stage.incoming()
    body = OUTGOING | {"integrationId": made.id, "token": "t"}
    assert fault(await stage.hooks.update(ANN, body)).bracketed == "No integration found."
    other = await stage.outgoing()
    assert (
        fault(await stage.hooks.update(ANN, INCOMING | {"integrationId": other.id})).reason == "No integration found."
    )


# --- two writers ------------------------------------------------------------------------------------


async def test_a_stale_view_is_read_again(stage: Stage) -> None:
    """What another process wrote meanwhile is not lost: the update is planned anew on top of it."""
    made = await stage.incoming()
    await stage.directory.hook(made.id)
    await stage.put_hook(replace(made, secret="set elsewhere"))
    changed = await stage.hooks.update(ANN, change(made, name="new"))
    assert isinstance(changed, IncomingHook)
    assert (changed.name, changed.secret, changed.version) == ("new", "set elsewhere", 3)
    assert changed == await stage.store.hook(made.id)


async def test_losing_twice_is_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is overtaken twice gets a sentence that says what to do, and nothing is overwritten."""
    made = await stage.incoming()
    commit = stage.store.commit

    async def overtaken(changes: Changes) -> Committed:
        current = await stage.store.hook(made.id)
        assert current is not None
        await commit(Changes(put_hooks=(replace(current, version=current.version + 1),)))
        return await commit(changes)

    monkeypatch.setattr(stage.store, "commit", overtaken)
    refused = fault(await stage.hooks.update(ANN, change(made, name="new")))
    assert "look at it again" in str(refused.reason)
    current = await stage.store.hook(made.id)
    assert current is not None
    assert current.name == made.name


# --- what REST does not know ------------------------------------------------------------------------


async def test_options_of_an_incoming_hook(stage: Stage) -> None:
    """Secret, dedup header, kept requests and expiry are set, survive a REST update, and can be taken away."""
    made = await stage.incoming()
    options = Options(
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        dedup="X-Request-Id",
        keep_requests=False,
        expires_at=Millis(NOON + 1),
    )
    changed = await stage.hooks.edit(ANN, made.id, options)
    assert isinstance(changed, IncomingHook)
    assert (changed.secret, changed.dedup, changed.keep_requests) == (options.secret, "X-Request-Id", False)
    assert (changed.expires_at, changed.version, changed.updated_by) == (NOON + 1, 2, (ANN.id, "ann"))
    assert stage.last() == (EventKind.INTEGRATION_CHANGED, {"id": made.id, "name": made.name})
    updated = await stage.hooks.update(ANN, change(made))
    assert isinstance(updated, IncomingHook)
    assert (updated.secret, updated.dedup, updated.expires_at) == (options.secret, "X-Request-Id", NOON + 1)
    cleared = await stage.hooks.edit(
        ANN, made.id, Options(secret="", dedup="Standard", expires_at=NEVER, enabled=False)
    )
    assert isinstance(cleared, IncomingHook)
    assert (cleared.secret, cleared.dedup, cleared.expires_at, cleared.enabled) == (None, "standard", None, False)


async def test_a_rotated_signing_key_stays_valid_for_a_day(stage: Stage) -> None:
    """The new key comes first, the old one ends after 24 h, ended ones go, an empty text ends signing."""
    made = await stage.outgoing()

    async def keys(text: str) -> tuple[SigningKey, ...]:
        changed = await stage.hooks.edit(ANN, made.id, Options(signing_key=text))
        assert isinstance(changed, OutgoingHook)
        return changed.signing_keys

    (first,) = await keys("new")
    assert isinstance(parse_key(first.key), bytes)
    given = new_key()
    assert await keys(given) == (SigningKey(key=given), replace(first, expires_at=Millis(NOON + DAY_MS)))
    assert len(await keys(given)) == 2
    stage.clock.advance(DAY_MS)
    third = await keys("new")
    assert [key.expires_at for key in third] == [None, NOON + 2 * DAY_MS]
    assert await keys("") == ()


async def test_order_can_be_switched(stage: Stage) -> None:
    """`ordered` is set and unset."""
    made = await stage.outgoing()
    for wanted in (True, False):
        changed = await stage.hooks.edit(ANN, made.id, Options(ordered=wanted))
        assert isinstance(changed, OutgoingHook)
        assert changed.ordered is wanted


@pytest.mark.parametrize(
    ("way", "options", "text"),
    [
        ("in", Options(expires_at=NOON), "lies in the past"),
        ("in", Options(secret=" x"), "begins or ends with a blank"),
        ("in", Options(secret="whsec_***"), "base64"),
        ("in", Options(dedup="X Id"), "a header name"),
        ("in", Options(dedup=""), "a header name"),
        ("in", Options(ordered=True), "belong to outgoing hooks"),
        ("in", Options(signing_key="new"), "belong to outgoing hooks"),
        ("out", Options(signing_key="s3cret"), "starts with whsec_"),
        ("out", Options(secret="x"), "belong to incoming hooks"),
        ("out", Options(dedup="off"), "belong to incoming hooks"),
        ("out", Options(keep_requests=True), "belong to incoming hooks"),
    ],
)
async def test_unusable_options_are_refused(stage: Stage, way: str, options: Options, text: str) -> None:
    """The refusal says what is wrong with the value, and nothing changes."""
    made: Hook = await stage.incoming() if way == "in" else await stage.outgoing()
    assert text in str(fault(await stage.hooks.edit(ANN, made.id, options)).reason)
    assert await stage.store.hook(made.id) == made


async def test_options_need_the_right_to_the_hook(stage: Stage) -> None:
    """Somebody else's hook, no permission, or no such hook: nothing is set."""
    made = await stage.incoming()
    other = await stage.user(MANAGE_OWN_INCOMING)
    assert fault(await stage.hooks.edit(other, made.id, Options(enabled=False))).code == "error-invalid-integration"
    assert fault(await stage.hooks.edit(DAN, made.id, Options(enabled=False))).code == "not_authorized"
    assert fault(await stage.hooks.edit(ANN, "nope", Options(enabled=False))).reason == "No integration found."


# --- renamed rooms, answers 410 ---------------------------------------------------------------------


async def test_a_renamed_room_keeps_its_hooks(stage: Stage) -> None:
    """Exactly the hooks that name the room are returned, with the new name and the next version (decision 25)."""
    first = await stage.incoming(channel="#ops, #general, @ann")
    second = await stage.outgoing(targetRoom="#ops")
    third = await stage.outgoing(channel="#ops", targetRoom="ops")
    await stage.outgoing(channel="#0psPr1vateR00mAb2", targetRoom="@ops")
    renamed = await stage.hooks.rename_room("ops", "crew", ANN)
    assert {hook.id for hook in renamed} == {first.id, second.id, third.id}
    await stage.store.commit(Changes(put_hooks=renamed))
    stored = {hook.id: hook for hook in renamed}
    assert stored[first.id].channels == ("#crew", "#general", "@ann")
    assert stored[first.id].version == 2
    assert stored[first.id].updated_by == (ANN.id, "ann")
    targets = [(hook.channels, hook.target_room) for hook in renamed if isinstance(hook, OutgoingHook)]
    assert sorted(targets) == [(("#crew",), "crew"), (("#general",), "#crew")]


async def test_disabling_is_a_change_with_its_fact(stage: Stage) -> None:
    """The flow that hears a 410 commits it: the hook is off, one version on, and the fact says why."""
    made = await stage.outgoing(token="s3cret")
    await stage.store.commit(stage.hooks.disable(made, CAT, "answered 410"))
    stored = await stage.store.hook(made.id)
    assert stored == replace(made, enabled=False, version=2)
    body = {"id": made.id, "name": made.name, "reason": "answered 410"}
    assert stage.last() == (EventKind.INTEGRATION_CHANGED, body)


# --- reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "sees"),
    [
        ((), set[str]()),
        ((MANAGE_INCOMING,), {"inward", "own-in"}),
        ((MANAGE_OUTGOING,), {"outward", "own-out"}),
        ((MANAGE_OWN_INCOMING,), {"own-in"}),
        ((MANAGE_OWN_OUTGOING,), {"own-out"}),
        ((MANAGE_INCOMING, MANAGE_OWN_OUTGOING), {"inward", "own-in", "own-out"}),
        ((MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING), {"own-in", "own-out"}),
        ((MANAGE_INCOMING, MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING), {"own-in", "own-out"}),
        ((MANAGE_INCOMING, MANAGE_OUTGOING), {"inward", "outward", "own-in", "own-out"}),
    ],
)
async def test_which_hooks_are_seen(stage: Stage, held: tuple[str, ...], sees: set[str]) -> None:
    """The list follows §4.2, single hooks §4.3; hooks of another organisation are nobody's (decision 6)."""
    actor = user(id=UserId("readerReaderRead2"), username="reader", granted=frozenset(held))
    await stage.put_user(actor)
    await stage.incoming(name="inward")
    await stage.outgoing(name="outward")
    maker = replace(
        actor, granted=frozenset({MANAGE_INCOMING, MANAGE_OWN_INCOMING, MANAGE_OUTGOING, MANAGE_OWN_OUTGOING})
    )
    await stage.incoming(maker, name="own-in")
    await stage.outgoing(maker, name="own-out")
    foreign = incoming(org_id=OTHER_ORG, name="foreign")
    await stage.store.commit(Changes(new_hooks=(foreign,)))
    stage.directory.clear()
    assert {hook.name for hook in (await stage.store.hook_page(stage.hooks.seen(actor)))[0]} == sees
    full = {MANAGE_INCOMING: "inward", MANAGE_OUTGOING: "outward"}
    for hook in await hooks_in(stage.store):
        expected = hook.name in sees or hook.name in {full.get(one) for one in held}
        assert isinstance(await stage.hooks.get(actor, hook.id), Fault) is not expected
    assert fault(await stage.hooks.get(ANN, foreign.id)).reason == "The integration does not exists."


async def test_refusals_of_get(stage: Stage) -> None:
    """An empty id, an unknown one, another maker and a missing right have their texts (§4.3)."""
    made = await stage.incoming()
    assert await stage.hooks.get(ANN, made.id, ANN.id) == await stage.hooks.get(ANN, made.id, "") == made
    empty = fault(await stage.hooks.get(DAN, ""))
    assert empty.bracketed == 'The query parameter "integrationId" is required.'
    for found in (await stage.hooks.get(ANN, "nope"), await stage.hooks.get(ANN, made.id, CAT.id)):
        assert fault(found).bracketed == "The integration does not exists."
    refused = fault(await stage.hooks.get(DAN, made.id))
    assert (refused.bracketed, refused.status) == ("not-authorized", 400)
