"""A receiver of outgoing hooks, lean enough not to limit who calls it: keeps stamps and bodies, parses them later.

`/control/report` returns what arrived and forgets it; `/control/tarpit` and `/control/answer` switch whether
calls to `/tarpit` are ever answered.
"""

import asyncio
import json
import time
from dataclasses import dataclass, field

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
NOTHING = ANSWER % (2, b"{}")
LENGTH = b"content-length:"


@dataclass
class Kept:
    """What arrived: path, monotonic nanoseconds, body."""

    calls: list[tuple[bytes, int, bytes]] = field(default_factory=list)
    tarpit: bool = False

    def control(self, order: bytes) -> bytes:
        if order == b"report":
            calls, self.calls = self.calls, []
            answer = json.dumps([(path.decode(), at, _text(body)) for path, at, body in calls]).encode()
            return ANSWER % (len(answer), answer)
        self.tarpit = order == b"tarpit"
        return NOTHING


class Connection(asyncio.Protocol):
    """One kept-alive connection; reads requests with a Content-Length, one after the other."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (head_end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:head_end]
            place = head.lower().find(LENGTH)
            length = int(head[place + len(LENGTH) :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            end = head_end + 4 + length
            if len(self._buffer) < end:
                return
            body, self._buffer = self._buffer[head_end + 4 : end], self._buffer[end:]
            self._take(head.split(b" ", 2)[1], body)

    def _take(self, path: bytes, body: bytes) -> None:
        if path.startswith(b"/control/"):
            self._transport.write(self._kept.control(path.removeprefix(b"/control/")))
            return
        self._kept.calls.append((path, time.monotonic_ns(), body))
        if not (self._kept.tarpit and path == b"/tarpit"):
            self._transport.write(NOTHING)


def _text(body: bytes) -> str:
    return str(json.loads(body).get("text", "")) if body else ""


async def main() -> None:
    """Listen on a free port until ended."""
    kept = Kept()
    server = await asyncio.get_running_loop().create_server(lambda: Connection(kept), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
