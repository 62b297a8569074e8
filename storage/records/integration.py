"""Configured webhooks: incoming and outgoing integrations (`rocketchat.md` §3)."""

from dataclasses import dataclass
from enum import StrEnum

from storage.clock import Millis
from storage.ids import IntegrationId, OrgId, UserId

Actor = tuple[UserId, str]
"""Who did something: user id and user name at that time."""


class Direction(StrEnum):
    """Which way a webhook points, in the wire's words."""

    INCOMING = "webhook-incoming"
    OUTGOING = "webhook-outgoing"


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A Standard Webhooks key; an old one signs beside the new one until it expires (delivery.md §5)."""

    key: str
    expires_at: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """What both directions share; token, addresses, secret and signing keys are sealed at rest."""

    id: IntegrationId
    org_id: OrgId
    name: str
    enabled: bool
    username: str
    user_id: UserId
    channels: tuple[str, ...]
    token: str | None
    alias: str | None = None
    avatar: str | None = None
    emoji: str | None = None
    script_enabled: bool = False
    script: str | None = None
    script_engine: str = "isolated-vm"
    created_at: Millis
    created_by: Actor
    updated_at: Millis
    updated_by: Actor | None = None
    expires_at: Millis | None = None
    version: int = 1
    """Grows with every change; deliveries in flight are fenced by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingHook(Integration):
    """Tools post to it; it posts into rooms."""

    override_destination: bool = False
    secret: str | None = None
    """Checks the raw body's signature (decision 36)."""
    dedup: str = "standard"
    """`standard` (the three known headers), `off`, or the name of another header (decision 37)."""
    keep_requests: bool = True
    format: str = "auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingHook(Integration):
    """Messages and events in rooms fire it; it calls addresses."""

    event: str
    urls: tuple[str, ...]
    target_room: str | None = None
    trigger_words: tuple[str, ...] = ()
    # the four switches below are None when no client ever set them: then the wire does not show them
    trigger_word_anywhere: bool | None = None
    run_on_edits: bool | None = None
    impersonate_user: bool | None = None
    retry_failed_calls: bool | None = None
    retry_count: int | float | None = None
    retry_delay: str | None = None
    ordered: bool = False
    signing_keys: tuple[SigningKey, ...] = ()


Hook = IncomingHook | OutgoingHook


def direction(hook: Hook) -> Direction:
    """Return which way a hook points."""
    return Direction.INCOMING if isinstance(hook, IncomingHook) else Direction.OUTGOING
