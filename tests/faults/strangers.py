"""Strangers of every kind at once, in a process of their own: `python -m tests.faults.strangers URL SECONDS`.

None of them has a login or knows a hook. Each repeats one thing until the time is over; the server may cut any of them
off, and they come again.
"""

import asyncio
import gzip
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import urlsplit

import aiohttp

Stranger = Callable[[str, int], Awaitable[None]]
"""Does its thing once; takes host and port."""

UPGRADE = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
NUMBERS = b"[" + b"1," * 500_000 + b"1]"
PAUSE_S = 0.02
"""Between two rounds of one: what is measured is what they cost the server, not what they cost this machine."""
HOLD_S = 3.0


def _request(path: str, body: bytes, *headers: str, length: int | None = None) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", *headers, f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


JSON = "Content-Type: application/json"
FORM = "Content-Type: application/x-www-form-urlencoded"
SENT = {
    "zeros": bytes(256 << 10),
    "zeros behind an upgrade": UPGRADE + bytes(1 << 20),
    "no end of a head": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 50_000,
    "whole and broken": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n" * 20 + b"\x00" * 1000,
    "packed for no hook": _request("/hooks/x/y", gzip.compress(NUMBERS), JSON, "Content-Encoding: gzip"),
    "brackets for no hook": _request("/hooks/x/y", b"[" + b"[]," * 49_999 + b"[]]", JSON),
    "form for no hook": _request("/hooks/x/y", b"a=%41%42" * 100_000, FORM),
    "unsigned press": _request("/interactions/slack", b"payload=%5B" + b"%5B%5D%2C" * 25_000, FORM),
    "unsigned line": _request("/commands/mattermost", b"[" + b"[]," * 80_000 + b"[]]", JSON),
    "figures": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 30,
    "login": _request("/api/v1/login", b'{"user":"owner","password":[' + b"1," * 100_000 + b"1]}", JSON),
}
"""What is sent whole, on a connection of its own, by somebody who reads the answer."""
HELD = {
    "half a head": b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
    "half a body": _request("/api/v1/login", b"{", JSON, length=1_000_000),
    "no body": _request("/commands/slack", b"", FORM, length=100),
    "nobody reads": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 500,
}
"""What is sent on a connection that is then held, a byte now and then, nothing read."""
FRAMES = {
    "pong": '{"msg":"pong"}',
    "ping": '{"msg":"ping"}',
    "empty": "",
    "broken": "{",
    "numbers": json.dumps([1] * 20_000),
}


def sending(sent: bytes) -> Stranger:
    """Send something whole, read what comes back, hang up."""

    async def once(host: str, port: int) -> None:
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(sent)
            async with asyncio.timeout(HOLD_S):
                while await reader.read(1 << 16):
                    if sent.startswith(b"POST"):
                        break
        finally:
            writer.transport.abort()

    return once


def holding(sent: bytes) -> Stranger:
    """Send something, and hold the connection."""

    async def once(host: str, port: int) -> None:
        _, writer = await asyncio.open_connection(host, port, limit=1)
        try:
            writer.write(sent)
            for _ in range(10):
                await asyncio.sleep(HOLD_S / 10)
                writer.write(b"x")
        finally:
            writer.transport.abort()

    return once


def flooding(text: str | None) -> Stranger:
    """Send frames, or with None pings of the protocol, until the server ends it."""

    async def once(host: str, port: int) -> None:
        async with aiohttp.ClientSession() as http:
            ws = await http.ws_connect(f"http://{host}:{port}/websocket", autoclose=False)
            assert ws._response.connection is not None
            transport = ws._response.connection.transport
            assert isinstance(transport, asyncio.Transport)
            try:
                while not transport.is_closing():
                    for _ in range(50):
                        await (ws.ping(b"x") if text is None else ws.send_str(text))
                    await asyncio.sleep(0.001)  # the other strangers are in this process, too
            finally:
                transport.abort()

    return once


STRANGERS: dict[str, tuple[int, Stranger]] = {
    **{name: (2, sending(sent)) for name, sent in SENT.items()},
    **{name: (60, holding(sent)) for name, sent in HELD.items()},
    **{f"frames: {name}": (1, flooding(text)) for name, text in FRAMES.items()},
    "frames: websocket pings": (1, flooding(None)),
}


async def soak(url: str, seconds: float) -> dict[str, int]:
    """Let all of them loose; return how often each has done its thing."""
    address, loop = urlsplit(url), asyncio.get_running_loop()
    assert address.hostname is not None
    assert address.port is not None
    host, port, until = address.hostname, address.port, loop.time() + seconds
    done = dict.fromkeys(STRANGERS, 0)

    async def repeat(name: str, stranger: Stranger) -> None:
        while loop.time() < until:
            with suppress(OSError, TimeoutError, aiohttp.ClientError):
                async with asyncio.timeout(max(until - loop.time(), 0.01)):
                    await stranger(host, port)
            done[name] += 1
            await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(repeat(name, one) for name, (count, one) in STRANGERS.items() for _ in range(count)))
    return done


if __name__ == "__main__":
    print(json.dumps(asyncio.run(soak(sys.argv[1], float(sys.argv[2])))))
