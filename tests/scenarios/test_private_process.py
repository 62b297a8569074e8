"""What a process leaves to others of its machine: no file anybody else may read, no secret in its environment."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from storage.vault import new_key
from tests.process import ROOT, ServerProcess, children, environment, patchbay
from tests.scenarios.test_cli import done

PASSWORD = "a password of the environment"


@contextmanager
def mask(value: int) -> Iterator[None]:
    """Run with another umask, which processes inherit."""
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Make a data folder as container volumes are: there already, and open to everybody."""
    folder = tmp_path / "volume"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    return folder


def open_to_others(folder: Path) -> list[str]:
    """Return the files and folders inside that others than their owner may use."""
    return [str(file.relative_to(folder)) for file in folder.rglob("*") if stat.S_IMODE(file.stat().st_mode) & 0o077]


def test_nobody_else_reads_what_is_made(wide: Path, tmp_path: Path) -> None:
    """Whatever the mask it is started with and the mode of the folder; commands beside it and after it the same."""
    with mask(0o022):
        with ServerProcess(wide) as server:
            assert (wide / "patchbay.db-wal").exists()
            assert open_to_others(wide) == []
            done(patchbay("user", "add", "ann", "--data", wide))
            assert open_to_others(wide) == []
            assert server.stop() == 0
        backup = tmp_path / "backup"
        backup.mkdir(mode=0o755)
        done(patchbay("db", "backup", backup, "--data", wide))
        done(patchbay("keys", "rotate", "--data", wide))
        assert open_to_others(wide) == []
        assert open_to_others(backup) == []


def test_what_is_there_is_narrowed(wide: Path) -> None:
    """Files that were made under a wider mask are closed to others by the next start."""
    with ServerProcess(wide) as server:
        assert server.stop() == 0
    for file in (wide, *wide.iterdir()):
        file.chmod(0o755 if file.is_dir() else 0o644)
    with mask(0o022), ServerProcess(wide):
        assert open_to_others(wide) == []
        assert stat.S_IMODE(wide.stat().st_mode) == 0o755


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_secrets_leave_the_environment(tmp_path: Path) -> None:
    """What the kernel shows of both processes holds neither password nor key; what is no secret stays."""
    key = new_key()
    settings = {
        "PATCHBAY_OWNER_PASSWORD": PASSWORD,
        "PATCHBAY_ENCRYPTION_KEY": key,
        "PATCHBAY_TOKEN": "t0ken-of-a-client",
        "PATCHBAY_TIME_ZONE": "Europe/Berlin",
    }
    with ServerProcess(tmp_path / "data", settings) as server:
        assert children(server.pid)
        for pid in (server.pid, *children(server.pid)):
            shown = Path(f"/proc/{pid}/environ").read_bytes()
            assert b"Europe/Berlin" in shown
            for secret in (PASSWORD, key, "t0ken-of-a-client"):
                assert secret.encode() not in shown
        assert server.stop() == 0
    listed = done(patchbay("config", "--json", settings=settings))
    assert listed.count('"environment"') == 3
    assert key not in listed


def test_a_command_that_asks_twice_has_its_key(tmp_path: Path) -> None:
    """A command that opens the folder more than once reads its settings once."""
    data, settings = tmp_path / "data", {"PATCHBAY_ENCRYPTION_KEY": new_key()}
    with ServerProcess(data, settings) as server:
        assert server.stop() == 0
    file = tmp_path / "hooks.yaml"
    done(patchbay("export", "-o", file, "--data", data, settings=settings))
    done(patchbay("import", "--yes", file, "--data", data, settings=settings))


@pytest.mark.parametrize("name", ["PATCHBAY_ENCRYPTION_KEY", "patchbay_encryption_key"])
def test_reading_the_settings_takes_secrets_out(name: str) -> None:
    """However the variable is written, and also when the start stops at a wrong one."""
    code = (
        "import os, bot.settings as s\n"
        "first = s.load({})\n"
        f"print({name!r} in os.environ, getattr(first, 'encryption_key', None))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**environment(), name: new_key()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == "False **********\n"
