"""The SQLite file: durable settings, migrations, and files that cannot be used."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlite_utils import Database

from storage.errors import Corrupt, NewerVersion, ReadOnly, StorageError
from storage.records.changes import Changes
from storage.sqlite.connect import connect, make_durable
from storage.sqlite.lanes import DUE, DUE_LANES, NEXT_LANE, TURNS
from storage.sqlite.queue import CLAIM_DELIVERIES
from storage.sqlite.schema import migrations
from storage.sqlite.store import open_store
from storage.vault import Vault
from tests.clock import ManualClock
from tests.contracts.store.engine import KEY, SqliteEngine, scopes
from tests.records import NOON, ORG, user

NAMES = [migration.name for migration in migrations.pending(Database(memory=True))]


async def test_a_commit_is_durable(engine: SqliteEngine) -> None:
    """The writer runs with WAL, synchronous=FULL and foreign keys, or not at all."""
    connection = connect(engine.path, new=True)
    make_durable(connection, engine.path)
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert found == ["wal", 2]
    assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    connection.close()


def build(path: Path, *, stop_before: str) -> None:
    """Make the file an older version would have left, with every migration before one applied."""
    with Database(path) as old:
        migrations.apply(old, stop_before=stop_before)


@pytest.mark.parametrize("name", NAMES)
async def test_an_old_file_is_brought_up_to_date(engine: SqliteEngine, name: str) -> None:
    """From every earlier version the file opens, is sound, can be used, and opens again with nothing left to do."""
    build(engine.path, stop_before=name)
    calls: list[bytes] = []
    for _ in range(2):
        store = open_store(
            engine.path, Vault([KEY]), engine.clock, scopes, serving=True,
            before_migration=lambda: calls.append(engine.path.read_bytes()),
        )  # fmt: skip
        assert await store.check() == []
        if await store.organisation() is None:
            await store.make_organisation(ORG, "Home", NOON)
            await store.commit(Changes(new_users=(user(),)))
        assert await store.user(user().id) == user()
        await store.close()
    assert len(calls) == 1, "the old file is copied once, before it changes"
    assert b"CREATE TABLE setting" not in calls[0]


async def test_a_new_file_needs_no_copy(engine: SqliteEngine) -> None:
    """The first start copies nothing, also over an empty file."""
    calls: list[str] = []
    engine.path.touch()
    store = open_store(
        engine.path, Vault([KEY]), engine.clock, scopes, serving=True, before_migration=lambda: calls.append("copied")
    )
    assert await store.check() == []
    await store.close()
    assert calls == []


async def test_a_newer_file_is_refused_unchanged(engine: SqliteEngine) -> None:
    """A file with a migration we do not know is left alone, and the sentence says what to do (decision 28)."""
    await engine.open().close()
    with sqlite3.connect(engine.path) as newer:
        newer.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('patchbay', 'of_tomorrow', '')"
        )
    newer.close()
    before = engine.path.read_bytes()
    with pytest.raises(NewerVersion, match="newer Patchbay"):
        engine.open()
    assert engine.path.read_bytes() == before


@pytest.mark.parametrize("damage", ["garbage", "another program's database", "torn"])
async def test_a_file_that_is_not_ours_is_refused_unchanged(engine: SqliteEngine, damage: str) -> None:
    """Garbage, a foreign database and a torn file each give one sentence that names the file."""
    match damage:
        case "garbage":
            engine.path.write_bytes(b"not a database at all" * 1000)
        case "torn":
            await engine.open().close()
            whole = engine.path.read_bytes()
            engine.path.write_bytes(whole[:4096] + b"\xff" * 8192 + whole[12288:])
        case _:
            with sqlite3.connect(engine.path) as foreign:
                foreign.execute("CREATE TABLE bookmarks (url TEXT)")
            foreign.close()
    before = engine.path.read_bytes()
    with pytest.raises(Corrupt) as raised:
        engine.open()
    assert str(engine.path) in str(raised.value)
    assert "restore a backup" in str(raised.value)
    assert "\n" not in str(raised.value)
    if damage != "torn":
        assert engine.path.read_bytes() == before


def test_a_folder_that_is_not_there(engine: SqliteEngine) -> None:
    """A missing folder is named with what to do."""
    missing = SqliteEngine(engine.path.parent / "missing" / "patchbay.db", engine.clock)
    with pytest.raises(StorageError, match=r"missing/patchbay\.db"):
        missing.open()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Give a folder other users may enter; pytest's own may not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    folder.chmod(0o755)
    shutil.rmtree(folder)


@contextmanager
def without_roots_powers() -> Iterator[None]:
    """Let root act as nobody for a while; others have no such powers anyway."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@pytest.mark.parametrize("locked", ["file", "folder", "both"])
async def test_a_read_only_place_is_refused(open_folder: Path, clock: ManualClock, locked: str) -> None:
    """A file or folder that cannot be written stops the start with one sentence."""
    engine = SqliteEngine(open_folder / "patchbay.db", clock)
    await engine.open().close()
    engine.path.chmod(0o444 if locked != "folder" else 0o666)
    open_folder.chmod(0o555 if locked != "file" else 0o777)
    with without_roots_powers(), pytest.raises(ReadOnly, match="make the data folder and its files writable") as raised:
        engine.open()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("statement", "values", "index"),
    [
        (TURNS, 0, "lane_due"),
        (DUE_LANES, 5, "lane_due"),
        (NEXT_LANE, 3, "lane_due"),
        (CLAIM_DELIVERIES, 3, "delivery_due"),
        (DUE, 3, "delivery_due"),
    ],
    ids=["turns", "lanes", "next time", "deliveries", "lane's next time"],
)
async def test_claims_walk_their_index(engine: SqliteEngine, statement: str, values: int, index: str) -> None:
    """No claim scans or sorts: a regression here once cost 100 ms a claim (delivery.md §3)."""
    await engine.open().close()
    with closing(connect(engine.path, readonly=True)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", [1] * values)]
    assert any(index in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
    scans = [step for step in plan if step.startswith("SCAN") and "INDEX" not in step]
    assert [
        step for step in scans if step.split()[1] not in ("next", "json_each", "CONSTANT")
    ] == []  # what was found or asked for
