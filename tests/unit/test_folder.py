"""The data folder: private, one server at a time, and a clear sentence when it cannot be used (decision 28)."""

import subprocess
import sys
from pathlib import Path

import pytest

from bot.folder import Folder
from storage.errors import InUse, ReadOnly

HOLDER = """
import sys, pathlib
from bot.folder import Folder
with Folder(pathlib.Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_it_is_made_for_its_owner_only(tmp_path: Path) -> None:
    """All parts are made with parents, nobody else may look inside, and making it again changes nothing."""
    folder = Folder(tmp_path / "some" / "where")
    folder.make()
    folder.make()
    for part in (folder.path, folder.uploads, folder.backups):
        assert part.stat().st_mode & 0o777 == 0o700
    assert {folder.database.parent, folder.key_file.parent} == {folder.path}


def test_a_second_server_stops(tmp_path: Path) -> None:
    """Inside the same process too; the sentence names the folder, and later the folder is free again."""
    folder = Folder(tmp_path / "data")
    folder.make()
    with folder.locked():
        with (
            pytest.raises(InUse, match=r"data: Another Patchbay server already uses this data folder"),
            folder.locked(),
        ):
            pass
        with pytest.raises(InUse), Folder(tmp_path / "data" / ".." / "data").locked():
            pass
    with folder.locked():
        pass


def test_a_killed_server_leaves_the_folder_free(tmp_path: Path) -> None:
    """The lock is the operating system's: it ends with its process, not with a file."""
    folder = Folder(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        with pytest.raises(InUse), folder.locked():
            pass
        holder.kill()
    with folder.locked():
        pass


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """A file in its place is a fault with the path and the reason, not a traceback."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReadOnly, match=r"file.*: the data folder cannot be made: "):
        Folder(tmp_path / "file").make()
    with pytest.raises(ReadOnly, match=r"the lock file cannot be written: "), Folder(tmp_path / "file").locked():
        pass
