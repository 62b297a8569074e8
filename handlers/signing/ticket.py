"""Tickets: what a button or dialog brings back to us, sealed, so that nothing has to be kept for it.

A dialog's state passes through the hands of whoever fills it in, and holds a response address with which one could
speak in our name: so a ticket is encrypted, not only signed. The key follows from the workspace's secret, and the
purpose and the team are bound to it. A ticket can come back twice: what must happen once is a proposal, which is used
up by the first.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from storage.clock import Millis

Purpose = Literal["press", "form"]

_NONCE = 12
_MAX = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The line to run, for whom and how long; an empty `user_id` means whoever presses."""

    line: str = field(repr=False)
    channel_id: str
    user_id: str = ""
    expires_at: Millis
    otherwise: str = ""
    """The line to run when the dialog is cancelled."""
    fields: tuple[str, ...] = ()
    """The names of the form's fields: a submission brings these and no others."""
    channel_name: str = ""
    thread_id: str | None = None
    response_url: str | None = field(default=None, repr=False)
    whispered: bool = False


def seal(ticket: Ticket, secret: str, *, purpose: Purpose, team_id: str) -> str:
    """Write a ticket as text that only the same purpose, team and secret open."""
    nonce = secrets.token_bytes(_NONCE)
    plain = json.dumps(asdict(ticket), separators=(",", ":")).encode()
    sealed = AESGCM(_key(secret)).encrypt(nonce, plain, _bound_to(purpose, team_id))
    return base64.urlsafe_b64encode(nonce + sealed).decode("ascii")


def unseal(text: object, secret: str, *, purpose: Purpose, team_id: str) -> Ticket | None:
    """Open a ticket; None when it is not ours. Whether it is still good is the caller's to judge."""
    if not isinstance(text, str) or len(text) > _MAX or not text.isascii():
        return None
    try:
        raw = base64.urlsafe_b64decode(text)
        if base64.urlsafe_b64encode(raw).decode("ascii") != text:  # the reader is lenient, but repeats must be known
            return None
        plain = AESGCM(_key(secret)).decrypt(raw[:_NONCE], raw[_NONCE:], _bound_to(purpose, team_id))
    except (binascii.Error, InvalidTag, ValueError):
        return None
    fields = json.loads(plain)
    return Ticket(**{**fields, "fields": tuple(fields["fields"])})


def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode("utf-8", "surrogatepass"), b"patchbay ticket v1", hashlib.sha256)


def _bound_to(purpose: Purpose, team_id: str) -> bytes:
    return f"{purpose}:{team_id}".encode("utf-8", "surrogatepass")
