"""What counts as HTTP here, and what is answered to what does not: nothing of it stays in memory or in the log.

aiohttp quotes what it could not read, escaped and with a pointer below, in a fault whose traceback holds the rest: a
mebibyte of zeros becomes ten. It drops whole requests that came in one segment with a broken one, and bounds each line
of a head but not all of them together.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final  # any: aiohttp's own options

from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.http import HttpRequestParser, RawRequestMessage
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import MAX_MSG_QUEUE_SIZE, _ErrInfo

from bot.web.answers import failure
from bot.web.bodies import RUNNER_OPTIONS

READ_BYTES: Final = 16 << 10
"""What is read from a connection at a time. What hostile input costs the loop grows with its length: less of it, more
often, lets others in between, and little is quoted when it is broken. A body of a mebibyte takes 64 turns."""
MOST_HEAD_BYTES: Final = 32 << 10
"""A request's line and headers together; proxies in front send on no more (nginx: four times 8 KiB)."""
KEEP_ALIVE_S: Final = 75.0
"""Seconds a connection is kept between requests; a proxy in front lets go first, so that no request meets a close."""

MALFORMED: Final = "The request is not well-formed HTTP."
TOO_LONG: Final = f"The head is too long: a line may have 8,190 bytes, all of them together {MOST_HEAD_BYTES:,}."
OLD_CHUNKS: Final = "HTTP/1.0 knows no chunks; send the request as HTTP/1.1, or with a Content-Length."

_HEAD_END: Final = b"\r\n\r\n"

Found = tuple[RawRequestMessage | _ErrInfo, StreamReader]


class Broken(Exception):
    """A request that is no HTTP of ours; says why and quotes nothing."""

    def __init__(self, why: str, text: str = MALFORMED, status: int = 400) -> None:
        super().__init__(why)
        self.why = why
        self.text = text
        self.status = status


class Parser(HttpRequestParser):
    """aiohttp's parser, each fault an answer in its turn; the rest of the connection is not looked at after one."""

    def __init__(self, protocol: "Http", **options: Any) -> None:
        super().__init__(protocol, **options)
        self._head = 0
        """Bytes of a head that has no end yet."""
        self._last = b""
        """The last of them, where its end may have begun."""
        self._body: StreamReader = EMPTY_PAYLOAD
        """That of the last request found."""
        self.spoilt = False

    def feed_data(  # type: ignore[override] # the one in C, which is used, takes no more, and faults are found, too
        self, data: bytes
    ) -> tuple[Sequence[Found], bool, bytes]:
        """Return the requests found, whether the connection changes to another protocol, and what stands behind."""
        found: list[Found] = []
        if self.spoilt:
            return found, False, b""
        start = 0
        try:
            for end in _head_ends(self._last, data):
                was_whole = self._body.is_eof()
                messages, upgraded, tail = super().feed_data(data[start:end])
                if messages:
                    self._take(messages, found)
                elif was_whole:
                    self._head += end - start
                    self._last = data[-len(_HEAD_END) + 1 :]
                    if self._head > MOST_HEAD_BYTES:
                        raise Broken("HeadTooLong", TOO_LONG, 431)
                start = end
                if upgraded:
                    return found, True, tail + data[end:]
        except LineTooLong:
            self._spoil(Broken("LineTooLong", TOO_LONG, 431), found)
        except HttpProcessingError as error:
            self._spoil(Broken(type(error).__name__), found)
        except Broken as error:
            self._spoil(error.with_traceback(None), found)
        return found, False, b""

    def _take(self, messages: Sequence[tuple[RawRequestMessage, StreamReader]], found: list[Found]) -> None:
        for message, body in messages:
            if message.chunked and message.version < HttpVersion11:  # a proxy in front may see another end of it
                raise Broken("OldChunks", OLD_CHUNKS)
            found.append((message, body))
            self._body = body
        self._head, self._last = 0, b""

    def _spoil(self, fault: Broken, found: list[Found]) -> None:
        """End it: whoever reads a body is told that it is broken, else the fault is answered after what is whole."""
        self.spoilt = True
        if self._body.is_eof():
            found.append((_ErrInfo(fault.status, fault, fault.text), EMPTY_PAYLOAD))
        else:
            self.break_off(fault.why)

    def break_off(self, why: str) -> None:
        """Tell whoever reads the last request's body that there will be no more of it."""
        if not self._body.is_eof():
            self._body.set_exception(web.RequestPayloadError(why))
            self._body.feed_eof()


def _head_ends(before: bytes, data: bytes) -> Iterator[int]:
    """Yield where to cut: behind each head, so that those before a broken one are found; at last the whole length.

    `before` are the bytes before these, where an end may have begun. Bounded, since a body may hold ever so many ends
    of heads; aiohttp holds no more requests ahead.
    """
    whole, end = before + data, 0
    for _ in range(MAX_MSG_QUEUE_SIZE):
        end = whole.find(_HEAD_END, end) + len(_HEAD_END)
        if end < len(_HEAD_END) or end >= len(whole):
            break
        yield end - len(before)
    yield len(data)


class Http(web.RequestHandler):
    """aiohttp's side of one connection, with our parser; tells `malformed` why a request was none."""

    __slots__ = ("_malformed",)

    def __init__(
        self,
        server: web.Server,
        *,
        loop: asyncio.AbstractEventLoop,
        malformed: Callable[[str], None],
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            keepalive_timeout=KEEP_ALIVE_S,
            read_bufsize=READ_BYTES,
            **RUNNER_OPTIONS,
        )
        self._malformed = malformed
        self._parser = Parser(
            self,
            loop=loop,
            limit=READ_BYTES,
            payload_exception=web.RequestPayloadError,
            max_msg_queue_size=MAX_MSG_QUEUE_SIZE,
            **RUNNER_OPTIONS,
        )

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of a body at once; aiohttp would wait 10 s for the rest of one that was answered before its end."""
        parser = self._parser
        super().connection_lost(exc)
        if isinstance(parser, Parser):
            parser.break_off("connection lost")
        self._message_tail = b""

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a fault of ours; that a body breaks while it is thrown away is none."""
        if not isinstance(kw.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*args, **kw)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no request in our words, where aiohttp would quote it."""
        if not isinstance(exc, Broken):
            return super().handle_error(request, status, exc, message)
        self._malformed(exc.why)
        response = failure(exc.text, exc.status)
        response.force_close()
        return response


class _Request(web.Request):
    """A request whose answer does not tell what software it comes from."""

    async def _prepare_hook(self, resp: web.StreamResponse) -> None:
        resp.headers.popall(hdrs.SERVER, None)
        await super()._prepare_hook(resp)


def without_server(server: web.Server) -> None:
    """Have answers say nothing of the software; aiohttp adds its name and Python's to each."""
    make: Callable[..., web.BaseRequest] = server.request_factory  # the application's, which takes a class, too
    server.request_factory = partial(make, _cls=_Request)
