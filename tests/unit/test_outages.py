"""When people are told that an endpoint fails and recovers: a table of stories, and any story there can be."""

import asyncio
import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.flows.outages import FEWEST_REMEMBERED, SETTLED_MS, Outages
from handlers import outages
from handlers.outages import NEWS_EVERY_MS, RECOVERED_DELIVERIES, RECOVERED_MS, Failing, Recovered
from storage.clock import Millis
from storage.ids import LaneId
from storage.records.outage import Outage
from tests.clock import ManualClock

MINUTE = 60_000
BEGAN = 1_700_000_000_000

Story = Iterable[tuple[int, str]]
"""Minutes since the last step, and what ended: `x` failed for good, `r` is tried again, a number of deliveries."""


def told(story: Story, outage: Outage | None = None) -> list[tuple[int, Failing | Recovered]]:
    """Return what people are told, each with the minute of the story."""
    now, news = Millis(BEGAN), list[tuple[int, Failing | Recovered]]()
    for minutes, ends in story:
        now = Millis(now + minutes * MINUTE)
        for end in "d" * int(ends) if ends.isdecimal() else ends:
            one: Failing | Recovered | None = None
            match end:
                case "x":
                    outage, one = outages.failed(outage, now)
                case "r":
                    outage = outages.faltered(outage, now)
                case _:
                    outage, one = outages.delivered(outage, now)
            if one is not None:
                news.append(((now - BEGAN) // MINUTE, one))
    return news


def at(minute: int) -> Millis:
    return Millis(BEGAN + minute * MINUTE)


@pytest.mark.parametrize(
    ("story", "news"),
    [
        # what goes well, and what is tried again and then goes well, is no news
        ([(0, "100"), (0, "rrr"), (1, "100")], []),
        # the first that fails for good is told, the others are counted
        ([(0, "xxx"), (1, "xx")], [(0, Failing(at(0), 1))]),
        # now and then one fails: one outage
        ([(0, "x"), (0, "4"), (0, "x"), (1, "4"), (0, "x")], [(0, Failing(at(0), 1))]),
        # ten at once prove nothing before their time has come, nor does time before the tenth
        ([(0, "x"), (0, "99"), (4, "99")], [(0, Failing(at(0), 1))]),
        ([(0, "x"), (10, "9")], [(0, Failing(at(0), 1))]),
        ([(0, "x"), (5, "10")], [(0, Failing(at(0), 1)), (5, Recovered(at(0), at(0), 1))]),
        ([(0, "x"), (1, "10"), (4, "1")], [(0, Failing(at(0), 1)), (5, Recovered(at(0), at(0), 1))]),
        # a try that fails, also one that is made again, begins the row and the wait anew
        (
            [(0, "xx"), (3, "9"), (1, "x"), (4, "20"), (1, "1")],
            [(0, Failing(at(0), 1)), (9, Recovered(at(0), at(4), 3))],
        ),
        (
            [(0, "x"), (4, "9"), (0, "r"), (2, "20"), (3, "1")],
            [(0, Failing(at(0), 1)), (9, Recovered(at(0), at(4), 1))],
        ),
        # the next outage within the hour is not told, and is part of the next news
        (
            [(0, "x"), (6, "10"), (20, "xx"), (6, "20"), (20, "x"), (8, "x"), (6, "10")],
            [
                (0, Failing(at(0), 1)),
                (6, Recovered(at(0), at(0), 1)),
                (60, Failing(at(26), 4)),
                (66, Recovered(at(26), at(60), 4)),
            ],
        ),
        # an outage that lasts is told once, however long
        ([(0, "x"), *[(30, "x")] * 9, (5, "10")], [(0, Failing(at(0), 1)), (275, Recovered(at(0), at(270), 10))]),
    ],
)
def test_what_is_told(story: Story, news: list[tuple[int, Failing | Recovered]]) -> None:
    """One alert and one recovery for each outage, with what failed in it."""
    assert told(story) == news


def test_what_goes_well_changes_nothing() -> None:
    """A healthy lane, and one whose untold failures are long over, is stored anew by no delivery."""
    assert outages.delivered(None, at(0)) == (None, None)
    rest = Outage(steps=40, told_at=at(0))
    assert outages.delivered(rest, at(1))[0] is rest
    quiet = Outage(steps=9, since=at(1), failed=2, last_failed_at=at(1), delivered=RECOVERED_DELIVERIES, told_at=at(0))
    assert outages.delivered(quiet, at(7))[0] is quiet
    assert outages.faltered(rest, at(1)) is rest


def test_a_clock_that_was_ahead_keeps_nothing_back() -> None:
    """Times of a clock that ran ahead before a restart neither silence an alert nor put a recovery off."""
    ahead = Outage(since=at(600), failed=1, last_failed_at=at(600), told_at=at(600), is_told=True)
    assert told([(0, "1"), (5, "9")], ahead) == [(5, Recovered(at(600), at(0), 1))]
    assert told([(0, "x")], Outage(told_at=at(600))) == [(0, Failing(at(0), 1))]


@given(st.lists(st.tuples(st.integers(0, 45), st.sampled_from(["x", "xx", "r", "1", "3", "10", "12"])), max_size=60))
def test_any_story(story: list[tuple[int, str]]) -> None:
    """Alerts and recoveries take turns, alerts an hour apart, and no failure is told of twice."""
    news = told(story)
    alerts = [minute for minute, one in news if isinstance(one, Failing)]
    assert [isinstance(one, Failing) for _, one in news] == [number % 2 == 0 for number in range(len(news))]
    assert all(later - earlier >= NEWS_EVERY_MS // MINUTE for earlier, later in itertools.pairwise(alerts))
    for minute, one in news:
        if isinstance(one, Recovered):
            assert minute - (one.until - BEGAN) // MINUTE >= RECOVERED_MS // MINUTE
            assert one.since <= one.until
    recovered = [one for _, one in news if isinstance(one, Recovered)]
    assert all(earlier.until < later.since for earlier, later in itertools.pairwise(recovered))
    open_alert = sum(one.failed for _, one in news[-1:] if isinstance(one, Failing))
    assert sum(one.failed for one in recovered) + open_alert <= sum(ends.count("x") for _, ends in story)


@dataclass
class Stored:
    """Implements `bot.flows.outages.Stored`; each reading waits to be answered."""

    found: dict[LaneId, Outage] = field(default_factory=dict)
    readings: list[asyncio.Future[None]] = field(default_factory=list)

    async def outages(self) -> dict[LaneId, Outage]:
        found = dict(self.found)
        self.readings.append(asyncio.get_running_loop().create_future())
        await self.readings[-1]
        return found


async def started(counted: Outages) -> asyncio.Task[None]:
    reading = asyncio.create_task(counted.read())
    await asyncio.sleep(0)
    return reading


async def test_what_is_counted_while_others_read_stays() -> None:
    """Many first attempts read what is stored at once; the one that is answered last undoes nothing."""
    stored = Stored()
    counted = Outages(stored, ManualClock())
    first, second = await started(counted), await started(counted)
    stored.readings[0].set_result(None)
    await first
    assert counted.failed(LaneId(1))[1] is not None
    stored.readings[1].set_result(None)
    await second
    assert counted.failed(LaneId(1))[1] is None
    await counted.read()
    assert len(stored.readings) == 2


async def test_removed_lanes_are_forgotten() -> None:
    """What is remembered does not grow with every address that ever failed, and forgets none that is still there."""
    stored, clock = Stored(), ManualClock()
    counted = Outages(stored, clock)
    reading = await started(counted)
    stored.readings[0].set_result(None)
    await reading
    for number in range(2 * FEWEST_REMEMBERED):
        stored.found[LaneId(number)], _ = counted.failed(LaneId(number))
    clock.advance(SETTLED_MS)
    late, _ = counted.failed(LaneId(-1))  # counted, and not stored yet
    del stored.found[LaneId(7)]
    reading = await started(counted)
    counted.failed(LaneId(8))
    stored.readings[1].set_result(None)
    await reading
    assert late.failed == 1
    assert [counted.failed(LaneId(lane))[0].failed for lane in (-1, 6, 7, 8)] == [2, 2, 1, 3]
