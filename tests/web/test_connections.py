"""Connections that only wait are cut off, busy ones are not, and there are never too many (security.md §4)."""

import asyncio
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSMsgType

from bot.serve import Running, running
from bot.settings import Settings
from bot.web.connections import MOST, RESERVED, Connections, allow_connections
from bot.web.fairness import LEAST_SHARE
from tests.server import PASSWORD

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
SOON_S = 0.2
NEVER_S = 3600.0


@dataclass
class Line:
    """One raw connection to the server."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, sent: bytes = HEALTH) -> bytes:
        """Send something and return the first line of the answer; nothing when the connection ends instead."""
        self.writer.write(sent)
        try:
            async with asyncio.timeout(10):
                line = await self.reader.readline()
                if line:
                    await self.reader.readuntil(b"}")  # every answer here is one flat object
                return line.split(b" ")[1] if line else b""
        except ConnectionError:
            return b""

    async def ended(self) -> bool:
        """Wait until the server ends it."""
        return await self.ask(b"") == b""


@dataclass
class Place:
    """A running server that raw connections are made to."""

    server: Running
    stack: AsyncExitStack

    async def line(self, source: str = "127.0.0.1") -> Line:
        host, port = self.server.url.removeprefix("http://").split(":")
        line = Line(*await asyncio.open_connection(host, int(port), local_addr=(source, 0)))
        self.stack.callback(line.writer.close)
        return line

    @property
    def hook(self) -> str:
        first = self.server.first_start
        assert first is not None
        return f"/hooks/{first.hook_id}/{first.hook_token}"


@asynccontextmanager
async def place(folder: Path, connections: Connections, *, finish_s: float = 5.0) -> AsyncIterator[Place]:
    settings = Settings(host="127.0.0.1", port=0, data=folder, owner_password=PASSWORD)
    async with AsyncExitStack() as lines, running(settings, connections=connections, finish_s=finish_s) as server:
        yield Place(server, lines)


@pytest.mark.parametrize("before", [b"", HEALTH], ids=["first", "kept alive"])
@pytest.mark.parametrize("sent", [b"G", b"GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: 1\r\n"], ids=["byte", "no end"])
async def test_a_head_that_does_not_end_is_cut_off(tmp_path: Path, before: bytes, sent: bytes) -> None:
    """The time counts for every head, also for those after the first on a connection."""
    async with place(tmp_path / "data", Connections(9, head_s=SOON_S)) as here:
        line = await here.line()
        if before:
            assert await line.ask(before) == b"200"
        line.writer.write(sent)
        assert await line.ended()


async def test_who_only_connects_is_cut_off_and_nobody_else(tmp_path: Path) -> None:
    """A kept-alive connection, a body still on its way and a socket outlive the time for a head."""
    async with (
        place(tmp_path / "data", Connections(9, head_s=SOON_S)) as here,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{here.server.url}/websocket") as socket,
    ):
        idle, slow = await here.line(), await here.line()
        assert await idle.ask() == b"200"
        body = b'{"text":"slowly"}'
        head = f"POST {here.hook} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        slow.writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:4])
        for _ in range(2):  # the second one came after the others had begun to wait
            assert await (await here.line()).ended()
        assert await idle.ask() == b"200"
        assert await slow.ask(body[4:]) == b"200"
        await socket.send_json({"msg": "connect", "version": "1", "support": ["1"]})
        assert (await socket.receive(timeout=10)).type is WSMsgType.TEXT


async def test_there_are_never_too_many(tmp_path: Path) -> None:
    """When all are taken whoever is silent longest makes room, whether a head is owed or none."""
    async with place(tmp_path / "data", Connections(2, head_s=NEVER_S)) as here:
        first, second = await here.line(), await here.line()
        third = await here.line()
        assert await third.ask() == b"200"
        assert await first.ended()
        assert await second.ask() == b"200"
        fourth = await here.line()
        assert await fourth.ask() == b"200"
        assert await third.ended()
        assert await second.ask() == b"200"


async def test_who_is_served_is_not_cut_off(tmp_path: Path) -> None:
    """When all are being served the new one is turned away; as soon as one has its answer there is room."""
    async with (
        place(tmp_path / "data", Connections(2, head_s=NEVER_S)) as here,
        aiohttp.ClientSession() as http,
        http.ws_connect(f"{here.server.url}/websocket") as one,
        http.ws_connect(f"{here.server.url}/websocket") as other,
    ):
        assert await (await here.line()).ask() == b""
        await one.close()
        assert await (await here.line()).ask() == b"200"
        await other.send_json({"msg": "connect", "version": "1", "support": ["1"]})
        assert (await other.receive(timeout=10)).type is WSMsgType.TEXT


async def test_bodies_that_do_not_move_shut_nobody_out(tmp_path: Path) -> None:
    """Connections whose body never comes make room for newcomers; one whose body moves is served to its end."""
    async with place(tmp_path / "data", Connections(5, head_s=NEVER_S)) as here:
        body = b'{"text":"slowly"}'
        head = f"POST {here.hook} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        moving = await here.line()
        moving.writer.write(head)
        silent = [await here.line() for _ in range(4)]
        for line in silent:
            line.writer.write(head)
        for number in range(12):
            moving.writer.write(body[number : number + 1])
            await asyncio.sleep(0.02)
            assert await (await here.line()).ask() == b"200"
        assert await moving.ask(body[12:]) == b"200"
        assert [await line.ended() for line in silent] == [True] * 4


@pytest.mark.parametrize("proxied", [False, True], ids=["clients", "a proxy's"])
async def test_the_address_that_holds_most_makes_room(tmp_path: Path, proxied: bool) -> None:
    """Whoever is silent longest is spared while another address holds more than its share; a proxy's has none."""
    proxies = (ip_network("127.0.0.1/32"),) if proxied else ()
    most = LEAST_SHARE + 4
    async with place(tmp_path / "data", Connections(most, head_s=NEVER_S, proxies=proxies)) as here:
        few = [await here.line("127.0.0.2") for _ in range(2)]
        many = [await here.line() for _ in range(most - 2)]
        assert await (await here.line("127.0.0.3")).ask() == b"200"
        gone, spared = (few, many) if proxied else (many, few)
        assert await gone[0].ended()
        assert await spared[0].ask() == b"200"


async def test_what_is_sent_has_a_bound_together(tmp_path: Path) -> None:
    """Beyond it, of those who have sent much of a request, one that does not go on makes room for one that does."""
    connections = Connections(99, head_s=NEVER_S, most_received=1 << 20, largest_body=256 << 10)
    async with place(tmp_path / "data", connections) as here:
        size = 250_000
        head = f"POST {here.hook} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()
        body = b'{"text":"x","a":"' + b"x" * (size - 19) + b'"}'
        small = await here.line()
        small.writer.write(head + body[:1000])
        silent = [await here.line() for _ in range(4)]
        for line in silent:
            line.writer.write(head + body[:-1])
            await line.writer.drain()
        other = await here.line()
        for _ in range(20):  # the server reads the rest of it meanwhile
            assert await other.ask() == b"200"
        whole = await here.line()
        assert await whole.ask(head + body) == b"200"
        assert await silent[0].ended()
        assert await small.ask(body[1000:]) == b"200"


def test_the_cap_leaves_descriptors_for_everything_else() -> None:
    """As many as the process may open, but for outgoing calls and files."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        most = allow_connections(256)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert 1 <= most <= MOST
        assert soft == resource.RLIM_INFINITY or most + 256 + RESERVED <= max(soft, 256 + RESERVED + 1)
        assert soft == resource.RLIM_INFINITY or soft >= before[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_stop_closes_sockets_before_it_waits(tmp_path: Path) -> None:
    """An idle socket is told to go at once; the time for requests is not spent on it."""
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession() as http:
        async with place(tmp_path / "data", Connections(9), finish_s=NEVER_S) as here:
            socket = await http.ws_connect(f"{here.server.url}/websocket")
            goodbye = asyncio.create_task(socket.receive(timeout=10))
            began = loop.time()
        assert loop.time() - began < 5
        assert (await goodbye).type is WSMsgType.CLOSE
        assert socket.close_code == 1001


async def test_a_stop_gives_up_what_is_under_way(tmp_path: Path) -> None:
    """Half a body that says it wants an upgrade is waited for as long as any other request."""
    loop = asyncio.get_running_loop()
    async with place(tmp_path / "data", Connections(9), finish_s=SOON_S) as here:
        line = await here.line()
        line.writer.write(
            f"POST {here.hook} HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nContent-Length: 9\r\n\r\n12".encode()
        )
        assert await (await here.line()).ask() == b"200"
        began = loop.time()
    assert SOON_S <= loop.time() - began < 5
