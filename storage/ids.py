"""Identifiers: distinct types, and the two shapes the Rocket.Chat contract knows (§1)."""

import secrets
from functools import lru_cache
from itertools import count
from typing import NewType

from storage.clock import Millis

OrgId = NewType("OrgId", str)
UserId = NewType("UserId", str)
RoomId = NewType("RoomId", str)
MessageId = NewType("MessageId", str)
IntegrationId = NewType("IntegrationId", str)
WorkspaceId = NewType("WorkspaceId", str)
LaneId = NewType("LaneId", int)
DeliveryId = NewType("DeliveryId", int)
EventSeq = NewType("EventSeq", int)

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTWXYZabcdefghijkmnopqrstuvwxyz"
"""The contract's alphabet without look-alikes; ascending, so time-ordered ids sort as text."""

_PAIRS = [first + second for first in ALPHABET for second in ALPHABET]
_EVEN = 256 // len(ALPHABET) * len(ALPHABET)

ROCKET_CAT = UserId("rocket.cat")
GENERAL = RoomId("GENERAL")


def random_text(length: int) -> str:
    """Return a random text of the contract's alphabet."""
    found = ""
    while len(found) < length:  # bytes beyond a multiple of the alphabet are left out: every character is as likely
        found += "".join([ALPHABET[byte % len(ALPHABET)] for byte in secrets.token_bytes(2 * length) if byte < _EVEN])
    return found[:length]


_TIMED = 17
_PROCESS = random_text(5)
_COUNT = count()


def timed_id(now: Millis) -> str:
    """Return 17 characters that sort by time: random keys in an index are dear (delivery.md §8).

    Eight say when, five which process, four count: unique, also for many in one millisecond, and no secret.
    """
    high, low = divmod(next(_COUNT), len(_PAIRS))
    return _time_text(now) + _PROCESS + _PAIRS[high % len(_PAIRS)] + _PAIRS[low]


@lru_cache(maxsize=16)
def _time_text(now: Millis) -> str:
    text, rest = "", int(now)
    for _ in range(4):
        rest, pair = divmod(rest, len(_PAIRS))
        text = _PAIRS[pair] + text
    return text


def id_time(text: str) -> Millis | None:
    """Return when an id of `timed_id`'s shape was made; None for texts of another shape, as clients may choose them."""
    if len(text) != _TIMED or not all(char in ALPHABET for char in text):
        return None
    at = 0
    for char in text[:8]:
        at = at * len(ALPHABET) + ALPHABET.index(char)
    return Millis(at)


def integration_id() -> IntegrationId:
    """Return 24 lower-case hex digits (§1)."""
    return IntegrationId(secrets.token_hex(12))


def hook_token() -> str:
    """Return the 48 characters of an incoming hook's token (§1)."""
    return random_text(48)


def auth_token() -> str:
    """Return the 43 characters of a login or personal access token (§2)."""
    return random_text(43)
