"""Moments as the contract writes them, and clocks that survive a step of the wall clock."""

import pytest

from storage.clock import Millis, SystemClock, iso, parse_iso
from tests.clock import ManualClock
from tests.records import NOON


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (NOON, "2026-03-02T09:14:07.739Z"),
        (0, "1970-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (1_000, "1970-01-01T00:00:01.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_moments_are_written_with_milliseconds(moment: int, text: str) -> None:
    """A moment is ISO 8601 with three digits and Z, and reads back the same (rocketchat.md §1)."""
    assert iso(moment) == text
    assert parse_iso(text) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02T09:14:07.739", NOON),
        ("2026-03-02T10:14:07.739+01:00", NOON),
        ("2026-03-02 09:14:07.739Z", NOON),
        ("2026-03-02T09:14:07.7394Z", NOON),
        ("1970-01-02", 86_400_000),
        ("", None),
        ("yesterday", None),
        ("2026-13-01T00:00:00Z", None),
        ("2026-02-30", None),
        ("1772442847739", None),
        ("0001-01-01T00:00:00+14:00", -62_135_647_200_000),
        ("٢٠٢٦-03-02", None),
    ],
)
def test_moments_are_read_strictly(text: str, moment: int | None) -> None:
    """A moment without zone is UTC; what is no moment is None, whatever it is."""
    assert parse_iso(text) == moment


def test_the_system_clocks_agree_and_do_not_go_back() -> None:
    """The steady clock starts at the wall clock and never goes back."""
    clock = SystemClock()
    assert abs(clock.steady() - clock.now()) < 1_000
    steady = [clock.steady() for _ in range(1000)]
    assert steady == sorted(steady)
    passed = [clock.monotonic() for _ in range(1000)]
    assert passed == sorted(passed)


def test_a_step_of_the_wall_clock_is_not_time() -> None:
    """Of the test clock's three only `now` follows a step; all follow time."""
    clock = ManualClock(Millis(1_000))
    clock.step_wall(-500)
    assert (clock.now(), clock.steady(), clock.monotonic()) == (500, 1_000, 0.0)
    clock.advance(250)
    assert (clock.now(), clock.steady(), clock.monotonic()) == (750, 1_250, 0.25)
