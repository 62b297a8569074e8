"""The rate limit's bucket: burst, refill, headers, and a bound on what it remembers (decision 11)."""

import pytest

from bot.web import limits
from bot.web.limits import Allowance, RateLimit
from tests.clock import ManualClock
from tests.records import NOON


def taken(limit: RateLimit, key: str = "hook") -> Allowance:
    """Count one call against a limit that is on."""
    allowance = limit.take(key)
    assert allowance is not None
    return allowance


def test_zero_is_off() -> None:
    """Without a limit no call is counted."""
    assert RateLimit(0, ManualClock()).take("hook") is None


@pytest.mark.parametrize(("per_minute", "wait_s"), [(1, 60), (7, 9), (60, 1), (600, 1)])
def test_a_burst_then_the_rate(per_minute: int, wait_s: int) -> None:
    """A full bucket holds a minute's calls; after that each waits as long as the answer says, and no longer."""
    clock = ManualClock()
    limit = RateLimit(per_minute, clock)
    assert all(taken(limit).allowed for _ in range(per_minute))
    refused = taken(limit)
    assert (refused.allowed, refused.wait_s) == (False, wait_s)
    assert refused.headers["Retry-After"] == str(wait_s)
    clock.advance(60_000 // per_minute - 1)
    assert not taken(limit).allowed
    clock.advance(wait_s * 1000)
    assert taken(limit).allowed


def test_the_headers() -> None:
    """Limit, what is left, and the moment in milliseconds at which all of it is back."""
    clock = ManualClock()
    limit = RateLimit(60, clock)
    assert taken(limit).headers == {
        "X-RateLimit-Limit": "60",
        "X-RateLimit-Remaining": "59",
        "X-RateLimit-Reset": str(NOON + 1000),
    }
    clock.advance(600_000)
    assert taken(limit).headers["X-RateLimit-Remaining"] == "59"


def test_keys_do_not_touch_each_other_nor_does_the_wall_clock() -> None:
    """One key's calls leave another's alone; a clock set back or forth refills nothing."""
    clock = ManualClock()
    limit = RateLimit(1, clock)
    assert taken(limit, "one").allowed
    assert taken(limit, "other").allowed
    for step in (86_400_000, -2 * 86_400_000):
        clock.step_wall(step)
        assert not taken(limit, "one").allowed


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound keys that have refilled are dropped first, those in use stay limited."""
    monkeypatch.setattr(limits, "MOST_KEYS", 3)
    clock = ManualClock()
    limit = RateLimit(1, clock)
    assert taken(limit, "old").allowed
    clock.advance(59_999)
    for key in ("a", "b"):
        assert taken(limit, key).allowed
    clock.advance(1)
    assert taken(limit, "c").allowed
    assert not taken(limit, "a").allowed
    assert taken(limit, "old").allowed
