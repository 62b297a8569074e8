"""The data folder: where each file lies, and the lock that keeps a second server out (decision 28)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
