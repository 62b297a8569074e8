"""The seven events of outgoing hooks, caused by what people really do over REST and hooks (`rocketchat.md` §6)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any  # what receivers get is parsed JSON

import aiohttp
import pytest

from storage.ids import IntegrationId, UserId
from storage.records.delivery import DeliveryState
from storage.records.room import direct_room_id
from tests.delivering import Receiver, answering, receiving, until, waiting
from tests.hook_door import OK, door, open_door
from tests.hook_stage import OUTGOING
from tests.server import Server

Json = dict[str, Any]
STOPPED = "stopped-by-hop-limit"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def listen(server: Server, receiver: Receiver, event: str = "sendMessage", **changes: object) -> IntegrationId:
    """Make an outgoing hook on an event; its token says which it is."""
    body = {**OUTGOING, "event": event, "urls": [receiver.url], "token": event, **changes}
    return IntegrationId((await server.post("integrations.create", body))["integration"]["_id"])


async def say(server: Server, text: str, room: str = "#general", who: dict[str, str] | None = None) -> Json:
    """Post a message as the owner, or somebody else."""
    message: Json = (await server.post("chat.postMessage", {"channel": room, "text": text}, who=who))["message"]
    return message


async def make(server: Server, family: str, name: str, **body: Any) -> str:
    """Make a room as the owner; returns its id."""
    answer = await server.post(f"{family}.create", {"name": name, **body})
    room_id: str = answer[family.removesuffix("s")]["_id"]
    return room_id


async def quiet(server: Server) -> None:
    """Wait until nothing is queued any more."""

    async def empty() -> bool:
        return (await server.services.store.counts()).queued == 0

    await until(empty)


async def heard(server: Server, receiver: Receiver, token: str) -> list[Json]:
    """Return what a hook was told, when everything is delivered."""
    await quiet(server)
    return [body for body in receiver.bodies if body["token"] == token]


async def test_a_message_and_an_edit(server: Server, receiver: Receiver) -> None:
    """A message fires with the contract's keys; an edit only where the hook runs on edits, marked as one."""
    await listen(server, receiver)
    await listen(server, receiver, token="edits", runOnEdits=True)
    message = await say(server, "hello")
    edit = {"roomId": "GENERAL", "msgId": message["_id"], "text": "hello again"}
    await server.post("chat.update", edit)
    (plain,) = await heard(server, receiver, "sendMessage")
    assert plain == {
        "token": "sendMessage",
        "bot": False,
        "channel_id": "GENERAL",
        "channel_name": "general",
        "message_id": message["_id"],
        "timestamp": message["ts"],
        "user_id": server.owner["X-User-Id"],
        "user_name": "owner",
        "text": "hello",
        "siteUrl": f"{server.url}/",
    }
    both = await heard(server, receiver, "edits")
    assert sorted((body["text"], body.get("isEdited")) for body in both) == [("hello", None), ("hello again", True)]


async def test_what_is_no_new_message_fires_nothing(server: Server, receiver: Receiver) -> None:
    """Reactions and deletions are not messages, and a disabled hook hears nothing."""
    await listen(server, receiver, runOnEdits=True)
    await listen(server, receiver, token="off", enabled=False)
    message = await say(server, "hello")
    await server.post("chat.react", {"messageId": message["_id"], "emoji": ":eyes:"})
    await server.post("chat.delete", {"roomId": "GENERAL", "msgId": message["_id"]})
    assert [body["text"] for body in await heard(server, receiver, "sendMessage")] == ["hello"]
    assert await heard(server, receiver, "off") == []


async def test_a_post_to_a_hook_fires_too(server: Server, receiver: Receiver) -> None:
    """A hook's message is a message, marked `bot`, with the alias it shows."""
    await listen(server, receiver)
    assert await (await door(server, alias="CI")).send({"text": "from a tool"}) == (200, OK)
    (body,) = await heard(server, receiver, "sendMessage")
    assert (body["text"], body["bot"], body["alias"], body["user_name"]) == ("from a tool", True, "CI", "rocket.cat")


async def test_a_file(server: Server, receiver: Receiver) -> None:
    """An upload fires `fileUploaded` with its objects, and `sendMessage` for its message."""
    await listen(server, receiver, "fileUploaded")
    await listen(server, receiver)
    form = aiohttp.FormData()
    form.add_field("file", b"text", filename="a.txt")
    async with server.http.post(f"{server.url}/api/v1/rooms.upload/GENERAL", data=form, headers=server.owner) as done:
        message = (await done.json())["message"]
    (file,) = await heard(server, receiver, "fileUploaded")
    assert (file["message_id"], file["channel_id"], file["room"]["_id"]) == (message["_id"], "GENERAL", "GENERAL")
    assert file["message"]["file"]["name"] == "a.txt"
    assert (file["user"]["username"], "siteUrl" in file) == ("owner", False)
    assert [body["message_id"] for body in await heard(server, receiver, "sendMessage")] == [message["_id"]]


async def test_rooms_and_people(server: Server, receiver: Receiver) -> None:
    """Rooms made, entered, left and archived, and people made, fire once each, whatever the way."""
    for event in ("roomCreated", "roomJoined", "roomLeft", "roomArchived"):
        await listen(server, receiver, event, channel="all_public_channels")
    await listen(server, receiver, "userCreated", targetRoom="#general")
    ann = await server.user("ann")
    ops = await make(server, "channels", "ops", members=["ann", "owner", "nobody"])
    await server.post("channels.leave", {"roomId": ops}, who=ann)
    assert [body["room"]["usersCount"] for body in await heard(server, receiver, "roomCreated")] == [2]
    await server.post("channels.join", {"roomId": ops}, who=ann)
    await server.post("channels.join", {"roomId": ops}, who=ann)
    await server.post("channels.invite", {"roomId": ops, "userId": "rocket.cat"})
    await server.post("channels.leave", {"roomId": ops}, who=ann)
    await server.post("channels.kick", {"roomId": ops, "userId": "rocket.cat"})
    await server.post("channels.archive", {"roomId": ops})
    await server.post("channels.unarchive", {"roomId": ops})
    (created,) = await heard(server, receiver, "roomCreated")
    assert (created["channel_id"], created["channel_name"], created["owner"]["username"]) == (ops, "ops", "owner")
    joined = await heard(server, receiver, "roomJoined")
    in_ops = [(body["user_name"], body["bot"]) for body in joined if body["channel_id"] == ops]
    assert sorted(in_ops) == [("ann", False), ("rocket.cat", True)]
    left = [(body["user_name"], body["room"]["_id"]) for body in await heard(server, receiver, "roomLeft")]
    assert sorted(left) == [("ann", ops), ("ann", ops), ("rocket.cat", ops)]
    (archived,) = await heard(server, receiver, "roomArchived")
    assert (archived["user_name"], archived["channel_name"], archived["user"]["username"]) == ("owner", "ops", "owner")
    (user,) = await heard(server, receiver, "userCreated")
    assert (user["user_id"], user["user_name"], "services" in user["user"]) == (ann["X-User-Id"], "ann", False)


async def test_a_post_that_joins_fires_both(server: Server, receiver: Receiver) -> None:
    """The first post of a hook into a public room is also its user's entry."""
    await make(server, "channels", "ops")
    await listen(server, receiver, "roomJoined", channel="#ops")
    await listen(server, receiver, channel="#ops")
    hook = await door(server, channel="#ops")
    for text in ("one", "two"):
        assert await hook.send({"text": text}) == (200, OK)
    assert [body["user_name"] for body in await heard(server, receiver, "roomJoined")] == ["rocket.cat"]
    assert sorted(body["text"] for body in await heard(server, receiver, "sendMessage")) == ["one", "two"]


async def test_which_rooms_a_hook_hears(server: Server, receiver: Receiver) -> None:
    """Public, private and direct rooms reach just the hooks of their scopes, each once."""
    ann = await server.user("ann")
    secret = await make(server, "groups", "secret")
    await make(server, "channels", "ops")
    for channel in (
        *("all_public_channels", "all_private_groups", "all_direct_messages"),
        *("#general", "#GENERAL", "#ops", "#secret", f"#{secret}", "@ann", "@owner", f"@{ann['X-User-Id']}"),
        "#general,#ops,all_public_channels",
    ):
        await listen(server, receiver, channel=channel, token=channel)
    await listen(server, receiver, channel="", token="nothing")
    for text, where in (("public", "#general"), ("private", "#secret"), ("direct", "@ann")):
        await say(server, text, where)
    await say(server, "back", "@owner", who=ann)
    await quiet(server)
    got: dict[str, list[str]] = {}
    for body in receiver.bodies:
        got.setdefault(body["token"], []).append(body["text"])
    direct = ["back", "direct"]
    assert {token: sorted(found) for token, found in got.items()} == {
        "nothing": ["public"],
        "all_public_channels": ["public"],
        "#general": ["public"],
        "#GENERAL": ["public"],
        "#general,#ops,all_public_channels": ["public"],
        "all_private_groups": ["private"],
        "#secret": ["private"],
        f"#{secret}": ["private"],
        "all_direct_messages": direct,
        "@ann": ["direct"],
        "@owner": ["back"],
        f"@{ann['X-User-Id']}": direct,
    }
    room = direct_room_id((UserId(server.owner["X-User-Id"]), UserId(ann["X-User-Id"])))
    in_direct = [body for body in receiver.bodies if body["token"] == "@ann"]
    assert [(body["channel_id"], "channel_name" in body) for body in in_direct] == [(room, False)]


async def test_trigger_words(server: Server, receiver: Receiver) -> None:
    """The first word the text begins with fires, by case and without word boundary; anywhere if the hook says so."""
    words = ["!deploy", "!dep"]
    await listen(server, receiver, token="begins", triggerWords=words)
    await listen(server, receiver, token="anywhere", triggerWords=words, triggerWordAnywhere=True)
    for text in ("!deploy api", "!deployed", "!depot", "please !dep", "!DEPLOY", "nothing"):
        await say(server, text)
    expected = [("!deploy", "!deploy api"), ("!deploy", "!deployed"), ("!dep", "!depot")]
    for token, more in (("begins", []), ("anywhere", [("!dep", "please !dep")])):
        got = [(body["trigger_word"], body["text"]) for body in await heard(server, receiver, token)]
        assert sorted(got) == sorted(expected + more)


async def test_a_loop_ends(server: Server, receiver: Receiver) -> None:
    """A hook whose answer fires it again runs five times; then history says that the limit stopped it."""
    receiver.answer = answering(json={"text": "again"})
    hook = await listen(server, receiver)
    await say(server, "begin")

    async def stopped() -> bool:
        entries = (await server.get("integrations.history", id=hook))["history"]
        return any(entry["step"] == STOPPED for entry in entries)

    await until(stopped)
    await quiet(server)
    entries = (await server.get("integrations.history", id=hook))["history"]
    (last,) = [entry for entry in entries if entry["step"] == STOPPED]
    assert (last["finished"], bool(last["error"]), len(receiver.bodies)) == (True, True, 5)
    assert len(await server.room_messages()) == 6


async def test_a_loop_through_a_tool_ends(server: Server, receiver: Receiver) -> None:
    """A receiver that posts back to a hook with our header on counts on; without it the chain starts anew."""
    hook = await listen(server, receiver)
    back = await open_door(server)
    for hops, fires in (("3", True), ("4", False), ("99", False), ("-1", True), ("nonsense", True)):
        receiver.bodies.clear()
        assert await back.send({"text": hops}, {"X-Patchbay-Hops": hops}) == (200, OK)
        assert bool(await heard(server, receiver, "sendMessage")) == fires, hops
    steps = [entry["step"] for entry in (await server.get("integrations.history", id=hook))["history"]]
    assert steps.count(STOPPED) == 2


async def test_message_and_delivery_are_one_commit(server: Server, receiver: Receiver) -> None:
    """When the sender has its 200, message, request and queued delivery are all in the store."""
    gate = asyncio.Event()

    receiver.answer = waiting(gate)
    hook_id = await listen(server, receiver)
    hook = await door(server)
    assert await hook.send({"text": "both"}) == (200, OK)
    store = server.services.store
    (delivery,), total = await store.deliveries(hook_id=hook_id)
    assert (total, delivery.state) == (1, DeliveryState.QUEUED)
    event = await store.event(delivery.event_seq)
    (request,) = await hook.requests()
    assert event is not None
    assert event.body["message"]["_id"] == request.message_ids[0]
    gate.set()
    assert [body["text"] for body in await heard(server, receiver, "sendMessage")] == ["both"]
