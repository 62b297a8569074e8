"""Tests of completion: what is offered at the cursor, for whom, how many, how fast."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.complete import Kind, Suggestion
from storage.clock import Millis
from storage.records.integration import Hook
from storage.records.user import Role
from tests.command_stage import COMMANDS, InMemory
from tests.records import NOON, incoming, outgoing, user

HOOKS: list[Hook] = [
    incoming(name="ci"),
    incoming(name="ci night", updated_at=Millis(NOON + 1)),
    incoming(name="other"),
    outgoing(name="chat"),
]


async def offered(line: str, role: Role = Role.ADMIN, cursor: int | None = None) -> list[Suggestion]:
    """Complete as Ann in a role, at the end of the line unless told otherwise."""
    return await InMemory(user(role=role), HOOKS).completed(line, cursor)


@pytest.mark.parametrize(
    ("line", "inserts"),
    [
        ("", [noun.name for noun in COMMANDS.nouns][:10]),
        ("S", ["status"]),
        ("c", ["cancel", "confirm", '"ci night"', "chat", "ci"]),
        ("in ", ["list", "show", "add", "edit", "enable", "disable", "rotate-token", "adopt", "test", "preview"]),
        ("hook SH", ["show"]),
        ("in show ", ['"ci night"', "ci", "other"]),
        ("out show ", ["chat"]),
        ("in show CI", ['"ci night"', "ci"]),
        ('in show "ci n', ['"ci night"']),
        ("in show “ci n", ['"ci night"']),
        ("in show ci ", ["--public", "--json", "--help"]),
        ("in remove ci ", ["--dry-run", "--yes", "--public", "--json", "--help"]),
        ("in list ", ["--room", "--mine", "--disabled", "--page", "--public", "--json", "--help"]),
        ("in list --mine —", ["--room", "--disabled", "--page", "--public", "--json", "--help"]),
        ("in list --r", ["--room"]),
        ("in list --room ", ["#general", "#ops"]),
        ("in list --room #o", ["#ops"]),
        ("in list --page ", []),
        ("help i", ["import", "in"]),
        ("help in s", ["show"]),
        ("help in show ", ["--public", "--json", "--help"]),
        ("in nope ", []),
        ("nope ", []),
        ("status x", []),
    ],
)
async def test_what_is_due_is_offered(line: str, inserts: list[str]) -> None:
    """Nouns, verbs, then required values, flags only when those are there; the latest changed names come first."""
    assert [suggestion.insert for suggestion in await offered(line)] == inserts


async def test_suggestion_says_where_it_goes() -> None:
    """A suggestion replaces the word under the cursor, quote included, and what stands behind does not count."""
    assert await offered('in show "ot and more', cursor=11) == [
        Suggestion("other", "other", f"in {incoming().id}", Kind.NAME, 8)
    ]


async def test_what_may_not_be_run_is_not_offered() -> None:
    """A viewer is offered no removal, nor anything behind one."""
    assert [suggestion.insert for suggestion in await offered("in ", Role.VIEWER)] == [
        "list",
        "show",
        "preview",
        "history",
    ]
    assert await offered("in remove ", Role.VIEWER) == []


@given(st.text(), st.integers())
async def test_no_line_raises(line: str, cursor: int) -> None:
    """Any line and any cursor give at most ten suggestions."""
    assert len(await offered(line, cursor=cursor)) <= 10
