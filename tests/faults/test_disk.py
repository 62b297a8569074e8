"""The disk under the running server: full and healed under load, and copied under load and restored."""

import asyncio
import random
import shutil
import string
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.faults.test_kill import TEXTS, Posts, first_start, in_room, load, settled, started
from tests.process import patchbay
from tests.scenarios.stored import rows

SENDERS = 8
FILLER = "".join(random.Random(1).choices(string.ascii_letters + string.digits, k=20_000))  # long texts lie compressed
AT_ONCE = 16
"""Calls of one hook under way at once, once its receiver has answered one."""
STATES = "SELECT state, count(*) FROM delivery GROUP BY state"
WITHOUT_DELIVERY = """
    SELECT seq FROM event WHERE kind = 'message.posted' AND seq NOT IN (SELECT event_seq FROM delivery)"""


@dataclass
class Receiver:
    """Takes the calls of an outgoing hook; answers them while its gate is open."""

    url: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    calls: Counter[str] = field(default_factory=Counter)
    """How often it was called with each text, without its filler."""

    @property
    def settings(self) -> dict[str, str]:
        """Return what lets a server call it, however long the gate is shut."""
        return {"PATCHBAY_ALLOW_TARGETS": self.url.split("/")[2], "PATCHBAY_OUTGOING_TIMEOUT_S": "60"}

    async def take(self, request: web.Request) -> web.Response:
        self.calls[(await request.json())["text"].removesuffix(FILLER)] += 1
        await self.gate.wait()
        return web.Response()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/in", receiver.take)
    async with TestServer(app, host="127.0.0.1") as server:
        receiver.url = str(server.make_url("/in"))
        yield receiver


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 6 MiB; only where mounting is allowed."""
    folder, tool = tmp_path / "small", shutil.which("mount")
    folder.mkdir()
    command = [tool or "mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if tool is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def ready(http: aiohttp.ClientSession, url: str) -> bool:
    async with http.get(url + "/ready") as response:
        return response.status == 200


async def not_ready_while_refused(
    http: aiohttp.ClientSession, url: str, refused: set[str], acknowledged: set[str]
) -> None:
    """Assert that `/ready` says no, and why, whenever only refusals stand around its answer."""
    asked = 0
    async with asyncio.timeout(30):
        while asked < 5:
            before, stood = len(refused), len(acknowledged)
            async with http.get(url + "/ready") as response:
                told = await response.json()
            while len(refused) == before and len(acknowledged) == stood:  # noqa: ASYNC110 # the senders signal nobody
                await asyncio.sleep(0.01)
            if len(acknowledged) > stood:
                continue  # room was found: both answers are the truth
            asked += 1
            assert (response.status, told["storage"]) == (503, False)
            assert told["reasons"] == ["The last commit failed [storage-full]."]


async def test_a_full_disk_under_load(small_disk: Path) -> None:
    """On a full disk posts get 503 and change nothing, while calls go on; it heals by itself and has lost nothing."""
    acknowledged: set[str] = set()
    refused: set[str] = set()
    healed = asyncio.Event()
    data = small_disk / "data"

    async def sender(http: aiohttp.ClientSession, url: str, name: str) -> None:
        for number in range(10_000):
            text = f"{name}-{number}"
            async with http.post(url, json={"text": text + FILLER}, headers={"webhook-id": text}) as response:
                told = await response.json()
                if response.status == 200:
                    acknowledged.add(text)
                    if healed.is_set():
                        return
                    continue
                assert response.status == 503, told
                assert int(response.headers["Retry-After"]) > 0
                assert "nothing was changed" in told["error"]
                refused.add(text)
            if not healed.is_set():
                await asyncio.sleep(0.02)

    async with receiving() as receiver:
        path = await first_start(data, receiver.settings, receiver.url)
        async with started(data, receiver.settings) as server, aiohttp.ClientSession() as http:
            async with asyncio.timeout(30):
                receiver.gate.set()
                async with http.post(server.url + path, json={"text": "! first"}) as response:
                    assert response.status == 200
                acknowledged.add("! first")
                while rows(data, STATES) != [("delivered", 1)]:  # noqa: ASYNC110 # nobody signals a row
                    await asyncio.sleep(0.01)
                receiver.gate.clear()
                senders = [
                    asyncio.create_task(sender(http, server.url + path, f"! s{number}")) for number in range(SENDERS)
                ]
                while len(refused) < 5 * SENDERS:  # noqa: ASYNC110 # the senders signal nobody
                    await asyncio.sleep(0.01)
                async with http.get(server.url + "/health") as response:
                    assert response.status == 200
                await not_ready_while_refused(http, server.url, refused, acknowledged)
                while receiver.calls.total() < 1 + AT_ONCE:  # noqa: ASYNC110 # nor do calls
                    await asyncio.sleep(0.01)
                queued = dict(rows(data, STATES))["queued"]
                assert queued > AT_ONCE
                receiver.gate.set()
                while receiver.calls.total() == 1 + AT_ONCE:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                grow = await asyncio.create_subprocess_exec("mount", "-o", "remount,size=64m", str(small_disk))
                assert await grow.wait() == 0
                healed.set()
                await asyncio.gather(*senders)
            async with asyncio.timeout(10):
                # its last verdict holds for a second
                while not await ready(http, server.url):  # noqa: ASYNC110 # the server signals nobody
                    await asyncio.sleep(0.05)
            await settled(data)
            assert server.stop() == 0
    print(f"{len(acknowledged)} acknowledged, {len(refused)} refused, {queued} queued, {receiver.calls.total()} calls")
    stood = [text.removesuffix(FILLER) for (text,) in rows(data, TEXTS)]
    assert len(stood) == len(set(stood))
    assert set(stood) == acknowledged
    assert rows(data, STATES) == [("delivered", len(acknowledged))]
    # nobody crashed: what was called while its end could not be written is not called again
    assert receiver.calls == Counter(acknowledged)
    assert patchbay("db", "check", "--data", data).returncode == 0


async def test_a_backup_under_load_is_restored(tmp_path: Path) -> None:
    """A backup made under load is sound, holds all that was acknowledged before it began, and a server runs on it."""
    data, copy, restored = tmp_path / "data", tmp_path / "copy", tmp_path / "restored"
    posts = Posts()
    async with receiving() as receiver:
        receiver.gate.set()
        path = await first_start(data, receiver.settings, receiver.url)
        async with started(data, receiver.settings) as server:
            loading = asyncio.create_task(load(server.url + path, posts))
            while len(posts.acknowledged) < 300:  # noqa: ASYNC110 # the senders signal nobody
                await asyncio.sleep(0.01)
            receiver.gate.clear()  # the copy finds deliveries that have ended and others that have not
            before = set(posts.acknowledged)
            made = await asyncio.to_thread(patchbay, "db", "backup", copy, "--data", data)
            assert made.returncode == 0, made.stderr
            after = len(posts.acknowledged)
            loading.cancel()
            with suppress(asyncio.CancelledError):
                await loading
            receiver.gate.set()
            assert await asyncio.to_thread(server.stop) == 0  # beside the loop: the receiver answers meanwhile
        assert after > len(before), "nothing was written beside the backup"
        shutil.copytree(copy, restored)
        shutil.copy2(data / "patchbay.key", restored)
        checked = patchbay("db", "check", "--data", restored)
        assert checked.returncode == 0, checked.stderr
        texts = in_room(restored)
        assert before - texts.keys() == set()
        assert set(texts.values()) == {1}
        # whole units: every message of the copy has its event, its delivery and its request id, and nothing else has
        counts = {table: rows(restored, f"SELECT count(*) FROM {table}")[0][0] for table in ("message", "dedup")}
        assert counts["message"] == rows(restored, "SELECT count(*) FROM event WHERE kind = 'message.posted'")[0][0]
        assert counts["dedup"] == sum(int(text.removeprefix("! ")) % 2 == 0 for text in texts)
        states = dict(rows(restored, STATES))
        assert states.keys() == {"delivered", "queued"}
        assert states["delivered"] + states["queued"] == counts["message"]
        assert rows(restored, WITHOUT_DELIVERY) == []
        used = next(text for text in texts if int(text.removeprefix("! ")) % 2 == 0)
        called = receiver.calls.copy()
        async with started(restored, receiver.settings) as server, aiohttp.ClientSession() as http:
            for text, count in ((used, len(texts)), ("fresh", len(texts) + 1)):
                async with http.post(server.url + path, json={"text": text}, headers={"webhook-id": text}) as response:
                    assert response.status == 200, await response.text()
                assert rows(restored, "SELECT count(*) FROM message") == [(count,)]
            await settled(restored)
            assert server.stop() == 0
        # what had not ended in the copy is called from it, and nothing else
        assert (receiver.calls - called).total() == states["queued"]
        assert texts.keys() - receiver.calls.keys() == set()
        assert rows(restored, STATES) == [("delivered", len(texts))]
