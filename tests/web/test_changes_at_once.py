"""Changes of one thing at the same moment: each is kept, none undoes another."""

import asyncio

from bot.workspace.hook_options import Options
from tests.hook_door import door, owner
from tests.server import Server


async def ops(server: Server) -> str:
    """Make the room `#ops`; returns its id."""
    room_id: str = (await server.post("channels.create", {"name": "ops"}))["channel"]["_id"]
    return room_id


async def test_changes_of_a_room_do_not_undo_each_other(server: Server) -> None:
    """A room renamed, archived and made read-only at the same time is all three."""
    room_id = await ops(server)
    await asyncio.gather(
        server.post("channels.setReadOnly", {"roomId": room_id, "readOnly": True}),
        server.api("POST", "channels.rename", {"roomId": room_id, "name": "ops-2"}),
    )
    room = (await server.get("channels.info", roomId=room_id))["channel"]
    assert (room["ro"], room["name"]) == (True, "ops-2")


async def test_changes_of_a_message_do_not_undo_each_other(server: Server) -> None:
    """Reactions of many at once all stay, and so does an edit made meanwhile."""
    people = [await server.user(f"user{number}") for number in range(4)]
    for who in people:
        await server.post("channels.join", {"roomId": "GENERAL"}, who=who)
    message = (await server.post("chat.postMessage", {"channel": "#general", "text": "before"}))["message"]
    edit = {"roomId": "GENERAL", "msgId": message["_id"], "text": "after"}
    await asyncio.gather(
        *(server.post("chat.react", {"messageId": message["_id"], "emoji": ":eyes:"}, who=who) for who in people),
        server.post("chat.update", edit),
    )
    stored = (await server.room_messages())[0]
    assert stored["msg"] == "after"
    assert {len(one["usernames"]) for one in stored["reactions"].values()} == {len(people)}


async def test_a_hook_changed_while_its_room_is_renamed(server: Server) -> None:
    """The rename goes through and the hook follows, however often the hook is changed meanwhile."""
    room_id = await ops(server)
    hook = await door(server, channel="#ops")
    actor, hooks = await owner(server), server.services.hooks
    edits = [hooks.edit(actor, hook.id, Options(dedup=f"X-Id-{number}")) for number in range(6)]  # some may be refused
    await asyncio.gather(*edits[:3], server.post("channels.rename", {"roomId": room_id, "name": "ops-2"}), *edits[3:])
    shown = (await server.get("integrations.get", integrationId=hook.id))["integration"]
    assert shown["channel"] == ["#ops-2"]
    assert (await hook.send({"text": "x"}))[0] == 200
