"""From fields of a record to values of the file, secrets masked or not, and back."""

import re
from collections.abc import Sequence

from handlers.portable.columns import MASK, Column, Kind
from storage.clock import Millis, iso, parse_iso
from storage.records.integration import Hook, SigningKey

Value = str | bool | int | float | tuple[str, ...] | None
"""What stands behind a key; times are text, a signing key is one text with its end behind it."""

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^/?#@]*@)?([^/?#@]*)(.*)", re.DOTALL)
_UNTIL = " until "
_LATEST = 253_402_300_799_999
"""The last millisecond that can be written as a time."""


def value_of(hook: Hook, column: Column, *, masked: bool) -> Value:
    """Return what the file says of a hook under a key."""
    found = getattr(hook, column.attribute)
    match column.kind:
        case Kind.TIME:
            return None if found is None else iso(min(max(found, 0), _LATEST))
        case Kind.ADDRESSES:
            return tuple(masked_url(url) for url in found) if masked else found
        case Kind.KEYS:
            return tuple(_written_key(key, masked=masked) for key in found)
    if column.attribute == "created_by":
        return str(found[1])
    if column.secret and masked and found is not None:
        return MASK
    value: Value = found
    return value


def masked_url(url: str) -> str:
    """Return an address with its host alone; one that has nothing else to hide stays as it is (decision 31)."""
    parts = _ADDRESS.fullmatch(url)
    if parts is None:
        return MASK
    bare = url == f"{parts[1]}{parts[2]}{parts[3]}" and parts[3] in ("", "/")
    return url if bare else f"{parts[1]}{parts[2]}/{MASK}"


def kept_urls(given: Sequence[str], stored: Sequence[str]) -> tuple[str, ...] | str:
    """Put the stored addresses in the place of masked ones; a sentence says why that is not clear."""
    waiting: dict[str, list[str]] = {}
    for url in stored:
        waiting.setdefault(masked_url(url), []).append(url)
    for url in set(given):
        if is_masked(url) and given.count(url) != len(waiting.get(url, ())):
            return "does not say which stored address a masked one is; write it in full"
    return tuple(waiting[url].pop(0) if is_masked(url) else url for url in given)


def is_masked(text: str) -> bool:
    """Tell whether a text stands for a stored secret."""
    return text == MASK or text.endswith(f"/{MASK}")


def kept_keys(given: Sequence[str], stored: Sequence[SigningKey]) -> tuple[SigningKey, ...] | str:
    """Read signing keys; a masked one is the stored key in the same place."""
    found = []
    for place, text in enumerate(given):
        word, _, end = text.partition(_UNTIL)
        until = parse_iso(end) if end else None
        if end and until is None:
            return f"does not know the time behind{_UNTIL.rstrip()} of key {place + 1}"
        if word == MASK and place >= len(stored):
            return f"masks key {place + 1}, and no such key is stored; write it, or leave it out"
        found.append(SigningKey(key=stored[place].key if word == MASK else word, expires_at=until))
    return tuple(found)


def time_of(text: str) -> Millis | None:
    """Read a time of the file."""
    return parse_iso(text)


def _written_key(key: SigningKey, *, masked: bool) -> str:
    word = MASK if masked else key.key
    return word if key.expires_at is None else f"{word}{_UNTIL}{iso(key.expires_at)}"
