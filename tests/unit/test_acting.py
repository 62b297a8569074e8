"""Who may act as whom, and which rooms a hook reaches: each rule over every role, permission and state."""

import itertools

import pytest

from handlers.acting import lesser, may_act_as, may_reach
from handlers.permissions import (
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
)
from storage.ids import UserId
from storage.records.integration import Direction
from storage.records.user import Role, User
from tests.records import user

RANKS = {Role.VIEWER: 1, Role.EDITOR: 2, Role.ADMIN: 3, Role.OWNER: 4}
FULL = {Direction.INCOMING: MANAGE_INCOMING, Direction.OUTGOING: MANAGE_OUTGOING}
OWN = {Direction.INCOMING: MANAGE_OWN_INCOMING, Direction.OUTGOING: MANAGE_OWN_OUTGOING}
ALL = tuple(itertools.product(Role, Role, Direction))


def other(**changes: object) -> User:
    return user(**{"id": UserId("other"), "username": "other", **changes})


@pytest.mark.parametrize(("maker", "role", "way"), ALL)
def test_a_person_of_no_higher_role_takes_the_full_permission(maker: Role, role: Role, way: Direction) -> None:
    """Owners and admins hold it by their role, others only when it is granted to them."""
    full = RANKS[maker] >= RANKS[Role.ADMIN]
    no_higher = RANKS[maker] >= RANKS[role]
    assert may_act_as(user(role=maker), other(role=role), way) is (full and no_higher)
    granted = user(role=maker, granted=frozenset({FULL[way]}))
    assert may_act_as(granted, other(role=role), way) is no_higher
    elsewhere = user(role=maker, granted=frozenset(FULL.values()), denied=frozenset({FULL[way]}))
    assert not may_act_as(elsewhere, other(role=role), way)


@pytest.mark.parametrize(("maker", "role", "way"), ALL)
def test_everybody_acts_as_themselves_and_as_bots(maker: Role, role: Role, way: Direction) -> None:
    """Neither takes a permission; an admin or owner who holds role `bot` is as other people of that role."""
    me = user(role=maker)
    assert may_act_as(me, me, way)
    for bot in (other(role=role, is_bot=True), other(role=role, type="bot")):
        plain = RANKS[role] < RANKS[Role.ADMIN]
        assert may_act_as(me, bot, way) is (plain or may_act_as(me, other(role=role), way))


@pytest.mark.parametrize("way", Direction)
def test_who_is_deactivated_or_gone_lets_nothing_act(way: Direction) -> None:
    """What they made goes on as a bot alone."""
    gone = user(role=Role.OWNER, active=False)
    for maker in (gone, None):
        assert not may_act_as(maker, other(), way)
        assert may_act_as(maker, other(is_bot=True), way)
    assert not may_act_as(gone, gone, way)


@pytest.mark.parametrize(("held", "inside", "way"), [
    (held, inside, way)
    for held in itertools.chain.from_iterable(itertools.combinations(("full", "own"), size) for size in range(3))
    for inside in (True, False)
    for way in Direction
])  # fmt: skip
def test_private_rooms_are_reached_by_who_may_enter_them(held: tuple[str, ...], inside: bool, way: Direction) -> None:
    """From inside with either permission; from outside with both, and to hear with the full one alone."""
    names = {"full": FULL[way], "own": OWN[way]}
    maker = user(granted=frozenset(names[one] for one in held))
    anywhere = {"full", "own"} <= set(held) if way is Direction.INCOMING else "full" in held
    assert may_reach(maker, way, public=False, inside=inside) is (anywhere or (inside and bool(held)))
    assert may_reach(maker, way, public=True, inside=inside)
    gone = user(role=Role.OWNER, active=False)
    for nobody in (gone, None):
        assert not may_reach(nobody, way, public=False, inside=inside)
        assert may_reach(nobody, way, public=True, inside=inside)


@pytest.mark.parametrize(("one", "two"), tuple(itertools.product(Role, Role)))
def test_the_lesser_of_two_is_the_lower_role(one: Role, two: Role) -> None:
    """Of equals it is the first."""
    first, second = user(role=one), other(role=two)
    assert lesser(first, second) is (second if RANKS[two] < RANKS[one] else first)
