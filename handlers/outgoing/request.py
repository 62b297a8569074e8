"""The HTTP call of an outgoing webhook (`rocketchat.md` §7), signed if it has keys (`delivery.md` §5)."""

import json
from collections.abc import Mapping, Sequence

from handlers.http import OutboundRequest
from handlers.outgoing import hops as hop_count
from handlers.signing.standard_webhooks import KeyFault, parse_key, sign
from storage.clock import Millis
from storage.records.integration import OutgoingHook, SigningKey

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/41.0.2227.0 Safari/537.36"

_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def build_request(
    hook: OutgoingHook,
    url: str,
    data: Mapping[str, object],
    *,
    webhook_id: str,
    now: Millis,
    hops: int,
    deadline_s: float,
) -> OutboundRequest:
    """Build one attempt's call; raises `ValueError` for a stored signing key that is none.

    `webhook-id` is the same on every attempt of a delivery, so that a receiver can tell a repetition; the
    signature's time is that of the attempt.
    """
    body = _ENCODER.encode(data).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        hop_count.HEADER: str(hops),
    }
    keys = _valid_keys(hook.signing_keys, now)
    if keys:
        headers |= sign(keys, message_id=webhook_id, timestamp=now // 1000, body=body)
    return OutboundRequest("POST", url, headers, body, deadline_s, share=(hook.created_by[0], hook.id))


def _valid_keys(keys: Sequence[SigningKey], now: Millis) -> list[bytes]:
    return [_key_bytes(key.key) for key in keys if key.expires_at is None or key.expires_at > now]


def _key_bytes(text: str) -> bytes:
    key = parse_key(text)
    if isinstance(key, KeyFault):
        raise ValueError(key.text)
    return key
