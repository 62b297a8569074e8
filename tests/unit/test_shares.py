"""The rule of shares: nobody takes what leaves nothing for who comes next, whatever was taken and given back before."""

import pickle
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from storage.clock import Millis
from storage.ids import IntegrationId, LaneId, UserId
from storage.shares import Caller, CallShares, Shares, more

TOTAL = 64
LANE_SLOTS = 16
FOREVER = Millis(1 << 60)


def caller(creator: int, hook: int = 0, lane: int = 0, *, silent: bool = False, alone: bool = False) -> Caller:
    lane_id = LaneId(creator * 10_000 + hook * 100 + lane)
    return Caller(UserId(f"u{creator}"), IntegrationId(f"{creator}.{hook}"), lane_id, silent, alone)


def shares(total: int = 256) -> CallShares:
    return CallShares(total, lane_slots=LANE_SLOTS)


def fill(here: CallShares, *callers: Caller) -> Counter[Caller]:
    """Take in turn, one slot at a time, until none of them gets another; return who has how many."""
    took = True
    while took:
        took = False
        for one in callers:
            if here.room(one) > 0:
                here.take(one)
                took = True
    return Counter({one: here.held(one) for one in callers})


@given(st.integers(0, 300), st.integers(0, 300))
def test_a_holder_leaves_as_many_as_it_holds(held: int, free: int) -> None:
    """After taking all it may, a holder has no more than is left; who has nothing may have the last one."""
    taken = more(held, free)
    assert 0 <= taken <= free
    if taken > (held == 0):
        assert held + taken <= free - taken
    if not held and free:
        assert taken >= 1


def test_one_busy_lane_that_is_answered_has_all_its_slots() -> None:
    """Alone it is bounded by nothing but what a lane may have."""
    here, one = shares(), caller(1)
    here.answered(one.lane, FOREVER)
    assert fill(here, one)[one] == LANE_SLOTS


@pytest.mark.parametrize(("total", "most"), [(256, 16), (128, 16), (64, 16), (32, 8), (8, 2), (1, 1)])
def test_the_only_address_of_a_hook_has_its_hooks_share(total: int, most: int) -> None:
    """Nothing is kept for other addresses where there are none; other hooks and creators find slots beside it."""
    here, one = shares(total), caller(1, alone=True)
    here.answered(one.lane, FOREVER)
    assert fill(here, one)[one] == most
    if total > 1:
        assert here.room(caller(1, 1)) == here.room(caller(2)) == 1


def test_a_lane_that_is_not_answered_has_one_slot() -> None:
    """Before its first answer, after one too long ago, and after an attempt without one."""
    here, one = shares(), caller(1)
    assert here.slots(one) == 1
    here.answered(one.lane, Millis(100))
    here.forget(Millis(99))
    assert here.slots(one) == LANE_SLOTS
    assert here.slots(one._replace(silent=True)) == 1
    here.forget(Millis(100))
    assert here.slots(one) == 1
    here.answered(one.lane, FOREVER)
    here.unanswered(one.lane)
    assert fill(here, one)[one] == 1


def test_however_many_of_a_creator_hang_others_find_slots() -> None:
    """Hooks without number, each with many addresses: half of the slots stay for other creators."""
    here = shares()
    crowd = [caller(1, hook, lane) for hook in range(100) for lane in range(20)]
    for one in crowd:
        here.answered(one.lane, FOREVER)
    assert sum(fill(here, *crowd).values()) == 128
    other = caller(2)
    here.answered(other.lane, FOREVER)
    assert fill(here, other)[other] == LANE_SLOTS


def test_slow_addresses_of_a_hook_leave_room_for_its_creators_other_hooks() -> None:
    """A hook has half of its creator's share, and one address of many half of its hook's."""
    here = shares()
    slow = [caller(1, 1, lane) for lane in range(20)]
    for one in slow:
        here.answered(one.lane, FOREVER)
    assert sum(fill(here, *slow).values()) <= 64
    assert here.room(caller(1, 2)) > 0


def test_silent_lanes_leave_room_for_those_of_their_creator_that_are_answered() -> None:
    """A thousand addresses that hang have their probes, and an answered one beside them all its slots."""
    here = shares()
    silent = [caller(1, hook, silent=True) for hook in range(1000)]
    assert sum(fill(here, *silent).values()) == 64
    sound = caller(1, 2000)
    here.answered(sound.lane, FOREVER)
    assert fill(here, sound)[sound] >= LANE_SLOTS // 2


def test_silent_lanes_of_many_creators_leave_half_of_the_slots() -> None:
    """Also when each creator stays within its share."""
    here = shares()
    silent = [caller(creator, hook, silent=True) for creator in range(30) for hook in range(30)]
    assert sum(fill(here, *silent).values()) <= 128
    sound = [caller(100 + creator) for creator in range(5)]
    assert all(count == 1 for count in fill(here, *sound).values())


def test_what_is_given_back_goes_to_who_has_nothing() -> None:
    """A slot that gets free among holders of many is no use to them while somebody waits with none."""
    here = shares(8)
    first, second = caller(1), caller(2)
    for one in (first, second):
        here.answered(one.lane, FOREVER)
    fill(here, first)
    before = here.held(first)
    fill(here, second)
    here.leave(first)
    newcomer = caller(3)
    assert here.room(newcomer) >= 1
    assert here.held(first) == before - 1


def test_a_copy_counts_for_itself() -> None:
    """A claim counts on without the worker's own count changing, in another process, too."""
    here, one = shares(), caller(1)
    here.answered(one.lane, FOREVER)
    here.take(one, 3)
    for copy in (here.copy(), pickle.loads(pickle.dumps(here.copy()))):
        copy.take(one, 2)
        copy.unanswered(one.lane)
        assert copy.held(one) == 5
    assert here.held(one) == 3
    assert here.slots(one) == LANE_SLOTS


class SharesMachine(RuleBasedStateMachine):
    """Takes and gives back at random beside a plain list of who holds what."""

    def __init__(self) -> None:
        super().__init__()
        self.here = shares(TOTAL)
        self.held: list[Caller] = []

    @rule(creator=st.integers(0, 4), hook=st.integers(0, 3), lane=st.integers(0, 3), silent=st.booleans())
    def ask(self, creator: int, hook: int, lane: int, silent: bool) -> None:
        one = caller(creator, hook, lane, silent=silent)
        room = self.here.room(one)
        assert 0 <= room <= self.here.slots(one) - sum(each.lane == one.lane for each in self.held) or room == 0
        if room:
            self.here.take(one)
            self.held.append(one)
        elif not silent and not any(each.creator == one.creator for each in self.held):
            assert len(self.held) == TOTAL, "nothing under way, a slot free, and refused"

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 1000))
    def end(self, which: int) -> None:
        self.here.leave(self.held.pop(which % len(self.held)))

    @rule(creator=st.integers(0, 4), hook=st.integers(0, 3), lane=st.integers(0, 3), well=st.booleans())
    def answer(self, creator: int, hook: int, lane: int, well: bool) -> None:
        one = caller(creator, hook, lane).lane
        if well:
            self.here.answered(one, FOREVER)
        else:
            self.here.unanswered(one)

    @invariant()
    def nothing_is_lost(self) -> None:
        """What is held is what was taken, for every holder; a silent half at most."""
        assert len(self.held) <= TOTAL
        for creator in {one.creator for one in self.held}:
            assert self.here.held_of(creator) == sum(one.creator == creator for one in self.held)
        for one in set(self.held):
            assert self.here.held(one) == sum(each.lane == one.lane for each in self.held)
        assert sum(one.silent for one in self.held) <= TOTAL // 2


def test_whatever_is_taken_and_given_back() -> None:
    """The rule holds in every order."""
    run_state_machine_as_test(SharesMachine)


def test_paths_of_any_depth_share_alike() -> None:
    """Lookups share by creator and hook, as calls do by creator, hook and lane."""
    here = Shares(32)
    while here.room(("a", "x")):
        here.take(("a", "x"))
    assert here.held(("a",)) == 8
    assert here.room(("a", "y")) >= 1
    assert here.room(("b", "x")) >= 6
    here.leave(("a", "x"))
    assert (here.free, here.held(("a", "x"))) == (25, 7)
