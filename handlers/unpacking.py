"""Unpack what a sender compressed, within a limit (decision 39, `security.md` 4)."""

import zlib
from typing import Final

from handlers.bodies import BodyFault

TOO_LARGE: Final = 413
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


def decompress(raw: bytes, content_encoding: str, limit: int) -> bytes | BodyFault:
    """Unpack a body by the encoding its header names, up to a limit."""
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
        return too_large(limit)
    # A second member is legal gzip that no sender makes; a thousand tiny ones cost quadratic time.
    if not stream.eof or stream.unused_data:
        return BodyFault(400, f"The body is not one whole {coding} stream.")
    return decoded


def too_large(limit: int) -> BodyFault:
    """Refuse a body that is longer than the limit, packed or not."""
    return BodyFault(
        TOO_LARGE,
        f"The body is larger than {limit:,} bytes when decompressed (PATCHBAY_MAX_BODY_BYTES).",
    )
