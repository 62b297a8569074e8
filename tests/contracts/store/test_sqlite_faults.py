"""A full disk, a lock held by another process: nothing is half written, and it heals."""

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from storage.errors import StorageFull, Unavailable
from storage.ids import GENERAL, MessageId
from storage.ports import Store
from storage.records.changes import Changes
from storage.sqlite.engine import Engine
from storage.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.contracts.store.engine import SqliteEngine
from tests.contracts.store.units import fact, request
from tests.records import NOON, ORG, incoming, message, room, user

ROOT = Path(__file__).parents[3]
BIG = Random(1).randbytes(50_000)  # what repeats itself lies compressed


def big_unit(number: int) -> Changes:
    return Changes(request=request(body=BIG), new_messages=(message(id=MessageId(f"m{number}")),), facts=(fact(),))


async def fill_up(store: Store, *, first: int = 0) -> tuple[int, Unavailable]:
    """Commit big units, some at once, until one fails; return how many were acknowledged and the fault."""
    acknowledged = 0
    for number in range(first, first + 2000, 4):
        units = (store.commit(big_unit(number + one)) for one in range(4))
        results = await asyncio.gather(*units, return_exceptions=True)
        acknowledged += sum(not isinstance(result, BaseException) for result in results)
        for result in results:
            if isinstance(result, Unavailable):
                return acknowledged, result
            assert not isinstance(result, BaseException)
    pytest.fail("it never filled up")


async def all_or_nothing(store: Store, acknowledged: int) -> None:
    """Check that exactly what was acknowledged is there, each unit whole."""
    assert (await store.messages(GENERAL))[1] == acknowledged
    assert len(await store.requests(incoming().id, count=1000)) == min(acknowledged, 200)
    assert await store.last_event() == acknowledged
    assert await store.check() == []


async def test_a_file_at_its_limit_heals(store: SqliteStore) -> None:
    """When SQLite may not grow the file, the unit fails whole with StorageFull; with room again it goes on."""
    await store.commit(Changes(new_hooks=(incoming(),)))
    # the one way to have SQLite itself say "full" on any machine; a setting of the connection that writes
    await store._writer.run(Engine.execute, "PRAGMA max_page_count = 200", ())
    acknowledged, fault = await fill_up(store)
    assert isinstance(fault, StorageFull)
    assert "free some space" in str(fault)
    await all_or_nothing(store, acknowledged)
    await store._writer.run(Engine.execute, "PRAGMA max_page_count = 1000000", ())
    await store.commit(big_unit(9999))
    await all_or_nothing(store, acknowledged + 1)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 2 MiB; only where mounting is allowed."""
    folder = tmp_path / "small"
    folder.mkdir()
    tool = shutil.which("mount")
    if (
        tool is None
        or subprocess.run(
            [tool, "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("mounting a small file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


async def test_a_full_disk_heals(small_disk: Path, clock: ManualClock) -> None:
    """On a disk that is really full writes are refused whole, reads go on, and it heals with the disk."""
    store = SqliteEngine(small_disk / "patchbay.db", clock).open()
    try:
        await store.make_organisation(ORG, "Home", NOON)
        await store.commit(Changes(new_users=(user(),), new_rooms=(room(),), new_hooks=(incoming(),)))
        acknowledged, fault = await fill_up(store)
        assert isinstance(fault, StorageFull)
        await all_or_nothing(store, acknowledged)
        with pytest.raises(Unavailable):
            await store.commit(Changes(request=request(body=BIG * 10)))
        with pytest.raises(StorageFull):
            await store.backup(small_disk / "copy.db")
        assert [file.name for file in small_disk.iterdir() if "copy" in file.name] == []
        grow = await asyncio.create_subprocess_exec("mount", "-o", "remount,size=16m", small_disk)
        assert await grow.wait() == 0
        await store.commit(big_unit(9999))
        await all_or_nothing(store, acknowledged + 1)
    finally:
        await store.close()


async def test_a_lock_of_another_process_passes(store: Store, engine: SqliteEngine) -> None:
    """While another connection holds the file, writes are refused and reads go on; then it heals."""
    other = sqlite3.connect(engine.path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    results = await asyncio.gather(
        *(store.commit(Changes(new_messages=(message(id=MessageId(f"m{number}")),))) for number in range(5)),
        return_exceptions=True,
    )
    assert {type(result) for result in results} == {Unavailable}
    assert "try again shortly" in str(results[0])
    assert (await store.messages(GENERAL))[1] == 0
    other.execute("ROLLBACK")
    other.close()
    await store.commit(Changes(new_messages=(message(),)))
    assert (await store.messages(GENERAL))[1] == 1


async def test_a_closed_store_says_so(engine: SqliteEngine) -> None:
    """After closing, reads and writes are refused as unavailable; closing twice is fine."""
    store = engine.open()
    await store.close()
    await store.close()
    with pytest.raises(Unavailable, match="closed"):
        await store.commit(Changes())
    with pytest.raises(Unavailable, match="closed"):
        await store.organisation()


async def test_what_waits_is_written_before_closing(store: Store, engine: SqliteEngine) -> None:
    """A commit handed in before closing is written and answered."""
    waiting = [asyncio.ensure_future(store.commit(big)) for big in (Changes(new_messages=(message(),)), Changes())]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*waiting)
    again = engine.open()
    assert await again.message(message().id) == message()
    await again.close()


COMMIT_UNTIL_KILLED = """
import asyncio, pathlib, sys
from storage.clock import SystemClock
from storage.ids import MessageId
from storage.records.changes import Changes
from tests.contracts.store.engine import SqliteEngine
from tests.contracts.store.units import fact, request
from tests.records import message

async def main():
    store = SqliteEngine(pathlib.Path(sys.argv[1]), SystemClock()).open()

    async def post(lane):
        for number in range(100_000):
            mine = message(id=MessageId(f"m{lane}x{number}"))
            await store.commit(Changes(new_messages=(mine,), facts=(fact(),), request=request(message_ids=(mine.id,))))
            print(mine.id, flush=True)

    await asyncio.gather(*map(post, range(8)))

asyncio.run(main())
"""


async def test_a_killed_process_loses_nothing_acknowledged(store: Store, engine: SqliteEngine) -> None:
    """After `kill -9` everything that was answered is there, each unit whole (delivery.md §1)."""
    await store.commit(Changes(new_hooks=(incoming(),)))
    await store.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMIT_UNTIL_KILLED, engine.path, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    acknowledged = [await process.stdout.readline() for _ in range(300)]
    process.kill()
    acknowledged += (await process.stdout.read()).splitlines(keepends=True)
    await process.wait()
    again = engine.open()
    try:
        for line in acknowledged:
            if line.endswith(b"\n"):
                assert await again.message(MessageId(line.decode().strip())) is not None
        total = (await again.messages(GENERAL))[1]
        assert await again.last_event() == total >= 300
        assert await again.check() == []
    finally:
        await again.close()
