"""When a failed call is tried again: the hook's schedule and the receiver's `Retry-After`.

`rocketchat.md` §7.2 has the schedules, `delivery.md` §4 what a receiver may ask for.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from storage.clock import Millis

DELAYS = ("powers-of-ten", "powers-of-two", "increments-of-two")
"""The schedules there are."""

DAY_MS = 24 * 60 * 60 * 1000

_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")
_LONGEST_DATE = 40


def scheduled_wait_ms(retry_delay: str | None, tries: int) -> int | None:
    """Return the wait after `tries` earlier attempts; None when `retry_delay` names no schedule."""
    match retry_delay:
        case "powers-of-ten":
            return int(10 ** (tries + 2))
        case "powers-of-two":
            return int(1000 * 2 ** (tries + 1))
        case "increments-of-two":
            return 2000 * (tries + 1)
        case _:
            return None


def requested_wait_ms(retry_after: str, now: Millis) -> int:
    """Return the wait a `Retry-After` value asks for; 0 when it is unreadable, past, or beyond a day.

    Unreasonable values change nothing, they are not cut to size: a receiver must not be able to park a
    delivery by mistake.
    """
    if _SECONDS.fullmatch(retry_after):
        wait = round(float(retry_after) * 1000)
    else:
        wait = _until(retry_after, now)
    return wait if 0 < wait <= DAY_MS else 0


def _until(date: str, now: Millis) -> int:
    if len(date) > _LONGEST_DATE:
        return 0
    try:
        moment = parsedate_to_datetime(date)
        return round(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000) - now
    except (ValueError, OverflowError):
        return 0
