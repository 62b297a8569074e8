"""When people are told that an endpoint fails, and that it delivers again: once for each outage, not for each failure.

A receiver that fails now and then would fill its room with news. So it counts as failing from the first delivery that
fails for good until it has taken several in a row for a while, and news of it come at most once an hour.
"""

from dataclasses import dataclass
from typing import Final

from msgspec import structs

from storage.clock import Millis
from storage.records.outage import Outage

RECOVERED_DELIVERIES: Final = 10
"""Deliveries in a row that end an outage: one that gets through proves little."""
RECOVERED_MS: Final = 5 * 60_000
"""How long nothing must have failed: ten of a burst are through in a moment."""
NEWS_EVERY_MS: Final = 60 * 60_000
"""How far apart two outages are told of; what fails meanwhile is counted in the next news."""


@dataclass(frozen=True, slots=True)
class Failing:
    """To be told: it fails."""

    since: Millis
    failed: int


@dataclass(frozen=True, slots=True)
class Recovered:
    """To be told: it delivers again."""

    since: Millis
    until: Millis
    failed: int


def failed(before: Outage | None, now: Millis) -> tuple[Outage, Failing | None]:
    """Return the outage after a delivery has failed for good, and what is to be told."""
    last = before or Outage()
    since = now if last.since is None else last.since
    after = structs.replace(
        last, steps=last.steps + 1, since=since, failed=last.failed + 1, last_failed_at=now, delivered=0
    )
    if last.is_told or not _may_tell(last.told_at, now):
        return after, None
    return structs.replace(after, told_at=now, is_told=True), Failing(since, after.failed)


def faltered(before: Outage | None, now: Millis) -> Outage | None:
    """Return the outage after a try has failed that is made again; where nothing fails for good it is none."""
    if before is None or before.since is None:
        return before
    return structs.replace(before, steps=before.steps + 1, last_failed_at=now, delivered=0)


def delivered(before: Outage | None, now: Millis) -> tuple[Outage | None, Recovered | None]:
    """Return the outage after a delivery, the same where nothing changes, and what is to be told."""
    if before is None or before.since is None:
        return before, None
    is_calm = before.delivered >= RECOVERED_DELIVERIES and now - before.last_failed_at >= RECOVERED_MS
    if is_calm and not before.is_told:
        return before, None  # its failures wait for the next news; nothing is written for what goes well
    after = structs.replace(
        before,
        steps=before.steps + 1,
        delivered=before.delivered + 1,
        # the clock was ahead when it failed, before a restart: the wait begins anew
        last_failed_at=min(before.last_failed_at, now),
    )
    if after.delivered < RECOVERED_DELIVERIES or now - after.last_failed_at < RECOVERED_MS or not before.is_told:
        return after, None
    over = Outage(steps=after.steps, told_at=after.told_at)
    return over, Recovered(before.since, after.last_failed_at, after.failed)


def _may_tell(told_at: Millis | None, now: Millis) -> bool:
    # a time to come is one of a clock that was ahead before a restart
    return told_at is None or not 0 <= now - told_at < NEWS_EVERY_MS
