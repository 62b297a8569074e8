"""`kill -9` of server and writer under load: what was acknowledged stands, and is delivered (delivery.md §1)."""

import asyncio
import os
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.faults import extent
from tests.process import PATCHBAY, QUIET, ROOT, ServerProcess, children, environment, patchbay
from tests.scenarios.stored import rows
from tests.server import PASSWORD

FOLDERS = extent.of(4, 20)
KILLS = extent.of(5, 10)
"""Kills of one folder; fewer than the leases after which a delivery counts as poison."""
SERVER, BOTH, WRITER_FIRST = "the server", "both", "the writer, later the server"
"""What is killed: a server's writer ends what it has in hand, one that is killed with it may be in the middle of a
commit, and the server starts another one when its writer is killed alone."""
SENDERS = 8
LONGEST_LIFE_S = 0.4
LONGEST_START_S = 1.0
FIRST_STARTS = extent.of(4, 60)
TEXTS = "SELECT text FROM message"


@dataclass
class Posts:
    """What the senders know: which posts were answered, which with an id wait to be sent again."""

    sent: int = 0
    acknowledged: set[str] = field(default_factory=set)
    unanswered: list[str] = field(default_factory=list)
    """They carry ids, so that they may be sent again."""
    lost_sight_of: set[str] = field(default_factory=set)
    """Sent without an id and never answered: each may be there, but only once."""
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set with each acknowledgement."""
    refused: int = 0
    """How often the answer was that the database cannot be written."""

    def next(self) -> str:
        """Return the text to send: one that went unanswered, else a new one."""
        if self.unanswered:
            return self.unanswered.pop()
        self.sent += 1
        return f"! {self.sent}"


class Refused(Exception):
    """Answered with 503: whoever asked does not know what became of it."""


async def post(http: aiohttp.ClientSession, url: str, posts: Posts) -> None:
    """Send one post; every second one carries an id."""
    text = posts.next()
    has_id = int(text.removeprefix("! ")) % 2 == 0
    headers = {"webhook-id": text} if has_id else {}
    try:
        async with http.post(url, json={"text": text}, headers=headers) as response:
            told = await response.json()
            if response.status == 503:
                assert int(response.headers["Retry-After"]) > 0
                raise Refused(told)
            assert (response.status, told) == (200, {"success": True})
    except BaseException:
        if has_id:
            posts.unanswered.append(text)
        else:
            posts.lost_sight_of.add(text)
        raise
    posts.acknowledged.add(text)
    posts.heard.set()


async def load(url: str, posts: Posts) -> None:
    """Send posts until the server is gone."""

    async def sender() -> None:
        with suppress(aiohttp.ClientError, ConnectionError):
            while True:
                try:
                    await post(http, url, posts)
                except Refused:
                    posts.refused += 1
                    await asyncio.sleep(0.02)  # leaves the writer that is starting some of the machine

    async with aiohttp.ClientSession() as http:
        await asyncio.gather(*(sender() for _ in range(SENDERS)))


@asynccontextmanager
async def bot(chance: Random) -> AsyncIterator[tuple[str, Counter[str]]]:
    """Run a bot that answers every call into the room, each in its own time."""
    seen: Counter[str] = Counter()

    async def take(request: web.Request) -> web.Response:
        text = (await request.json())["text"]
        seen[text] += 1
        await asyncio.sleep(chance.random() * 0.05)
        return web.json_response({"text": text.replace("!", "done")})

    app = web.Application()
    app.router.add_post("/in", take)
    async with TestServer(app, host="127.0.0.1") as server:
        yield str(server.make_url("/in")), seen


async def first_start(data: Path, settings: dict[str, str], bot_url: str) -> str:
    """Make the folder and the outgoing hook; return the path of the incoming one."""
    with ServerProcess(data, settings | {"PATCHBAY_OWNER_PASSWORD": PASSWORD}) as server:
        (line,) = [line for line in server.first_start_lines if "/hooks/" in line]
        async with aiohttp.ClientSession(server.url) as http:
            login = {"user": "owner", "password": PASSWORD}
            data_of = (await (await http.post("/api/v1/login", json=login)).json())["data"]
            hook = {
                "type": "webhook-outgoing", "name": "bot", "enabled": True, "username": "rocket.cat",
                "channel": "#general", "scriptEnabled": False, "event": "sendMessage", "urls": [bot_url],
                "triggerWords": ["!"], "retryFailedCalls": True, "retryCount": 6,
            }  # fmt: skip
            headers = {"X-User-Id": data_of["userId"], "X-Auth-Token": data_of["authToken"]}
            made = await http.post("/api/v1/integrations.create", json=hook, headers=headers)
            assert made.status == 200, await made.text()
        assert server.stop() == 0
    return "/hooks/" + line.split("/hooks/")[1].split("'")[0].strip()


@asynccontextmanager
async def started(data: Path, settings: dict[str, str]) -> AsyncIterator[ServerProcess]:
    """Start the server beside the loop: the bot must answer what it delivers at once."""
    server = ServerProcess(data, settings)
    await asyncio.to_thread(server.__enter__)
    try:
        yield server
    finally:
        await asyncio.to_thread(server.__exit__, None, None, None)


def kill_while_starting(data: Path, settings: dict[str, str], after_s: float, what: str) -> None:
    """Start the server and kill it, ready or not, after a while; with its writer, if it has one, or without."""
    command = [*PATCHBAY, "serve", "--port", "0", "--data", str(data)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment({**QUIET, **settings}), stdin=quiet, stdout=quiet, stderr=quiet
    )
    with suppress(subprocess.TimeoutExpired):
        process.wait(after_s)
    for child in children(process.pid) if what == BOTH else ():
        os.kill(child, signal.SIGKILL)
    process.kill()
    process.wait(timeout=10)


async def kill(server: ServerProcess, what: str, posts: Posts) -> None:
    """Kill the server, with or without its writer; or its writer alone, and the server once it accepts posts again."""
    killed = server.kill_writer() if what != SERVER else []
    if what == WRITER_FIRST:
        async with asyncio.timeout(20):
            while not set(children(server.pid)) - set(killed):  # noqa: ASYNC110 # a process signals nobody
                await asyncio.sleep(0.01)  # the senders hear what was answered before
            posts.heard.clear()
            await posts.heard.wait()
    server.kill()


def in_room(data: Path) -> Counter[str]:
    return Counter(text for (text,) in rows(data, TEXTS))


def check(data: Path, posts: Posts) -> None:
    """Assert that what was answered is there once, and that nothing is there twice."""
    texts = in_room(data)
    asked = posts.acknowledged | set(posts.unanswered) | posts.lost_sight_of
    assert {text for text in posts.acknowledged if texts[text] != 1} == set(), "acknowledged but not there once"
    assert {text: times for text, times in texts.items() if times > 1} == {}, "there more than once"
    assert {text for text in texts if text.startswith("!")} <= asked, "never sent"


async def settled(data: Path) -> None:
    """Wait until the queue is empty."""
    async with asyncio.timeout(60):
        while rows(data, "SELECT 1 FROM delivery WHERE state = 'queued' LIMIT 1"):  # noqa: ASYNC110 # a row signals nobody
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("folder", range(FOLDERS))
async def test_kill_under_load(tmp_path: Path, folder: int) -> None:
    """Every acknowledged post is in its room once and its delivery attempted, however often the process is killed."""
    chance = extent.chance()
    data, posts = tmp_path / "data", Posts()
    async with bot(chance) as (bot_url, seen):
        settings = {"PATCHBAY_ALLOW_TARGETS": bot_url.split("/")[2]}
        hook = await first_start(data, settings, bot_url)
        for number in range(KILLS):
            async with started(data, settings) as server:
                posts.heard.clear()
                loading = asyncio.create_task(load(server.url + hook, posts))
                async with asyncio.timeout(20):
                    await posts.heard.wait()
                life, what = chance.random() * LONGEST_LIFE_S, chance.choice((SERVER, BOTH, WRITER_FIRST))
                print(f"folder {folder} kill {number} of {what} after {life:.3f} s")
                await asyncio.sleep(life)
                assert not loading.done()
                await kill(server, what, posts)
                await loading
            if number % 5 == 0:
                after_s, what = chance.random() * LONGEST_START_S, chance.choice((SERVER, BOTH))
                await asyncio.to_thread(kill_while_starting, data, settings, after_s, what)
        async with started(data, settings) as server:
            check(data, posts)
            async with aiohttp.ClientSession() as http:
                while posts.unanswered:
                    await post(http, server.url + hook, posts)
            await settled(data)
            check(data, posts)
            assert server.stop() == 0
    texts = in_room(data)
    posted = {text for text in texts if text.startswith("!")}
    assert len(posts.acknowledged) > KILLS
    assert posted - seen.keys() == set(), "a delivery was never attempted"
    # the answer and the end of its delivery are one transaction: posted once, although the call may have come twice
    assert {text for text in posted if texts[text.replace("!", "done")] != 1} == set()
    states = rows(data, "SELECT state, count(*) FROM delivery GROUP BY state")
    assert states == [("delivered", len(posted))]
    checked = patchbay("db", "check", "--data", data)
    assert checked.returncode == 0, checked.stderr
    told = f"{len(posts.acknowledged)} acknowledged, {posts.refused} refused, {sum(seen.values())} calls"
    print(f"folder {folder}: {told}, {KILLS} kills")


@pytest.mark.timeout(900)
async def test_kill_at_the_first_start(tmp_path: Path) -> None:
    """A first start that is killed at any moment leaves a folder that the next start makes whole or takes as it is."""
    chance = extent.chance()
    for number in range(FIRST_STARTS):
        data, after_s = tmp_path / str(number), chance.random() * LONGEST_START_S
        print(f"first start {number} killed after {after_s:.3f} s")
        await asyncio.to_thread(kill_while_starting, data, {}, after_s, chance.choice((SERVER, BOTH)))
        async with started(data, {}) as server, aiohttp.ClientSession() as http:
            async with http.get(server.url + "/ready") as response:
                assert response.status == 200
            assert rows(data, "SELECT count(*) FROM integration") == [(1,)]
            assert rows(data, "SELECT count(*) FROM user") == [(2,)]
            assert server.stop() == 0
