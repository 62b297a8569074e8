"""The data folder: where each file lies, and the lock that keeps a second server out (decision 28)."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from storage.errors import InUse, ReadOnly


@dataclass(frozen=True, slots=True)
class Folder:
    """Paths inside the data folder."""

    path: Path

    @property
    def database(self) -> Path:
        """Return the one file everything but uploads is in."""
        return self.path / "patchbay.db"

    @property
    def key_file(self) -> Path:
        """Return the file of the encryption keys (decision 8)."""
        return self.path / "patchbay.key"

    @property
    def uploads(self) -> Path:
        """Return the folder of uploaded files."""
        return self.path / "uploads"

    @property
    def backups(self) -> Path:
        """Return the folder of copies made before migrations."""
        return self.path / "backups"

    @property
    def beside_database(self) -> tuple[Path, ...]:
        """Return the files that lie beside the database while it is open, and stay there after a crash."""
        endings = ("-wal", "-shm", "-journal", ".writer")
        return tuple(self.database.with_name(self.database.name + ending) for ending in endings)

    @property
    def first_start(self) -> Path:
        """Return the file that is there from the beginning of the first start to its end."""
        return self.path / "patchbay.starting"

    def narrow(self) -> None:
        """Let nobody but the owner read what is there already, made under whatever mask.

        A folder that is closed to others needs no look at its files. What belongs to somebody else stays as it is.
        """
        files = [file for file in self.path.glob("patchbay.*") if file.is_file()]
        for part in (self.uploads, self.backups, *files):
            with suppress(FileNotFoundError, PermissionError):
                if (mode := stat.S_IMODE(part.stat().st_mode)) & 0o077:
                    part.chmod(mode & 0o700)

    def make(self) -> None:
        """Make the folder, for its owner only; raise ReadOnly when that is not possible."""
        try:
            for part in (self.path, self.uploads, self.backups):
                part.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ReadOnly(f"{self.path}: the data folder cannot be made: {error.strerror}.") from error
        if not os.access(self.path, os.W_OK):
            raise ReadOnly(f"{self.path}: the data folder is not writable for this user.")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one server; raise InUse when another one has it."""
        lock = FileLock(self.path / "patchbay.lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InUse(f"{self.path}: {(InUse.__doc__ or '').strip()}") from error
        except OSError as error:
            raise ReadOnly(f"{self.path}: the lock file cannot be written: {error.strerror}.") from error
        try:
            yield
        finally:
            lock.release()
