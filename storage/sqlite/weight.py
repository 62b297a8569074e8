"""How many bytes a job of the writer holds, about: what waits and what is committed together is bounded by it."""

from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass

from msgspec import Struct

PLAIN = 8
"""Bytes of a number or anything else that is small."""


def weigh(value: object) -> int:
    """Return the bytes of all texts in a value, and a little for whatever else it holds."""
    if isinstance(value, str | bytes):
        return PLAIN + len(value)
    if isinstance(value, Mapping):
        return PLAIN + sum(weigh(key) + weigh(one) for key, one in value.items())
    if isinstance(value, tuple | list | Set):
        return PLAIN + sum(map(weigh, value))
    if isinstance(value, Struct):
        return PLAIN + sum(weigh(getattr(value, name)) for name in value.__struct_fields__)
    if is_dataclass(value) and not isinstance(value, type):
        return PLAIN + sum(weigh(getattr(value, field.name)) for field in fields(value))
    return PLAIN
