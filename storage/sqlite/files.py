"""Whether the files a connection has open are those that lie under their names still."""

from pathlib import Path
from typing import NamedTuple

from storage.errors import Moved
from storage.sqlite.connect import side_files


class FileId(NamedTuple):
    """What the system knows a file by, whatever its name."""

    device: int
    inode: int


def file_id(path: Path) -> FileId | None:
    """Return which file lies under a name; None when there is none, or it cannot be asked for."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)


class OpenFiles:
    """The database and the files of its log, as they were when they were opened.

    What is written into a file whose name is gone is lost with the process, and a second one under its name would get
    what belongs to the first. A file that is put back is the same again, and all goes on.
    """

    def __init__(self, path: Path, database: FileId) -> None:
        self._known: dict[Path, FileId] = {path: database}
        self._log = side_files(path)

    def check(self) -> None:
        """Raise Moved when another file, or none, lies under one of the names.

        The files of the log count from the first time on: call it inside a transaction, which has made them.
        """
        for path in self._log:
            if path not in self._known and (found := file_id(path)) is not None:
                self._known[path] = found
        self.check_known()

    def check_known(self) -> None:
        """Raise Moved as `check` does, where no transaction has begun yet."""
        for path, known in tuple(self._known.items()):
            if file_id(path) != known:
                raise Moved(f"{path.name} was moved, deleted or replaced while the server ran. {(Moved.__doc__ or '')}")
