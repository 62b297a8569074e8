"""What the server itself says calls no outgoing hook: notes, public answers, notices of failures (`Message.notice`)."""

from collections.abc import AsyncIterator

import pytest

from storage.records.delivery import DeliveryState
from tests.delivering import Receiver, answering, receiving
from tests.hook_door import OK, door
from tests.server import Server
from tests.web.test_outgoing_events import heard, listen, make, quiet, say


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def run(server: Server, params: str, room: str = "GENERAL") -> str:
    """Type a line behind `/hook` as the owner; return the answer."""
    answer: str = (await server.post("commands.run", {"command": "hook", "params": params, "roomId": room}))["result"]
    return answer


async def texts(server: Server, room: str = "GENERAL") -> list[str]:
    """Return what stands in a room, oldest first."""
    return [message["msg"] for message in reversed(await server.room_messages(room))]


async def test_a_new_hook_is_not_called_about_its_own_making(server: Server, receiver: Receiver) -> None:
    """The note that a hook was made stands in its room, and its first call is what a person says there."""
    await run(server, f"out add deploys --event sendMessage --room #general --url {receiver.url}")
    assert (await texts(server))[-1] == "owner added outgoing hook deploys."
    await say(server, "ship it")
    await quiet(server)
    assert receiver.texts == ["ship it"]


async def test_what_admins_type_calls_nobody(server: Server, receiver: Receiver) -> None:
    """Notes of changes and answers the room may read stand in rooms full of hooks, and call none of them."""
    for number in range(3):
        await listen(server, receiver, token=f"hook-{number}", channel="all_public_channels")
    lines = ("in add ci --room #general", "in disable ci", "in enable ci", "list --public", "in show ci --public")
    for line in lines:
        await run(server, line)
    said = await texts(server)
    assert [text for text in said if text.startswith("owner ")] == [
        "owner added incoming hook ci.",
        "owner disabled incoming hook ci.",
        "owner enabled incoming hook ci.",
    ]
    assert len(said) == len(lines)
    await quiet(server)
    assert receiver.bodies == []


async def test_a_notice_brings_nobody_in(server: Server, receiver: Receiver) -> None:
    """`rocket.cat` joins a room to leave a note there, which is no join of anybody's; those of people are heard."""
    await listen(server, receiver, "roomJoined", channel="all_public_channels")
    room = await make(server, "channels", "ops")
    await run(server, "in add ci --room #ops")
    assert await texts(server, room) == ["owner added incoming hook ci."]
    someone = await server.user("joining")
    await server.post("channels.join", {"roomId": room}, who=someone)
    joins = [(body["channel_name"], body["user_name"]) for body in await heard(server, receiver, "roomJoined")]
    assert joins == [("general", "joining"), ("ops", "joining")]


async def test_what_people_cause_by_commands_is_theirs(server: Server, receiver: Receiver) -> None:
    """A room made or closed by a command is its author's deed, and is heard; the note about it is not."""
    for event in ("roomCreated", "roomArchived"):
        await listen(server, receiver, event)
    await listen(server, receiver, channel="all_public_channels")
    await run(server, "room create ops")
    asked = await run(server, "room archive #ops")
    await run(server, asked[asked.index("confirm ") :].split("\n")[0])
    await quiet(server)
    assert [body["token"] for body in receiver.bodies] == ["roomCreated", "roomArchived"]


async def test_notices_about_hooks_call_nobody(server: Server, receiver: Receiver) -> None:
    """That a hook fails is told in its room, whose other hooks hear nothing of it."""
    async with receiving(answering(400)) as refusing, receiving(answering(410)) as gone:
        await listen(server, refusing, token="refused")
        await listen(server, gone, token="gone")
        await listen(server, receiver, token="other")
        await say(server, "hello")
        await quiet(server)
    said = await texts(server)
    assert sum("cannot deliver" in text for text in said) == 1
    assert sum("was disabled" in text for text in said) == 1
    assert receiver.texts == ["hello"]
    assert (await server.services.store.deliveries(state=DeliveryState.DEAD))[1] == 2


async def test_what_others_say_in_its_voice_is_heard(server: Server, receiver: Receiver) -> None:
    """A sender's post and a receiver's answer are posted as `rocket.cat` and heard: only the server's own are not."""
    receiver.answer = answering(json={"text": "answered"})
    await listen(server, receiver, triggerWords=["ask"])
    async with receiving() as other:
        await listen(server, other, token="other")
        assert await (await door(server)).send({"text": "from a tool"}) == (200, OK)
        await say(server, "ask somebody")
        await quiet(server)
    assert sorted(other.texts) == ["answered", "ask somebody", "from a tool"]


async def test_an_edited_notice_stays_one(server: Server, receiver: Receiver) -> None:
    """Whoever may edit what the server said does not make it a message of theirs."""
    await listen(server, receiver, runOnEdits=True)
    await run(server, "in add ci --room #general")
    notice = (await server.room_messages())[0]
    await server.post("chat.update", {"roomId": "GENERAL", "msgId": notice["_id"], "text": "edited"})
    await quiet(server)
    assert (await texts(server), receiver.bodies) == (["edited"], [])
