"""One event on its way to one endpoint, and every attempt at it (delivery.md)."""

from enum import StrEnum

from msgspec import Struct

from storage.clock import Millis
from storage.ids import DeliveryId, EventSeq, IntegrationId, LaneId


class DeliveryState(StrEnum):
    """Where a delivery stands; all but `queued` are final (delivery.md §1)."""

    QUEUED = "queued"
    """Waits for its time, or is leased by a worker."""
    DELIVERED = "delivered"
    DEAD = "dead"
    """Failed for good; a dead letter a person may replay."""
    DISCARDED = "discarded"
    """Its integration or address was removed."""


class NewDelivery(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """A delivery about to be queued; `url_hash` names the address without showing it (decision 31)."""

    integration_id: IntegrationId
    url_hash: bytes
    trigger_word: str | None = None


class Delivery(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """A queued or finished delivery."""

    id: DeliveryId
    lane_id: LaneId
    integration_id: IntegrationId
    url_hash: bytes
    """Empty once the address was removed."""
    event_seq: EventSeq
    state: DeliveryState
    trigger_word: str | None
    tries: int
    """Attempts that reached a verdict; the receiver's retry budget."""
    receives: int
    """Leases taken; caps crash loops (delivery.md §3)."""
    available_at: Millis
    created_at: Millis
    reason: str | None = None
    webhook_id: str
    """What receivers tell repeated tries by. Unlike `id` it is never given twice: row numbers start over in a new
    folder, and go on from where they were in a restored copy. Retried, restarted or replayed from the dead letters,
    a delivery keeps it."""


DAMAGED = "What was kept of this attempt cannot be opened: its row was changed, or its key is not there."
"""The error of an attempt whose sealed part does not open; the rest of it stands."""


class Attempt(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """One try, as history shows it (`rocketchat.md` §8).

    The payload is not kept: it follows from the event and the integration's version.
    """

    id: str
    integration_id: IntegrationId
    version: int
    event_seq: EventSeq
    delivery_id: DeliveryId | None
    url_hash: bytes | None
    trigger_word: str | None
    step: str
    finished: bool
    failed: bool
    started_at: Millis
    updated_at: Millis
    duration_ms: int
    status: int | None = None
    response: str | None = None
    """The first 2 KiB of the answer; sealed at rest, as receivers answer with secrets of their own."""
    error: str | None = None
    """Sealed with the answer, whose words it may quote."""
    message_id: str | None = None
    """The message the answer was posted as."""
    called: bool = True
    """Whether a call was made at all."""
