"""`room retention` on a running server: who may, what is asked and told, and what is gone afterwards."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import FormData

from storage.ids import MessageId, id_time, timed_id
from tests.clock import ManualClock
from tests.command_talk import audited, confirmed, typed
from tests.records import NOON
from tests.server import Server, serving

DAY_MS = 24 * 3_600_000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Server]:
    async with serving(tmp_path / "data", clock) as running:
        yield running


async def say(server: Server, text: str) -> str:
    posted = await server.post("chat.postMessage", {"channel": "#general", "text": text})
    return str(posted["message"]["_id"])


async def purge(server: Server) -> None:
    while await server.services.store.purge(server.services.clock.now()):
        pass


async def texts(server: Server) -> list[str]:
    return [one["msg"] for one in (await server.room_messages())[::-1]]


async def test_a_room_told_to_forget_forgets(server: Server, clock: ManualClock) -> None:
    """The question counts what goes; then it is gone, the room says so, and undoing keeps what is left."""
    first = await say(server, "first")
    clock.advance(40 * DAY_MS)
    await say(server, "second")
    asked = await typed(server, "owner", "room retention #general --keep 30d --keep-last 10000")
    assert "Keep messages of the last 30d, at most the newest 10,000 in #general (GENERAL)" in asked.text
    assert "1 message and their files are removed within 10 min; no undo brings them back." in asked.text
    assert await texts(server) == ["first", "second"]
    done = await confirmed(server, "owner", "room retention #general --keep 30d --keep-last 10000")
    assert done.code == "ok", done.text
    note = "owner set #general to keep messages of the last 30d, at most the newest 10,000."
    await purge(server)
    assert await texts(server) == ["second", note]
    shown = (await typed(server, "owner", "room show")).text
    assert "keeps: messages of the last 30d, at most the newest 10,000; 1 message removed so far" in shown
    assert [row.outcome for row in await audited(server)][:1] == ["done"]
    link = f"{server.services.base_url}/channel/general?msg={first}"
    for asked_for in (link, first):
        why = await typed(server, "owner", f"why {asked_for}")
        assert f'There is no message "{first}". Of that age, messages were removed by retention:' in why.text
        assert "#general keeps messages of the last 30d, at most the newest 10,000" in why.text
    assert (await typed(server, "owner", "undo")).code == "ok"
    assert "keeps: all messages; 1 message removed so far" in (await typed(server, "owner", "room show")).text
    clock.advance(40 * DAY_MS)
    await purge(server)
    assert "second" in await texts(server)


async def test_why_says_nothing_of_rooms_one_is_not_in(server: Server, clock: ManualClock) -> None:
    """Neither of other rooms, nor of an age that nothing was removed of, nor of ids that tell no age."""
    await server.user("ann")
    first = await say(server, "first")
    clock.advance(2 * DAY_MS)
    await say(server, "second")
    await typed(server, "owner", "room create secret --private")
    await confirmed(server, "owner", "room retention #general --keep 1d")
    await purge(server)
    for line in (
        f"why {server.services.base_url}/channel/secret?msg={first}",
        f"why {timed_id(clock.now())}",
        "why abc",
    ):
        answer = await typed(server, "owner", line)
        assert answer.code == "unknown"
        assert "retention" not in answer.text, line
    assert "retention" in (await typed(server, "owner", f"why {first}")).text


async def test_a_file_goes_with_its_message(server: Server, clock: ManualClock) -> None:
    """Record and bytes: the address answers 404 at once, and the sweep takes the bytes."""
    form = FormData()
    form.add_field("file", b"content", filename="a.txt", content_type="text/plain")
    async with server.http.post(
        f"{server.url}/api/v1/rooms.upload/GENERAL", data=form, headers=server.owner
    ) as response:
        path = (await response.json())["message"]["attachments"][0]["title_link"]
    clock.advance(2 * DAY_MS)
    await confirmed(server, "owner", "room retention #general --keep 1d")
    await purge(server)
    async with server.http.get(server.url + path, headers=server.owner) as response:
        assert response.status == 404
    assert await server.services.uploads.purge_unconfirmed(NOON) == 1
    assert list((server.services.folder / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("room retention #general", "usage", "--keep 30d, --keep-last 10000, both of them, or --off"),
        ("room retention #general --off --keep 1d", "usage", "or --off"),
        ("room retention #general --keep 59m", "invalid", "for 1h at least"),
        ("room retention #general --keep-last 0", "invalid", "a whole number from 1"),
        ("room retention #general --off", "conflict", "keeps all messages already"),
        ("room retention #gen --off", "ambiguous", "beginning of a name"),
        ("room retention #nowhere --off", "unknown", "no room"),
    ],
)
async def test_what_is_refused(server: Server, line: str, code: str, part: str) -> None:
    """Each with what is allowed; nothing is changed."""
    answer = await typed(server, "owner", line)
    assert (answer.code, part in answer.text) == (code, True), answer.text


async def test_only_admins_let_rooms_forget(server: Server) -> None:
    """An editor may not, even in a room of their own."""
    await server.user("ed", "editor")
    assert (await typed(server, "ed", "room create mine")).code == "ok"
    assert (await typed(server, "ed", "room retention #mine --keep 1d")).code == "forbidden"


def test_an_id_tells_when_it_was_made() -> None:
    """Only one of our shape does."""
    assert id_time(timed_id(NOON)) == NOON
    for other in ("", "abc", "0" * 17, MessageId("x" * 18), "l" * 17):
        assert id_time(other) is None
