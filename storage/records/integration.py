"""Configured webhooks: incoming and outgoing integrations (`rocketchat.md` §3)."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

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
class PreviousToken:
    """The token an incoming hook had before; requests that name it are taken until it ends (commands.md §2.6)."""

    hash: bytes
    """What the token is found by (decision 9); the token itself is forgotten."""
    until: Millis


@dataclass(frozen=True, slots=True)
class PreviousCalls:
    """How much a previous token is still used since the rotation."""

    calls: int
    last_at: Millis


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
    """From then on it is as if disabled (decision 65)."""
    muted_until: Millis | None = None
    """Until then nothing is posted (incoming) or called (outgoing), and history says so (decision 65)."""
    version: int = 1
    """Grows with every change; deliveries in flight are fenced by it."""
    damaged: bool = False
    """What is sealed of it cannot be opened: token, addresses and secrets are missing here, and stay as they are in the
    store. It passes nothing on, and can only be switched off or removed; it is not stored."""


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
    previous_token: PreviousToken | None = None


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


EVERYWHERE: Final = ""
"""In place of a channel: what hooks stand under that name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Which hooks somebody sees: all of some directions, and of others those they made."""

    user_id: UserId
    all_of: frozenset[Direction] = frozenset()
    own_of: frozenset[Direction] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Tell whether nothing is out of sight."""
        return self.all_of.issuperset(Direction)


class HookField(StrEnum):
    """What hooks are listed and found by; the names of their columns."""

    ID = "id"
    NAME = "name"
    FOLDED = "folded"
    """The name without case."""
    DIRECTION = "direction"
    ENABLED = "enabled"
    USER = "user_id"
    MAKER = "created_by"
    MADE = "created_at"
    CHANGED = "updated_at"


Order = tuple[tuple[HookField, int], ...]
"""Fields with 1 for upwards and -1 for downwards; ties by the next one."""

OLDEST_FIRST: Final[Order] = ((HookField.MADE, 1), (HookField.ID, 1))
BY_NAME: Final[Order] = ((HookField.FOLDED, 1), (HookField.ID, 1))
LATEST_FIRST: Final[Order] = ((HookField.CHANGED, -1), (HookField.FOLDED, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedHooks:
    """Which hooks of an organisation are meant, and in which order; None leaves a condition out."""

    org_id: OrgId
    sight: Sight | None = None
    equal: tuple[tuple[HookField, str | bool], ...] = ()
    part: str | None = None
    """Stands somewhere in the name, whatever its case."""
    begins: str | None = None
    """Stands at the beginning of the name, whatever its case."""
    channels: tuple[str, ...] | None = None
    """Any of them is named, whatever its case; `EVERYWHERE` for hooks that name none."""
    targets_too: bool = False
    """Also those that name one of the channels as their target room only."""
    silent_at: Millis | None = None
    """Switched off, or expired by then."""
    order: Order = OLDEST_FIRST


@dataclass(frozen=True, slots=True, kw_only=True)
class HookOutline:
    """What names a hook."""

    id: IntegrationId
    name: str
    direction: Direction


@dataclass(frozen=True, slots=True, kw_only=True)
class HookTally:
    """How many hooks there are of each direction, and how many of them pass nothing on."""

    incoming: int = 0
    outgoing: int = 0
    off: int = 0
    expired: int = 0
    muted: int = 0


def is_expired(hook: Hook, now: Millis) -> bool:
    """Tell whether a hook's time is over (decision 65)."""
    return hook.expires_at is not None and hook.expires_at <= now


def is_muted(hook: Hook, now: Millis) -> bool:
    """Tell whether a hook is muted (decision 65)."""
    return hook.muted_until is not None and hook.muted_until > now


def direction(hook: Hook) -> Direction:
    """Return which way a hook points."""
    return Direction.INCOMING if isinstance(hook, IncomingHook) else Direction.OUTGOING
