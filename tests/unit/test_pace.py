"""What waits for this process holds requests, what waits for a receiver holds nobody (delivery.md §8)."""

import asyncio

import pytest
from msgspec import structs

from bot.flows.backlog import FORGOTTEN_S, OWN_TURNS, STANDS_S, Backlog
from bot.flows.pace import MOST_WAITING, Pace
from storage.ids import LaneId
from storage.records.delivery import Attempt
from tests.clock import ManualClock
from tests.contracts.store.units import attempt

SLOW, QUICK = LaneId(1), LaneId(2)
LATE_S = 0.01


def call(took_ms: int) -> Attempt:
    """Build an attempt whose call took so long."""
    return attempt(duration_ms=took_ms)


def ended(backlog: Backlog, lane: LaneId, took_s: float | None, now_s: float = 0.0, late_s: float = LATE_S) -> int:
    """End a delivery; return how many wait for us then."""
    backlog.ended(lane, took_s=took_s, late_s=late_s, now_s=now_s)
    return backlog.ours


def test_a_lane_is_ours_until_its_calls_take_long() -> None:
    """What the loop's own lateness explains is ours; what takes longer is the receiver's, however much waits."""
    backlog = Backlog()
    backlog.queued([SLOW] * 300 + [QUICK] * 3, now_s=0)
    assert backlog.ours == 303
    assert ended(backlog, QUICK, OWN_TURNS * LATE_S) == 302
    assert ended(backlog, SLOW, 1.0) == 2
    backlog.queued([SLOW] * 100, now_s=0)
    assert backlog.ours == 2
    assert ended(backlog, SLOW, None) == 2  # nothing was called: that says nothing of the receiver
    assert ended(backlog, SLOW, 0.02) == 2 + 300 + 100 - 3
    assert ended(backlog, QUICK, 0.0) == ended(backlog, QUICK, 0.0) + 1
    assert backlog.ours == 397


def test_a_busy_loop_is_not_taken_for_a_slow_receiver() -> None:
    """The later the loop is, the longer a call may take before its receiver is what it waits for."""
    backlog = Backlog()
    backlog.queued([QUICK] * 100, now_s=0)
    assert ended(backlog, QUICK, 0.3, late_s=0.05) == 99
    assert ended(backlog, QUICK, 0.3, late_s=0.001) == 0


def test_a_lane_that_stands_is_not_ours() -> None:
    """Before its first call came back nothing but the standing tells; what moves meanwhile stays ours."""
    backlog = Backlog()
    backlog.queued([SLOW] * 300, now_s=0)
    backlog.queued([QUICK] * 70, now_s=0)
    backlog.look(late_s=LATE_S / 10, now_s=STANDS_S)
    assert ended(backlog, QUICK, 0.001, now_s=STANDS_S) == 369
    backlog.look(late_s=LATE_S / 10, now_s=STANDS_S + 0.01)
    assert backlog.ours == 69
    backlog.look(late_s=1.0, now_s=OWN_TURNS)  # so late a loop explains it
    assert backlog.ours == 69


def test_what_never_ends_is_forgotten() -> None:
    """Deliveries of a removed hook are discarded without an end, and nothing is kept of their lane."""
    backlog = Backlog()
    backlog.queued([SLOW] * 3, now_s=0)
    backlog.look(late_s=0, now_s=1)
    assert backlog
    backlog.look(late_s=0, now_s=FORGOTTEN_S + 1)
    assert not backlog
    assert ended(backlog, SLOW, 1.0) == 0


async def test_a_slow_receivers_backlog_holds_nobody() -> None:
    """While 300 posts to a receiver that takes a second move, 16 a second, others enter at once."""
    clock = ManualClock()
    pace = Pace(clock)
    pace.queued([SLOW] * 300)
    clock.advance(1_000)
    entered = []
    for _ in range(280):
        pace.ended(SLOW, call(1_000))
        entered.append(pace.enters_at_once())
        pace.leave()
        clock.advance(62)
    assert entered == [True] * 280


async def test_what_waits_for_us_holds_requests_until_there_is_room() -> None:
    """Beyond the bound a request is held; it enters when enough has ended, one for each."""
    pace = Pace(ManualClock())
    pace.queued([QUICK] * MOST_WAITING)
    assert not pace.enters_at_once()
    held = [asyncio.create_task(pace.enter()) for _ in range(3)]
    await asyncio.sleep(0)
    for count in (1, 2):
        pace.ended(QUICK, structs.replace(call(0), called=False))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert sum(task.done() for task in held) == count
    pace.leave()  # the place of one that entered goes to the next
    await asyncio.wait_for(held[2], 1)


async def test_nobody_is_held_for_long() -> None:
    """Whatever waits, a held request enters before long."""
    pace = Pace(ManualClock())
    pace.queued([QUICK] * (3 * MOST_WAITING))
    async with asyncio.timeout(5):
        await pace.enter()


async def test_who_gives_up_takes_no_place() -> None:
    """A sender that goes away while it is held, or in the moment it is let in, counts no more."""
    pace = Pace(ManualClock())
    pace.queued([QUICK] * MOST_WAITING)
    gone, late = (asyncio.create_task(pace.enter()) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    pace.ended(QUICK, None)  # lets the other in,
    late.cancel()  # which goes at that moment
    with pytest.raises(asyncio.CancelledError):
        await late
    assert pace.enters_at_once()
    assert not pace.enters_at_once()
