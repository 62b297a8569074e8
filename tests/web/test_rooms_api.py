"""`channels.`, `groups.`, `im.` and `rooms.` calls against a running server (decisions 25, 49, 51, 53)."""

from dataclasses import replace
from typing import Any

import pytest

from storage.records.changes import Changes
from tests.hook_door import door
from tests.server import Server

FAMILIES = [("channels", "channel"), ("groups", "group")]
NO_ROOM = 'The parameter "roomId" or "roomName" is required [error-roomid-param-not-provided]'
NOT_FOUND = 'The required "roomId" or "roomName" param provided does not match any {} [error-room-not-found]'


async def made(server: Server, family: str, name: str, **body: Any) -> dict[str, Any]:
    """Make a room as the owner."""
    answer = await server.post(f"{family}.create", {"name": name, **body})
    room: dict[str, Any] = answer[family.removesuffix("s")]
    return room


async def refused(server: Server, method: str, call: str, body: object = None, **more: Any) -> tuple[int, str]:
    """Make a call that is refused; returns status and text."""
    status, answer = await server.api(method, call, body, **more)
    assert answer["success"] is False
    return status, answer["error"]


@pytest.mark.parametrize(("family", "one"), FAMILIES)
async def test_a_room_lives_through_all_calls(server: Server, family: str, one: str) -> None:
    """Both families make, show, rename, close and reopen a room, and show it under their own key."""
    await server.user("ann")
    room = await made(server, family, "ops", members=["ann", "nobody"])
    assert (room["name"], room["usersCount"], room["u"]["username"]) == ("ops", 2, "owner")
    assert room["t"] == {"channels": "c", "groups": "p"}[family]
    by_name = await server.get(f"{family}.info", roomName="ops")
    by_id = await server.get(f"{family}.info", roomId=room["_id"])
    assert by_name == by_id == {one: by_id[one], "success": True}
    renamed = await server.post(f"{family}.rename", {"roomId": room["_id"], "name": "ops-2"})
    assert renamed[one]["name"] == "ops-2"
    closed = await server.post(f"{family}.setReadOnly", {"roomId": room["_id"], "readOnly": True})
    assert closed[one]["ro"] is True
    assert await server.post(f"{family}.archive", {"roomId": room["_id"]}) == {"success": True}
    assert (await server.get(f"{family}.info", roomId=room["_id"]))[one]["archived"] is True
    status, error = await refused(server, "POST", f"{family}.rename", {"roomId": room["_id"], "name": "ops-3"})
    assert (status, error.endswith(", ops-2, is archived [error-room-archived]")) == (400, True)
    assert await server.post(f"{family}.unarchive", {"roomName": "ops-2"}) == {"success": True}


@pytest.mark.parametrize(("family", "one"), FAMILIES)
async def test_people_come_and_go(server: Server, family: str, one: str) -> None:
    """Invite, members, kick and leave change who is in the room; the last owner stays."""
    ann = await server.user("ann")
    bob = await server.user("bob")
    room = (await made(server, family, "ops"))["_id"]
    invited = await server.post(f"{family}.invite", {"roomId": room, "usernames": ["ann", "bob"]})
    assert invited[one]["usersCount"] == 3
    members = await server.get(f"{family}.members", roomId=room, count="2")
    assert [user["username"] for user in members["members"]] == ["ann", "bob"]
    assert (members["count"], members["offset"], members["total"]) == (2, 0, 3)
    await server.post(f"{family}.kick", {"roomId": room, "userId": ann["X-User-Id"]})
    await server.post(f"{family}.leave", {"roomId": room}, who=bob)
    assert (await server.get(f"{family}.members", roomId=room))["total"] == 1
    status, error = await refused(server, "POST", f"{family}.leave", {"roomId": room})
    assert (status, error.endswith("[error-you-are-last-owner]")) == (400, True)
    status, error = await refused(server, "POST", f"{family}.kick", {"roomId": room, "username": "owner"}, who=ann)
    assert status == 400


@pytest.mark.parametrize(
    ("method", "call", "body", "text"),
    [
        ("GET", "channels.info", {}, NO_ROOM),
        ("GET", "groups.history", {}, NO_ROOM),
        ("GET", "rooms.info", {}, NO_ROOM),
        ("GET", "channels.info", {"roomName": "nowhere"}, NOT_FOUND.format("channel")),
        ("GET", "groups.info", {"roomName": "general"}, NOT_FOUND.format("group")),
        ("GET", "rooms.info", {"roomId": "nowhere"}, NOT_FOUND.format("channel")),
        ("GET", "im.history", {"roomId": "GENERAL"}, NOT_FOUND.format("channel")),
        ("GET", "channels.list", {"query": '{"$where":"1"}'}, None),
        ("GET", "channels.history", {"roomId": "GENERAL", "oldest": "soon"}, None),
        ("GET", "rooms.get", {"updatedSince": "soon"}, None),
        ("POST", "channels.create", {}, 'Param "name" is required'),
        ("POST", "channels.create", {"name": "x", "members": "ann"}, 'Param "members" must be an array if provided'),
        ("POST", "channels.create", {"name": "a b"}, "a b is not a valid room name. [error-invalid-room-name]"),
        (
            "POST",
            "groups.create",
            {"name": "GENERAL"},
            "A channel with name 'GENERAL' exists [error-duplicate-channel-name]",
        ),
        ("POST", "channels.rename", {"roomId": "GENERAL", "name": " "}, 'The bodyParam "name" is required'),
        ("POST", "channels.setReadOnly", {"roomId": "GENERAL"}, 'The bodyParam "readOnly" is required'),
        (
            "POST",
            "channels.kick",
            {"roomId": "GENERAL"},
            'The required "userId" or "username" param was not provided [error-user-param-not-provided]',
        ),
        ("POST", "channels.invite", {"roomId": "GENERAL", "usernames": ["nobody"]}, None),
        ("POST", "im.create", {"username": "nobody"}, "Invalid user [error-invalid-user]"),
        ("POST", "dm.create", {}, None),
    ],
)
async def test_wrong_calls_are_refused_with_a_text(
    server: Server, method: str, call: str, body: dict[str, Any], text: str | None
) -> None:
    """Every wrong call ends as 400 with a text; where the contract or the original fixes it, with that one."""
    if method == "GET":
        status, error = await refused(server, "GET", call, **body)
    else:
        status, error = await refused(server, "POST", call, body)
    assert status == 400
    assert error == text if text else error


@pytest.mark.parametrize("call", ["info", "history", "members"])
async def test_private_rooms_exist_for_members_only(server: Server, call: str) -> None:
    """Who is not in a group does not learn that it is there, by any call; neither does an admin."""
    ann = await server.user("ann")
    room = await server.post("groups.create", {"name": "secret"}, who=ann)
    assert await refused(server, "GET", f"groups.{call}", roomName="secret") == (400, NOT_FOUND.format("group"))
    assert await refused(server, "GET", "rooms.info", roomId=room["group"]["_id"]) == (400, NOT_FOUND.format("channel"))
    assert (await server.get("groups.list"))["groups"] == []
    assert "secret" not in str(await server.get("channels.list"))
    assert [group["name"] for group in (await server.get("groups.list", who=ann))["groups"]] == ["secret"]


async def test_lists_page_sort_and_filter(server: Server) -> None:
    """`channels.list` obeys count, offset, sort, query and fields; the total counts all that match."""
    ann = await server.user("ann")
    for name in ("zeta", "alpha", "beta"):
        await made(server, "channels", name)

    async def names(**query: str) -> list[str]:
        return [room["name"] for room in (await server.get("channels.list", who=None, **query))["channels"]]

    assert await names() == ["alpha", "beta", "general", "zeta"]
    assert await names(sort='{"name":-1}', count="2") == ["zeta", "general"]
    assert await names(count="1", offset="2") == ["general"]
    assert await names(query='{"name":{"$regex":"^.eta$"}}') == ["beta", "zeta"]
    shown = await server.get("channels.list", fields='{"name":1}', count="1")
    assert (shown["channels"][0].keys(), shown["total"]) == ({"_id", "name"}, 4)
    assert [room["name"] for room in (await server.get("channels.list.joined", who=ann))["channels"]] == ["general"]
    await server.post("channels.join", {"roomName": "zeta"}, who=ann)
    joined = await server.get("channels.list.joined", who=ann)
    assert [room["name"] for room in joined["channels"]] == ["general", "zeta"]


async def test_history_is_newest_first_and_paged(server: Server) -> None:
    """History shows 20 messages unless asked, newest first, and counts all that match its times."""
    room = (await made(server, "channels", "ops"))["_id"]
    for number in range(23):
        await server.post("chat.postMessage", {"roomId": room, "text": f"line {number}"})
    first = await server.get("channels.history", roomId=room)
    assert [message["msg"] for message in first["messages"]] == [f"line {number}" for number in range(22, 2, -1)]
    assert (first["count"], first["offset"], first["total"]) == (20, 0, 23)
    second = await server.get("channels.history", roomId=room, offset="20", count="10")
    assert [message["msg"] for message in second["messages"]] == ["line 2", "line 1", "line 0"]
    oldest = second["messages"][-1]["ts"]
    inside = await server.get("channels.history", roomId=room, latest=oldest, inclusive="true")
    assert inside["messages"][-1]["msg"] == "line 0"
    assert (await server.get("channels.history", roomId=room, latest=oldest))["total"] == 0


async def test_direct_rooms(server: Server) -> None:
    """A direct room is made once, listed by both, read by nobody else, under both names of the family."""
    ann = await server.user("ann")
    bob = await server.user("bob")
    made_one = (await server.post("im.create", {"username": "ann"}))["room"]
    again = (await server.post("dm.create", {"usernames": "owner,ann"}))["room"]
    assert made_one["rid"] == made_one["_id"] == again["_id"]
    assert (made_one["t"], set(made_one["usernames"])) == ("d", {"owner", "ann"})
    await server.post("chat.postMessage", {"roomId": made_one["_id"], "text": "psst"})
    seen = await server.get("dm.history", roomId=made_one["_id"], who=ann)
    assert [message["msg"] for message in seen["messages"]] == ["psst"]
    assert [room["_id"] for room in (await server.get("im.list", who=ann))["ims"]] == [made_one["_id"]]
    status, error = await refused(server, "GET", "im.history", roomId=made_one["_id"], who=bob)
    assert (status, error) == (400, NOT_FOUND.format("channel"))
    status, error = await refused(server, "POST", "im.create", {"usernames": ["ann", "bob"]})
    assert (status, error.endswith("[error-not-allowed]")) == (400, True)


async def test_rooms_get_shows_what_changed_since(server: Server) -> None:
    """`rooms.get` returns the caller's rooms; with a date only those with a change or message after it."""
    room = await made(server, "channels", "ops")
    everything = await server.get("rooms.get")
    assert {one["name"] for one in everything["update"]} == {"general", "ops"}
    assert everything["remove"] == []
    message = (await server.post("chat.postMessage", {"roomId": "GENERAL", "text": "news"}))["message"]
    assert message["ts"] >= room["ts"]
    later = await server.get("rooms.get", updatedSince=message["ts"])
    assert later["update"] == []
    since = await server.get("rooms.get", updatedSince="2001-01-01T00:00:00.000Z")
    assert len(since["update"]) == 2


async def test_renaming_a_room_takes_its_hooks_along(server: Server) -> None:
    """A hook into a renamed room names the new one, and what it posts still arrives (decision 25)."""
    room = await made(server, "channels", "old-name")
    hook = await server.post(
        "integrations.create",
        {
            "type": "webhook-incoming",
            "username": "rocket.cat",
            "channel": "#old-name",
            "scriptEnabled": False,
            "name": "ci",
            "enabled": True,
        },
    )
    await server.post("channels.rename", {"roomId": room["_id"], "name": "new-name"})
    shown = await server.get("integrations.get", integrationId=hook["integration"]["_id"])
    assert shown["integration"]["channel"] == ["#new-name"]


async def test_a_rename_follows_hooks_another_process_changed(server: Server) -> None:
    """A hook that changed unnoticed is read again; the rename neither fails nor undoes that change."""
    room = await made(server, "channels", "old-name")
    hook = await door(server, channel="#old-name")
    known = await server.services.directory.hook(hook.id)
    assert known is not None
    assert await server.services.directory.hooks()
    await server.services.store.commit(Changes(put_hooks=(replace(known, alias="CI", version=known.version + 1),)))
    await server.post("channels.rename", {"roomId": room["_id"], "name": "new-name"})
    shown = (await server.get("integrations.get", integrationId=hook.id))["integration"]
    assert (shown["channel"], shown["alias"]) == (["#new-name"], "CI")
