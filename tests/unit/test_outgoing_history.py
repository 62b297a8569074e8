"""What history shows of an outgoing call, and the wire shape of the records it is made of."""

import json
from typing import Any  # any fields of an attempt

import pytest

from handlers.http import Answered
from handlers.outgoing import steps
from handlers.outgoing.history import answer_excerpt, history_view
from handlers.outgoing.payload import message_facts, room_facts
from handlers.rocketchat.views import (
    JsonObject,
    integration_view,
    message_view,
    room_view,
    user_view,
    user_view_for,
    wire_roles,
)
from storage.clock import Millis
from storage.ids import DeliveryId, EventSeq, IntegrationId, UserId
from storage.records.delivery import Attempt
from storage.records.event import EventKind
from storage.records.integration import OutgoingHook
from storage.records.user import Role
from tests.records import NOON, direct_room, incoming, message, outgoing, room, user

URL = "https://bot.example.test/in"


def attempt(**facts: Any) -> Attempt:
    plain: dict[str, Any] = {
        "id": "65e2f0b72dd9f928ada3e440",
        "integration_id": IntegrationId("65e2f0b72dd9f928ada3e43e"),
        "version": 1,
        "event_seq": EventSeq(7),
        "delivery_id": DeliveryId(42),
        "url_hash": b"hash",
        "trigger_word": "!deploy",
        "step": steps.AFTER_HTTP_CALL,
        "finished": False,
        "failed": False,
        "started_at": NOON,
        "updated_at": Millis(NOON + 250),
        "duration_ms": 250,
    }
    return Attempt(**(plain | facts))


def shown(entry: Attempt, hook: OutgoingHook | None = None, **more: Any) -> JsonObject:
    return history_view(
        entry,
        hook=hook or outgoing(trigger_words=("!deploy",)),
        url=URL if entry.called else None,
        kind=EventKind.MESSAGE_POSTED,
        body=json.loads(json.dumps(message_facts(message(), room()))),
        site_url="https://chat.example.test/",
        **more,
    )


DATA = {
    "token": "***",
    "bot": False,
    "trigger_word": "!deploy",
    "channel_id": "GENERAL",
    "channel_name": "general",
    "message_id": "q8sXvB2dhW3pTmKz5",
    "timestamp": "2026-03-02T09:14:07.739Z",
    "user_id": "hW3pTq8mKz5sXvB2d",
    "user_name": "ann",
    "text": "!deploy api v2",
    "siteUrl": "https://chat.example.test/",
}

INTEGRATION = {
    "type": "webhook-outgoing",
    "name": "ops-bot",
    "enabled": True,
    "username": "rocket.cat",
    "channel": [],
    "event": "sendMessage",
    "urls": ["https://bot.example.test/in"],
    "triggerWords": ["!deploy"],
    "token": "***",
    "scriptEnabled": False,
    "scriptEngine": "isolated-vm",
    "userId": "rocket.cat",
    "_createdAt": "2026-03-02T09:14:07.739Z",
    "_createdBy": {"_id": "hW3pTq8mKz5sXvB2d", "username": "ann"},
    "_updatedAt": "2026-03-02T09:14:07.739Z",
    "_id": "65e2f0b72dd9f928ada3e43e",
}


def test_a_posted_answer_is_shown_whole() -> None:
    """A finished entry holds the record, the payload, the call, the answer once more encoded and the message."""
    posted = {"channel": "#general", "message": {"_id": "aNsw3rMessag3Abc1", "msg": "done"}}
    entry = attempt(step=steps.RESPONSE_POSTED, finished=True, status=200, response='{"text":"done"}')
    assert shown(entry, posted=posted) == {
        "_id": "65e2f0b72dd9f928ada3e440",
        "type": "outgoing-webhook",
        "step": "url-response-sent-message",
        "integration": INTEGRATION,
        "event": "sendMessage",
        "_createdAt": "2026-03-02T09:14:07.739Z",
        "_updatedAt": "2026-03-02T09:14:07.989Z",
        "data": DATA,
        "triggerWord": "!deploy",
        "ranPrepareScript": True,
        "url": "https://bot.example.test/in",
        "httpCallData": DATA,
        "httpResult": '"{\\"text\\":\\"done\\"}"',
        "resultMessage": [posted],
        "finished": True,
    }


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        # failed without an answer
        (
            {"step": steps.going_to_retry(2), "failed": True, "error": "No answer within 20 s."},
            {"httpError": "No answer within 20 s.", "error": "No answer within 20 s."},
        ),
        # failed with an answer
        (
            {
                "step": steps.TOO_MANY_RETRIES,
                "failed": True,
                "status": 404,
                "response": "für nichts",
                "error": "The receiver answered 404.",
            },
            {"httpResult": '"für nichts"', "error": "The receiver answered 404."},
        ),
        # failed, and nobody knows why
        ({"step": steps.RECEIVER_BROKEN, "failed": True, "status": 500}, {"error": True}),
        # delivered with an empty answer
        ({"status": 200, "response": ""}, {}),
        # delivered, and the answer could not be posted
        ({"status": 200, "response": "xx", "error": "Too long."}, {"httpError": "Too long.", "httpResult": '"xx"'}),
    ],
)
def test_an_entry_tells_how_the_call_ended(facts: dict[str, Any], expected: JsonObject) -> None:
    """The answer, what kept it away, and why the delivery failed each have their key, and only when they apply."""
    view = shown(attempt(**facts))
    ends = ("httpResult", "httpError", "error", "finished", "resultMessage")
    assert {key: view[key] for key in ends if key in view} == expected
    assert view["step"] == facts.get("step", "after-http-call")


def test_a_stopped_loop_shows_no_call() -> None:
    """At the hop limit history has one finished entry with an error and without a call (decision 46)."""
    view = shown(
        attempt(
            step=steps.STOPPED_BY_HOP_LIMIT,
            finished=True,
            failed=True,
            called=False,
            delivery_id=None,
            url_hash=None,
            error="The message came through 5 hooks.",
        )
    )
    assert (view["step"], view["finished"], view["error"]) == (
        "stopped-by-hop-limit",
        True,
        "The message came through 5 hooks.",
    )
    assert view["data"] == DATA
    assert not view.keys() & {"url", "httpCallData", "httpError", "httpResult", "ranPrepareScript"}


@pytest.mark.parametrize("token", ["s3cret", None])
def test_history_never_shows_the_token(token: str | None) -> None:
    """The token is `***` wherever it would stand, and absent when there is none."""
    text = json.dumps(shown(attempt(status=200), outgoing(token=token, trigger_words=("!deploy",))))
    assert "s3cret" not in text
    assert text.count('"token": "***"') == (3 if token else 0)


def test_only_a_posted_or_stopped_entry_is_finished() -> None:
    """`finished` belongs to the steps the contract's table marks, and to our own."""
    assert [step for step in vars(steps).values() if isinstance(step, str) and steps.finishes(step)] == [
        "url-response-sent-message",
        "after-http-call-send-message-failed",
        "stopped-by-hop-limit",
        "muted",
        "stopped-with-rights",
        "left-out-by-call-limit",
    ]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"", ""),
        (b"ok", "ok"),
        (b'{"echo":{"token":"to\\"ken"}}', '{"echo":{"token":"***"}}'),
        (b"no route to https://bot.example.test/in", "no route to ***"),
        (b"x" * 2_047 + "é".encode(), "x" * 2_047),
        (b"x" * 2_045 + b'to"ken', "x" * 2_045 + "***"),
        (b"\xff", "�"),
    ],
)
def test_an_echoed_secret_is_not_kept(body: bytes, kept: str) -> None:
    """Of an answer the first 2 KiB are kept, whole characters, without our token and address."""
    answer = Answered(200, {}, body, False, 1)
    assert answer_excerpt(outgoing(token='to"ken'), answer) == kept


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"Cannot POST /services/T0KEN%2F0f-twenty?key=5ecret&v=2", "Cannot POST /services/***?key=***&v=2"),
        (b'{"query":{"key":"5ecret","v":"2"}}', '{"query":{"key":"***","v":"2"}}'),
        (b"no hook T0KEN/0f-twenty here", "no hook *** here"),
        (b"services: 2", "services: 2"),
    ],
)
def test_an_echoed_part_of_an_address_is_not_kept(body: bytes, kept: str) -> None:
    """Error pages repeat path and query; what in them may be a key is masked, plain words stay."""
    hook = outgoing(urls=("https://bot.example.test/services/T0KEN%2F0f-twenty?key=5ecret&v=2", "https://[broken/in"))
    assert answer_excerpt(hook, Answered(404, {}, body, False, 1)) == kept


def test_an_outgoing_record_has_the_contracts_keys() -> None:
    """Every key of a fully set outgoing hook is one of the contract's; what only the CLI knows is not shown."""
    hook = outgoing(
        channels=("#ops", "@ann"),
        trigger_words=("!deploy",),
        target_room="#general",
        alias="Ops",
        avatar="https://chat.example.test/a.png",
        emoji=":robot:",
        script="class Script {}",
        retry_failed_calls=True,
        retry_count=6,
        retry_delay="powers-of-ten",
        ordered=True,
        expires_at=NOON,
        updated_by=("hW3pTq8mKz5sXvB2d", "ann"),
    )
    assert integration_view(hook) == INTEGRATION | {
        "channel": ["#ops", "@ann"],
        "token": "s3cret",
        "targetRoom": "#general",
        "alias": "Ops",
        "avatar": "https://chat.example.test/a.png",
        "emoji": ":robot:",
        "script": "class Script {}",
        "retryFailedCalls": True,
        "retryCount": 6,
        "retryDelay": "powers-of-ten",
        "_updatedBy": {"_id": "hW3pTq8mKz5sXvB2d", "username": "ann"},
    }


def test_trigger_words_exist_on_messages_only() -> None:
    """On events other than `sendMessage` the keys of trigger words are dropped (§3)."""
    view = integration_view(outgoing(event="roomJoined", trigger_words=("!deploy",)))
    assert not view.keys() & {"triggerWords", "triggerWordAnywhere"}


def test_an_incoming_record_has_the_contracts_keys() -> None:
    """A plain incoming hook shows its token and its override flag, and no key that is not set."""
    assert integration_view(incoming(secret="hmac", format="slack")) == {
        "type": "webhook-incoming",
        "name": "ci",
        "enabled": True,
        "username": "rocket.cat",
        "channel": ["#general"],
        "overrideDestinationChannelEnabled": False,
        "token": "2jzBZXgqVgH6TaLDo5SmKwPRxYf3ehcN4Wt8uQbArE79sdMk",
        "scriptEnabled": False,
        "scriptEngine": "isolated-vm",
        "userId": "rocket.cat",
        "_createdAt": "2026-03-02T09:14:07.739Z",
        "_createdBy": {"_id": "hW3pTq8mKz5sXvB2d", "username": "ann"},
        "_updatedAt": "2026-03-02T09:14:07.739Z",
        "_id": "65e2f0b72dd9f928ada3e43d",
    }


def test_a_message_shows_everything_set() -> None:
    """Marks, edits, reactions and resolved mentions stand in the wire's shape; `hops` stays inside."""
    view = message_view(
        message(
            text="one\n\ntwo @ann",
            emoji=":robot:",
            integration_id="65e2f0b72dd9f928ada3e43d",
            reactions={"x": ("ann",), ":tada:": ("ann", "bob")},
            edited_at=NOON,
            edited_by=("hW3pTq8mKz5sXvB2d", "ann"),
            custom_fields={"build": 7},
            hops=1,
        ),
        mentions=[{"_id": "hW3pTq8mKz5sXvB2d", "username": "ann", "name": "Ann", "type": "user"}],
        channels=[{"_id": "GENERAL", "name": "general"}],
        urls=[{"url": "https://ci.example.test"}],
    )
    assert view == {
        "_id": "q8sXvB2dhW3pTmKz5",
        "rid": "GENERAL",
        "msg": "one\n\ntwo @ann",
        "ts": "2026-03-02T09:14:07.739Z",
        "u": {"_id": "hW3pTq8mKz5sXvB2d", "username": "ann", "name": "Ann"},
        "emoji": ":robot:",
        "attachments": [],
        "bot": {"i": "65e2f0b72dd9f928ada3e43d"},
        "parseUrls": True,
        "groupable": True,
        "customFields": {"build": 7},
        "reactions": {":x:": {"usernames": ["ann"]}, ":tada:": {"usernames": ["ann", "bob"]}},
        "urls": [{"url": "https://ci.example.test"}],
        "mentions": [{"_id": "hW3pTq8mKz5sXvB2d", "username": "ann", "name": "Ann", "type": "user"}],
        "channels": [{"_id": "GENERAL", "name": "general"}],
        "md": [
            {"type": "PARAGRAPH", "value": [{"type": "PLAIN_TEXT", "value": "one"}]},
            {"type": "LINE_BREAK"},
            {"type": "PARAGRAPH", "value": [{"type": "PLAIN_TEXT", "value": "two @ann"}]},
        ],
        "editedAt": "2026-03-02T09:14:07.739Z",
        "editedBy": {"_id": "hW3pTq8mKz5sXvB2d", "username": "ann"},
        "_updatedAt": "2026-03-02T09:14:07.739Z",
    }


def test_a_direct_room_shows_its_people() -> None:
    """A direct room has no name and no owner, but names and ids of its participants."""
    ann, bob = user(), user(id="b0bT3sTu5erAbCd12", username="bob")
    view = room_view(direct_room(ann, bob), participants=(ann, bob), users_count=2, messages_count=0)
    assert (view["t"], view["usernames"], view["uids"]) == (
        "d",
        ["ann", "bob"],
        ["hW3pTq8mKz5sXvB2d", "b0bT3sTu5erAbCd12"],
    )
    assert not view.keys() & {"name", "fname", "u"}


@pytest.mark.parametrize(
    ("role", "is_bot", "roles"),
    [
        (Role.OWNER, False, ["admin"]),
        (Role.ADMIN, True, ["admin", "bot"]),
        (Role.EDITOR, False, ["user"]),
        (Role.VIEWER, True, ["user", "bot"]),
    ],
)
def test_roles_are_named_as_rocket_chat_does(role: Role, is_bot: bool, roles: list[str]) -> None:
    """Owner and admin are `admin`, others `user`, plus `bot` where given (decision 20)."""
    assert wire_roles(user(role=role, is_bot=is_bot)) == roles


def test_addresses_and_roles_are_shown_to_admins_and_users_themselves() -> None:
    """Others see neither, and secrets nobody."""
    ann = user(emails=("ann@example.test",), password_hash="argon2")
    for viewer in (ann, user(id=UserId("cy"), role=Role.ADMIN), user(id=UserId("olga"), role=Role.OWNER)):
        shown = user_view_for(viewer, ann)
        assert shown["emails"] == [{"address": "ann@example.test", "verified": True}]
        assert shown["roles"] == ["user"]
        assert "argon2" not in json.dumps(shown)
    assert user_view_for(user(id=UserId("ed"), role=Role.EDITOR), ann) == user_view(ann)
    assert not {"emails", "roles", "createdAt"} & user_view(ann).keys()


def test_history_of_a_room_event_keeps_its_payload() -> None:
    """An entry of an event without a message shows the full payload as well."""
    body = room_facts(room_view(room(), users_count=1, messages_count=0), user(), at=NOON)
    view = history_view(
        attempt(trigger_word=None, status=200),
        hook=outgoing(event="roomJoined"),
        url=URL,
        kind=EventKind.ROOM_JOINED,
        body=body,
        site_url="https://chat.example.test",
    )
    assert view["event"] == "roomJoined"
    assert view["data"] == {
        "token": "***",
        "bot": False,
        "timestamp": "2026-03-02T09:14:07.739Z",
        "channel_id": "GENERAL",
        "channel_name": "general",
        "user_id": "hW3pTq8mKz5sXvB2d",
        "user_name": "ann",
        "user": {**user_view(user()), "createdAt": "2026-03-02T09:14:07.739Z"},
        "room": body["room"],
    }
