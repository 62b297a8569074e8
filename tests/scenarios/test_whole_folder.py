"""A data folder in which something is missing is not taken for a first start: one sentence, and nothing is touched."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from bot.cli import cli
from storage.vault import new_key
from tests.process import ServerProcess, patchbay

VERBS: tuple[tuple[str, ...], ...] = (
    ("serve", "--port", "0"),
    ("user", "add", "ann"),
    ("hook", "list"),
    ("db", "check"),
    ("db", "migrate"),
    ("db", "backup", "COPY"),
    ("keys", "rotate"),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder a server has run in."""
    folder = tmp_path_factory.mktemp("served") / "data"
    with ServerProcess(folder) as server:
        assert server.stop() == 0
    return folder


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder a server was killed in, with both its processes: what it wrote stands in the log alone."""
    folder = tmp_path_factory.mktemp("killed") / "data"
    with ServerProcess(folder) as server:
        os.kill(server.pid, 19)
        server.kill_writer()
        server.kill()
    return folder


def picture(folder: Path) -> Mapping[str, tuple[int, bytes]]:
    """Return every file of a folder with its mode and bytes; the index of the log is each reader's own scratch."""
    files = (file for file in sorted(folder.rglob("*")) if not file.name.endswith("-shm"))
    return {
        str(file.relative_to(folder)): (file.stat().st_mode, b"" if file.is_dir() else file.read_bytes())
        for file in files
    }


def _without_database(data: Path) -> None:
    (data / "patchbay.db").unlink()


def _key_alone(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()
    (data / "patchbay.key").write_text(new_key())


def _files_alone(data: Path, part: str) -> None:
    shutil.rmtree(data)
    (data / part).mkdir(parents=True)
    (data / part / "some").write_bytes(b"x")


def _log_alone(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()
    (data / "patchbay.db-wal").write_bytes(b"x")


def _empty(data: Path) -> None:
    (data / "patchbay.db").write_bytes(b"")


def _without_tables(data: Path) -> None:
    (data / "patchbay.db").unlink()
    connection = sqlite3.connect(data / "patchbay.db")
    connection.execute("PRAGMA user_version = 1")
    connection.close()


def _without_key(data: Path) -> None:
    (data / "patchbay.key").unlink()


def _another_key(data: Path) -> None:
    (data / "patchbay.key").write_text(new_key())


DAMAGE: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "no database": (_without_database, ("holds patchbay.key", "no patchbay.db", "from a backup")),
    "key file alone": (_key_alone, ("holds patchbay.key", "from a backup")),
    "uploads alone": (lambda data: _files_alone(data, "uploads"), ("uploads/ with 1 file", "from a backup")),
    "backups alone": (lambda data: _files_alone(data, "backups"), ("backups/ with 1 file", "from a backup")),
    "log alone": (_log_alone, ("holds patchbay.db-wal", "from a backup")),
    "empty file": (_empty, ("is an empty database", "from a backup")),
    "no tables": (_without_tables, ("is an empty database", "from a backup")),
    "no key file": (_without_key, ("no patchbay.key", "Put the key file back", "PATCHBAY_ENCRYPTION_KEY")),
    "another key": (_another_key, ("does not open this database", "Put back the key file")),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_missing_stops_every_verb(served: Path, tmp_path: Path, name: str) -> None:
    """Each says in one sentence what was found and what to do, and leaves every byte as it is."""
    damage, parts = DAMAGE[name]
    data = tmp_path / "data"
    shutil.copytree(served, data)
    damage(data)
    before = picture(data)
    for verb in VERBS:
        words = [str(tmp_path / "copy") if word == "COPY" else word for word in verb]
        result = CliRunner().invoke(cli, [*words, "--data", str(data)])
        assert result.exit_code == 1, (verb, result.output)
        for part in parts:
            assert part in result.output, verb
        assert "Traceback" not in result.output
        assert picture(data) == before, verb
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("name", ["no database", "no key file", "another key"])
def test_also_after_a_crash(killed: Path, tmp_path: Path, name: str) -> None:
    """What a killed server has left is as it was, so that whoever puts the missing file back loses nothing."""
    damage, parts = DAMAGE[name]
    data = tmp_path / "data"
    shutil.copytree(killed, data)
    missing = data / ("patchbay.db" if name == "no database" else "patchbay.key")
    kept = missing.read_bytes()
    damage(data)
    before = picture(data)
    result = patchbay("serve", "--port", "0", "--data", data)
    assert result.returncode == 1
    assert all(part in result.stderr for part in parts), result.stderr
    assert picture(data) == before
    missing.write_bytes(kept)
    assert "first-hook" in patchbay("hook", "list", "--data", data).stdout


def test_keys_of_the_environment_are_judged_too(tmp_path: Path) -> None:
    """A key that does not open the database stops the start; with the right one no key file is asked for."""
    data, right = tmp_path / "data", {"PATCHBAY_ENCRYPTION_KEY": new_key()}
    with ServerProcess(data, right) as server:
        assert server.stop() == 0
    before = picture(data)
    result = patchbay("serve", "--port", "0", "--data", data, settings={"PATCHBAY_ENCRYPTION_KEY": new_key()})
    assert "does not open this database" in result.stderr
    assert picture(data) == before
    with ServerProcess(data, right) as server:
        assert server.first_start_lines == []


def test_a_first_start_that_was_cut_off_is_finished(tmp_path: Path) -> None:
    """Killed at any moment of it, the next start goes on; until then commands say so."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "patchbay.starting").touch()
    (data / "patchbay.key").write_text(new_key())
    (data / "patchbay.db").touch()
    result = CliRunner().invoke(cli, ["user", "list", "--data", str(data)])
    assert "first start" in result.output
    with ServerProcess(data) as server:
        assert any("Password" in line or "curl" in line for line in server.first_start_lines)
        assert not (data / "patchbay.starting").exists()


def test_an_empty_folder_is_a_first_start(tmp_path: Path) -> None:
    """Also one that somebody else's files lie in, or that a start left which never got to its port."""
    data = tmp_path / "data"
    (data / "uploads").mkdir(parents=True)
    (data / "lost+found").mkdir()
    (data / "patchbay.lock").touch()
    with ServerProcess(data) as server:
        assert server.first_start_lines
