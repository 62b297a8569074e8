"""How an endpoint has failed lately, and what people were told of it."""

from msgspec import Struct

from storage.clock import Millis


class Outage(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """What the rule of `handlers/outages.py` remembers of a lane; a lane that never failed has none.

    Times are the queue's, which a step of the wall clock does not move.
    """

    steps: int = 0
    """How many ends of attempts have changed it: of two, the one with more is the newer."""
    since: Millis | None = None
    """When the first of the failures was that are not over, or that nobody was told of; None when there is none."""
    failed: int = 0
    """Deliveries that failed for good since then."""
    last_failed_at: Millis = Millis(0)
    delivered: int = 0
    """Deliveries in a row since the last failure."""
    told_at: Millis | None = None
    """When people were last told that it fails."""
    is_told: bool = False
    """They were told of these failures, and not yet that they are over."""
