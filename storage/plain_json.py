"""Plain JSON as it is stored: written and read in C, and still exact where that gives up."""

import json
from typing import Any  # what JSON text holds

import msgspec
import orjson


def write(value: object) -> str:
    """Write a plain value, compact."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, which senders may put into attachments
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write_bytes(value: object) -> bytes:
    """Write a plain value for sealing; half a surrogate pair, as headers may hold, is written all the same."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return write(value).encode("utf-8", "surrogatepass")


def write_struct(value: msgspec.Struct) -> str:
    """Write a record with its fields as keys."""
    return msgspec.json.encode(value).decode()


def read(text: str | bytes) -> Any:
    """Read what was written here."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError):  # half a surrogate pair
        return json.loads(text)
