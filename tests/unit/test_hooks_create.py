"""Making integrations: every row of both tables of `rocketchat.md` §4.1, and what is stored."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from handlers.permissions import (
    MANAGE_ANY,
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
)
from handlers.rocketchat.schemas import SCHEMAS
from handlers.rocketchat.validation import validate
from storage.ids import GENERAL, RoomId, UserId
from storage.records.event import EventKind
from storage.records.user import Role
from tests.hook_stage import ANN, CAT, INCOMING, OPS, OUTGOING, Body, Stage, fault, staged
from tests.records import hooks_in, user

BOTH_IN = (MANAGE_INCOMING, MANAGE_OWN_INCOMING)
BOTH_OUT = (MANAGE_OUTGOING, MANAGE_OWN_OUTGOING)

ADD: Body = {"method": "addIncomingIntegration"}
REQUIRED: Body = {"function": "validateOutgoing._verifyRequiredFields"}
VALIDATE: Body = {"function": "validateOutgoing"}
CHANNELS: Body = {"function": "validateOutgoing._verifyUserHasPermissionForChannels"}

START = "Invalid channel. Start with @ or # [error-invalid-channel-start-with-chars]"
NO_TARGET = "Invalid Target Room [error-invalid-targetRoom]"
NEEDS_FULL = "Invalid permission for required Integration creation. [error-invalid-permissions]"
NO_CAT = "Invalid user (did you delete the `rocket.cat` user?) [error-invalid-user]"
NO_CHANNEL = "Invalid Channel [error-invalid-channel]"
NO_ROOM = "Invalid room [error-invalid-room]"
NO_URLS = "Invalid URLs [error-invalid-urls]"

# number of the row, held permissions, what differs from a good body, error, details
Row = tuple[int, tuple[str, ...], Body, str, Body | None]

INCOMING_ROWS: list[Row] = [
    (1, (), {}, "Unauthorized [not_authorized]", ADD),
    (1, BOTH_OUT, {}, "Unauthorized [not_authorized]", ADD),
    (2, BOTH_IN, {"channel": ""}, "Invalid channel [error-invalid-channel]", ADD),
    (2, BOTH_IN, {"channel": " \t "}, "Invalid channel [error-invalid-channel]", ADD),
    (3, BOTH_IN, {"channel": "general"}, START, ADD),
    (3, BOTH_IN, {"channel": "#general, ops"}, START, ADD),
    (3, BOTH_IN, {"channel": "#general,"}, START, ADD),
    (3, BOTH_IN, {"channel": "all_public_channels"}, START, ADD),
    (4, BOTH_IN, {"username": ""}, "Invalid username [error-invalid-username]", ADD),
    (4, BOTH_IN, {"username": "  "}, "Invalid username [error-invalid-username]", ADD),
    (5, BOTH_IN, {"script": "class Script {}"}, "integration-scripts-disabled", None),
    (5, BOTH_IN, {"script": "x", "scriptEngine": "vm2"}, "integration-scripts-disabled", None),
    (6, BOTH_IN, {"username": "nobody"}, "Invalid user [error-invalid-user]", ADD),
    (6, BOTH_IN, {"username": "Rocket.Cat"}, "Invalid user [error-invalid-user]", ADD),
    (6, BOTH_IN, {"username": "stranger"}, "Invalid user [error-invalid-user]", ADD),
    (6, BOTH_IN, {"username": "dan"}, "Invalid user [error-invalid-user]", ADD),
    (7, BOTH_IN, {"channel": "#nowhere"}, NO_ROOM, ADD),
    (7, BOTH_IN, {"channel": "#"}, NO_ROOM, ADD),
    (7, BOTH_IN, {"channel": "#General"}, NO_ROOM, ADD),
    (7, BOTH_IN, {"channel": "#far"}, NO_ROOM, ADD),
    (7, BOTH_IN, {"channel": "@nobody"}, NO_ROOM, ADD),
    (7, BOTH_IN, {"channel": "@stranger"}, NO_ROOM, ADD),
    (7, BOTH_IN, {"channel": "@strAngerAbCdEf234"}, NO_ROOM, ADD),
    (8, (MANAGE_INCOMING,), {}, NO_CHANNEL, ADD),
    (8, (MANAGE_OWN_INCOMING,), {}, NO_CHANNEL, ADD),
    (8, (MANAGE_INCOMING, *BOTH_OUT), {}, NO_CHANNEL, ADD),
    (8, (MANAGE_INCOMING,), {"channel": "@rocket.cat"}, NO_CHANNEL, ADD),
]  # fmt: skip

OUTGOING_ROWS: list[Row] = [
    (1, (), {}, "[not_authorized]", None),
    (1, BOTH_IN, {}, "[not_authorized]", None),
    (2, BOTH_OUT, {"script": "class Script {}"}, "integration-scripts-disabled", None),
    (3, BOTH_OUT, {"event": "nope"}, "Invalid event type [error-invalid-event-type]", REQUIRED),
    (3, BOTH_OUT, {"event": ""}, "Invalid event type [error-invalid-event-type]", REQUIRED),
    (3, BOTH_OUT, {"event": "sendmessage"}, "Invalid event type [error-invalid-event-type]", REQUIRED),
    (4, BOTH_OUT, {"username": " "}, "Invalid username [error-invalid-username]", REQUIRED),
    (5, BOTH_OUT, {"event": "userCreated"}, NO_TARGET, REQUIRED),
    (5, BOTH_OUT, {"event": "userCreated", "targetRoom": None}, NO_TARGET, REQUIRED),
    (5, BOTH_OUT, {"event": "userCreated", "targetRoom": " "}, NO_TARGET, REQUIRED),
    (6, BOTH_OUT, {"urls": None}, NO_URLS, REQUIRED),
    (6, BOTH_OUT, {"urls": []}, NO_URLS, REQUIRED),
    (6, BOTH_OUT, {"urls": [" ", "\t"]}, NO_URLS, REQUIRED),
    (7, BOTH_OUT, {"channel": "  "}, NO_CHANNEL, VALIDATE),
    (7, BOTH_OUT, {"channel": " , "}, NO_CHANNEL, VALIDATE),
    (8, BOTH_OUT, {"channel": "general"}, START, VALIDATE),
    (8, BOTH_OUT, {"channel": "#general, everywhere"}, START, VALIDATE),
    (9, (MANAGE_OWN_OUTGOING,), {"event": "roomCreated"}, NEEDS_FULL, VALIDATE),
    (9, (MANAGE_OWN_OUTGOING,), {"event": "roomArchived"}, NEEDS_FULL, VALIDATE),
    (9, (MANAGE_OWN_OUTGOING,), {"event": "userCreated", "targetRoom": "#general"}, NEEDS_FULL, VALIDATE),
    (10, BOTH_OUT, {"username": "nobody"}, NO_CAT, VALIDATE),
    (10, BOTH_OUT, {"username": "dan"}, NO_CAT, VALIDATE),
    (12, (MANAGE_OWN_OUTGOING,), {"channel": "all_private_groups"}, NO_CHANNEL, CHANNELS),
    (12, (MANAGE_OWN_OUTGOING,), {"channel": "all_direct_messages"}, NO_CHANNEL, CHANNELS),
    (13, BOTH_OUT, {"channel": "#nowhere"}, NO_ROOM, CHANNELS),
    (13, BOTH_OUT, {"channel": "@nobody"}, NO_ROOM, CHANNELS),
    (13, BOTH_OUT, {"channel": "ALL_PUBLIC_CHANNELS"}, NO_ROOM, CHANNELS),
    (14, (MANAGE_OUTGOING,), {}, NO_CHANNEL, CHANNELS),
    (14, (MANAGE_OWN_OUTGOING,), {}, NO_CHANNEL, CHANNELS),
    (14, (MANAGE_OWN_OUTGOING,), {"channel": "all_public_channels, #ops"}, NO_CHANNEL, CHANNELS),
    (14, (MANAGE_OUTGOING,), {"channel": "@rocket.cat"}, NO_CHANNEL, CHANNELS),
]  # fmt: skip


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as set_up:
        yield set_up


async def _refused(stage: Stage, good: Body, row: Row) -> None:
    _, held, changes, error, details = row
    body = good | changes
    assert validate(SCHEMAS["integrations.create"], body) is None
    refused = fault(await stage.hooks.create(await stage.user(*held), body))
    assert (refused.bracketed, refused.details, refused.status) == (error, details, 400)
    assert not await hooks_in(stage.store, ANN.org_id)


@pytest.mark.parametrize("row", INCOMING_ROWS, ids=lambda row: f"{row[0]}-{row[2] or row[1]}")
async def test_each_rule_refuses_an_incoming_hook(stage: Stage, row: Row) -> None:
    """A body that breaks one rule of the first table gets that rule's text and details; nothing is stored."""
    await _refused(stage, INCOMING, row)


@pytest.mark.parametrize("row", OUTGOING_ROWS, ids=lambda row: f"{row[0]}-{row[2] or row[1]}")
async def test_each_rule_refuses_an_outgoing_hook(stage: Stage, row: Row) -> None:
    """A body that breaks one rule of the second table gets that rule's text and details; nothing is stored."""
    await _refused(stage, OUTGOING, row)


# what breaks each rule at once with all later ones; the permission of row 8 and 14 is held alone
INCOMING_ORDER: list[tuple[int, Body]] = [
    (2, {"channel": " "}),
    (3, {"channel": "nowhere"}),
    (4, {"username": " "}),
    (5, {"script": "x"}),
    (6, {"username": "nobody"}),
    (7, {"channel": "#nowhere"}),
    (8, {"channel": "#ops"}),
]
OUTGOING_ORDER: list[tuple[int, Body]] = [
    (2, {"script": "x"}),
    (3, {"event": "nope"}),
    (4, {"username": ""}),
    (5, {"event": "userCreated"}),
    (6, {"urls": []}),
    (7, {"channel": "  "}),
    (8, {"channel": "nowhere"}),
    (10, {"username": "nobody"}),
    (12, {"channel": "all_private_groups"}),
    (13, {"channel": "#nowhere"}),
    (14, {"channel": "#ops"}),
]


@pytest.mark.parametrize(
    ("good", "rows", "order", "alone", "place"),
    [(INCOMING, INCOMING_ROWS, INCOMING_ORDER, MANAGE_OWN_INCOMING, place) for place in range(len(INCOMING_ORDER))]
    + [(OUTGOING, OUTGOING_ROWS, OUTGOING_ORDER, MANAGE_OWN_OUTGOING, place) for place in range(len(OUTGOING_ORDER))],
    ids=[f"in-{number}" for number, _ in INCOMING_ORDER] + [f"out-{number}" for number, _ in OUTGOING_ORDER],
)
async def test_an_earlier_rule_wins(
    stage: Stage, good: Body, rows: list[Row], order: list[tuple[int, Body]], alone: str, place: int
) -> None:
    """A body that breaks several rules is refused by the first of them."""
    body = dict(good)
    for _, changes in reversed(order[place:]):
        body |= changes
    number = order[place][0]
    error = next(row[3] for row in rows if row[0] == number)
    assert fault(await stage.hooks.create(await stage.user(alone), body)).bracketed == error


async def test_the_permission_comes_first(stage: Stage) -> None:
    """Without a permission of the direction, nothing else about the body is told."""
    nobody = await stage.user()
    everything = {"channel": "", "username": "", "script": "x", "event": "nope", "urls": []}
    assert fault(await stage.hooks.create(nobody, INCOMING | everything)).bracketed == "Unauthorized [not_authorized]"
    assert fault(await stage.hooks.create(nobody, OUTGOING | everything)).bracketed == "[not_authorized]"


@pytest.mark.parametrize("kind", ["my-webhook-incoming-1", "webhook-outgoing ", "xwebhook-outgoing"])
async def test_the_type_must_be_exact(stage: Stage, kind: str) -> None:
    """A type that only contains the word passes the schema and is refused by the handler (§1.2)."""
    assert fault(await stage.hooks.create(ANN, INCOMING | {"type": kind})).bracketed == "Invalid integration type."


@pytest.mark.parametrize(
    ("held", "channel", "rooms"),
    [
        ((MANAGE_INCOMING,), "#general", (GENERAL,)),
        ((MANAGE_OWN_INCOMING,), "#0psPr1vateR00mAb2, #GENERAL", (GENERAL, OPS.id)),
        (BOTH_IN, "#ops, @ann", ()),
        (BOTH_IN, "@hW3pTq8mKz5sXvB2d", ()),
    ],
)
async def test_members_or_holders_of_both_may_name_a_room(
    stage: Stage, held: tuple[str, ...], channel: str, rooms: tuple[RoomId, ...]
) -> None:
    """One permission needs membership of every room named, both need none; ids and names match."""
    actor = await stage.user(*held, member_of=rooms)
    made = await stage.incoming(actor, channel=channel)
    assert made.channels == tuple(entry.strip() for entry in channel.split(","))
    outgoing = {MANAGE_INCOMING: MANAGE_OUTGOING, MANAGE_OWN_INCOMING: MANAGE_OWN_OUTGOING}
    other = await stage.user(*(outgoing[one] for one in held), member_of=rooms)
    assert (await stage.outgoing(other, channel=channel)).channels == made.channels


@pytest.mark.parametrize("channel", ["#ops, #nowhere", "#nowhere, #ops"])
async def test_each_channel_is_judged_before_the_next(stage: Stage, channel: str) -> None:
    """As in the original, the first channel that fails decides: not a member, or unknown."""
    actor = await stage.user(MANAGE_OWN_INCOMING)
    expected = "Invalid Channel" if channel.startswith("#ops") else "Invalid room"
    assert fault(await stage.hooks.create(actor, INCOMING | {"channel": channel})).reason == expected


async def test_a_role_can_lose_one_permission(stage: Stage) -> None:
    """An admin from whom one of the two was taken is judged like a holder of the other (decision 7)."""
    admin = user(id=UserId("adm1nWithLessAb23"), username="lena", role=Role.ADMIN, denied=frozenset({MANAGE_INCOMING}))
    await stage.put_user(admin)
    assert fault(await stage.hooks.create(admin, INCOMING)).bracketed == NO_CHANNEL


async def test_a_new_incoming_hook_is_stored_as_sent(stage: Stage) -> None:
    """Id and token have the contract's form, defaults are filled in, and the fact holds no secret."""
    made = await stage.incoming(
        channel=" #general ,@ann ", alias="CI", emoji=":robot:", avatar=None, overrideDestinationChannelEnabled=True
    )
    assert await stage.store.hook(made.id) == made
    assert len(made.id) == 24
    assert len(made.token or "") == 48
    assert made.channels == ("#general", "@ann")
    assert (made.alias, made.emoji, made.avatar, made.override_destination) == ("CI", ":robot:", None, True)
    assert (made.username, made.user_id, made.created_by) == ("rocket.cat", CAT.id, (ANN.id, "ann"))
    assert (made.script_engine, made.version, made.updated_by) == ("isolated-vm", 1, None)
    assert stage.last() == (EventKind.INTEGRATION_CHANGED, {"id": made.id, "name": "ci-alerts"})
    assert not (await stage.incoming(overrideDestinationChannelEnabled=None)).override_destination


async def test_making_a_hook_changes_nobody(stage: Stage) -> None:
    """Who a hook posts as keeps role and permissions, whoever it is: the right to use an alias is the hook's own."""
    before = await stage.store.users(ANN.org_id)
    await stage.outgoing(username="ann")
    await stage.incoming(username="ann", alias="CI")
    assert await stage.store.users(ANN.org_id) == before


async def test_a_script_may_be_announced_but_not_brought(stage: Stage) -> None:
    """`scriptEnabled` and blank code are stored; only code is refused while scripts are frozen."""
    made = await stage.incoming(scriptEnabled=True, script=" ", scriptEngine="vm2")
    assert (made.script_enabled, made.script, made.script_engine) == (True, " ", "vm2")


async def test_a_disabled_hook_may_post_as_a_deactivated_user(stage: Stage) -> None:
    """Decision 24 forbids only enabled ones; enabling it later is refused with the way out."""
    made = await stage.incoming(username="dan", enabled=False)
    assert made.user_id == "dAn4Deact1vated23"


async def test_a_new_outgoing_hook_is_stored_as_sent(stage: Stage) -> None:
    """Every field arrives; blank addresses and words are dropped, the token is the one sent."""
    made = await stage.outgoing(
        channel="#ops, all_public_channels",
        urls=["https://bot.example.test/in", " ", "http://other.example.test:8080/x?key=1"],
        triggerWords=["!deploy", " "],
        triggerWordAnywhere=True,
        token="s3cret",
        targetRoom="#ops",
        runOnEdits=True,
        impersonateUser=True,
        alias="Ops",
    )
    assert await stage.store.hook(made.id) == made
    assert made.channels == ("#ops", "all_public_channels")
    assert made.urls == ("https://bot.example.test/in", "http://other.example.test:8080/x?key=1")
    assert (made.trigger_words, made.trigger_word_anywhere) == (("!deploy",), True)
    assert (made.token, made.target_room, made.alias) == ("s3cret", "#ops", "Ops")
    assert (made.run_on_edits, made.impersonate_user) == (True, True)
    assert (made.retry_failed_calls, made.retry_count, made.retry_delay) == (None, None, None)
    assert (await stage.outgoing()).token is None


@pytest.mark.parametrize(
    ("sent", "count", "delay"),
    [
        ({"retryFailedCalls": True}, 4, "powers-of-ten"),
        ({"retryFailedCalls": True, "retryCount": 0, "retryDelay": ""}, 4, "powers-of-ten"),
        ({"retryFailedCalls": True, "retryCount": -3, "retryDelay": None}, 4, "powers-of-ten"),
        ({"retryFailedCalls": True, "retryCount": None, "retryDelay": "Powers-Of-Two"}, 4, "powers-of-two"),
        ({"retryFailedCalls": True, "retryCount": 6, "retryDelay": "every-Minute"}, 6, "every-minute"),
        ({"retryFailedCalls": False, "retryCount": 0, "retryDelay": "Powers-Of-Two"}, 0, "Powers-Of-Two"),
        ({"retryCount": 2.5}, 2.5, None),
    ],
)
async def test_retry_defaults(stage: Stage, sent: Body, count: float | None, delay: str | None) -> None:
    """Defaults are filled in only where retries are on; otherwise what was sent is kept (§3)."""
    made = await stage.outgoing(ANN, **sent)
    assert (made.retry_count, made.retry_delay) == (count, delay)


@pytest.mark.parametrize("event", ["fileUploaded", "roomJoined", "roomLeft", "roomArchived", "roomCreated"])
async def test_trigger_words_exist_on_messages_only(stage: Stage, event: str) -> None:
    """On other events the words are dropped (§3)."""
    made = await stage.outgoing(event=event, triggerWords=["!x"], triggerWordAnywhere=True)
    assert (made.trigger_words, made.trigger_word_anywhere) == ((), None)


@pytest.mark.parametrize(
    ("changes", "channels"),
    [
        ({"channel": ""}, ()),
        ({"channel": "all_direct_messages"}, ("all_direct_messages",)),
        ({"channel": "#ops, , "}, ("#ops",)),
        ({"event": "roomCreated", "channel": "whatever"}, ()),
        ({"event": "userCreated", "channel": "  ", "targetRoom": "#ops"}, ()),
    ],
)
async def test_which_channels_an_outgoing_hook_gets(stage: Stage, changes: Body, channels: tuple[str, ...]) -> None:
    """No channel means every public one; events without channels keep none, whatever was sent."""
    assert (await stage.outgoing(ANN, **changes)).channels == channels


async def test_the_own_permission_may_hear_every_public_room(stage: Stage) -> None:
    """An empty channel and `all_public_channels` need no membership (row 12)."""
    actor = await stage.user(MANAGE_OWN_OUTGOING)
    for channel, channels in (("", ()), ("all_public_channels", ("all_public_channels",))):
        made = await stage.outgoing(actor, channel=channel)
        assert (made.channels, made.created_by[0]) == (channels, actor.id)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x",
        "http://localhost/",
        "http://[::1]:8080/",
        "https://169.254.169.254/latest",
    ],
)
async def test_addresses_the_guard_refuses_are_refused_when_written(stage: Stage, url: str) -> None:
    """The refusal has the code of row 6; its details name the setting and not the address (decision 48)."""
    actor = await stage.user(*BOTH_OUT)
    refused = fault(await stage.hooks.create(actor, OUTGOING | {"urls": ["https://ok.example.test", url]}))
    assert refused.bracketed == NO_URLS
    details = dict(refused.details or {})
    assert details["function"] == REQUIRED["function"]
    assert details["number"] == 2
    assert url not in str(details)
    assert details["setting"] == "PATCHBAY_ALLOW_TARGETS"


@pytest.mark.parametrize(
    "url", ["bot.example.test/in", "ftp://bot.example.test", "https://", "https://bot.example.test:0/", "http://10.1/"]
)
async def test_texts_that_are_no_addresses_are_refused(stage: Stage, url: str) -> None:
    """What could never be called is refused with a sentence, and without naming a setting that would not help."""
    refused = fault(await stage.hooks.create(ANN, OUTGOING | {"urls": [url]}))
    assert refused.code == "error-invalid-urls"
    assert refused.details is not None
    assert "message" in refused.details
    assert "setting" not in refused.details


async def test_allowed_targets_may_be_written(tmp_path: Path) -> None:
    """An address the setting opens is taken."""
    async with staged(tmp_path, allow="127.0.0.1:9") as stage:
        assert (await stage.outgoing(urls=["http://127.0.0.1:9/x"])).urls == ("http://127.0.0.1:9/x",)
        assert fault(await stage.hooks.create(ANN, OUTGOING | {"urls": ["http://127.0.0.1:10/x"]})).code


@pytest.mark.parametrize("permission", sorted(MANAGE_ANY))
async def test_each_permission_opens_list_and_remove(stage: Stage, permission: str) -> None:
    """Any of the four lets the caller in; none, or another permission, does not (§4.2, §4.5)."""
    assert stage.hooks.may_see_any(await stage.user(permission))
    assert not stage.hooks.may_see_any(await stage.user("message-impersonate"))
