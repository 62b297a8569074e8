"""The PyPI client `rocketchat-async` does a bot's work over the socket of a running server (`rocketchat.md` §11.2)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any  # the client publishes no types

import pytest
from rocketchat_async import RocketChat

from tests.server import PASSWORD, Server

WAIT_S = 10


@asynccontextmanager
async def bot(server: Server, username: str, token: str | None = None) -> AsyncIterator[RocketChat]:
    """Log the client in with a password or a token; it has no way to disconnect but cancelling it."""
    client = RocketChat()
    address = f"{server.url.replace('http', 'ws')}/websocket"
    async with asyncio.timeout(WAIT_S):
        if token is None:
            await client.start(address, username, PASSWORD)
        else:
            await client.resume(address, username, token)
    try:
        yield client
    finally:
        client._ws_connection_task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await client._ws_connection_task


class Heard:
    """What a callback was called with, in order."""

    def __init__(self) -> None:
        self._calls: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()

    def __call__(self, *args: Any) -> None:
        self._calls.put_nowait(args)

    async def next(self) -> tuple[Any, ...]:
        async with asyncio.timeout(WAIT_S):
            return await self._calls.get()


async def settled(client: RocketChat) -> None:
    """Wait until the server has handled what was sent: it takes frames in order, and this one is answered."""
    async with asyncio.timeout(WAIT_S):
        await client.get_channels()


async def test_receive_send_and_react(server: Server) -> None:
    """A bot hears what a hook posts, answers in the thread, and reacts; all of it stands in the room."""
    await server.user("ann")
    heard = Heard()
    async with bot(server, "ann") as client:
        assert await client.get_channels() == [("GENERAL", "c")]
        await client.subscribe_to_channel_messages("GENERAL", heard)
        await settled(client)
        async with server.http.post(server.hook, json={"text": "build failed"}) as response:
            assert response.status == 200
        room, sender, message_id, thread, text, qualifier, unread, repeated = await heard.next()
        assert (room, sender, thread, text) == ("GENERAL", "rocket.cat", None, "build failed")
        assert (qualifier, unread, repeated) == (None, False, False)
        await client.send_message("on it", "GENERAL", message_id)
        assert (await heard.next())[3:5] == (message_id, "on it")
        await client.send_reaction(message_id, ":eyes:")
        reacted = await heard.next()
        assert (reacted[2], reacted[7]) == (message_id, True)
    answer, failed = await server.room_messages()
    assert (answer["msg"], answer["tmid"], answer["u"]["username"]) == ("on it", message_id, "ann")
    assert failed["reactions"] == {":eyes:": {"usernames": ["ann"]}}


async def test_direct_message_to_a_bot(server: Server) -> None:
    """A bot learns of a new direct room, and what is written there reaches it and can be answered."""
    ann = await server.user("ann")
    rooms, heard = Heard(), Heard()
    async with bot(server, "ann", ann["X-Auth-Token"]) as client:
        assert client.user_id == ann["X-User-Id"]
        await client.subscribe_to_channel_changes(rooms)
        await client.subscribe_to_channel_messages_raw("__my_messages__", heard)
        await settled(client)
        await server.post("chat.postMessage", {"channel": "@ann", "text": "status?"})
        room_id, room_type = await rooms.next()
        assert room_type == "d"
        [message] = await heard.next()
        assert (message["rid"], message["msg"]) == (room_id, "status?")
        await client.send_typing_event(room_id)
        await client.send_message("all green", room_id)
    messages = (await server.get("im.history", roomId=room_id))["messages"]
    assert [message["msg"] for message in messages] == ["all green", "status?"]


async def test_unsubscribe(server: Server) -> None:
    """After `unsubscribe` nothing more is heard."""
    heard = Heard()
    async with bot(server, "owner") as client:
        first = await client.subscribe_to_channel_messages_raw("GENERAL", heard)
        await client.unsubscribe(first)
        await client.send_message("unheard", "GENERAL")
        await client.subscribe_to_channel_messages_raw("GENERAL", heard)
        await client.send_message("heard", "GENERAL")
        assert (await heard.next())[0]["msg"] == "heard"


async def test_wrong_password(server: Server) -> None:
    """The client shows the server's reason."""
    client = RocketChat()
    with pytest.raises(RuntimeError, match="Unauthorized"):
        await client.start(f"{server.url.replace('http', 'ws')}/websocket", "owner", "wrong")
    client._ws_connection_task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await client._ws_connection_task
