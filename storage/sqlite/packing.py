"""Long texts are stored compressed, so that what takes many bytes in the file had to be sent as many."""

import zlib

PACK_FROM = 4096
"""Characters or bytes from which compressing is tried; usual posts are shorter and cost nothing."""
SAMPLE = 16_384
"""Bytes looked at first: what does not compress well costs its sender the bytes, and us not the time."""
WORTH = 4
"""How many times smaller the sample has to become."""
_LEVEL = 1  # a long run of the same shrinks as much with the quickest
_ZLIB = b"\x78"
"""First byte of what zlib writes; the bytes packed here, arrays in MessagePack or JSON, never begin with it."""


def packed(text: str) -> str | bytes:
    """Return a text as its column holds it: as it is, or compressed."""
    if len(text) < PACK_FROM:
        return text
    raw = text.encode()
    short = _shorter(raw)
    return text if short is None else short


def unpacked(stored: str | bytes) -> str:
    """Return the text a column holds."""
    return stored if isinstance(stored, str) else zlib.decompress(stored).decode()


def packed_bytes(raw: bytes) -> bytes:
    """Return bytes as they are sealed; they must not begin as compressed ones do."""
    return raw if len(raw) < PACK_FROM else _shorter(raw) or raw


def unpacked_bytes(stored: bytes) -> bytes:
    """Return the bytes that were packed."""
    return zlib.decompress(stored) if stored[:1] == _ZLIB else stored


def size_of(stored: str | bytes) -> int:
    """Return how many bytes a column's value takes."""
    return len(stored) if isinstance(stored, bytes) or stored.isascii() else len(stored.encode())


def _shorter(raw: bytes) -> bytes | None:
    sample = raw[:SAMPLE]
    if len(zlib.compress(sample, _LEVEL)) * WORTH > len(sample):
        return None
    return zlib.compress(raw, _LEVEL)
