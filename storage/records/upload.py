"""Uploaded files; the bytes lie beside the database."""

from dataclasses import dataclass

from storage.clock import Millis
from storage.ids import OrgId, RoomId, UserId


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One file; `confirmed` once a message shows it (decision 52)."""

    id: str
    org_id: OrgId
    room_id: RoomId
    user_id: UserId
    name: str
    size: int
    type: str
    """The sniffed media type; what the sender claimed does not count."""
    confirmed: bool
    created_at: Millis
    version: int = 1
    """Grows with every change; a change of an older version is refused."""
