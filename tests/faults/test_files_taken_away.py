"""Files taken away under a running server: nothing is acknowledged into nowhere, and what comes back goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from storage.vault import new_key
from tests.faults.stage import until
from tests.process import ServerProcess
from tests.scenarios.test_cli import ask
from tests.server import Server, serving

DATABASE = "patchbay.db"


async def post(server: Server, text: str) -> int:
    async with server.http.post(server.hook, json={"text": text}) as response:
        return response.status


async def ready(server: Server) -> tuple[int, list[str]]:
    async with server.http.get(f"{server.url}/ready") as response:
        return response.status, (await response.json())["reasons"]


async def is_ready(server: Server) -> bool:
    return (await ready(server))[0] == 200


async def tells(server: Server, part: str) -> bool:
    status, reasons = await ready(server)
    return status == 503 and any(part in reason for reason in reasons)


def _move(data: Path) -> None:
    (data / DATABASE).rename(data.parent / "elsewhere.db")


def _put_back(data: Path) -> None:
    (data.parent / "elsewhere.db").rename(data / DATABASE)


def _replace(data: Path) -> None:
    shutil.copyfile(data / DATABASE, data.parent / "copy.db")
    _move(data)
    (data.parent / "copy.db").rename(data / DATABASE)


def _move_folder(data: Path) -> None:
    data.rename(data.with_name("renamed"))


def _folder_back(data: Path) -> None:
    data.with_name("renamed").rename(data)


@pytest.mark.parametrize(
    ("take", "give"),
    [(_move, _put_back), (_replace, _put_back), (_move_folder, _folder_back)],
    ids=["moved", "replaced", "folder moved"],
)
async def test_what_comes_back_goes_on(
    tmp_path: Path, take: Callable[[Path], None], give: Callable[[Path], None]
) -> None:
    """From the first post on everything is refused and nothing is made in its place; the same file back is all well."""
    data = tmp_path / "data"
    with structlog.testing.capture_logs() as logs:
        async with serving(data) as server:
            assert await post(server, "before") == 200
            take(data)
            assert [await post(server, "meanwhile") for _ in range(3)] == [503] * 3
            status, _ = await server.api("POST", "chat.postMessage", {"channel": "#general", "text": "meanwhile"})
            assert status == 503
            await until(lambda: tells(server, f"{DATABASE} was moved, deleted or replaced"))
            if take is not _replace:
                assert not (data / DATABASE).exists()
            give(data)
            await until(lambda: is_ready(server))
            assert await post(server, "after") == 200
            texts = [message["msg"] for message in await server.room_messages()]
            assert texts == ["after", "before"]
    told = [(line["event"], line["what"]) for line in logs if line["event"] in ("missing", "present")]
    assert told.count(("missing", "database")) == told.count(("present", "database")) == 1


@pytest.mark.parametrize("name", [DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"])
async def test_what_is_deleted_stops_all_writes(tmp_path: Path, name: str) -> None:
    """Also when only a file of the log is gone: the next start would not find what is written into it."""
    data = tmp_path / "data"
    async with serving(data) as server:
        assert await post(server, "before") == 200
        (data / name).unlink()
        assert await post(server, "lost") == 503
        await until(lambda: tells(server, f"{name} was moved, deleted or replaced"))
        assert not (data / name).exists()


@pytest.mark.parametrize(("name", "what"), [("uploads", "folder of uploaded files"), ("patchbay.key", "key file")])
async def test_what_else_is_gone_is_told(tmp_path: Path, name: str, what: str) -> None:
    """Posts go on without it; the server makes none anew, and seals with the keys it has."""
    data = tmp_path / "data"
    async with serving(data) as server:
        (data / name).rename(tmp_path / name)
        await until(lambda: tells(server, what))
        assert await post(server, "goes on") == 200
        if name == "uploads":
            form = aiohttp.FormData()
            form.add_field("file", b"bytes", filename="a.txt")
            url = f"{server.url}/api/v1/rooms.upload/GENERAL"
            async with server.http.post(url, data=form, headers=server.owner) as response:
                assert response.status == 503
        assert not (data / name).exists()
        (tmp_path / name).rename(data / name)
        await until(lambda: is_ready(server))
    async with serving(data) as server:
        assert await is_ready(server)


async def test_another_key_file_is_not_taken(tmp_path: Path) -> None:
    """A wrong key that is put in place of the file seals nothing: the right one opens all of it afterwards."""
    data = tmp_path / "data"
    async with serving(data) as server:
        right = (data / "patchbay.key").read_text()
        (data / "patchbay.key").write_text(new_key())
        await server.services.store.follow_keys()
        made: Any = await server.post(
            "integrations.create",
            {
                "type": "webhook-incoming", "name": "later", "enabled": True, "username": "rocket.cat",
                "channel": "#general", "scriptEnabled": False, "overrideDestinationChannelEnabled": False,
            },
        )  # fmt: skip
        (data / "patchbay.key").write_text(right)
    async with serving(data) as server:
        found = await server.get("integrations.get", integrationId=made["integration"]["_id"])
        assert found["integration"]["token"] == made["integration"]["token"]


def test_the_writer_makes_no_file_of_its_own(tmp_path: Path) -> None:
    """A writer that is started again while the file is away waits for it; then every acknowledged post is there."""
    data = tmp_path / "data"
    with ServerProcess(data) as server:
        address = next(line for line in server.first_start_lines if "curl " in line).split()[-1]
        assert ask(address, {"text": "before"})[0] == 200
        _move(data)
        server.kill_writer()
        assert ask(address, {"text": "meanwhile"})[0] == 503
        assert not (data / DATABASE).exists()
        _put_back(data)
        statuses: list[int] = []
        while not statuses or statuses[-1] != 200:
            statuses.append(ask(address, {"text": "after"})[0])
            assert len(statuses) < 100_000
        assert server.stop() == 0
    with ServerProcess(data) as again:
        assert ask(address.replace(server.url, again.url), {"text": "at last"})[0] == 200
