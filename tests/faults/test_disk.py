"""The disk under the running server: full and healed under load, and copied under load and restored."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from tests.faults.test_kill import TEXTS, Posts, in_room, load, started
from tests.process import ServerProcess, patchbay
from tests.scenarios.stored import rows

SENDERS = 8
FILLER = "x" * 20_000


def hook_path(server: ServerProcess) -> str:
    (line,) = [line for line in server.first_start_lines if "/hooks/" in line]
    return "/hooks/" + line.split("/hooks/")[1].split("'")[0].strip()


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


async def test_a_full_disk_under_load(small_disk: Path) -> None:
    """On a full disk posts get 503 with Retry-After and change nothing; it heals by itself and has lost nothing."""
    acknowledged: set[str] = set()
    refused: set[str] = set()
    healed = asyncio.Event()

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

    async with started(small_disk / "data", {}) as server, aiohttp.ClientSession() as http:
        url = server.url + hook_path(server)
        senders = [asyncio.create_task(sender(http, url, f"s{number}")) for number in range(SENDERS)]
        async with asyncio.timeout(30):
            while len(refused) < 5 * SENDERS:  # noqa: ASYNC110 # the senders signal nobody
                await asyncio.sleep(0.01)
            async with http.get(server.url + "/health") as response:
                assert response.status == 200
            async with http.get(server.url + "/ready") as response:
                # its probe is small and may find room in what the log has already taken: both are the truth
                assert (response.status == 200) is (await response.json())["storage"]
            grow = await asyncio.create_subprocess_exec("mount", "-o", "remount,size=64m", str(small_disk))
            assert await grow.wait() == 0
            healed.set()
            await asyncio.gather(*senders)
        async with asyncio.timeout(10):
            # its last verdict holds for a second
            while not await ready(http, server.url):  # noqa: ASYNC110 # the server signals nobody
                await asyncio.sleep(0.05)
        assert server.stop() == 0
    stood = [text.removesuffix(FILLER) for (text,) in rows(small_disk / "data", TEXTS)]
    assert len(stood) == len(set(stood))
    assert set(stood) == acknowledged
    assert patchbay("db", "check", "--data", small_disk / "data").returncode == 0


async def test_a_backup_under_load_is_restored(tmp_path: Path) -> None:
    """A backup made under load is sound, holds all that was acknowledged before it began, and a server runs on it."""
    data, copy, restored = tmp_path / "data", tmp_path / "copy", tmp_path / "restored"
    posts = Posts()
    async with started(data, {}) as server:
        path = hook_path(server)
        loading = asyncio.create_task(load(server.url + path, posts))
        while len(posts.acknowledged) < 300:  # noqa: ASYNC110 # the senders signal nobody
            await asyncio.sleep(0.01)
        before = set(posts.acknowledged)
        made = await asyncio.to_thread(patchbay, "db", "backup", copy, "--data", data)
        assert made.returncode == 0, made.stderr
        after = len(posts.acknowledged)
        loading.cancel()
        with suppress(asyncio.CancelledError):
            await loading
        assert server.stop() == 0
    assert after > len(before), "nothing was written beside the backup"
    shutil.copytree(copy, restored)
    shutil.copy2(data / "patchbay.key", restored)
    checked = patchbay("db", "check", "--data", restored)
    assert checked.returncode == 0, checked.stderr
    texts = in_room(restored)
    assert before - texts.keys() == set()
    assert set(texts.values()) == {1}
    # whole units: every message of the copy has its event and its request id, and nothing has one without it
    counts = {table: rows(restored, f"SELECT count(*) FROM {table}")[0][0] for table in ("message", "dedup")}
    assert counts["message"] == rows(restored, "SELECT count(*) FROM event WHERE kind = 'message.posted'")[0][0]
    assert counts["dedup"] == sum(int(text.removeprefix("! ")) % 2 == 0 for text in texts)
    used = next(text for text in texts if int(text.removeprefix("! ")) % 2 == 0)
    async with started(restored, {}) as server, aiohttp.ClientSession() as http:
        for text, count in ((used, len(texts)), ("fresh", len(texts) + 1)):
            async with http.post(server.url + path, json={"text": text}, headers={"webhook-id": text}) as response:
                assert response.status == 200, await response.text()
            assert rows(restored, "SELECT count(*) FROM message") == [(count,)]
        assert server.stop() == 0
