"""Bound what an answer may hold beside its body: what comes before its head, and what frames its body.

The HTTP client reads all that is buffered of interim answers, heads and chunk extensions without a limit and without
letting anybody else run. So what arrives is handed to it in slices, and whoever goes too far is hung up on.
"""

from typing import Any  # what the client's parser hands over is in no type of ours

from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

MAX_INTERIM = 10
"""Interim answers (100, 103) before the answer: a receiver has no reason for more than a few."""
MAX_HEAD_BYTES = 64 * 1024
"""All that may come before the body, interim answers with it."""
MAX_FRAMING_BYTES = 256 * 1024
"""What frames the body, as sizes and extensions of chunks: of 64 KiB in pieces of two bytes it is less."""
SLICE_BYTES = 8 * 1024
"""Handed to the parser at once: some 300 interim answers, 3 ms of work."""


class BoundedAnswers(ResponseHandler):
    """The client's end of a connection, for one answer after the other."""

    _interim = 0
    _before = 0
    _after = 0
    _body: Any = None

    def set_response_params(self, **params: Any) -> None:
        """Begin to wait for an answer."""
        self._interim = self._before = self._after = 0
        self._body = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take what arrived, a slice at a time."""
        if len(data) <= SLICE_BYTES:
            self._take(data)
            return
        for at in range(0, len(data), SLICE_BYTES):
            if self.transport is None or self.transport.is_closing():
                return
            self._take(data[at : at + SLICE_BYTES])

    def feed_data(self, item: Any, size: int = 0) -> None:
        """Take a whole head from the parser, with the body that follows it."""
        message, body = item
        if self._body is not None:
            self._hang_up("an answer nobody asked for")
        elif 100 <= message.code < 200 and message.code != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                self._hang_up("interim answers without end")
        else:
            self._body = body
        super().feed_data(item, size)

    def _take(self, data: bytes) -> None:
        waited = self._body is None
        super().data_received(data)
        if waited:
            self._before += len(data)
            # what is left of the slice belongs to the body, or is too little to matter
            if self._body is None and self._before > MAX_HEAD_BYTES:
                self._hang_up("a head without end")
        else:
            self._after += len(data)
            if self._after - self._body.total_bytes > MAX_FRAMING_BYTES:
                self._hang_up("framing without end")

    def _hang_up(self, why: str) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.close()
            self.set_exception(HttpProcessingError(code=400, message=why))
