"""What waits for a person and expires: proposals, undos, codes, private forms, answers to repeated requests."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from storage.clock import Millis
from storage.ids import UserId

MOST_TRIES = 5
"""Wrong tries that end a pending thing (decision 65)."""

LONGEST_MS = 15 * 60 * 1000
"""Nothing pending lasts longer; proposals, codes, forms and addresses have 10 minutes and less."""

KNOWN_DAYS = 1
"""How long after its expiry the store can still tell why something is no longer there."""


class PendingKind(StrEnum):
    """What can wait."""

    PROPOSAL = "proposal"
    """A command that runs once it is confirmed (commands.md §2.5)."""
    UNDO = "undo"
    """What takes the last change back."""
    LINK_CODE = "link_code"
    """Binds an account of another chat to a user (decision 60)."""
    FORM = "form"
    """A one-time address for private input (decision 66)."""
    REQUEST = "request"
    """The answer given to a request of another chat, so that its repeat answers as before (decision 62)."""
    DOWNLOAD = "download"
    """A one-time address of an export."""


class PendingEnd(StrEnum):
    """Why something pending is not there any more."""

    TAKEN = "taken"
    """It was used; it can be used once."""
    REPLACED = "replaced"
    """A newer one of its kind, user and place took over, or it was cancelled."""
    GUESSED = "guessed"
    """Too many wrong tries ended it."""
    EXPIRED = "expired"


class PendingKey(NamedTuple):
    """Names one pending thing; the key is a code, or an id together with the door it came through."""

    kind: PendingKind
    key: str


class PendingOf(NamedTuple):
    """Names whatever of a kind waits for a user in a place."""

    kind: PendingKind
    user_id: UserId
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """One pending thing; key and body are sealed at rest, and the key is found by its keyed hash (decision 9)."""

    kind: PendingKind
    key: str = field(repr=False)
    user_id: UserId | None
    """Whom it is for, which says the organisation too; None for a request of somebody not linked."""
    place: str
    """Where it was asked for, as the doors write places."""
    body: str = field(repr=False)
    """Plain JSON of whoever put it here."""
    expires_at: Millis
    tries: int = 0
    """Wrong tries so far."""

    @property
    def named(self) -> PendingKey:
        """Return what names it in a unit of work."""
        return PendingKey(self.kind, self.key)
