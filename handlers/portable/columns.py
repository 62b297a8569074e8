"""What the file says of a hook: each key once, with what it takes and which field of the record it is."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from storage.records.integration import Direction

FORMAT: Final = 1
"""The number under `patchbay`; another one is a file of another time."""

LISTS: Final = MappingProxyType({"incoming": Direction.INCOMING, "outgoing": Direction.OUTGOING})
"""The lists of the file, by their key."""

MASK: Final = "***"
"""Stands for a secret: what is stored under the same id is kept (decision 67)."""


class Kind(StrEnum):
    """What a key takes, in the word its refusal says."""

    TEXT = "a text"
    SWITCH = "true or false"
    NUMBER = "a number"
    TEXTS = "a list of texts"
    TIME = "a time like 2026-03-02T09:14:00Z"
    ADDRESSES = "a list of addresses"
    KEYS = "a list of signing keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One key of a hook."""

    key: str
    attribute: str
    """Of the record; empty where the key says more than one field does."""
    kind: Kind = Kind.TEXT
    nullable: bool = False
    secret: bool = False
    origin: bool = False
    """Says where a hook comes from: read of new hooks, left as it is in those that are there."""
    fixed: bool = False
    """Cannot be changed once the hook is there."""

    @property
    def takes(self) -> str:
        """Say what may stand here."""
        return f"{self.kind}, or null" if self.nullable else self.kind.value


ID: Final = Column(key="id", attribute="id", fixed=True)
VERSION: Final = Column(key="version", attribute="version", kind=Kind.NUMBER)
"""A change of what has another version here than in the file is a conflict."""

_FIRST = (
    ID,
    VERSION,
    Column(key="name", attribute="name"),
    Column(key="enabled", attribute="enabled", kind=Kind.SWITCH),
)
_SHARED = (
    Column(key="rooms", attribute="channels", kind=Kind.TEXTS),
    Column(key="alias", attribute="alias", nullable=True),
    Column(key="avatar", attribute="avatar", nullable=True),
    Column(key="emoji", attribute="emoji", nullable=True),
    Column(key="script", attribute="script", nullable=True),
    Column(key="script_enabled", attribute="script_enabled", kind=Kind.SWITCH),
    Column(key="script_engine", attribute="script_engine"),
    Column(key="expires", attribute="expires_at", kind=Kind.TIME, nullable=True),
    Column(key="muted_until", attribute="muted_until", kind=Kind.TIME, nullable=True),
)
_LAST = (
    Column(key="made_by", attribute="created_by", origin=True),
    Column(key="made", attribute="created_at", kind=Kind.TIME, origin=True),
)

INCOMING: Final = (
    *_FIRST,
    Column(key="post_as", attribute="username", fixed=True),
    *_SHARED,
    Column(key="format", attribute="format"),
    Column(key="allow_override", attribute="override_destination", kind=Kind.SWITCH),
    Column(key="dedup", attribute="dedup"),
    Column(key="keep_requests", attribute="keep_requests", kind=Kind.SWITCH),
    Column(key="token", attribute="token", secret=True),
    Column(key="secret", attribute="secret", nullable=True, secret=True),
    *_LAST,
)
OUTGOING: Final = (
    *_FIRST,
    Column(key="post_as", attribute="username"),
    *_SHARED,
    Column(key="event", attribute="event"),
    Column(key="urls", attribute="urls", kind=Kind.ADDRESSES, secret=True),
    Column(key="target_room", attribute="target_room", nullable=True),
    Column(key="triggers", attribute="trigger_words", kind=Kind.TEXTS),
    Column(key="trigger_anywhere", attribute="trigger_word_anywhere", kind=Kind.SWITCH, nullable=True),
    Column(key="on_edits", attribute="run_on_edits", kind=Kind.SWITCH, nullable=True),
    Column(key="impersonate", attribute="impersonate_user", kind=Kind.SWITCH, nullable=True),
    Column(key="retry", attribute="retry_failed_calls", kind=Kind.SWITCH, nullable=True),
    Column(key="retries", attribute="retry_count", kind=Kind.NUMBER, nullable=True),
    Column(key="retry_delay", attribute="retry_delay", nullable=True),
    Column(key="ordered", attribute="ordered", kind=Kind.SWITCH),
    Column(key="token", attribute="token", nullable=True, secret=True),
    Column(key="signing_keys", attribute="signing_keys", kind=Kind.KEYS, secret=True),
    *_LAST,
)

COLUMNS: Final = MappingProxyType({Direction.INCOMING: INCOMING, Direction.OUTGOING: OUTGOING})
REQUIRED: Final = MappingProxyType(
    {Direction.INCOMING: ("name", "rooms"), Direction.OUTGOING: ("name", "event", "urls")}
)
"""What a new hook cannot do without."""
