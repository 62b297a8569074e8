"""Requests as bytes on a connection of their own, so that they may be as wrong as a test likes."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any  # answers are parsed JSON
from urllib.parse import urlsplit

WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """The first answer on a connection; status 0 when the server hung up without one."""

    status: int
    body: bytes
    rest: bytes = b""
    """What came after it."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def request(
    path: str, headers: Sequence[str], body: bytes = b"", *, method: str = "POST", chunked: bool = False
) -> bytes:
    """Write out a request that ends its connection."""
    if chunked:
        pieces = [body[start : start + 4096] for start in range(0, len(body), 4096)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
        framing = "Transfer-Encoding: chunked"
    else:
        framing = f"Content-Length: {len(body)}"
    return raw(path, ["Connection: close", *headers, framing], body, method=method)


def raw(path: str, headers: Sequence[str], body: bytes = b"", *, method: str = "POST") -> bytes:
    """Write out a request with exactly these headers."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode("latin-1") + body


async def exchange(url: str, *parts: bytes, pause_s: float = 0.0) -> Answer:
    """Send the parts, one after the other, and read until the server closes."""
    address = urlsplit(url)
    async with asyncio.timeout(WAIT_S):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            with suppress(ConnectionError):  # it may have answered and closed before everything was sent
                for part in parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(pause_s)
            return parse(await _all_of(reader))
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


async def _all_of(reader: asyncio.StreamReader) -> bytes:
    got = b""
    with suppress(ConnectionError):  # a reset after the answer: we had more to say
        while piece := await reader.read(65536):
            got += piece
    return got


def parse(got: bytes) -> Answer:
    """Take the first answer apart; every answer of the server carries its length."""
    head, _, rest = got.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, b"")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    length = int(fields.get(b"content-length", b"0"))
    return Answer(int(head.split()[1]), rest[:length], rest[length:])
