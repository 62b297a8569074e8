"""Reading a request's body within its limit, on the wire and decompressed (decision 39, `security.md` 4)."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from aiohttp import StreamReader, hdrs, web
from msgspec import Struct

from bot.web.large_bodies import LARGE, OF_SERVER
from handlers.bodies import BodyFault
from handlers.unpacking import TOO_LARGE, decompress, too_large

# For `web.AppRunner(app, **RUNNER_OPTIONS)`: signatures cover the bytes as sent, aiohttp must leave them.
# Any: the runner passes them on to several constructors.
RUNNER_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({"auto_decompress": False})

READ_SECONDS: Final = 30.0


class RawBody(Struct, frozen=True, gc=False):
    """A body as it came over the wire (for signatures) and as it reads (for parsers)."""

    raw: bytes
    decoded: bytes


async def read_raw(request: web.BaseRequest, limit: int, *, seconds: float = READ_SECONDS) -> RawBody | BodyFault:
    """Read a body of at most `limit` bytes, both on the wire and decompressed, within `seconds`."""
    received = await read_wire(request, limit, seconds=seconds)
    if isinstance(received, BodyFault):
        return received
    decoded = await unpacked(request, received, limit)
    return decoded if isinstance(decoded, BodyFault) else RawBody(raw=received, decoded=decoded)


async def read_wire(request: web.BaseRequest, limit: int, *, seconds: float = READ_SECONDS) -> bytes | BodyFault:
    """Read a body as it is sent, of at most `limit` bytes: what a proof is checked over before more is done with it."""
    if request.content_length is not None and request.content_length > limit:
        return too_large(limit)
    try:
        if request.content.is_eof():  # all of it is here: most bodies come with their headers
            received = request.content.read_nowait()
        else:
            async with asyncio.timeout(seconds):
                received = await _all_of(request.content, limit)
    except TimeoutError:
        return BodyFault(408, f"The body did not arrive within {seconds:g} seconds; send it again.")
    except (web.RequestPayloadError, ConnectionError):
        return BodyFault(400, "The body ended early, or its chunks are malformed.")
    if len(received) > limit:
        return too_large(limit)
    if len(received) > LARGE and (large := request.get(OF_SERVER)) is not None:
        await large.enter(request, len(received), held=len(received))
    return received


async def unpacked(request: web.BaseRequest, received: bytes, limit: int) -> bytes | BodyFault:
    """Return a body as it reads, by the encoding its headers name.

    One that turns out to be large waits for its turn before it is unpacked whole.
    """
    if hdrs.CONTENT_ENCODING not in request.headers:
        return received
    coding, large = ",".join(request.headers.getall(hdrs.CONTENT_ENCODING)), request.get(OF_SERVER)
    if large is None or limit <= LARGE:
        return decompress(received, coding, limit)
    small = decompress(received, coding, LARGE)
    if not (isinstance(small, BodyFault) and small.status == TOO_LARGE):
        return small
    if len(received) <= LARGE:
        await large.enter(request, limit, held=len(received))
    decoded = decompress(received, coding, limit)
    large.shrink(request, len(received) if isinstance(decoded, BodyFault) else len(decoded))
    return decoded


async def _all_of(content: StreamReader, limit: int) -> bytes:
    """Read to the end, or until it is more than the limit."""
    raw = bytearray()
    while len(raw) <= limit and (chunk := await content.readany()):
        raw += chunk
    return bytes(raw)
