"""The Standard Webhooks signature scheme: https://github.com/standard-webhooks/standard-webhooks.

The signed text is `id.timestamp.body`. While a key is being rotated (`delivery.md`, 24 h) a request carries
one signature for every valid key; which keys are valid is the caller's knowledge.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from handlers.signing.verdict import Verdict

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"

KEY_PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
_KEY_BYTES = 32

_TIMESTAMP = re.compile(r"[0-9]{1,11}")
_SIGNATURE = re.compile(r"(?P<version>[0-9A-Za-z]+),(?P<value>[!-~]+)")


@dataclass(frozen=True)
class KeyFault:
    """Why a text cannot be a signing key, and what one looks like."""

    text: str


def new_key() -> str:
    """Make a fresh signing key in the form people copy: `whsec_` and base64."""
    return KEY_PREFIX + base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode("ascii")


def parse_key(text: str) -> bytes | KeyFault:
    """Read a `whsec_…` key; missing base64 padding is forgiven, as other libraries leave it out."""
    if not text.startswith(KEY_PREFIX):
        return KeyFault(f"A signing key starts with {KEY_PREFIX}; copy the one the sender shows.")
    encoded = text.removeprefix(KEY_PREFIX).rstrip("=")
    key = _from_base64(encoded + "=" * (-len(encoded) % 4))
    if not key:
        return KeyFault(f"What follows {KEY_PREFIX} must be base64 and not empty; copy the key once more.")
    return key


def sign(keys: Sequence[bytes], *, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers for a request, with one signature per key.

    The id is ours to choose, so one that holds the separator is a mistake of the caller: `ValueError`.
    """
    if not message_id or "." in message_id:
        raise ValueError("a message id must not be empty nor contain a full stop")
    signed = _Signed(message_id.encode(), str(timestamp).encode(), body)
    signatures = ("v1," + base64.b64encode(signed.digest(key)).decode("ascii") for key in keys)
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(signatures),
    }


def verify(
    keys: Sequence[bytes], *, message_id: str, timestamp: str, signature: str, body: bytes, now: float
) -> Verdict:
    """Judge the values of the three headers against the raw body at `now` (epoch seconds).

    One right signature is enough; versions other than `v1` are passed over, a malformed entry spoils all.
    """
    candidates = _signatures(signature)
    # With a full stop inside, a time could hide in the id: the text a.1.2.x is (a, 1) and also (a.1, 2).
    if candidates is None or not message_id or "." in message_id or not _TIMESTAMP.fullmatch(timestamp):
        return Verdict.MALFORMED
    try:
        # aiohttp hands bytes that are no UTF-8 on as surrogates; this gives the bytes that were sent.
        id_bytes = message_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return Verdict.MALFORMED
    age = now - int(timestamp)
    if age > TOLERANCE_SECONDS:
        return Verdict.TOO_OLD
    if age < -TOLERANCE_SECONDS:
        return Verdict.TOO_NEW
    signed = _Signed(id_bytes, timestamp.encode("ascii"), body)
    expected = [signed.digest(key) for key in keys]
    # A list, not a generator: every pair is compared, whichever matches first.
    matches = [hmac.compare_digest(want, got) for want in expected for got in candidates]
    return Verdict.VALID if any(matches) else Verdict.MISMATCH


@dataclass(frozen=True)
class _Signed:
    message_id: bytes
    timestamp: bytes
    body: bytes

    def digest(self, key: bytes) -> bytes:
        mac = hmac.new(key, self.message_id + b"." + self.timestamp + b".", hashlib.sha256)
        mac.update(self.body)
        return mac.digest()


def _signatures(header: str) -> list[bytes] | None:
    found = []
    for entry in header.split(" "):
        match = _SIGNATURE.fullmatch(entry)
        if match is None:
            return None
        if match["version"] != "v1":
            continue
        value = _from_base64(match["value"])
        if value is None or len(value) != hashlib.sha256().digest_size:
            return None
        found.append(value)
    return found


def _from_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None
