"""`@all` and `@here` call everybody in a room only where whoever says them may; the text stands as it was written."""

from typing import Any

import pytest

from tests.server import Server

TEXT = "attention @all and @here"


async def mentions(server: Server, room_id: str) -> list[str]:
    """Return whom the newest message mentions, as clients and receivers are told alike."""
    (newest, *_) = await server.room_messages(room_id)
    assert newest["msg"].startswith("attention @all")
    event = await server.services.store.event(await server.services.store.last_event())
    assert event is not None
    assert event.body["message"]["mentions"] == newest["mentions"]
    return [one["username"] for one in newest["mentions"]]


async def room_of(server: Server, maker: dict[str, str], name: str) -> str:
    made = await server.post("channels.create", {"name": name}, who=maker)
    return str(made["channel"]["_id"])


@pytest.mark.parametrize(("role", "calls"), [("admin", True), ("editor", False), ("user", False)])
async def test_admins_call_everybody_and_others_where_they_own_the_room(server: Server, role: str, calls: bool) -> None:
    """The role counts everywhere, ownership in its room."""
    who = await server.user("ann", role)
    await server.post("chat.postMessage", {"channel": "#general", "text": TEXT}, who=who)
    assert await mentions(server, "GENERAL") == (["all", "here"] if calls else [])
    if role != "user":
        own = await room_of(server, who, "own")
        await server.post("chat.postMessage", {"roomId": own, "text": TEXT}, who=who)
        assert await mentions(server, own) == ["all", "here"]


@pytest.mark.parametrize(("role", "calls"), [("owner", True), ("admin", True), ("editor", False)])
async def test_a_hook_has_the_right_of_its_maker(server: Server, role: str, calls: bool) -> None:
    """Whoever it posts as, and as the maker's role is now."""
    who = server.owner if role == "owner" else await server.user("ann", role)
    made: dict[str, Any] = await server.post(
        "integrations.create",
        {
            "type": "webhook-incoming",
            "name": "ci",
            "enabled": True,
            "username": "rocket.cat",
            "channel": "#general",
            "scriptEnabled": False,
        },
        who=who,
    )
    hook = made["integration"]

    async def send() -> list[str]:
        async with server.http.post(f"{server.url}/hooks/{hook['_id']}/{hook['token']}", json={"text": TEXT}) as sent:
            assert sent.status == 200
        return await mentions(server, "GENERAL")

    assert await send() == (["all", "here"] if calls else [])
    if role == "admin":
        await server.post("users.update", {"userId": who["X-User-Id"], "data": {"roles": ["editor"]}})
        assert await send() == []


async def test_an_edit_is_judged_by_who_edits(server: Server) -> None:
    """Neither does editing smuggle a call in, nor does it keep one that was taken out."""
    ann = await server.user("ann")
    sent = await server.post("chat.postMessage", {"channel": "#general", "text": "attention @all?"}, who=ann)
    edit = {"roomId": "GENERAL", "msgId": sent["message"]["_id"], "text": TEXT}
    await server.post("chat.update", edit, who=ann)
    assert await mentions(server, "GENERAL") == []
    own = await server.post("chat.postMessage", {"channel": "#general", "text": TEXT})
    assert await mentions(server, "GENERAL") == ["all", "here"]
    await server.post("chat.react", {"messageId": own["message"]["_id"], "emoji": "eyes"}, who=ann)
    (newest, *_) = await server.room_messages()
    assert [one["username"] for one in newest["mentions"]] == ["all", "here"]


async def test_the_servers_own_words_call_nobody(server: Server) -> None:
    """A hook called `@all` is named in a note; that is no call."""
    body = {"command": "hook", "roomId": "GENERAL", "params": 'in add "attention @all" --room #general'}
    await server.post("commands.run", body)
    (newest, *_) = await server.room_messages()
    assert "attention" in newest["msg"]
    assert not [one for one in newest["mentions"] if one["_id"] in ("all", "here")]
