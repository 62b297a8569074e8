"""An answer nobody reads is dropped, whatever door it comes from; who reads slowly gets all of it."""

import asyncio
import select
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from bot.serve import running
from bot.settings import Settings
from bot.web.connections import Connections
from tests.server import PASSWORD, Server

SOON_S = 0.3
NEVER_S = 3600.0
TEXT = "x" * 900_000
LARGE = 4 * len(TEXT)
"""Bytes of each answer here, at least: more than the system takes for somebody who reads nothing."""


@asynccontextmanager
async def serving(folder: Path, connections: Connections) -> AsyncIterator[Server]:
    """Run a server with limits of the test's own for connections, and a file and messages to be read."""
    settings = Settings(
        host="127.0.0.1",
        port=0,
        data=folder,
        owner_password=PASSWORD,
        api_rate_per_minute=0,
        hook_rate_per_minute=0,
        message_max_chars=len(TEXT),
    )
    async with running(settings, connections=connections) as started, aiohttp.ClientSession() as http:
        server = Server(started, http)
        server.owner = await server.login("owner")
        yield server


async def request_to(server: Server, door: str) -> bytes:
    """Return a request whose answer is large."""
    login = "".join(f"{name}: {value}\r\n" for name, value in server.owner.items())
    if door == "file":
        form = aiohttp.FormData()
        form.add_field("file", BytesIO(b"x" * LARGE), filename="large.bin")
        async with server.http.post(
            f"{server.url}/api/v1/rooms.media/GENERAL", data=form, headers=server.owner
        ) as response:
            path = urlsplit((await response.json())["file"]["url"]).path
    else:
        for _ in range(4):
            await server.post("chat.postMessage", {"roomId": "GENERAL", "text": TEXT})
        path = "/api/v1/channels.history?roomId=GENERAL"
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n{login}\r\n".encode()


def connected(server: Server, takes: int = 4096) -> socket.socket:
    """Return a connection that takes little before it is read from."""
    address = urlsplit(server.url)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, takes)
    made.connect((address.hostname, address.port))
    return made


async def cut_off(connection: socket.socket, seconds: float = 10) -> bool:
    """Wait until the server gives a connection up; nothing is read for it."""
    poll = select.poll()
    poll.register(connection, 0)
    return bool(await asyncio.to_thread(poll.poll, seconds * 1000))


async def read_all(connection: socket.socket, wanted: int, *, pause_s: float = 0.0) -> int:
    """Read at most so much; return how much there was."""
    loop, got = asyncio.get_running_loop(), 0
    connection.setblocking(False)
    while got < wanted and (part := await loop.sock_recv(connection, 256 << 10)):
        got += len(part)
        await asyncio.sleep(pause_s)
    return got


@pytest.mark.parametrize("door", ["rest", "file"])
async def test_who_reads_nothing_is_cut_off_and_who_reads_slowly_is_not(tmp_path: Path, door: str) -> None:
    """The time counts from the last bytes taken: an answer may take many times as long."""
    async with serving(tmp_path / "data", Connections(9, unread_s=SOON_S)) as server:
        request = await request_to(server, door)
        silent, slow = connected(server), connected(server, 64 << 10)
        silent.sendall(request)
        slow.sendall(request)
        began = asyncio.get_running_loop().time()
        got, ended = await asyncio.gather(read_all(slow, LARGE, pause_s=0.03), cut_off(silent))
        assert ended
        assert got >= LARGE
        assert asyncio.get_running_loop().time() - began > 2 * SOON_S
        silent.close()
        slow.close()


async def silent_socket(server: Server, stack: AsyncExitStack) -> socket.socket:
    """Return a realtime connection that hears the room and has stopped reading."""
    ws = await stack.enter_async_context(server.http.ws_connect(f"{server.url}/websocket", max_msg_size=0))
    await ws.send_json({"msg": "connect", "version": "1", "support": ["1"]})
    token = server.owner["X-Auth-Token"]
    await ws.send_json({"msg": "method", "id": "1", "method": "login", "params": [{"resume": token}]})
    await ws.send_json({"msg": "sub", "id": "2", "name": "stream-room-messages", "params": ["GENERAL", False]})
    while '"ready"' not in await ws.receive_str(timeout=10):
        pass
    assert ws._response.connection is not None  # aiohttp hides how to stop reading
    transport = ws._response.connection.transport
    assert isinstance(transport, asyncio.Transport)
    transport.pause_reading()
    stack.callback(transport.abort)
    found: socket.socket = transport.get_extra_info("socket")._sock
    return found


async def test_a_socket_nobody_reads_is_cut_off(tmp_path: Path) -> None:
    """Events for a realtime client that has stopped reading do not wait for ever, before its queue is full, too."""
    async with serving(tmp_path / "data", Connections(9, unread_s=SOON_S)) as server, AsyncExitStack() as stack:
        silent = await silent_socket(server, stack)
        for _ in range(5):
            await server.post("chat.postMessage", {"roomId": "GENERAL", "text": TEXT})
        assert await cut_off(silent)


async def test_answers_that_wait_have_a_bound_together(tmp_path: Path) -> None:
    """Beyond it the one that has waited longest is dropped, long before its time is over."""
    connections = Connections(9, unread_s=NEVER_S, most_unread=2 * len(TEXT))
    async with serving(tmp_path / "data", connections) as server, AsyncExitStack() as stack:
        silent = [await silent_socket(server, stack) for _ in range(4)]
        for _ in range(5):
            await server.post("chat.postMessage", {"roomId": "GENERAL", "text": TEXT})
        dropped = [await cut_off(one, 1) for one in silent]
        assert 0 < sum(dropped) < len(dropped)


async def test_nothing_is_answered_ahead_to_who_does_not_read(tmp_path: Path) -> None:
    """Of many requests at once the next is handled when the last answer is taken: one answer waits in memory."""
    connections = Connections(9, unread_s=NEVER_S, most_unread=2 * LARGE)
    async with serving(tmp_path / "data", connections) as server:
        request = await request_to(server, "rest")
        one = connected(server)
        one.sendall(request * 20)
        assert not await cut_off(one, 1)
        assert await read_all(one, 20 * LARGE) >= 20 * LARGE
        one.close()
