"""Rooms of the embedded workspace and who is in them."""

from dataclasses import dataclass
from enum import StrEnum

from storage.clock import Millis
from storage.ids import OrgId, RoomId, UserId


class RoomKind(StrEnum):
    """Rocket.Chat's one-letter room types."""

    PUBLIC = "c"
    PRIVATE = "p"
    DIRECT = "d"


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A place messages stand in; `name` is None for direct rooms."""

    id: RoomId
    org_id: OrgId
    kind: RoomKind
    name: str | None
    owner_id: UserId | None
    topic: str = ""
    description: str = ""
    read_only: bool = False
    archived: bool = False
    direct_users: tuple[UserId, ...] = ()
    """The participants of a direct room; empty for the others."""
    keep_ms: int | None = None
    """Milliseconds after which a message is removed; None keeps it whatever its age."""
    keep_last: int | None = None
    """The number of newest messages that stay; None keeps them whatever their number."""
    created_at: Millis
    updated_at: Millis
    version: int = 1
    """Grows with every change; a change of an older version is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a room's retention has removed so far."""

    messages: int
    until: Millis
    """When the newest of them was posted: older ones are gone, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One user's place in one room."""

    room_id: RoomId
    user_id: UserId
    joined_at: Millis
    is_owner: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedRooms:
    """Which rooms of an organisation a list shows; None leaves a condition out."""

    org_id: OrgId
    kind: RoomKind | None = None
    member: UserId | None = None
    since: Millis | None = None
    """Only those in which something happened later: a change, a message, or that the member joined."""


def direct_room_id(users: tuple[UserId, ...]) -> RoomId:
    """Return the id of the direct room of these users: their ids, sorted and joined, as Rocket.Chat does."""
    return RoomId("".join(sorted(users)))
