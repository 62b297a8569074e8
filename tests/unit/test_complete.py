"""Tests of completion: what is offered at the cursor, for whom, how many, how fast."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.command import load_commands
from handlers.complete import Kind, Names, Suggestion, complete
from handlers.permissions import permissions
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.user import Role
from tests.records import NOON, incoming, outgoing, user

COMMANDS = load_commands()
NAMES = Names(
    hooks=(
        incoming(name="ci"),
        incoming(name="ci night", updated_at=Millis(NOON + 1)),
        incoming(name="other"),
        outgoing(name="chat"),
    ),
    rooms=("general", "ops"),
)


def offered(line: str, role: Role = Role.ADMIN, names: Names = NAMES, cursor: int | None = None) -> list[Suggestion]:
    """Complete as Ann in a role, at the end of the line unless told otherwise."""
    ann = user(role=role)
    held = permissions(ann)
    at = len(line) if cursor is None else cursor
    return complete(line, at, commands=COMMANDS, permits=lambda c: c.allows(ann, held), names=names)


@pytest.mark.parametrize(
    ("line", "inserts"),
    [
        ("", ["help", "in", "out", "status"]),
        ("S", ["status"]),
        ("c", ['"ci night"', "chat", "ci"]),
        ("in ", ["list", "show", "remove"]),
        ("hook SH", ["show"]),
        ("in show ", ['"ci night"', "ci", "other"]),
        ("out show ", ["chat"]),
        ("in show CI", ['"ci night"', "ci"]),
        ('in show "ci n', ['"ci night"']),
        ("in show “ci n", ['"ci night"']),
        ("in show ci ", ["--help", "--json"]),
        ("in remove ci ", ["--confirm", "--help", "--json"]),
        ("in list ", ["--room", "--mine", "--disabled", "--page", "--help", "--json"]),
        ("in list --mine —", ["--room", "--disabled", "--page", "--help", "--json"]),
        ("in list --r", ["--room"]),
        ("in list --room ", ["#general", "#ops"]),
        ("in list --room #o", ["#ops"]),
        ("in list --page ", []),
        ("in nope ", []),
        ("nope ", []),
        ("status x", []),
    ],
)
def test_what_is_due_is_offered(line: str, inserts: list[str]) -> None:
    """Nouns, verbs, then required values, flags only when those are there; the latest changed names come first."""
    assert [suggestion.insert for suggestion in offered(line)] == inserts


def test_suggestion_says_where_it_goes() -> None:
    """A suggestion replaces the word under the cursor, quote included, and what stands behind does not count."""
    assert offered('in show "ot and more', cursor=11) == [
        Suggestion("other", "other", f"in {incoming().id}", Kind.NAME, 8)
    ]


def test_what_may_not_be_run_is_not_offered() -> None:
    """A viewer is offered no removal, nor anything behind one."""
    assert [suggestion.insert for suggestion in offered("in ", Role.VIEWER)] == ["list", "show"]
    assert offered("in remove ", Role.VIEWER) == []


@pytest.mark.flaky(reruns=3)  # a measurement: a busy machine may spoil one
def test_ten_of_ten_thousand_come_fast() -> None:
    """At most ten are offered, within 50 ms among 10,000 hooks."""
    hooks = [incoming(id=IntegrationId(f"{n:024x}"), name=f"hook {n}") for n in range(10_000)]
    names = Names(hooks=hooks)

    def seconds() -> float:
        began = perf_counter()
        assert len(offered("in show hook", names=names)) == 10
        return perf_counter() - began

    assert min(seconds() for _ in range(3)) < 0.05


@given(st.text(), st.integers())
def test_no_line_raises(line: str, cursor: int) -> None:
    """Any line and any cursor give at most ten suggestions."""
    assert len(offered(line, cursor=cursor)) <= 10
