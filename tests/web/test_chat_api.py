"""Posting, changing and reading single messages over REST (`rocketchat.md` §5.2 and §10, decisions 49 and 56)."""

import asyncio
from typing import Any

import pytest

from tests.server import Server

WORDS = "Ship it, #general and @owner: https://example.test/a"


async def _room(server: Server, family: str, name: str, who: dict[str, str] | None = None) -> str:
    made: dict[str, Any] = await server.post(f"{family}s.create", {"name": name}, who=who)
    return str(made[family]["_id"])


async def test_a_posted_message_is_answered_as_it_stands(server: Server) -> None:
    """The answer carries the time, the channel as it was given, and the message with what its text names (§10)."""
    answer = await server.post("chat.postMessage", {"channel": "#general", "text": f"  {WORDS} "})
    message = answer["message"]
    assert answer == {"ts": answer["ts"], "channel": "#general", "message": message, "success": True}
    assert isinstance(answer["ts"], int)
    owner = {"_id": server.owner["X-User-Id"], "username": "owner", "name": message["u"]["name"]}
    assert message == {
        "_id": message["_id"],
        "rid": "GENERAL",
        "msg": WORDS,
        "ts": message["ts"],
        "u": owner,
        "attachments": [],
        "parseUrls": True,
        "groupable": False,
        "urls": [{"url": "https://example.test/a"}],
        "mentions": [{"_id": owner["_id"], "username": "owner", "name": owner["name"], "type": "user"}],
        "channels": [{"_id": "GENERAL", "name": "general"}],
        "md": [{"type": "PARAGRAPH", "value": [{"type": "PLAIN_TEXT", "value": WORDS}]}],
        "_updatedAt": message["ts"],
    }
    assert (await server.room_messages())[0] == message
    assert (await server.get("chat.getMessage", msgId=message["_id"]))["message"] == message


@pytest.mark.parametrize(
    ("destination", "channel"),
    [
        ({"channel": "#general"}, "#general"),
        ({"channel": "general"}, "general"),
        ({"channel": "GENERAL"}, "GENERAL"),
        ({"roomId": "GENERAL"}, "GENERAL"),
        ({"channel": "@ann"}, "@ann"),
        ({"channel": "#general", "roomId": "nowhere"}, "#general"),
    ],
)
async def test_every_way_to_name_a_destination(server: Server, destination: dict[str, Any], channel: str) -> None:
    """Rooms by id or name, people by name; `channel` wins over `roomId` (§5.2)."""
    await server.user("ann")
    answer = await server.post("chat.postMessage", {**destination, "text": "hello"})
    assert (answer["channel"], answer["message"]["msg"]) == (channel, "hello")


@pytest.mark.parametrize("key", ["channel", "roomId"])
async def test_several_channels_all_get_the_message(server: Server, key: str) -> None:
    """Each destination is posted to once, and the first is returned (§10)."""
    ops = await _room(server, "channel", "ops")
    answer = await server.post("chat.postMessage", {key: ["#general", "#ops", "#general"], "text": "hello"})
    assert (answer["channel"], answer["message"]["rid"]) == ("#general", "GENERAL")
    for room_id in ("GENERAL", ops):
        assert [message["msg"] for message in await server.room_messages(room_id)].count("hello") == 1


async def test_a_form_posts_with_attachments_in_its_payload(server: Server) -> None:
    """A form whose `payload` holds the message posts like JSON (§1)."""
    form = {"payload": '{"channel":"#general","attachments":[{"title":"api","msg":" built "}]}'}
    async with server.http.post(f"{server.url}/api/v1/chat.postMessage", data=form, headers=server.owner) as response:
        answer = await response.json()
    assert answer["message"]["attachments"] == [{"title": "api", "text": "built"}]
    assert answer["message"]["parseUrls"] is False


@pytest.mark.parametrize(
    ("body", "error", "code"),
    [
        ({"text": "x"}, "[invalid-channel]", "invalid-channel"),
        ({"channel": "#nowhere", "text": "x"}, "[invalid-channel]", "invalid-channel"),
        ({"channel": [], "text": "x"}, "unknown-error", None),
        ({"channel": ["#general", "#nowhere"], "text": "x"}, "[invalid-channel]", "invalid-channel"),
        ({"channel": "#general", "text": 5}, "Match error: Expected string, got number in field text", None),
        ({"channel": "#general", "attachments": [{"title_link": "javascript:x"}]}, "Invalid href value provided", None),
        ({"channel": "#general", "text": "x", "avatar": "https://example.test/a.png"}, "Not enough permission", None),
        ({"channel": "#general", "text": "x", "alias": "CI"}, "Not enough permission", None),
        ({"channel": "#general", "text": "x" * 40_001}, "[error-message-size-exceeded]", "error-message-size-exceeded"),
        ({"channel": "#general", "text": "x", "tmid": "nothing"}, "Invalid thread.", None),
    ],
)
async def test_what_cannot_be_posted_is_refused_and_posts_nothing(
    server: Server, body: dict[str, object], error: str, code: str | None
) -> None:
    """A code stands in brackets and as `errorType`, plain refusals alone; no destination gets anything (§10)."""
    before = await server.room_messages()
    status, answer = await server.api("POST", "chat.postMessage", body)
    expected = {"success": False, "error": error} | ({"errorType": code} if code else {})
    assert (status, answer) == (400, expected)
    assert await server.room_messages() == before


async def test_a_bot_may_show_another_name_and_picture(server: Server) -> None:
    """Role `bot` holds `message-impersonate` (decision 20)."""
    bot = await server.user("deploy", "bot")
    look = {"alias": "CI", "avatar": "https://example.test/a.png", "emoji": ":ship:"}
    message = (await server.post("chat.postMessage", {"channel": "#general", "text": "x", **look}, who=bot))["message"]
    assert (message["alias"], message["avatar"]) == ("CI", "https://example.test/a.png")
    assert "emoji" not in message


async def test_an_archived_room_takes_no_message(server: Server) -> None:
    """The refusal names the room (decision 25)."""
    ops = await _room(server, "channel", "ops")
    await server.post("channels.archive", {"roomId": ops})
    status, answer = await server.api("POST", "chat.postMessage", {"channel": "#ops", "text": "x"})
    assert (status, answer["error"]) == (400, "The channel, ops, is archived [error-room-archived]")


# --- chat.sendMessage -------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [{}, {"message": None}, {"message": "hi"}, {"msg": "hi"}])
async def test_send_message_needs_a_message(server: Server, body: dict[str, object]) -> None:
    """The missing `message` is refused in the contract's words (§10)."""
    status, answer = await server.api("POST", "chat.sendMessage", body)
    assert (status, answer) == (
        400,
        {
            "success": False,
            "error": 'The "message" parameter must be provided. [error-invalid-params]',
            "errorType": "error-invalid-params",
        },
    )


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"msg": "hi"}, "The 'rid' property on the message object is missing."),
        ({"rid": "#general", "msg": "hi"}, "Invalid room [error-invalid-room]"),
        ({"rid": "general", "msg": "hi"}, "Invalid room [error-invalid-room]"),
        ({"rid": "GENERAL", "msg": 5}, "Match error: Expected string, got number in field msg"),
        (
            {"rid": "GENERAL", "msg": "hi", "_id": "not-an-id"},
            'The "_id" of a message must be 1 to 64 letters and digits. [error-invalid-params]',
        ),
        (
            {"rid": "GENERAL", "msg": "hi", "_id": ""},
            'The "_id" of a message must be 1 to 64 letters and digits. [error-invalid-params]',
        ),
    ],
)
async def test_send_message_takes_a_room_id_and_a_sound_message(
    server: Server, message: dict[str, object], error: str
) -> None:
    """`rid` is never a name; wrong fields are named."""
    status, answer = await server.api("POST", "chat.sendMessage", {"message": message})
    assert (status, answer["error"]) == (400, error)


async def test_a_chosen_id_posts_once(server: Server) -> None:
    """The same id again posts and changes nothing and answers with what stands there, also at the same time."""
    message = {"rid": "GENERAL", "_id": "abc123def456", "msg": "once"}
    answers = await asyncio.gather(*(server.post("chat.sendMessage", {"message": message}) for _ in range(5)))
    again = await server.post("chat.sendMessage", {"message": {**message, "msg": "twice"}})
    assert {answer["message"]["_id"] for answer in (*answers, again)} == {"abc123def456"}
    assert again["message"]["msg"] == "once"
    assert [found["_id"] for found in await server.room_messages()].count("abc123def456") == 1


async def test_an_id_in_use_does_not_show_what_stands_there(server: Server) -> None:
    """Neither somebody else's message nor one in a room the caller has left is shown (decision 56)."""
    ann = await server.user("ann")
    group = await _room(server, "group", "secrets")
    await server.post("chat.sendMessage", {"message": {"rid": group, "_id": "secret1", "msg": "hush"}})
    await server.post("chat.sendMessage", {"message": {"rid": "GENERAL", "_id": "public1", "msg": "hello"}})
    await server.post("groups.invite", {"roomId": group, "userId": ann["X-User-Id"]})
    await server.post("chat.sendMessage", {"message": {"rid": group, "_id": "left1", "msg": "bye"}}, who=ann)
    await server.post("groups.kick", {"roomId": group, "userId": ann["X-User-Id"]})
    refused = {"success": False, "error": "This message id is already in use; choose another one."}
    for taken in ("secret1", "public1", "left1"):
        body = {"message": {"rid": "GENERAL", "_id": taken, "msg": "mine"}}
        assert await server.api("POST", "chat.sendMessage", body, who=ann) == (400, refused)


async def test_a_thread_is_answered_in_its_own_room_only(server: Server) -> None:
    """`tmid` must name a message of the same room."""
    ops = await _room(server, "channel", "ops")
    parent = (await server.post("chat.postMessage", {"channel": "#general", "text": "parent"}))["message"]["_id"]
    reply = {"rid": "GENERAL", "msg": "reply", "tmid": parent}
    assert (await server.post("chat.sendMessage", {"message": reply}))["message"]["tmid"] == parent
    status, answer = await server.api("POST", "chat.sendMessage", {"message": {**reply, "rid": ops}})
    assert (status, answer["error"]) == (400, "Invalid thread.")


# --- changing and reading ---------------------------------------------------------------------------


async def test_a_message_is_changed_and_removed(server: Server) -> None:
    """An edit is marked, a removed message is gone."""
    message_id = (await server.post("chat.postMessage", {"channel": "#general", "text": "frist"}))["message"]["_id"]
    where = {"roomId": "GENERAL", "msgId": message_id}
    edited = (await server.post("chat.update", {**where, "text": "first"}))["message"]
    assert (edited["msg"], edited["editedBy"]["username"]) == ("first", "owner")
    removed = await server.post("chat.delete", where)
    assert (removed["_id"], removed["message"]["rid"], removed["success"]) == (message_id, "GENERAL", True)
    assert removed["ts"].isdigit()
    status, answer = await server.api("GET", "chat.getMessage", msgId=message_id)
    assert (status, answer) == (400, {"success": False, "error": f'No message found with the id of "{message_id}".'})


@pytest.mark.parametrize(("call", "more"), [("chat.update", {"text": "x"}), ("chat.delete", {})])
async def test_only_ones_own_message_of_that_room_is_changed(server: Server, call: str, more: dict[str, str]) -> None:
    """A missing field, a wrong room, an unknown message and somebody else's message are told apart."""
    ann = await server.user("ann")
    ops = await _room(server, "channel", "ops")
    message_id = (await server.post("chat.postMessage", {"channel": "#general", "text": "mine"}))["message"]["_id"]
    for body, error in (
        ({"msgId": message_id, **more}, "must have required property 'roomId' [invalid-params]"),
        ({"roomId": "GENERAL", "msgId": "none", **more}, 'No message found with the id of "none".'),
        (
            {"roomId": ops, "msgId": message_id, **more},
            "The room id provided does not match where the message is from.",
        ),
    ):
        status, answer = await server.api("POST", call, body)
        assert (status, answer["error"]) == (400, error)
    body = {"roomId": "GENERAL", "msgId": message_id, **more}
    status, answer = await server.api("POST", call, body, who=ann)
    assert (status, answer["errorType"]) == (400, "error-action-not-allowed")
    assert (await server.get("chat.getMessage", msgId=message_id))["message"]["msg"] == "mine"


async def test_a_message_of_a_private_room_is_not_found_from_outside(server: Server) -> None:
    """Whoever may not enter a room reads, changes and marks nothing in it."""
    ann = await server.user("ann")
    group = await _room(server, "group", "secrets")
    message = (await server.post("chat.postMessage", {"roomId": group, "text": "hush"}))["message"]
    unknown = {"success": False, "error": f'No message found with the id of "{message["_id"]}".'}
    where = {"roomId": group, "msgId": message["_id"]}
    assert await server.api("GET", "chat.getMessage", who=ann, msgId=message["_id"]) == (400, unknown)
    assert await server.api("POST", "chat.delete", where, who=ann) == (400, unknown)
    reaction = {"messageId": message["_id"], "emoji": "smile"}
    assert await server.api("POST", "chat.react", reaction, who=ann) == (400, unknown)


async def test_a_reaction_is_added_switched_and_taken_back(server: Server) -> None:
    """Without `shouldReact` the call switches; with it it says what should be."""
    message_id = (await server.post("chat.postMessage", {"channel": "#general", "text": "x"}))["message"]["_id"]
    for given, there in (
        ({"emoji": "smile"}, True),
        ({"emoji": ":smile:"}, False),
        ({"reaction": ":smile:"}, True),
        ({"emoji": "smile", "shouldReact": True}, True),
        ({"emoji": "smile", "shouldReact": False}, False),
    ):
        assert await server.post("chat.react", {"messageId": message_id, **given}) == {"success": True}
        message = (await server.get("chat.getMessage", msgId=message_id))["message"]
        assert message.get("reactions") == ({":smile:": {"usernames": ["owner"]}} if there else None)
    status, answer = await server.api("POST", "chat.react", {"messageId": message_id})
    assert (status, answer["errorType"]) == (400, "error-emoji-param-not-provided")
    for forged in ("\x1b[31m", "nul\0", "\u202eabc", "a:b"):
        status, answer = await server.api("POST", "chat.react", {"messageId": message_id, "emoji": forged})
        assert (status, answer["errorType"]) == (400, "error-not-allowed"), forged
