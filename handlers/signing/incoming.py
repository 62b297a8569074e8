"""The check of a request to an incoming hook that has a secret (decision 36)."""

import hashlib
from collections.abc import Iterable

from msgspec import Struct

from handlers.signing import github, standard_webhooks
from handlers.signing.verdict import Verdict

_NAMES = frozenset(
    {
        github.SIGNATURE_HEADER,
        standard_webhooks.ID_HEADER,
        standard_webhooks.TIMESTAMP_HEADER,
        standard_webhooks.SIGNATURE_HEADER,
    }
)


class Checked(Struct, frozen=True, gc=False):
    """What a check found, and what makes the request that was signed this one and no other."""

    verdict: Verdict
    proof: str | None = None
    """The same for every copy of a rightly signed request, however what is not signed was changed."""
    signs_id: bool = False
    """The `webhook-id` is among what was signed; the hub header signs the body alone."""


def verify_incoming(secret: str, headers: Iterable[tuple[str, str]], body: bytes, now: float) -> Checked:
    """Judge a request by Standard Webhooks headers or `X-Hub-Signature-256`; one right scheme is enough.

    Pass the headers as pairs (`request.headers.items()`): a dictionary would hide one that was sent twice,
    which is refused. `body` is what came over the wire, before decompression. A secret `whsec_…` is a base64
    key for Standard Webhooks; any other, and every secret for the hub header, counts as its UTF-8 bytes.
    """
    if not secret:
        return Checked(Verdict.UNUSABLE_KEY)
    sent: dict[str, str] = {}
    for name, value in headers:
        lowered = name.lower()
        if lowered not in _NAMES:
            continue
        if lowered in sent:
            return Checked(Verdict.MALFORMED)
        sent[lowered] = value
    standard = _standard_webhooks(secret, sent, body, now)
    if standard.ok:
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        message_id, timestamp = sent[standard_webhooks.ID_HEADER], sent[standard_webhooks.TIMESTAMP_HEADER]
        return Checked(standard, f"standard.{message_id}.{int(timestamp)}.{digest}", signs_id=True)
    if github.SIGNATURE_HEADER not in sent:
        return Checked(standard)
    signature = sent[github.SIGNATURE_HEADER]
    hub = github.verify(secret.encode(), signature=signature, body=body)
    if hub.ok:
        return Checked(hub, f"hub.{signature.lower()}")
    return Checked(hub if standard is Verdict.MISSING else standard)


def _standard_webhooks(secret: str, sent: dict[str, str], body: bytes, now: float) -> Verdict:
    message_id = sent.get(standard_webhooks.ID_HEADER)
    timestamp = sent.get(standard_webhooks.TIMESTAMP_HEADER)
    signature = sent.get(standard_webhooks.SIGNATURE_HEADER)
    if message_id is None or timestamp is None or signature is None:
        return Verdict.MISSING
    key: bytes | standard_webhooks.KeyFault = secret.encode()
    if secret.startswith(standard_webhooks.KEY_PREFIX):
        key = standard_webhooks.parse_key(secret)
    if isinstance(key, standard_webhooks.KeyFault):
        return Verdict.UNUSABLE_KEY
    return standard_webhooks.verify(
        [key], message_id=message_id, timestamp=timestamp, signature=signature, body=body, now=now
    )
