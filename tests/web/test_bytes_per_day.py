"""What a hook or a user may store a day: counted as it lies in the file, refused beyond, remembered over a restart."""

import asyncio
import gzip
import json
import random
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bot.flows.receive import KEPT_HEADERS_CHARS
from tests.clock import ManualClock
from tests.server import Server, serving

DAY_MS = 24 * 3600 * 1000
LIMIT = 2 << 20
LETTERS = "".join(map(chr, range(0x21, 0x7F)))
FULL = (
    "Error, too many requests. Please slow down: 2 MiB a day may be stored (PATCHBAY_HOOK_BYTES_PER_DAY) and are."
    " You must wait {} seconds before trying this endpoint again. [error-too-many-requests]"
)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def server(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Server]:
    async with serving(tmp_path / "data", clock, hook_bytes_per_day=LIMIT) as running:
        yield running


def long_text() -> str:
    """Return a text that does not get shorter by compressing."""
    return "".join(random.choices(LETTERS, k=30_000))  # no secret


async def send(server: Server, hook: str, body: object, **headers: str) -> tuple[int, dict[str, Any], str | None]:
    """Post to a hook; returns status, answer and how long it says to wait."""
    async with server.http.post(hook, json=body, headers=headers) as response:
        return response.status, await response.json(), response.headers.get("Retry-After")


async def fill(server: Server, hook: str) -> int:
    """Post until it is refused; returns how many were taken."""
    for number in range(100):
        status, _, _ = await send(server, hook, {"text": long_text()})
        if status != 200:
            return number
    raise AssertionError("nothing was ever refused")


async def other_hook(server: Server) -> str:
    made = (
        await server.post(
            "integrations.create",
            {
                "type": "webhook-incoming",
                "name": "other",
                "enabled": True,
                "username": "rocket.cat",
                "channel": "#general",
                "scriptEnabled": False,
            },
        )
    )["integration"]
    return f"{server.url}/hooks/{made['_id']}/{made['token']}"


async def test_a_hook_that_has_stored_its_bytes_waits_for_the_next_day(server: Server, clock: ManualClock) -> None:
    """The answer is the contract's for too many requests and names the limit; nobody else is affected."""
    taken = await fill(server, server.hook)
    assert taken * 3 * 30_000 == pytest.approx(LIMIT, rel=0.1), "message, event and kept request are counted"
    status, answer, wait = await send(server, server.hook, {"text": "short"})
    until_midnight = (DAY_MS - clock.now() % DAY_MS + 999) // 1000
    assert (status, wait) == (429, str(until_midnight))
    assert answer == {"success": False, "error": FULL.format(until_midnight)}
    assert (await send(server, await other_hook(server), {"text": "x"}))[0] == 200
    clock.advance(until_midnight * 1000)
    assert (await send(server, server.hook, {"text": "x"}))[0] == 200


async def test_history_hears_once_that_a_hook_is_full(server: Server) -> None:
    """One line a day, because refusals must not fill the disk either; bad bodies leave none beside it."""
    await fill(server, server.hook)
    for _ in range(3):
        await send(server, server.hook, {"text": "short"})
        async with server.http.post(server.hook, data=b"{", headers={"Content-Type": "application/json"}) as response:
            assert response.status == 400
    first = server.running.first_start
    assert first is not None
    refused = [one for one in await server.services.store.requests(first.hook_id) if one.verdict == "refused"]
    assert [(one.status, "PATCHBAY_HOOK_BYTES_PER_DAY" in (one.error or "")) for one in refused] == [(429, True)]


async def test_posts_at_once_do_not_go_past_the_bound(server: Server) -> None:
    """What is under way counts: a burst gets little further than the same posts one after the other."""
    texts = [long_text() for _ in range(100)]
    results = await asyncio.gather(*(send(server, server.hook, {"text": text}) for text in texts))
    taken = sum(status == 200 for status, _, _ in results)
    first = server.running.first_start
    assert first is not None
    assert taken > 0
    assert server.services.store.stored_today(first.hook_id) < LIMIT + 200_000
    assert {wait for status, _, wait in results if status == 429} <= {"1", results[-1][2]}


async def test_a_restart_does_not_begin_the_day_anew(tmp_path: Path, clock: ManualClock) -> None:
    """The total is kept in the file, and usual posts write no row for it."""
    async with serving(tmp_path / "data", clock, hook_bytes_per_day=LIMIT) as server:
        first = server.running.first_start
        assert first is not None
        hook = server.hook.removeprefix(server.url)
        for number in range(20):
            assert (await send(server, server.hook, {"text": f"usual {number}"}))[0] == 200
        with closing(sqlite3.connect(tmp_path / "data" / "patchbay.db")) as file:
            assert file.execute("SELECT count(*) FROM stored_bytes").fetchone() == (0,)
        await fill(server, server.hook)
    async with serving(tmp_path / "data", clock, hook_bytes_per_day=LIMIT) as again:
        before = again.services.store.stored_today(first.hook_id)
        assert before >= LIMIT - (1 << 20)
        assert await fill(again, again.url + hook) <= (LIMIT - before) // 60_000 + 1


async def test_zero_switches_it_off(tmp_path: Path) -> None:
    """Who wants no bound has none."""
    async with serving(tmp_path / "data", hook_bytes_per_day=0) as server:
        for _ in range(5):
            assert (await send(server, server.hook, {"text": long_text()}))[0] == 200


async def test_users_have_the_same_bound(server: Server) -> None:
    """Over REST posts, edits and reactions of one user count together; reading and others go on."""
    ann = await server.user("ann")
    message: dict[str, Any] = {}
    answer: dict[str, Any] = {}
    for _ in range(100):
        status, answer = await server.api(
            "POST", "chat.postMessage", {"channel": "#general", "text": long_text()}, who=ann
        )
        if status != 200:
            break
        message = answer["message"]
    assert (status, answer["error"][:40]) == (429, FULL[:40])
    assert answer.keys() == {"success", "error"}
    edit = {"roomId": "GENERAL", "msgId": message["_id"], "text": "shorter"}
    react = {"messageId": message["_id"], "emoji": ":+1:", "shouldReact": True}
    for call, body in (("chat.update", edit), ("chat.react", react)):
        assert (await server.api("POST", call, body, who=ann))[0] == 429, call
    assert (await server.api("GET", "channels.history", who=ann, roomId="GENERAL", count="1"))[0] == 200
    assert (await server.api("POST", "chat.postMessage", {"channel": "#general", "text": "x"}))[0] == 200
    stored = server.services.store.stored_today(message["u"]["_id"])
    assert (await server.api("POST", "chat.react", react))[0] == 200
    assert server.services.store.stored_today(message["u"]["_id"]) == stored, "a reaction counts for who reacts"


async def test_small_requests_do_not_become_large_rows(tmp_path: Path) -> None:
    """What a thousand bytes unpack to takes thousands in the file, not millions, and reads as it was sent."""
    long = "y" * 1_000_000
    body = gzip.compress(json.dumps({"text": "x", "attachments": [{"title": "t", "text": long}]}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    async with serving(tmp_path / "data") as server:
        for _ in range(10):
            async with server.http.post(server.hook, data=body, headers=headers) as response:
                assert response.status == 200
        first = server.running.first_start
        assert first is not None
        assert server.services.store.stored_today(first.hook_id) < 10 * 20_000
        (message, *_) = await server.room_messages()
        assert message["attachments"][0]["text"] == long
        event = await server.services.store.event(await server.services.store.last_event())
        assert event is not None
        assert event.body["message"]["attachments"][0]["text"] == long
        (kept, *_) = await server.services.store.requests(first.hook_id)
        assert kept.body == body


async def test_long_headers_are_not_kept_whole(server: Server) -> None:
    """An id of 8 KB makes one message and does not lie in the file; usual headers are kept as they came."""
    for _ in range(2):
        assert (await send(server, server.hook, {"text": "x"}, **{"webhook-id": "i" * 8_000, "X-Sig": "s" * 600}))[
            0
        ] == 200
    assert len(await server.room_messages()) == 1
    await send(server, server.hook, {"text": "y"}, **{f"X-Fill-{number}": "f" * 2_500 for number in range(9)})
    first = server.running.first_start
    assert first is not None
    fill, repeated, posted = await server.services.store.requests(first.hook_id)
    assert (posted.verdict, repeated.verdict) == ("posted", "duplicate")
    assert dict(posted.headers)["X-Sig"] == "s" * 600
    assert dict(posted.headers)["webhook-id"].startswith("iii")
    for kept in (fill, repeated, posted):
        assert sum(len(name) + len(value) for name, value in kept.headers) <= KEPT_HEADERS_CHARS
        assert max(len(value) for _, value in kept.headers) <= 2_049
        assert len(kept.dedup_key or "") <= 255
