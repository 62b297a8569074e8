"""Large bodies are worked on a few at a time: many at once would fill memory and keep everybody else waiting."""

import asyncio
from collections import deque
from typing import Final

from aiohttp import web

from storage.errors import Overloaded

LARGE: Final = 64 * 1024
"""Bodies up to this size are not counted: a connection's buffer holds as much anyway."""
IN_WORK_BYTES: Final = 1 << 20
"""Bodies in work at once: parsed, stored and sent to the writer each takes eight times its size, and milliseconds of
the loop. A single one always finds room."""
WAITING_BYTES: Final = 64 << 20
"""What may wait for its turn; whoever comes then is refused."""
LONGEST_WAIT_S: Final = 20.0


class LargeBodies:
    """Counts the bytes of large bodies from before they are unpacked until their request is answered."""

    def __init__(self) -> None:
        self._sizes: dict[int, int] = {}
        """Of those in work, by the id() of their request, which lives as long."""
        self._in_work = 0
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._waiting_bytes = 0

    async def enter(self, request: web.BaseRequest, size: int, *, held: int) -> None:
        """Wait until a body of a size has its turn, which it keeps until its request leaves; `held` is what it takes
        meanwhile. Raises Overloaded when too much waits, or it has waited for too long.
        """
        if self._waiting or not self._fits(size):
            await self._wait(size, held)
        else:
            self._in_work += size
        self._sizes[id(request)] = size

    def shrink(self, request: web.BaseRequest, size: int) -> None:
        """Say that a body is smaller than was to be feared."""
        self._in_work -= self._sizes[id(request)] - size
        self._sizes[id(request)] = size
        self._let_in()

    def leave(self, request: web.BaseRequest) -> None:
        """Take the end of a request."""
        if self._sizes and (size := self._sizes.pop(id(request), None)) is not None:
            self._in_work -= size
            self._let_in()

    def _fits(self, size: int) -> bool:
        return not self._in_work or self._in_work + size <= IN_WORK_BYTES

    async def _wait(self, size: int, held: int) -> None:
        if self._waiting_bytes + held > WAITING_BYTES:
            raise Overloaded
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, size))
        self._waiting_bytes += held
        try:
            async with asyncio.timeout(LONGEST_WAIT_S):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():  # it came too late
                self._in_work -= size
            turn.cancel()
            self._let_in()
            if isinstance(error, TimeoutError):
                raise Overloaded from error
            raise
        finally:
            self._waiting_bytes -= held

    def _let_in(self) -> None:
        while self._waiting:
            turn, size = self._waiting[0]
            if not turn.done() and not self._fits(size):
                return
            self._waiting.popleft()
            if not turn.done():
                self._in_work += size
                turn.set_result(None)


OF_SERVER: Final = web.RequestKey("large_bodies", LargeBodies)
"""Where each request finds those of its server."""
