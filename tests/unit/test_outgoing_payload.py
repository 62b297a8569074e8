"""What an outgoing call sends for each of the seven events."""

import json

import pytest
from standardwebhooks import Webhook

from handlers.http import OutboundRequest
from handlers.outgoing.payload import (
    build_data,
    file_facts,
    hops_of,
    message_facts,
    room_facts,
    text_of,
    user_facts,
)
from handlers.outgoing.request import build_request
from handlers.rocketchat.views import JsonObject, room_view
from handlers.signing.standard_webhooks import new_key
from storage.clock import Millis, SystemClock
from storage.ids import MessageId, UserId
from storage.records.event import EventKind
from storage.records.integration import OutgoingHook, SigningKey
from tests.records import NOON, direct_room, message, outgoing, room, user

ANN = user()
BOB = user(id=UserId("b0bT3sTu5erAbCd12"), username="bob", name="Bob", emails=("bob@example.test",))
CAT = user(id=UserId("rocket.cat"), username="rocket.cat", name="Rocket.Cat", type="bot", is_bot=True)
LATER = Millis(NOON + 60_000)

GENERAL = room_view(room(), owner=ANN, users_count=2, messages_count=7)

ANN_ON_THE_WIRE = {
    "_id": "hW3pTq8mKz5sXvB2d",
    "username": "ann",
    "name": "Ann",
    "type": "user",
    "status": "online",
    "active": True,
    "createdAt": "2026-03-02T09:14:07.739Z",
}
CAT_ON_THE_WIRE = {
    "_id": "rocket.cat",
    "username": "rocket.cat",
    "name": "Rocket.Cat",
    "type": "bot",
    "status": "online",
    "active": True,
    "createdAt": "2026-03-02T09:14:07.739Z",
}
GENERAL_ON_THE_WIRE = {
    "_id": "GENERAL",
    "t": "c",
    "name": "general",
    "fname": "general",
    "usersCount": 2,
    "msgs": 7,
    "u": {"_id": "hW3pTq8mKz5sXvB2d", "username": "ann"},
    "topic": "",
    "description": "",
    "ro": False,
    "archived": False,
    "default": True,
    "ts": "2026-03-02T09:14:07.739Z",
    "_updatedAt": "2026-03-02T09:14:07.739Z",
}


def sent(
    kind: EventKind, body: JsonObject, *, trigger_word: str | None = None, token: str | None = "s3cret"
) -> JsonObject:
    """Build the payload from a body that has been stored and read back."""
    stored = json.loads(json.dumps(body))
    return build_data(kind, stored, trigger_word=trigger_word, site_url="https://chat.example.test", token=token)


SAMPLE = (
    '{"token":"s3cret","bot":false,"trigger_word":"!deploy","channel_id":"GENERAL","channel_name":"general",'
    '"message_id":"q8sXvB2dhW3pTmKz5","timestamp":"2026-03-02T09:14:07.739Z","user_id":"hW3pTq8mKz5sXvB2d",'
    '"user_name":"ann","text":"!deploy api v2","siteUrl":"https://chat.example.test/"}'
)


def call(hook: OutgoingHook, *, now: Millis = NOON, hops: int = 0) -> OutboundRequest:
    data = sent(EventKind.MESSAGE_POSTED, message_facts(message(), room()), trigger_word="!deploy")
    return build_request(hook, hook.urls[0], data, webhook_id="3Btk9hiJySAvZ22Tv", now=now, hops=hops, deadline_s=20)


def test_a_message_is_sent_as_in_the_contracts_sample() -> None:
    """The body of a call for a message is the contract's sample, byte for byte."""
    assert call(outgoing()).body == SAMPLE.encode()


def test_a_message_carries_its_marks() -> None:
    """Alias, bot, edit and thread are told when the message has them."""
    marked = message(
        alias="ci",
        integration_id="65e2f0b72dd9f928ada3e43d",
        edited_at=LATER,
        edited_by=("hW3pTq8mKz5sXvB2d", "ann"),
        thread_id=MessageId("tHr3adT3sTabCd123"),
        hops=2,
    )
    body = message_facts(marked, room())
    assert list(sent(EventKind.MESSAGE_EDITED, body).items()) == [
        ("token", "s3cret"),
        ("bot", True),
        ("channel_id", "GENERAL"),
        ("channel_name", "general"),
        ("message_id", "q8sXvB2dhW3pTmKz5"),
        ("timestamp", "2026-03-02T09:14:07.739Z"),
        ("user_id", "hW3pTq8mKz5sXvB2d"),
        ("user_name", "ann"),
        ("text", "!deploy api v2"),
        ("siteUrl", "https://chat.example.test/"),
        ("alias", "ci"),
        ("isEdited", True),
        ("tmid", "tHr3adT3sTabCd123"),
    ]
    assert (hops_of(body), text_of(body)) == (2, "!deploy api v2")


def test_a_direct_room_has_no_channel_name() -> None:
    """`channel_name` is absent for direct rooms; the stored body knows the participants."""
    direct = direct_room(ANN, BOB)
    body = message_facts(message(room_id=direct.id), direct, participants=(ANN, BOB))
    data = sent(EventKind.MESSAGE_POSTED, body)
    assert "channel_name" not in data
    assert data["channel_id"] == "b0bT3sTu5erAbCd12hW3pTq8mKz5sXvB2d"
    assert body["room"] == {
        "_id": "b0bT3sTu5erAbCd12hW3pTq8mKz5sXvB2d",
        "t": "d",
        "usernames": ["ann", "bob"],
        "uids": ["hW3pTq8mKz5sXvB2d", "b0bT3sTu5erAbCd12"],
    }


def test_a_hook_without_token_sends_none() -> None:
    """A token that was never set is absent, not null."""
    assert "token" not in sent(EventKind.USER_CREATED, user_facts(ANN), token=None)


def test_an_upload_sends_user_room_and_message() -> None:
    """`fileUploaded` has a message's seven keys and the three objects, no `siteUrl`."""
    picture = {"_id": "f1leT3sTf1leAbCd1", "name": "a.png", "type": "image/png", "size": 12}
    upload = message(text="", file=picture, attachments=({"title": "a.png", "image_type": "image/png"},))
    assert list(sent(EventKind.FILE_UPLOADED, file_facts(upload, GENERAL, ANN)).items()) == [
        ("token", "s3cret"),
        ("bot", False),
        ("channel_id", "GENERAL"),
        ("channel_name", "general"),
        ("message_id", "q8sXvB2dhW3pTmKz5"),
        ("timestamp", "2026-03-02T09:14:07.739Z"),
        ("user_id", "hW3pTq8mKz5sXvB2d"),
        ("user_name", "ann"),
        ("text", ""),
        ("user", ANN_ON_THE_WIRE),
        ("room", GENERAL_ON_THE_WIRE),
        (
            "message",
            {
                "_id": "q8sXvB2dhW3pTmKz5",
                "rid": "GENERAL",
                "msg": "",
                "ts": "2026-03-02T09:14:07.739Z",
                "u": {"_id": "hW3pTq8mKz5sXvB2d", "username": "ann", "name": "Ann"},
                "attachments": [{"title": "a.png", "image_type": "image/png"}],
                "parseUrls": True,
                "groupable": True,
                "file": picture,
                "files": [picture],
                "urls": [],
                "mentions": [],
                "channels": [],
                "md": [],
                "_updatedAt": "2026-03-02T09:14:07.739Z",
            },
        ),
    ]


def test_a_created_room_sends_its_owner() -> None:
    """`roomCreated` has the room's time, its owner and the room."""
    body = room_facts(GENERAL, ANN, at=NOON)
    assert list(sent(EventKind.ROOM_CREATED, body).items()) == [
        ("token", "s3cret"),
        ("bot", False),
        ("channel_id", "GENERAL"),
        ("channel_name", "general"),
        ("timestamp", "2026-03-02T09:14:07.739Z"),
        ("user_id", "hW3pTq8mKz5sXvB2d"),
        ("user_name", "ann"),
        ("owner", ANN_ON_THE_WIRE),
        ("room", GENERAL_ON_THE_WIRE),
    ]


@pytest.mark.parametrize("kind", [EventKind.ROOM_ARCHIVED, EventKind.ROOM_JOINED, EventKind.ROOM_LEFT])
def test_a_room_event_sends_when_who_and_where(kind: EventKind) -> None:
    """Archiving, joining and leaving have the moment, the user and the room; a bot is told."""
    body = room_facts(GENERAL, CAT, at=LATER)
    assert list(sent(kind, body).items()) == [
        ("token", "s3cret"),
        ("bot", True),
        ("timestamp", "2026-03-02T09:15:07.739Z"),
        ("channel_id", "GENERAL"),
        ("channel_name", "general"),
        ("user_id", "rocket.cat"),
        ("user_name", "rocket.cat"),
        ("user", CAT_ON_THE_WIRE),
        ("room", GENERAL_ON_THE_WIRE),
    ]
    assert sent(kind, room_facts(GENERAL, ANN, at=LATER))["bot"] is False
    assert (hops_of(body), text_of(body)) == (0, "")


def test_a_created_user_sends_no_address_and_no_secret() -> None:
    """`userCreated` has the user without e-mail and password."""
    body = user_facts(user(emails=("ann@example.test",), password_hash="argon2"))
    assert list(sent(EventKind.USER_CREATED, body).items()) == [
        ("token", "s3cret"),
        ("bot", False),
        ("timestamp", "2026-03-02T09:14:07.739Z"),
        ("user_id", "hW3pTq8mKz5sXvB2d"),
        ("user_name", "ann"),
        ("user", ANN_ON_THE_WIRE),
    ]
    assert sent(EventKind.USER_CREATED, user_facts(CAT))["bot"] is True


def test_other_facts_have_no_payload() -> None:
    """Asking for the payload of a fact no webhook hears of is a mistake of the caller."""
    with pytest.raises(ValueError, match=r"no outgoing webhook hears of message\.deleted"):
        sent(EventKind.MESSAGE_DELETED, message_facts(message(), room()))


def test_a_call_has_the_contracts_headers() -> None:
    """A call without signing keys has the fixed headers and the hop count, nothing else."""
    request = call(outgoing(), hops=3)
    assert (request.method, request.url, request.deadline_s) == ("POST", "https://bot.example.test/in", 20)
    assert request.headers == {
        "Content-Type": "application/json",
        "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Chrome/41.0.2227.0 Safari/537.36",
        "X-Patchbay-Hops": "3",
    }


def test_a_signed_call_passes_the_published_verifier() -> None:
    """While a key is being rotated, receivers with the old key and with the new one both accept."""
    now = SystemClock().now()  # the verifier reads the real time
    new, old, expired = new_key(), new_key(), new_key()
    hook = outgoing(
        signing_keys=(
            SigningKey(key=new),
            SigningKey(key=old, expires_at=Millis(now + 1)),
            SigningKey(key=expired, expires_at=now),
        )
    )
    request = call(hook, now=now)
    assert request.headers["webhook-id"] == "3Btk9hiJySAvZ22Tv"
    assert len(request.headers["webhook-signature"].split(" ")) == 2
    for key in (new, old):
        assert Webhook(key).verify(request.body, dict(request.headers)) == json.loads(SAMPLE)


def test_a_repeated_call_keeps_its_id() -> None:
    """A receiver can tell a repeated attempt by `webhook-id`, although its time and signature differ."""
    hook = outgoing(signing_keys=(SigningKey(key=new_key()),))
    first, second = call(hook).headers, call(hook, now=LATER).headers
    assert first["webhook-id"] == second["webhook-id"]
    assert first["webhook-timestamp"] != second["webhook-timestamp"]
    assert first["webhook-signature"] != second["webhook-signature"]


def test_a_broken_stored_key_never_sends_unsigned() -> None:
    """A key that cannot be read fails the attempt visibly."""
    with pytest.raises(ValueError, match="A signing key starts with whsec_"):
        call(outgoing(signing_keys=(SigningKey(key="nonsense"),)))
