"""`audit` on a real server: what was changed by command, by whom, where."""

import pytest

from storage.records.workspace import WorkspaceKind
from tests.command_talk import confirmed, person, typed, typed_there
from tests.connected import connect, link
from tests.hook_door import door
from tests.server import Server


async def _changes(server: Server, flags: str = "") -> list[str]:
    """Return the rows of the list, without their numbers."""
    answer = await typed(server, "owner", f"audit {flags}")
    assert answer.code == "ok", answer.text
    return [line.partition(" ")[2] for line in answer.text.splitlines() if line.startswith("#")]


@pytest.fixture
async def history(server: Server) -> Server:
    """A server where three things were done by two people."""
    await server.user("ann", "admin")
    await server.user("bob")
    await door(server, name="ci")
    await typed(server, "owner", "user role @bob editor -y")
    question = await typed(server, "ann", "in remove ci")
    assert isinstance(question.data, dict)
    await typed(server, "ann", question.data["command"])
    await confirmed(server, "ann", "user disable @bob")
    return server


async def test_rows_tell_who_did_what_where(history: Server) -> None:
    """Newest first, in the fixed order; a row stands for what it was about."""
    bob = await person(history, "bob")
    rows = await _changes(history)
    assert rows[0] == f"done · @ann · {bob.id} · #general (rooms) · user disable {bob.id} · user bob · just now"
    assert [row.split(" · ")[1] for row in rows] == ["@ann", "@ann", "@owner"]
    assert (await typed(history, "owner", "user show #1")).text.startswith("User @bob")


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        ("--who @ann", 2),
        ("--who @bob", 0),
        ("--what user", 2),
        ('--what "user role"', 1),
        ("--what *remove", 1),
        ("--object ci", 1),
        ("--object @bob", 2),
        ("--since -1h", 3),
        ("--since 2100-01-01", 0),
        ("--who @ann --what in", 1),
    ],
)
async def test_rows_are_found_by_each_flag(history: Server, flags: str, count: int) -> None:
    """Person, command, time and thing, together where several are given; removed things by their name."""
    assert len(await _changes(history, flags)) == count


async def test_somebody_who_is_not_there_is_said(history: Server) -> None:
    """A wrong name gives no empty list."""
    assert (await typed(history, "owner", "audit --who @nobody")).code == "unknown"


async def test_pages_go_on_counting(server: Server) -> None:
    """Ten rows a page, with the command for the next one."""
    for number in range(12):
        await typed(server, "owner", f"user invite guest{number}")
    first = (await typed(server, "owner", "audit --what user")).text
    assert first.splitlines()[0] == "12 changes, page 1 of 2"
    assert "Next page: /hook audit --what user --page 2" in first
    assert len(await _changes(server, "--page 2")) == 2
    assert (await typed(server, "owner", "audit --page 3")).code == "invalid"


async def test_a_channel_of_another_chat_is_named(server: Server) -> None:
    """Its place is the chat's name with the channel over there."""
    chat = await connect(server, WorkspaceKind.SLACK)
    await server.user("bob")
    await link(server, chat, "U1", "owner")
    await typed_there(server, chat, "U1", "user role @bob editor -y")
    assert f"{chat.name}:C1 (slack)" in (await _changes(server))[0]
