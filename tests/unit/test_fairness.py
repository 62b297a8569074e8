"""Which address holds most, however members come and go; and who of many has been silent longest."""

from collections import Counter, OrderedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.web import fairness
from bot.web.fairness import LEAST_SHARE, Shares, longest_silent

STEPS = st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=80)


@given(STEPS)
def test_the_largest_share_is_that_of_the_most_counted(steps: list[tuple[str, bool]]) -> None:
    """After each coming and going the members returned are all those of an address nobody exceeds."""
    shares: Shares[str] = Shares()
    members: dict[str, list[str]] = {address: [] for address in "abcd"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fairness, "LEAST_SHARE", 1)
        for number, (address, comes) in enumerate(steps):
            if comes:
                members[address].append(f"{address}{number}")
                shares.add(address, members[address][-1])
            elif members[address]:
                shares.remove(address, members[address].pop())
            counts = Counter({one: len(found) for one, found in members.items()})
            most = max(counts.values())
            largest = shares.largest()
            if most <= 1:
                assert largest is None
            else:
                assert largest is not None
                assert list(largest) in [found for found in members.values() if len(found) == most]


def test_nobody_gives_way_below_the_least_share() -> None:
    """An address that holds no more than anybody may is nobody's largest."""
    shares: Shares[int] = Shares()
    for number in range(LEAST_SHARE):
        shares.add("a", number)
    assert shares.largest() is None
    shares.add("a", LEAST_SHARE)
    assert shares.largest() is not None


def test_who_is_at_work_is_passed_over() -> None:
    """The first of those that wait goes; who is at work counts as one that has just moved."""
    ring = OrderedDict.fromkeys("abc")
    assert longest_silent(ring, lambda one: one != "a") == "b"
    assert list(ring) == ["b", "c", "a"]
    assert longest_silent(ring, lambda _: False) is None
    assert longest_silent(OrderedDict[str, None](), lambda _: True) is None


def test_who_has_moved_is_the_last_of_a_share_to_go() -> None:
    """Members stand in the order of their last moves."""
    shares: Shares[int] = Shares()
    for number in range(LEAST_SHARE + 1):
        shares.add("a", number)
    shares.moved("a", 0)
    largest = shares.largest()
    assert largest is not None
    assert (next(iter(largest)), list(largest)[-1]) == (1, 0)
