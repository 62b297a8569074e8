"""Moments as the contract writes them, and clocks that survive a step of the wall clock."""

import pickle
import subprocess
import sys
import time

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


HOUR_NS = 3_600_000_000_000
SOON_MS = 1_000
"""What a busy machine may take between two looks at a clock."""
ELSEWHERE = """
import pickle, sys, time
read_ns, read = time.time_ns, time.time
time.time_ns, time.time = lambda: read_ns() + {step}, lambda: read() + {step} / 1e9
print(pickle.load(sys.stdin.buffer).steady())
"""
"""What the writer does that is started after a step: it gets the server's clock pickled."""


@pytest.mark.parametrize("step_ns", [HOUR_NS, -HOUR_NS])
def test_the_system_clock_is_steady_over_a_step(monkeypatch: pytest.MonkeyPatch, step_ns: int) -> None:
    """A step of the machine's wall clock moves `now` and not `steady`, here, in a copy and in another process."""
    clock = SystemClock()
    read_ns, read = time.time_ns, time.time
    before = clock.steady()
    with monkeypatch.context() as stepped:
        stepped.setattr(time, "time_ns", lambda: read_ns() + step_ns)
        stepped.setattr(time, "time", lambda: read() + step_ns / 1e9)
        assert abs(clock.now() - before - step_ns / 1e6) < SOON_MS
        steady, copied = clock.steady(), pickle.loads(pickle.dumps(clock)).steady()
        sent = pickle.dumps(clock)
    assert before <= steady <= copied < before + SOON_MS
    command = [sys.executable, "-c", ELSEWHERE.format(step=step_ns)]
    elsewhere = int(subprocess.run(command, input=sent, capture_output=True, check=True).stdout)
    assert copied <= elsewhere <= clock.steady()


def test_a_step_of_the_wall_clock_is_not_time() -> None:
    """Of the test clock's three only `now` follows a step; all follow time."""
    clock = ManualClock(Millis(1_000))
    clock.step_wall(-500)
    assert (clock.now(), clock.steady(), clock.monotonic()) == (500, 1_000, 0.0)
    clock.advance(250)
    assert (clock.now(), clock.steady(), clock.monotonic()) == (750, 1_250, 0.25)
