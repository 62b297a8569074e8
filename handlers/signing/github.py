"""GitHub's signature header `X-Hub-Signature-256: sha256=<hex>`, which many other senders copied."""

import hashlib
import hmac
import re

from handlers.signing.verdict import Verdict

SIGNATURE_HEADER = "x-hub-signature-256"

_SIGNATURE = re.compile(r"sha256=([0-9a-fA-F]{64})")


def verify(key: bytes, *, signature: str, body: bytes) -> Verdict:
    """Judge the header's value against the raw body."""
    match = _SIGNATURE.fullmatch(signature)
    if match is None:
        return Verdict.MALFORMED
    expected = hmac.digest(key, body, hashlib.sha256)
    return Verdict.VALID if hmac.compare_digest(expected, bytes.fromhex(match[1])) else Verdict.MISMATCH
