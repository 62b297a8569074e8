"""The `v0` scheme of Slack, which our Rocket.Chat App signs with, too: hex HMAC-SHA256 over `v0:time:body`.

Where it comes from: chat-dialects.md §1.2 for Slack, decision 63 for the App; only the names of the headers differ.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from handlers.signing.verdict import Verdict

TOLERANCE_SECONDS = 300

_TIMESTAMP = re.compile(r"[0-9]{1,11}")
_SIGNATURE = re.compile(r"v0=([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class V0Headers:
    """What the two headers are called by one system, in small letters."""

    timestamp: str
    signature: str


def sign(key: bytes, *, timestamp: int, body: bytes, headers: V0Headers) -> dict[str, str]:
    """Return the two headers of a request."""
    digest = _digest(key, str(timestamp), body)
    return {headers.timestamp: str(timestamp), headers.signature: f"v0={digest.hex()}"}


def verify(key: bytes, pairs: Iterable[tuple[str, str]], body: bytes, now: float, headers: V0Headers) -> Verdict:
    """Judge a request at `now` (epoch seconds) by its raw body.

    Pass the headers as pairs (`request.headers.items()`): a dictionary would hide one that was sent twice, which is
    refused.
    """
    if not key:
        return Verdict.UNUSABLE_KEY
    sent: dict[str, str] = {}
    for name, value in pairs:
        lowered = name.lower()
        if lowered not in (headers.timestamp, headers.signature):
            continue
        if lowered in sent:
            return Verdict.MALFORMED
        sent[lowered] = value
    if len(sent) < 2:
        return Verdict.MISSING
    timestamp = sent[headers.timestamp]
    signature = _SIGNATURE.fullmatch(sent[headers.signature])
    if signature is None or not _TIMESTAMP.fullmatch(timestamp):
        return Verdict.MALFORMED
    age = now - int(timestamp)
    if age > TOLERANCE_SECONDS:
        return Verdict.TOO_OLD
    if age < -TOLERANCE_SECONDS:
        return Verdict.TOO_NEW
    is_right = hmac.compare_digest(_digest(key, timestamp, body), bytes.fromhex(signature[1]))
    return Verdict.VALID if is_right else Verdict.MISMATCH


def _digest(key: bytes, timestamp: str, body: bytes) -> bytes:
    return hmac.digest(key, b"v0:" + timestamp.encode("ascii") + b":" + body, hashlib.sha256)
