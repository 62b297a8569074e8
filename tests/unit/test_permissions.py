"""Tests of what users may do: role defaults, single grants, and which hooks they see and manage."""

import pytest

from handlers.permissions import (
    CREATE_TOKENS,
    IMPERSONATE,
    MANAGE_ANY,
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
    may_manage,
    permissions,
    visible,
)
from storage.ids import UserId
from storage.records.integration import Hook
from storage.records.user import Role
from tests.records import ANN, incoming, outgoing, user

BOB = UserId("bob")
HOOKS: dict[str, Hook] = {
    "mine in": incoming(),
    "their in": incoming(created_by=(BOB, "bob")),
    "mine out": outgoing(),
    "their out": outgoing(created_by=(BOB, "bob")),
}
MI, MOI, MO, MOO = MANAGE_INCOMING, MANAGE_OWN_INCOMING, MANAGE_OUTGOING, MANAGE_OWN_OUTGOING


@pytest.mark.parametrize(
    ("role", "held"),
    [
        (Role.OWNER, MANAGE_ANY),
        (Role.ADMIN, MANAGE_ANY),
        (Role.EDITOR, {MOI, MOO}),
        (Role.VIEWER, set()),
    ],
)
def test_role_gives_permissions(role: Role, held: set[str]) -> None:
    """Admins hold all four, editors the two own ones, viewers none; everybody may make tokens (decision 7)."""
    assert permissions(user(role=role)) == held | {CREATE_TOKENS}


def test_single_permissions_are_granted_and_taken() -> None:
    """What is denied is gone whoever gave it; impersonation comes with being a bot or a grant (decision 20)."""
    assert permissions(user(is_bot=True)) == {CREATE_TOKENS, IMPERSONATE}
    assert IMPERSONATE in permissions(user(granted=frozenset({IMPERSONATE})))
    changed = user(role=Role.ADMIN, granted=frozenset({IMPERSONATE}), denied=frozenset({MI, MO, CREATE_TOKENS}))
    assert permissions(changed) == {MOI, MOO, IMPERSONATE}
    assert permissions(user(granted=frozenset({MI}), denied=frozenset({MI}))) == {CREATE_TOKENS}


@pytest.mark.parametrize(
    ("held", "seen", "managed"),
    [
        ({MI, MO}, "mine in, their in, mine out, their out", "mine in, their in, mine out, their out"),
        ({MI, MO, MOI, MOO}, "mine in, their in, mine out, their out", "mine in, their in, mine out, their out"),
        ({MOI, MOO}, "mine in, mine out", "mine in, mine out"),
        ({MI, MOI, MOO}, "mine in, mine out", "mine in, their in, mine out"),
        ({MI, MOO}, "mine in, their in, mine out", "mine in, their in, mine out"),
        ({MI, MOI}, "mine in, their in", "mine in, their in"),
        ({MO}, "mine out, their out", "mine out, their out"),
        ({MOI}, "mine in", "mine in"),
        (set(), "", ""),
    ],
)
def test_hooks_are_seen_and_managed(held: set[str], seen: str, managed: str) -> None:
    """The list follows rocketchat.md §4.2, a single hook §4.3: both own permissions narrow the list only."""
    rights = frozenset(held)
    assert ", ".join(name for name, hook in HOOKS.items() if visible(rights, ANN, hook)) == seen
    assert ", ".join(name for name, hook in HOOKS.items() if may_manage(rights, ANN, hook)) == managed
