"""Walking a multipart form part by part, its files as streams; whatever is malformed is our own error."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from itertools import count
from typing import TypeVar

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from handlers.errors import Fault

MOST_PARTS = 20
MOST_FIELD_BYTES = 256 << 10
"""Holds the longest message, 40,000 characters of four bytes, and some."""
READ_SECONDS = 300.0
CHUNK_BYTES = 64 << 10

NOT_MULTIPART = Fault("Send the file as multipart/form-data, as the part named file", "error-invalid-content-type")


MALFORMED = Fault("The form is not well-formed multipart/form-data, or it ended early")
TOO_SLOW = Fault(f"The form did not arrive within {READ_SECONDS:g} seconds; send it again", status=408)

# What aiohttp's reader raises for hostile or broken forms; it has no error type of its own.
_READING_ERRORS = (
    web.RequestPayloadError,
    HttpProcessingError,
    ConnectionError,
    ValueError,
    LookupError,
    AssertionError,
    RuntimeError,
)

T = TypeVar("T")


class BadForm(Exception):
    """The form cannot be read; carries the refusal."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.reason)
        self.fault = fault


@dataclass(frozen=True, slots=True)
class TextPart:
    """A field of the form."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """A file of the form; `chunks` must be read before the next part is asked for."""

    name: str
    filename: str
    chunks: AsyncIterator[bytes]


class Form:
    """One request's form; `max_seconds` bounds the whole reading, however slowly it comes."""

    def __init__(self, request: web.Request, *, max_seconds: float = READ_SECONDS) -> None:
        self._request = request
        self._deadline = asyncio.get_running_loop().time() + max_seconds

    async def parts(self) -> AsyncIterator[TextPart | FilePart]:
        """Yield the parts in the order sent; raise BadForm for a form that is malformed or too long."""
        if self._request.content_type != "multipart/form-data":
            raise BadForm(NOT_MULTIPART)
        reader = await self._read(self._request.multipart())
        for number in count():
            part = await self._read(reader.next())
            if part is None:
                return
            if number == MOST_PARTS:
                raise BadForm(Fault(f"The form has more than {MOST_PARTS} parts; send one file and its fields"))
            if not isinstance(part, BodyPartReader):
                raise BadForm(Fault("A part of the form is multipart itself; send one file"))
            name, filename = _names(part)
            if filename is not None:
                yield FilePart(name, filename, self._chunks(part))
            else:
                yield TextPart(name, await self._text(part))

    async def _chunks(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        while chunk := await self._read(part.read_chunk(CHUNK_BYTES)):
            yield chunk

    async def _text(self, part: BodyPartReader) -> str:
        read = bytearray()
        async for chunk in self._chunks(part):
            read += chunk
            if len(read) > MOST_FIELD_BYTES:
                raise BadForm(Fault(f"A field of the form is longer than {MOST_FIELD_BYTES:,} bytes", status=413))
        try:
            return read.decode()
        except UnicodeDecodeError as error:
            raise BadForm(Fault("A field of the form is not UTF-8 text")) from error

    async def _read(self, reading: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await reading
        except TimeoutError as error:
            raise BadForm(TOO_SLOW) from error
        except _READING_ERRORS as error:
            raise BadForm(MALFORMED) from error


def _names(part: BodyPartReader) -> tuple[str, str | None]:
    try:
        return part.name or "", part.filename
    except (ValueError, LookupError) as error:  # an unknown or wrong encoding inside the header
        raise BadForm(MALFORMED) from error
