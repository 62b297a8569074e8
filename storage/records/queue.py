"""What passes between the queue and its workers (delivery.md §3)."""

from dataclasses import dataclass

from storage.clock import Millis
from storage.ids import DeliveryId, LaneId
from storage.records.changes import Changes
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.event import Event
from storage.records.integration import OutgoingHook


@dataclass(frozen=True, slots=True, kw_only=True)
class Leased:
    """A delivery a worker may attempt until its lease ends, with what the attempt needs."""

    delivery: Delivery
    lease: int
    until: Millis
    event: Event
    hook: OutgoingHook
    """As it is now, not as it was when the event happened (decision 43)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """The answer to a claim: the leases, and when the next delivery comes due (None: nothing waits)."""

    leases: tuple[Leased, ...]
    next_at: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """The end of one attempt; ignored when the lease is no longer the delivery's (fenced)."""

    delivery_id: DeliveryId
    lane_id: LaneId
    lease: int
    state: DeliveryState
    """`queued` means: try again at `retry_at`."""
    attempt: Attempt | None
    """None when our own fault or a stop ended it: that is not an attempt."""
    now: Millis
    retry_at: Millis | None = None
    reason: str | None = None
    changes: Changes | None = None
    """What else the verdict causes in the same transaction: a posted answer, a disabled hook."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What became of a settle."""

    fenced: bool
    """The lease was no longer the delivery's: nothing was written."""
    events: tuple[Event, ...] = ()
    queued: tuple[LaneId, ...] = ()
    """The lanes of the deliveries that what it caused has queued, one entry for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The queue at a glance."""

    queued: int
    dead: int
    oldest_queued_at: Millis | None
