"""Signatures: others verify what we make, we verify what others make, and hostile headers are verdicts."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from handlers.signing import standard_webhooks
from handlers.signing.incoming import verify_incoming
from handlers.signing.standard_webhooks import KeyFault, new_key, parse_key, sign
from handlers.signing.verdict import Verdict
from tests.shared import shared

SECRET = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="
NOW = 1_700_000_000
BODY = b'{"a":1}'
RIGHT = "v1,z0gF+AgSqUCmK9E5+VdblaSkKJjio2qcazBsuPr0wWA="
WRONG = "v1," + "A" * 43 + "="
HUB = "sha256=" + hmac.digest(SECRET.encode(), BODY, hashlib.sha256).hex()


def headers(message_id: str = "msg_1", timestamp: str = str(NOW), signature: str = RIGHT) -> list[tuple[str, str]]:
    return [("Webhook-Id", message_id), ("Webhook-Timestamp", timestamp), ("Webhook-Signature", signature)]


def key_of(text: str) -> bytes:
    key = parse_key(text)
    assert isinstance(key, bytes)
    return key


def vectors(scheme: str) -> list[dict[str, Any]]:  # Any: a vector is free-form JSON
    every = json.loads(shared("payloads", "signature-vectors.json").read_text(encoding="utf-8"))
    return [vector for vector in every if vector["scheme"] == scheme]


def test_shared_standard_webhooks_vectors_verify_and_are_what_we_make() -> None:
    """Every Standard Webhooks vector verifies, and signing the same message gives the same header."""
    found = vectors("standard-webhooks")
    assert found
    for vector in found:
        body, at = vector["body"].encode(), int(vector["timestamp"])
        sent = sign([key_of(vector["secret"])], message_id=vector["id"], timestamp=at, body=body)
        assert sent[vector["header"]] == vector["value"]
        assert verify_incoming(vector["secret"], sent.items(), body, at).verdict is Verdict.VALID


def test_shared_github_vector_verifies() -> None:
    """GitHub's documented example verifies."""
    found = vectors("github")
    assert found
    for vector in found:
        pairs = [(vector["header"], vector["value"])]
        assert verify_incoming(vector["secret"], pairs, vector["body"].encode(), NOW).verdict is Verdict.VALID


def test_fixed_vector() -> None:
    """A known key, id, time and body give this signature, with or without the shared file."""
    assert sign([b"0" * 32], message_id="msg_1", timestamp=NOW, body=BODY) == {
        "webhook-id": "msg_1",
        "webhook-timestamp": "1700000000",
        "webhook-signature": RIGHT,
    }


def test_the_reference_library_accepts_each_key_of_a_rotation() -> None:
    """While a key is rotated the receiver may hold the old or the new one; a third one is refused."""
    old, new, other = new_key(), new_key(), new_key()
    at = int(datetime.now(tz=UTC).timestamp())
    sent = sign([key_of(new), key_of(old)], message_id="evt_1", timestamp=at, body='{"text":"grüße"}'.encode())
    for key in (old, new):
        assert Webhook(key).verify('{"text":"grüße"}', sent) == {"text": "grüße"}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify('{"text":"grüße"}', sent)


def test_what_the_reference_library_signs_verifies() -> None:
    """A request signed by the reference library passes with its key and no other."""
    key = new_key()
    signature = Webhook(key).sign("msg_2", datetime.fromtimestamp(NOW, tz=UTC), BODY.decode())
    pairs = headers("msg_2", str(NOW), signature)
    assert verify_incoming(key, pairs, BODY, NOW).verdict is Verdict.VALID
    assert verify_incoming(new_key(), pairs, BODY, NOW).verdict is Verdict.MISMATCH


@pytest.mark.parametrize(
    ("sent_at", "verdict"),
    [
        (NOW - 301, Verdict.TOO_OLD),
        (NOW - 300, Verdict.VALID),
        (NOW - 299, Verdict.VALID),
        (NOW + 299, Verdict.VALID),
        (NOW + 300, Verdict.VALID),
        (NOW + 301, Verdict.TOO_NEW),
    ],
)
def test_tolerance_is_five_minutes_both_ways(sent_at: int, verdict: Verdict) -> None:
    """A replay after five minutes and a time from the future are refused, to the second."""
    sent = sign([key_of(SECRET)], message_id="msg_1", timestamp=sent_at, body=BODY)
    assert verify_incoming(SECRET, sent.items(), BODY, NOW).verdict is verdict


def test_a_fraction_of_a_second_beyond_the_tolerance_counts() -> None:
    """The clock's fraction is not rounded away."""
    assert verify_incoming(SECRET, headers(), BODY, NOW + 300.5).verdict is Verdict.TOO_OLD


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        # the time
        (headers(timestamp="1e9"), Verdict.MALFORMED),
        (headers(timestamp="-1"), Verdict.MALFORMED),
        (headers(timestamp="+1700000000"), Verdict.MALFORMED),
        (headers(timestamp="1700000000.5"), Verdict.MALFORMED),
        (headers(timestamp="1700000000\n"), Verdict.MALFORMED),
        (headers(timestamp=" 1700000000"), Verdict.MALFORMED),
        (headers(timestamp="1_700_000_000"), Verdict.MALFORMED),
        (headers(timestamp="9" * 20), Verdict.MALFORMED),
        (headers(timestamp="9" * 5000), Verdict.MALFORMED),
        (headers(timestamp="١٧٠٠٠٠٠٠٠٠"), Verdict.MALFORMED),
        (headers(timestamp="nan"), Verdict.MALFORMED),
        (headers(timestamp=""), Verdict.MALFORMED),
        (headers(timestamp="0"), Verdict.TOO_OLD),
        (headers(timestamp="99999999999"), Verdict.TOO_NEW),
        # the id
        (headers(message_id="msg.1"), Verdict.MALFORMED),
        (headers(message_id=""), Verdict.MALFORMED),
        (headers(message_id="\ud800"), Verdict.MALFORMED),
        (headers(message_id="\udcff"), Verdict.MISMATCH),  # how a byte that is no UTF-8 arrives
        (headers(message_id="msg_2"), Verdict.MISMATCH),
        # the list of signatures
        (headers(signature=""), Verdict.MALFORMED),
        (headers(signature=" "), Verdict.MALFORMED),
        (headers(signature="v1"), Verdict.MALFORMED),
        (headers(signature="v1,"), Verdict.MALFORMED),
        (headers(signature=","), Verdict.MALFORMED),
        (headers(signature="v1,a,b"), Verdict.MALFORMED),
        (headers(signature="v1,%%%"), Verdict.MALFORMED),
        (headers(signature="v1,AAAA"), Verdict.MALFORMED),
        (headers(signature=RIGHT[:-1]), Verdict.MALFORMED),
        (headers(signature="v1,é" + RIGHT[4:]), Verdict.MALFORMED),
        (headers(signature="v1,\ud800"), Verdict.MALFORMED),
        (headers(signature=RIGHT + " v1,"), Verdict.MALFORMED),
        (headers(signature=RIGHT + "  " + WRONG), Verdict.MALFORMED),
        (headers(signature=WRONG), Verdict.MISMATCH),
        (headers(signature=f"{WRONG} v1a,xyz {RIGHT}"), Verdict.VALID),
        # algorithm confusion
        (headers(signature="v1a" + RIGHT[2:]), Verdict.MISMATCH),
        (headers(signature="none,none"), Verdict.MISMATCH),
        (headers(signature="V1" + RIGHT[2:]), Verdict.MISMATCH),
        # headers sent twice, or not at all
        ([*headers(), ("webhook-signature", RIGHT)], Verdict.MALFORMED),
        ([*headers(), ("WEBHOOK-ID", "msg_1")], Verdict.MALFORMED),
        ([*headers(), ("webhook-timestamp", str(NOW))], Verdict.MALFORMED),
        ([("X-Hub-Signature-256", HUB)] * 2, Verdict.MALFORMED),
        (headers()[:2], Verdict.MISSING),
        (headers()[1:], Verdict.MISSING),
        ([], Verdict.MISSING),
        ([("X-Hub-Signature", "sha1=" + "0" * 40)], Verdict.MISSING),
        # the hub header
        ([("X-Hub-Signature-256", HUB)], Verdict.VALID),
        ([("x-hub-signature-256", "sha256=" + HUB[7:].upper())], Verdict.VALID),
        ([("X-Hub-Signature-256", "sha256=" + "0" * 64)], Verdict.MISMATCH),
        ([("X-Hub-Signature-256", "sha1=" + HUB[7:])], Verdict.MALFORMED),
        ([("X-Hub-Signature-256", HUB[7:])], Verdict.MALFORMED),
        ([("X-Hub-Signature-256", HUB + "00")], Verdict.MALFORMED),
        ([("X-Hub-Signature-256", HUB[:-2] + "  ")], Verdict.MALFORMED),
        ([("X-Hub-Signature-256", "sha256=" + "é" * 64)], Verdict.MALFORMED),
        ([("X-Hub-Signature-256", "sha256=")], Verdict.MALFORMED),
        ([("X-Hub-Signature-256", "")], Verdict.MALFORMED),
        # both schemes: one that is right is enough, else Standard Webhooks gives the reason
        ([*headers(signature=WRONG), ("X-Hub-Signature-256", HUB)], Verdict.VALID),
        ([*headers(), ("X-Hub-Signature-256", "sha256=")], Verdict.VALID),
        ([*headers(timestamp="0"), ("X-Hub-Signature-256", "sha256=")], Verdict.TOO_OLD),
        ([("webhook-id", "msg_1"), ("X-Hub-Signature-256", HUB)], Verdict.VALID),
        ([("webhook-id", "msg_1"), ("X-Hub-Signature-256", "x")], Verdict.MALFORMED),
    ],
)
def test_every_header_ends_as_a_verdict(pairs: list[tuple[str, str]], verdict: Verdict) -> None:
    """Whatever a stranger sends in the signature headers is judged, never raised."""
    assert verify_incoming(SECRET, pairs, BODY, NOW).verdict is verdict
    assert verdict.ok is (verdict is Verdict.VALID)


def test_a_time_cannot_be_moved_out_of_the_body() -> None:
    """A signed message whose body begins like a time must not pass as a younger one with a longer id."""
    sent = sign([b"0" * 32], message_id="a", timestamp=NOW - 9000, body=f"{NOW}.x".encode())
    forged = headers(f"a.{NOW - 9000}", str(NOW), sent["webhook-signature"])
    assert verify_incoming(SECRET, forged, b"x", NOW).verdict is Verdict.MALFORMED


def test_a_changed_body_is_refused() -> None:
    """One other byte, or a byte order mark in front, breaks either signature."""
    for body in (b'{"a":2}', b"\xef\xbb\xbf" + BODY, b""):
        assert verify_incoming(SECRET, headers(), body, NOW).verdict is Verdict.MISMATCH
        assert verify_incoming(SECRET, [("X-Hub-Signature-256", HUB)], body, NOW).verdict is Verdict.MISMATCH


def test_a_plain_text_secret_signs_both_schemes_with_its_utf8_bytes() -> None:
    """A secret people made up works in either scheme as they typed it."""
    secret = "grüße & co"
    sent = sign([secret.encode()], message_id="m", timestamp=NOW, body=BODY)
    assert verify_incoming(secret, sent.items(), BODY, NOW).verdict is Verdict.VALID
    hub = "sha256=" + hmac.digest(secret.encode(), BODY, hashlib.sha256).hex()
    assert verify_incoming(secret, [("X-Hub-Signature-256", hub)], BODY, NOW).verdict is Verdict.VALID


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_====", "whsec_%%%", "whsec_é", "whsec_A"])
def test_an_unusable_secret_never_verifies(secret: str) -> None:
    """A hook whose stored secret is empty or broken refuses; it does not fall back to an empty key."""
    empty_key = sign([b""], message_id="msg_1", timestamp=NOW, body=BODY)
    assert verify_incoming(secret, empty_key.items(), BODY, NOW).verdict is Verdict.UNUSABLE_KEY
    assert isinstance(parse_key(secret), KeyFault)


def test_keys_are_read_with_and_without_padding() -> None:
    """A fresh key reads back as 32 bytes, also after a tool stripped its padding; no two are alike."""
    key = new_key()
    assert key.startswith("whsec_")
    assert len(key_of(key)) == 32
    assert key_of(key.rstrip("=")) == key_of(key)
    assert new_key() != key


def test_a_key_fault_says_what_a_key_looks_like() -> None:
    """Both ways to miss the form name the prefix."""
    for text in ("hunter2", "whsec_?"):
        fault = parse_key(text)
        assert isinstance(fault, KeyFault)
        assert standard_webhooks.KEY_PREFIX in fault.text
        assert "hunter2" not in fault.text


@pytest.mark.parametrize("message_id", ["", "a.b"])
def test_signing_with_an_ambiguous_id_is_a_mistake_of_the_caller(message_id: str) -> None:
    """An id that receivers must refuse is never sent."""
    with pytest.raises(ValueError, match="full stop"):
        sign([b"k"], message_id=message_id, timestamp=NOW, body=b"")
