"""Most posts to hooks take a short way past router and answer builder; nobody can tell it from the long one."""

import asyncio
import json
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_urldispatcher import MatchInfoError, UrlDispatcher, UrlMappingMatchInfo

from bot.web.ready import Ready
from handlers.rocketchat.views import JsonObject
from storage.clock import SystemClock
from tests.server import Server, serving

BODY = b'{"text":"by the short way"}'
HEAD = "Host: x\r\nContent-Type: application/json\r\n"


async def ask(server: Server, line: str, headers: str = HEAD, body: bytes = BODY) -> tuple[str, dict[str, str], bytes]:
    """Send one request on a connection of its own; returns the answer's first line, headers and body."""
    host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
    reader, writer = await asyncio.open_connection(host, port)
    try:
        async with asyncio.timeout(10):
            writer.write(f"{line}\r\n{headers}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            if head.startswith("HTTP/1.1 100"):
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.rstrip().split("\r\n")
            found = dict(line.split(": ", 1) for line in lines)
            return first, found, await reader.readexactly(int(found["Content-Length"]))
    finally:
        writer.close()


def path_of(server: Server) -> str:
    return urlsplit(server.hook).path


def without_the_router(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every address be unknown to the router."""

    async def unknown(*_: object) -> UrlMappingMatchInfo:
        return MatchInfoError(web.HTTPNotFound())

    monkeypatch.setattr(UrlDispatcher, "resolve", unknown)


async def posted(server: Server) -> list[JsonObject]:
    messages: list[JsonObject] = (await server.get("channels.history", roomId="GENERAL"))["messages"]
    return [message for message in messages if message["msg"] == "by the short way"]


async def test_a_usual_post_is_not_routed(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the router does not know is served all the same, and only that."""
    with monkeypatch.context() as patched:
        without_the_router(server, patched)
        short = await ask(server, f"POST {path_of(server)} HTTP/1.1")
        long = await ask(server, f"POST {path_of(server)}?from=ci HTTP/1.1")
    assert (short[0], long[0]) == ("HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found")
    assert len(await posted(server)) == 1


@pytest.mark.parametrize("limit", [0, 5])
async def test_both_ways_answer_alike(tmp_path: Path, limit: int) -> None:
    """Line, headers and their order, body: only what a closed connection says differs, and the limit's count."""
    async with serving(tmp_path / "data", hook_rate_per_minute=limit) as server:
        short = await ask(server, f"POST {path_of(server)} HTTP/1.1")
        long = await ask(server, f"POST {path_of(server)} HTTP/1.1", HEAD + "Connection: close\r\n")
        assert len(await posted(server)) == 2
    assert (short[0], short[2]) == (long[0], long[2]) == ("HTTP/1.1 200 OK", b'{"success":true}')
    counting = {"Date", "X-RateLimit-Remaining", "X-RateLimit-Reset"} if limit else {"Date"}
    assert long[1].pop("Connection") == "close"
    same = [
        [(name, value) for name, value in headers.items() if name not in counting] for _, headers, _ in (short, long)
    ]
    assert same[0] == same[1]
    assert counting < set(short[1])
    assert set(short[1]) == set(long[1])


@pytest.mark.parametrize(
    ("line", "headers"),
    [
        ("POST {0} HTTP/1.0", HEAD),
        ("POST {0} HTTP/1.0", HEAD + "Connection: keep-alive\r\n"),
        ("POST {0}?from=ci HTTP/1.1", HEAD),
        ("POST http://x{0} HTTP/1.1", HEAD),
        ("POST {1} HTTP/1.1", HEAD),
        ("POST {0} HTTP/1.1", HEAD + "Expect: 100-continue\r\n"),
        ("POST {0} HTTP/1.1", HEAD + "Connection: close\r\n"),
    ],
    ids=["old", "old and kept", "query", "whole address", "percent", "expect", "close"],
)
async def test_what_the_short_way_does_not_take_arrives_all_the_same(server: Server, line: str, headers: str) -> None:
    """Every other spelling of the same request goes through the router, and posts."""
    path = path_of(server)
    spelled = path.replace(path[-1], f"%{ord(path[-1]):02x}")
    first, found, body = await ask(server, line.format(path, spelled), headers)
    assert first.split(" ", 1)[1] == "200 OK"
    assert json.loads(body) == {"success": True}
    assert found["Content-Type"] == "application/json"
    assert len(await posted(server)) == 1


async def test_requests_sent_ahead_are_answered_in_turn(server: Server) -> None:
    """Several requests on one connection before any answer get as many answers."""
    host, port = urlsplit(server.url).hostname, urlsplit(server.url).port
    request = f"POST {path_of(server)} HTTP/1.1\r\n{HEAD}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request * 3)
        async with asyncio.timeout(10):
            for _ in range(3):
                assert (await reader.readuntil(b'{"success":true}')).startswith(b"HTTP/1.1 200 OK\r\n")
    finally:
        writer.close()
    assert len(await posted(server)) == 3


async def test_who_does_not_read_is_not_read_from() -> None:
    """While a connection takes no more answers, the next request on it waits: nothing piles up for it."""
    ready, begun, paused = Ready(SystemClock()), list[str](), asyncio.Event()

    async def take(request: web.Request) -> web.StreamResponse:
        begun.append(request.path)
        if request.path == "/first":
            request.protocol.pause_writing()  # what the transport does when its buffer is full
            protocols.append(request.protocol)
            paused.set()
        return ready.success(request, {})

    protocols: list[RequestHandler] = []
    app = web.Application()
    app.router.add_get("/{name}", take)
    async with TestServer(app, host="127.0.0.1") as running, asyncio.timeout(10):
        reader, writer = await asyncio.open_connection(running.host, running.port)
        writer.write(b"".join(b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % name for name in (b"first", b"second")))
        await paused.wait()
        assert await reader.readuntil(b'{"success":true}')
        assert begun == ["/first"]
        protocols[0].resume_writing()
        assert await reader.readuntil(b'{"success":true}')
        assert begun == ["/first", "/second"]
        writer.close()
