"""Where incoming hooks post: destinations, who may enter, what is made on the way (`rocketchat.md` §5.2)."""

import asyncio
from dataclasses import replace
from typing import Any

from bot.workspace.posting import Prepared, plain
from handlers.errors import Fault
from storage.ids import UserId
from storage.records.event import EventKind
from storage.records.room import direct_room_id
from storage.records.user import Role
from tests.hook_door import OK, door, failed, open_door, owner, texts
from tests.server import Server

OVERRIDE = failed("overriding destination channel is disabled for this integration")


async def make(server: Server, family: str, name: str, **body: Any) -> str:
    """Make a room as the owner; returns its id."""
    answer = await server.post(f"{family}.create", {"name": name, **body})
    room_id: str = answer[family.removesuffix("s")]["_id"]
    return room_id


async def members(server: Server, room_id: str) -> set[str]:
    """Return the user names in a room."""
    answer = await server.get("channels.members", roomId=room_id)
    return {user["username"] for user in answer["members"]}


async def test_the_destination_needs_the_override(server: Server) -> None:
    """Without the flag a named destination is refused whatever it is; empty names are none; with it they count."""
    await make(server, "channels", "ops")
    hook, free = await door(server), await open_door(server)
    for named in ("#ops", "#general", [], ["#ops"]):
        for key in ("channel", "roomId"):
            assert await hook.send({"text": "x", key: named}) == OVERRIDE, named
    for unnamed in ({"channel": ""}, {"channel": None, "roomId": None}):
        assert await hook.send({"text": "here", **unnamed}) == (200, OK), unnamed
    assert await free.send({"text": "there", "channel": "#ops", "roomId": "GENERAL"}) == (200, OK)
    assert (await texts(server), await texts(server, "#ops")) == (["here", "here"], ["there"])


async def test_how_a_destination_is_named(server: Server) -> None:
    """`#` takes name or id, `@` name or id, a bare word a room's name or id or a user's id; nothing else fits."""
    ann = await server.user("ann")
    ops = await make(server, "channels", "ops")
    hook = await open_door(server)
    ann_room = direct_room_id((UserId("rocket.cat"), UserId(ann["X-User-Id"])))
    places = {
        ops: ["#ops", "#OPS", f"#{ops}", "ops", ops],
        ann_room: ["@ann", "@ANN", f"@{ann['X-User-Id']}", ann["X-User-Id"], ann_room, f"@{ann_room}"],
    }
    for place, names in places.items():
        for name in names:
            assert await hook.send({"text": name, "channel": name}) == (200, OK), name
        assert await texts(server, place) == names
    for nowhere in ("#nothing", "@nobody", "ann", "#", "@", "a,b", "#ops,#general", "x" * 5000, "#\u0000", "\u202e"):
        assert await hook.send({"text": "x", "channel": nowhere}) == failed("invalid-channel"), nowhere
    assert await hook.send({"text": "x", "channel": []}) == failed("unknown-error")


async def test_a_name_that_only_looks_alike_hides_nobody(server: Server) -> None:
    """A look-up with a letter that folds to an ASCII one (U+212A, the Kelvin sign) is not taken for that name."""
    await server.user("ken")
    await make(server, "channels", "kitchen")
    hook = await open_door(server)
    for fake, real in (("@\u212aen", "@ken"), ("#\u212aitchen", "#kitchen")):
        assert await hook.send({"text": "x", "channel": fake}) == failed("invalid-channel")
        assert await hook.send({"text": "x", "channel": real}) == (200, OK)


async def test_several_destinations(server: Server) -> None:
    """Each room gets the message once, named twice or by id too; one that cannot be posted to keeps all empty."""
    ops = await make(server, "channels", "ops")
    await make(server, "groups", "secret")
    hook = await door(server, channel="#general, #ops")
    free = await open_door(server)
    assert await hook.send({"text": "both"}) == (200, OK)
    assert await free.send({"text": "once", "channel": ["#ops", "#ops", ops, "#general"]}) == (200, OK)
    for bad, error in (("#nothing", "invalid-channel"), ("#secret", "error-not-allowed")):
        assert await free.send({"text": "x", "channel": ["#general", "#ops", bad]}) == failed(error)
    assert await texts(server) == await texts(server, "#ops") == ["both", "once"]
    assert await free.send({"text": "x", "channel": [f"#n{number}" for number in range(101)]}) == failed(
        "unknown-error"
    )


async def test_a_public_room_is_joined_once(server: Server) -> None:
    """The posting user becomes a member with the first message, in the same commit, and is told of once."""
    ops = await make(server, "channels", "ops")
    hook = await door(server, channel="#ops")
    before = server.services.stream.last
    for _ in range(2):
        assert await hook.send({"text": "x"}) == (200, OK)
    assert "rocket.cat" in await members(server, ops)
    kinds = [event.kind for event in await server.services.store.events_after(before)]
    assert kinds == [EventKind.ROOM_JOINED, EventKind.MESSAGE_POSTED, EventKind.MESSAGE_POSTED]


async def test_a_private_room_is_for_members(server: Server) -> None:
    """A private room refuses the posting user until it is invited."""
    secret = await make(server, "groups", "secret")
    hook = await door(server, channel="#secret")
    assert await hook.send({"text": "x"}) == failed("error-not-allowed")
    await server.post("groups.invite", {"roomId": secret, "userId": "rocket.cat"})
    assert await hook.send({"text": "in"}) == (200, OK)
    assert await texts(server, secret) == ["in"]


async def test_a_read_only_room_is_for_its_managers(server: Server) -> None:
    """Only owners and admins post there, with the contract's text for others."""
    quiet = await make(server, "channels", "quiet")
    await server.post("channels.setReadOnly", {"roomId": quiet, "readOnly": True})
    bot, boss = await door(server, channel="#quiet"), await door(server, channel="#quiet", username="owner")
    assert await bot.send({"text": "x"}) == failed("You can't send messages because the room is readonly.")
    assert "rocket.cat" not in await members(server, quiet)
    assert await boss.send({"text": "x"}) == (200, OK)


async def test_a_read_only_room_asks_for_the_role_of_each_post(server: Server) -> None:
    """What an admin was let into is not open to the same person without that role (decision 22)."""
    quiet = await make(server, "channels", "quiet")
    await server.post("channels.setReadOnly", {"roomId": quiet, "readOnly": True})
    await server.post("channels.invite", {"roomId": quiet, "userId": "rocket.cat"})
    member = await server.services.store.user(UserId("rocket.cat"))
    assert member is not None
    posting = server.services.posting
    assert isinstance(await posting.prepare(plain("x"), replace(member, role=Role.ADMIN), ["#quiet"]), Prepared)
    refused = await posting.prepare(plain("x"), member, ["#quiet"])
    assert isinstance(refused, Fault)
    assert "readonly" in refused.bare


async def told(server: Server) -> list[str]:
    """Return what `rocket.cat` told the owner directly."""
    direct = direct_room_id((UserId("rocket.cat"), (await owner(server)).id))
    found = await server.services.store.messages(direct, count=100)
    return [message.text for message in reversed(found[0])]


async def test_an_archived_room_is_told_of_once(server: Server) -> None:
    """Posts are refused until the room is opened again; the creator is told once, by the name of that room."""
    old = await make(server, "channels", "old")
    hook, free = await door(server, channel="#old"), await open_door(server)
    assert await hook.send({"text": "first"}) == (200, OK)
    await server.post("channels.archive", {"roomId": old})
    for _ in range(2):
        assert await hook.send({"text": "x"}) == failed("error-room-archived")
        assert await free.send({"text": "x", "channel": ["#general", old]}) == failed("error-room-archived")
    assert await told(server) == [
        f"The webhook “ci-alerts” ({one.id}) posts to #old, which is archived; unarchive it or edit the webhook."
        for one in (hook, free)
    ]
    assert await hook.verdicts() == ["posted", "refused", "refused"]
    assert (await hook.requests())[0].error == "error-room-archived"
    await server.post("channels.unarchive", {"roomId": old})
    assert await hook.send({"text": "again"}) == (200, OK)
    assert await texts(server, "#old") == ["first", "again"]


async def test_a_direct_room_is_made_once(server: Server) -> None:
    """Many first posts at once make one direct room; nobody else's direct room can be posted into."""
    ann, bob = await server.user("ann"), await server.user("bob")
    hook = await door(server, channel="@ann")
    answers = await asyncio.gather(*(hook.send({"text": str(number)}) for number in range(20)))
    assert answers == [(200, OK)] * 20
    assert len(await texts(server, direct_room_id((UserId("rocket.cat"), UserId(ann["X-User-Id"]))))) == 20
    others = await server.post("im.create", {"username": "bob"}, who=ann)
    free = await open_door(server)
    assert await free.send({"text": "x", "channel": others["room"]["_id"]}) == failed("error-not-allowed")
    status = {"userId": bob["X-User-Id"], "activeStatus": False}
    await server.post("users.setActiveStatus", status)
    assert await free.send({"text": "x", "channel": "@bob"}) == failed("invalid-channel")


async def test_threads_and_rights(server: Server) -> None:
    """`tmid` answers in a thread of the same room only; a poster without the right may show no other name."""
    hook = await open_door(server)
    await hook.send({"text": "parent"})
    parent = (await server.room_messages())[0]["_id"]
    await make(server, "channels", "ops")
    assert await hook.send({"text": "child", "tmid": parent}) == (200, OK)
    assert (await server.room_messages())[0]["tmid"] == parent
    assert await hook.send({"text": "x", "tmid": parent, "channel": "#ops"}) == failed("Invalid thread.")
    assert await hook.send({"text": "x", "tmid": "nothing"}) == failed("Invalid thread.")
