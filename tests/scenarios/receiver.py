"""A receiver of outgoing hooks that keeps what it was sent byte for byte, and can come back on its port."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any  # what receivers get is parsed JSON

from aiohttp import web
from aiohttp.test_utils import TestServer

DEADLINE_S = 20.0


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that arrived."""

    path: str
    """Path and query, as they were sent."""
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


Answer = Callable[[Sent], web.Response]


@dataclass
class Receiver:
    """Answers each request with `answer`; `arrived` hands them out in order."""

    answer: Answer
    port: int = 0
    _queue: asyncio.Queue[Sent] = field(default_factory=asyncio.Queue)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/in"

    async def arrived(self) -> Sent:
        """Wait for the next request."""
        async with asyncio.timeout(DEADLINE_S):
            return await self._queue.get()

    async def take(self, request: web.Request) -> web.Response:
        sent = Sent(request.raw_path, dict(request.headers), await request.read())
        answer = self.answer(sent)
        self._queue.put_nowait(sent)
        return answer


def silent(_: Sent) -> web.Response:
    """Accept without a word."""
    return web.Response()


@asynccontextmanager
async def receiving(answer: Answer = silent, port: int = 0) -> AsyncIterator[Receiver]:
    """Run a receiver on a port, a free one unless told which."""
    receiver = Receiver(answer, port)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    async with TestServer(app, host="127.0.0.1", port=port or None) as server:
        assert server.port is not None
        receiver.port = server.port
        yield receiver
