"""Our own loader, a process of its own: where wrk is not installed, and for all that wrk cannot do.

It paces a load, knows each answer, signs requests and runs several loads. In body and address `@line` becomes
one of the load's lines after the other, `@n` the request's own number, `@hex` the same as 32 hex digits, `@room` that
number over so many rooms, `@t` the monotonic nanoseconds at which it was due.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any  # what is given is parsed JSON
from urllib.parse import urlsplit

from tests.bench.lines import p99
from tests.bench.load import Load, Signature

STRAGGLERS_S = 10.0
TICK_S = 0.005


@dataclass
class Tally:
    """What happened so far."""

    ok: list[str] = field(default_factory=list)
    """The numbers of the requests that were answered with 2xx."""
    refused: int = 0
    broken: int = 0
    latencies_ms: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One kept-alive connection, one request at a time."""

    def __init__(self, loader: "Loader") -> None:
        self._loader = loader
        self._buffer = b""
        self._number = ""
        self._since = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, since: int) -> None:
        self._since = since
        self._number, request = self._loader.request(since)
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self._buffer = b""
        number, self._number = self._number, ""
        self._loader.answered(self, number, head[9:10] == b"2", self._since)

    def connection_lost(self, error: Exception | None) -> None:
        if self._number:
            self._loader.tally.broken += 1


class Loader:
    """Sends as fast as answers come back, or at a rate."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self.tally = Tally()
        self.tells_each = load.each
        self._sent = 0
        self._rooms = max(load.rooms, 1)
        parts = urlsplit(load.url)
        self._target = f"{parts.path}?{parts.query}" if parts.query else parts.path
        named = {"Host": parts.netloc, "Content-Type": "application/json", **load.headers}
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in named.items())
        self._address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self._idle: deque[Connection] = deque()
        self._over = False

    def request(self, due: int) -> tuple[str, bytes]:
        self._sent += 1
        number = f"{self._load.prefix}{self._sent}"
        body = self._filled(self._load.body, number, due).encode()
        own = f"Idempotency-Key: {secrets.token_hex(16)}\r\n" if self._load.ids else ""
        if self._load.signature:
            own += _signed(self._load.signature, body)
        target = self._filled(self._target, number, due)
        head = f"{self._load.method} {target} HTTP/1.1\r\n{self._headers}{own}Content-Length: {len(body)}\r\n\r\n"
        return number, head.encode() + body

    def _filled(self, text: str, number: str, due: int) -> str:
        if "@" not in text:
            return text
        if self._load.lines:
            text = text.replace("@line", self._load.lines[(self._sent - 1) % len(self._load.lines)])
        text = text.replace("@hex", hashlib.md5(number.encode(), usedforsecurity=False).hexdigest())
        return text.replace("@n", number).replace("@room", str((self._sent - 1) % self._rooms)).replace("@t", str(due))

    def answered(self, connection: Connection, number: str, ok: bool, since: int) -> None:
        now = time.monotonic_ns()
        self.tally.latencies_ms.append((now - since) / 1e6)
        if ok:
            self.tally.ok.append(number)
        else:
            self.tally.refused += 1
        if self._load.rate or self._over:
            self._idle.append(connection)
        else:
            connection.send(now)

    async def run(self) -> float:
        """Run the load to its end; return the seconds it lasted."""
        await asyncio.sleep(self._load.after)
        loop = asyncio.get_running_loop()
        connections = []
        for _ in range(self._load.connections):
            _, connection = await loop.create_connection(lambda: Connection(self), *self._address)
            connections.append(connection)
        self._idle.extend(connections)
        began = time.monotonic_ns()
        if self._load.rate:
            await self._paced(began)
        else:
            while self._idle:
                self._idle.popleft().send(time.monotonic_ns())
            await asyncio.sleep(self._load.seconds)
        seconds = (time.monotonic_ns() - began) / 1e9
        self._over = True
        await self._all_answered()
        for connection in connections:
            connection.transport.abort()
        return seconds

    async def _paced(self, began: int) -> None:
        for number in range(round(self._load.rate * self._load.seconds)):
            due = began + round(number / self._load.rate * 1e9)
            if (wait := due - time.monotonic_ns()) > 0:
                await asyncio.sleep(wait / 1e9)
            while not self._idle:  # late requests count from when they were due
                await asyncio.sleep(0.001)
                if time.monotonic_ns() - due > STRAGGLERS_S * 1e9:
                    return
            self._idle.popleft().send(due)

    async def _all_answered(self) -> None:
        """Give the last requests a while to be answered: only then is it known what was acknowledged."""
        for _ in range(round(STRAGGLERS_S / TICK_S)):
            if len(self._idle) == self._load.connections:
                return
            await asyncio.sleep(TICK_S)


def _signed(signature: Signature, body: bytes) -> str:
    at = str(int(time.time()))
    digest = hmac.new(signature.secret.encode(), b"v0:%b:%b" % (at.encode(), body), hashlib.sha256).hexdigest()
    return f"{signature.timestamp_header}: {at}\r\n{signature.header}: v0={digest}\r\n"


def _load(values: dict[str, Any]) -> Load:
    signature = values.pop("signature")
    return Load(**values, signature=None if signature is None else Signature(**signature))


async def _run(loaders: Sequence[Loader]) -> list[float]:
    return await asyncio.gather(*(loader.run() for loader in loaders))


def main() -> None:
    """Run the loads given as JSON; print what came of each as a line of JSON."""
    loaders = [Loader(_load(values)) for values in json.loads(sys.argv[1])]
    for loader, seconds in zip(loaders, asyncio.run(_run(loaders)), strict=True):
        print(json.dumps(_shot(loader, seconds)))


def _shot(loader: Loader, seconds: float) -> dict[str, object]:
    tally = loader.tally
    return {
        "ok": len(tally.ok),
        "refused": tally.refused,
        "broken": tally.broken,
        "seconds": seconds,
        "p50_ms": sorted(tally.latencies_ms)[len(tally.latencies_ms) // 2] if tally.latencies_ms else 0.0,
        "p99_ms": p99(tally.latencies_ms),
        "numbers": tally.ok if loader.tells_each else [],
    }


if __name__ == "__main__":
    main()
