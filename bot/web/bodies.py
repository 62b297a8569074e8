"""Reading a request's body within its limit, on the wire and decompressed (decision 39, `security.md` 4)."""

import asyncio
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from aiohttp import StreamReader, hdrs, web

from handlers.bodies import BodyFault

# For `web.AppRunner(app, **RUNNER_OPTIONS)`: signatures cover the bytes as sent, aiohttp must leave them.
# Any: the runner passes them on to several constructors.
RUNNER_OPTIONS: Final[Mapping[str, Any]] = MappingProxyType({"auto_decompress": False})

READ_SECONDS: Final = 30.0

_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


@dataclass(frozen=True)
class RawBody:
    """A body as it came over the wire (for signatures) and as it reads (for parsers)."""

    raw: bytes
    decoded: bytes


async def read_raw(request: web.Request, limit: int, *, seconds: float = READ_SECONDS) -> RawBody | BodyFault:
    """Read a body of at most `limit` bytes, both on the wire and decompressed, within `seconds`."""
    if request.content_length is not None and request.content_length > limit:
        return _too_large(limit)
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
        return _too_large(limit)
    decoded = _decompress(received, ",".join(request.headers.getall(hdrs.CONTENT_ENCODING, [])), limit)
    return decoded if isinstance(decoded, BodyFault) else RawBody(raw=received, decoded=decoded)


async def _all_of(content: StreamReader, limit: int) -> bytes:
    """Read to the end, or until it is more than the limit."""
    raw = bytearray()
    while len(raw) <= limit and (chunk := await content.readany()):
        raw += chunk
    return bytes(raw)


def _decompress(raw: bytes, content_encoding: str, limit: int) -> bytes | BodyFault:
    coding = content_encoding.strip().lower()
    if not raw or coding in ("", "identity"):
        return raw
    if coding in ("gzip", "x-gzip"):
        window = _GZIP_WINDOW
    elif coding == "deflate":
        # Half of the senders leave the zlib wrapper out; its first byte names the method, 8.
        window = zlib.MAX_WBITS if raw[0] & 0x0F == 8 else -zlib.MAX_WBITS
    else:
        return BodyFault(
            415, f"The content encoding {coding[:40]!r} is not supported; send gzip, deflate or no encoding."
        )
    stream = zlib.decompressobj(window)
    try:
        decoded = stream.decompress(raw, limit + 1)
    except zlib.error:
        return BodyFault(400, f"The body is not valid {coding}, the encoding its header names.")
    if len(decoded) > limit:
        return _too_large(limit)
    # A second member is legal gzip that no sender makes; a thousand tiny ones cost quadratic time.
    if not stream.eof or stream.unused_data:
        return BodyFault(400, f"The body is not one whole {coding} stream.")
    return decoded


def _too_large(limit: int) -> BodyFault:
    return BodyFault(
        413,
        f"The body is larger than {limit:,} bytes when decompressed (PATCHBAY_MAX_BODY_BYTES).",
    )
