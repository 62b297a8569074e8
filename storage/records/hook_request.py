"""Requests that reached incoming hooks, kept so that a person sees what came and can replay it."""

from enum import StrEnum

from msgspec import Struct

from storage.clock import Millis
from storage.ids import IntegrationId


class Verdict(StrEnum):
    """What became of a request."""

    POSTED = "posted"
    IGNORED = "ignored"
    """Accepted, but there was nothing to post."""
    DUPLICATE = "duplicate"
    MUTED = "muted"
    REFUSED = "refused"


class Passed(Struct, frozen=True, gc=False, array_like=True):
    """What passed through a hook lately: when the last of it, and how many of the last ones failed."""

    last_at: Millis
    failures: int


class HookRequest(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """One request as received; headers and body are sealed at rest (decision 33)."""

    id: str
    integration_id: IntegrationId
    at: Millis
    method: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    verdict: Verdict
    status: int
    error: str | None = None
    message_ids: tuple[str, ...] = ()
    dedup_key: str | None = None
    body_differed: bool = False
    """A duplicate whose body was not the first one's (decision 37)."""
    duration_us: int = 0
    signature: str | None = None
    """What the check of its signature found; None when the hook asks for none (decision 36)."""
    previous_token: bool = False
    """Whether it named the hook's token of before the last rotation."""
    damaged: bool = False
    """What is sealed of it cannot be opened: headers and body are missing here."""
