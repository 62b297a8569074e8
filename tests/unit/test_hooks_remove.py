"""Removing integrations: `rocketchat.md` §4.5, Part C of the seed, and the routes for Zapier (§5.5)."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.workspace.zapier import Zapier
from handlers.errors import NOT_PERMITTED
from handlers.permissions import (
    MANAGE_ANY,
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
)
from handlers.rocketchat.schemas import SCHEMAS
from handlers.rocketchat.validation import validate
from handlers.rocketchat.views import integration_view
from storage.records.changes import Changes
from storage.records.event import EventKind
from storage.records.integration import Hook, IncomingHook, OutgoingHook, direction
from tests.hook_stage import ANN, CAT, OTHER_ORG, Body, Stage, fault, staged
from tests.records import outgoing

URL = "https://bot.example.test/in"
UNAUTHORIZED = "Unauthorized [not_authorized]"
NOT_OWN = "Invalid integration [error-invalid-integration]"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as set_up:
        yield set_up


def removal(hook: Hook, **changes: object) -> Body:
    """Return the body that removes a hook; it passes the schema."""
    body: Body = {"type": direction(hook).value, "integrationId": hook.id} | changes
    assert validate(SCHEMAS["integrations.remove"], body) is None
    return body


async def test_a_removed_hook_is_returned_as_it_was(stage: Stage) -> None:
    """Both directions answer with the record, which is gone; the fact holds id and name only (Part C)."""
    for made in (await stage.incoming(), await stage.outgoing(token="s3cret")):
        removed = await stage.hooks.remove(ANN, removal(made))
        assert removed == made
        assert integration_view(made)["_id"] == made.id
        assert await stage.store.hook(made.id) is None
        assert stage.last() == (EventKind.INTEGRATION_REMOVED, {"id": made.id, "name": made.name})
        assert fault(await stage.hooks.remove(ANN, removal(made))).bracketed == "No integration found."


async def test_an_outgoing_hook_is_removed_by_its_address(stage: Stage) -> None:
    """`target_url` is one of the hook's addresses, exactly as written."""
    made = await stage.outgoing(urls=["https://one.example.test", URL])
    other = {"type": "webhook-outgoing", "target_url": URL + "/"}
    assert fault(await stage.hooks.remove(ANN, other)).bracketed == "No integration found."
    for url, error in ((URL, "Invalid integration type."), (URL + "/", "No integration found.")):
        inexact = {"type": "a webhook-outgoing", "target_url": url}
        assert fault(await stage.hooks.remove(ANN, inexact)).bracketed == error
    assert await stage.hooks.remove(ANN, {"type": "webhook-outgoing", "target_url": URL}) == made


@pytest.mark.parametrize(
    ("way", "changes", "error"),
    [
        ("in", {"integrationId": "nope"}, "No integration found."),
        ("in", {"integrationId": ""}, "No integration found."),
        ("in", {"type": "webhook-outgoing"}, "No integration found."),
        ("out", {"type": "webhook-incoming"}, "No integration found."),
        ("in", {"type": "my-webhook-incoming-1"}, "Invalid integration type."),
        ("in", {"type": "my-webhook-incoming-1", "integrationId": "nope"}, "No integration found."),
        ("out", {"type": "webhook-incoming2"}, "Invalid integration type."),
        ("out", {"type": "webhook-outgoing2"}, "Invalid integration type."),
    ],
)
async def test_what_names_no_hook_is_refused(stage: Stage, way: str, changes: Body, error: str) -> None:
    """Unknown ids, then inexact types, then the other direction (decision 10) are plain refusals with status 400."""
    made: Hook = await stage.incoming() if way == "in" else await stage.outgoing()
    refused = fault(await stage.hooks.remove(ANN, removal(made, **changes)))
    assert (refused.bracketed, refused.code, refused.status) == (error, None, 400)
    assert await stage.store.hook(made.id) == made


@pytest.mark.parametrize(
    ("held", "way", "own", "error"),
    [
        ((MANAGE_INCOMING,), "in", False, None),
        ((MANAGE_OWN_INCOMING,), "in", True, None),
        ((MANAGE_OWN_INCOMING,), "in", False, NOT_OWN),
        ((MANAGE_OUTGOING, MANAGE_OWN_OUTGOING), "in", True, UNAUTHORIZED),
        ((MANAGE_OUTGOING,), "out", False, None),
        ((MANAGE_OWN_OUTGOING,), "out", True, None),
        ((MANAGE_OWN_OUTGOING,), "out", False, NOT_OWN),
        ((MANAGE_INCOMING, MANAGE_OWN_INCOMING), "out", True, UNAUTHORIZED),
        ((), "out", True, UNAUTHORIZED),
    ],
)
async def test_who_may_remove(stage: Stage, held: tuple[str, ...], way: str, own: bool, error: str | None) -> None:
    """The direction's full permission, or its own one and having made the hook."""
    actor = await stage.user(*held)
    maker = replace(actor, granted=MANAGE_ANY) if own else ANN
    made: Hook = await stage.incoming(maker) if way == "in" else await stage.outgoing(maker)
    result = await stage.hooks.remove(actor, removal(made))
    if error is None:
        assert result == made
        return
    method = "deleteIncomingIntegration" if way == "in" else "deleteOutgoingIntegration"
    assert (fault(result).bracketed, fault(result).details) == (error, {"method": method})
    assert await stage.store.hook(made.id) == made


async def test_hooks_of_another_organisation_are_not_there(stage: Stage) -> None:
    """Neither id nor address reaches them (decision 6)."""
    foreign = outgoing(org_id=OTHER_ORG)
    await stage.store.commit(Changes(new_hooks=(foreign,)))
    for key, value in (("integrationId", foreign.id), ("target_url", foreign.urls[0])):
        refused = fault(await stage.hooks.remove(ANN, {"type": "webhook-outgoing", key: value}))
        assert refused.bracketed == "No integration found."
    assert await stage.store.hook(foreign.id) == foreign


# --- Zapier -----------------------------------------------------------------------------------------


async def door(stage: Stage, *held: str) -> IncomingHook:
    """Make an incoming hook whose posting user holds these permissions."""
    poster = await stage.user(*held)
    return await stage.incoming(username=poster.username)


BOTH = (MANAGE_OUTGOING, MANAGE_OWN_OUTGOING)
WORDS = "Invalid triggerWords [error-invalid-triggerWords]"
NO_NAME = "Invalid Channel: name at least one in channel_name [error-invalid-channel]"
NO_PERSON = "Invalid Channel: name at least one in username [error-invalid-channel]"
ADD: Body = {"event": "newMessageOnChannel", "name": "zap", "target_url": URL, "data": {"channel_name": "general"}}


@pytest.mark.parametrize(
    ("changes", "channels", "words"),
    [
        ({}, ("#general",), ()),
        ({"data": {"channel_name": "#ops", "trigger_words": ["!go", " "]}}, ("#ops",), ("!go",)),
        ({"data": {"channel_name": "general,#ops"}}, ("#general", "#ops"), ()),
        ({"data": {"channel_name": "#general, ops,"}}, ("#general", "#ops"), ()),
        ({"event": "newMessageToUser", "data": {"username": "ann"}}, ("@ann",), ()),
        ({"event": "newMessageToUser", "data": {"username": "@ann"}}, ("@ann",), ()),
        ({"event": "newMessageToUser", "data": {"username": "@ann,rocket.cat"}}, ("@ann", "@rocket.cat"), ()),
    ],
)
async def test_a_zapier_hook_listens_where_it_says(
    stage: Stage, changes: Body, channels: tuple[str, ...], words: tuple[str, ...]
) -> None:
    """The sign is added to each name where it is missing; the hook is on, on messages, posts as `rocket.cat`."""
    hook = await door(stage, *BOTH)
    made = await Zapier(stage.directory, stage.hooks).add(hook, ADD | changes)
    assert isinstance(made, OutgoingHook)
    assert (made.channels, made.trigger_words, made.urls) == (channels, words, (URL,))
    assert (made.name, made.event, made.enabled, made.user_id) == ("zap", "sendMessage", True, CAT.id)
    assert made.created_by == (hook.user_id, hook.username)


@pytest.mark.parametrize(
    ("held", "changes", "error"),
    [
        ((), {}, "[not_authorized]"),
        ((MANAGE_INCOMING, MANAGE_OWN_INCOMING), {}, "[not_authorized]"),
        ((MANAGE_OWN_OUTGOING,), {}, "Invalid Channel [error-invalid-channel]"),
        (BOTH, {"target_url": None}, "Invalid URLs [error-invalid-urls]"),
        (BOTH, {"target_url": "http://127.0.0.1/"}, "Invalid URLs [error-invalid-urls]"),
        (BOTH, {"data": {"channel_name": "ops", "trigger_words": "!go"}}, WORDS),
        (BOTH, {"data": {"channel_name": "ops", "trigger_words": ["!go", 7]}}, WORDS),
        (BOTH, {"data": {}}, NO_NAME),
        (BOTH, {"data": None}, NO_NAME),
        (BOTH, {"data": {"channel_name": " , "}}, NO_NAME),
        (BOTH, {"data": {"channel_name": "all_public_channels"}}, "Invalid room [error-invalid-room]"),
        (BOTH, {"data": {"channel_name": "all_private_groups,#general"}}, "Invalid room [error-invalid-room]"),
        (BOTH, {"data": {"channel_name": "#general,all_direct_messages"}}, "Invalid room [error-invalid-room]"),
        (BOTH, {"data": {"channel_name": "@ann"}}, "Invalid room [error-invalid-room]"),
        (BOTH, {"data": {"channel_name": "nowhere"}}, "Invalid room [error-invalid-room]"),
        (BOTH, {"data": {"channel_name": 7}}, "Match error: Expected string, got number in field channel_name"),
        (BOTH, {"event": "newMessageToUser"}, "Match error: Expected string, got null in field username"),
        (BOTH, {"event": "newMessageToUser", "data": {"username": ""}}, NO_PERSON),
        (BOTH, {"name": None}, "Match error: Expected string, got null in field name"),
        (
            BOTH,
            {"event": "other"},
            "The event must be newMessageOnChannel or newMessageToUser. [error-invalid-event-type]",
        ),
    ],
)
async def test_a_hook_token_gives_no_rights(stage: Stage, held: tuple[str, ...], changes: Body, error: str) -> None:
    """All of §4.1 is judged with the posting user's permissions (decision 38)."""
    hook = await door(stage, *held)
    assert fault(await Zapier(stage.directory, stage.hooks).add(hook, ADD | changes)).bracketed == error


async def test_rocket_cat_cannot_make_or_remove_hooks(stage: Stage) -> None:
    """The usual posting user holds none of the four permissions, and learns of no address (decisions 31, 38)."""
    hook = await stage.incoming()
    made = await stage.outgoing()
    assert fault(await Zapier(stage.directory, stage.hooks).add(hook, ADD)).bracketed == "[not_authorized]"
    for url in (URL, "https://nobody.example.test"):
        assert fault(await Zapier(stage.directory, stage.hooks).remove(hook, {"target_url": url})) == NOT_PERMITTED
    assert await stage.store.hook(made.id) == made


async def test_zapier_removes_by_address(stage: Stage) -> None:
    """The hook that calls `target_url` goes, if the posting user may remove it; an unknown one has its own text."""
    hook = await door(stage, *BOTH)
    await Zapier(stage.directory, stage.hooks).add(hook, ADD)
    removed = await Zapier(stage.directory, stage.hooks).remove(hook, {"target_url": URL})
    assert isinstance(removed, OutgoingHook)
    for body in ({"target_url": URL}, {"target_url": 7}, {}):
        assert fault(await Zapier(stage.directory, stage.hooks).remove(hook, body)).bracketed == "integration-not-found"
    await stage.outgoing()
    other = await door(stage, MANAGE_OWN_OUTGOING)
    assert fault(await Zapier(stage.directory, stage.hooks).remove(other, {"target_url": URL})).bracketed == NOT_OWN
