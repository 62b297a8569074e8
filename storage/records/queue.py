"""What passes between the queue and its workers (delivery.md §3)."""

from msgspec import Struct

from storage.clock import Millis
from storage.ids import DeliveryId, EventSeq, LaneId
from storage.records.changes import Changes
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.event import Event
from storage.records.integration import OutgoingHook
from storage.records.outage import Outage
from storage.shares import Caller


class Leased(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """A delivery a worker may attempt until its lease ends, with what the attempt needs."""

    delivery: Delivery
    lease: int
    until: Millis
    event: Event
    hook: OutgoingHook
    """As it is now, not as it was when the event happened (decision 43)."""
    silent: bool
    """The last attempt of its lane got no answer."""

    @property
    def caller(self) -> Caller:
        """Whose slot its call takes."""
        alone = len(set(self.hook.urls)) == 1
        return Caller(self.hook.created_by[0], self.hook.id, self.delivery.lane_id, self.silent, alone)


class Claimed(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """The answer to a claim: the leases, and when the next delivery comes due (None: nothing waits)."""

    leases: tuple[Leased, ...]
    next_at: Millis | None


class Settle(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
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
    outage: Outage | None = None
    """The lane's outage after this end; None leaves it as it is."""


class Settled(Struct, frozen=True, kw_only=True, gc=False, array_like=True, tag=True):
    """What became of a settle."""

    fenced: bool
    """The lease was no longer the delivery's: nothing was written."""
    numbers: tuple[EventSeq | None, ...] = ()
    """The places in the stream of the facts it caused; None for one that was left out."""
    queued: tuple[LaneId, ...] = ()
    """The lanes of the deliveries that what it caused has queued, one entry for each."""
    payer: str | None = None
    stored: int = 0
    """What an answer that was posted has stored, as `Committed` says it."""


class Counts(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """The queue at a glance."""

    queued: int
    dead: int
    oldest_queued_at: Millis | None
    lanes: int = 0
    """Addresses that something is queued for."""
    held: int = 0
    """How many of the queued belong to hooks that are off, and so wait (decision 14)."""
