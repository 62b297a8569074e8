"""The answer that most posts to hooks get, its head in one piece: to put it together costs as much as to send it."""

from collections.abc import Mapping
from email.utils import formatdate
from functools import lru_cache

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from bot.web.answers import HEADERS, SUCCESS, success
from storage.clock import Clock

_LINES = "HTTP/1.1 200 OK\r\n" + "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())
_BEGIN = _LINES.encode("ascii")


class Ready:
    """Answers `{"success":true}` (`rocketchat.md` §5.1)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def success(self, request: web.BaseRequest, headers: Mapping[str, str]) -> web.StreamResponse:
        """Answer a request; `headers` are more of them, in our own words."""
        if not request.keep_alive or request.version != HttpVersion11:
            answer = success()
            answer.headers.update(headers)
            return answer
        more = "".join([f"{name}: {value}\r\n" for name, value in headers.items()]).encode("ascii") if headers else b""
        return _Written(_BEGIN + more + _end(self._clock.now() // 1000))


@lru_cache(maxsize=4)
def _end(second: int) -> bytes:
    date = formatdate(second, usegmt=True)
    head = f"Content-Length: {len(SUCCESS)}\r\nDate: {date}\r\n\r\n"
    return head.encode("ascii") + SUCCESS


class _Written(web.StreamResponse):
    """An answer that is written as it is, on a connection that stays open."""

    def __init__(self, data: bytes) -> None:
        super().__init__()
        self._data = data

    @property
    def keep_alive(self) -> bool:
        return True

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        await request.writer.write(self._data)
        await request.writer.drain()  # who sends without reading has to wait
        return request.writer

    async def write_eof(self, data: bytes = b"") -> None:
        """All of it is written."""
