"""Moves the write-ahead log into the database beside the writer, so that no commit has to (delivery.md §8)."""

import contextlib
import sqlite3
import threading
from contextlib import AbstractContextManager
from pathlib import Path

from storage.errors import StorageError
from storage.sqlite.connect import connect
from storage.sqlite.files import OpenFiles

EVERY_S = 0.2
RESET_FRAMES = 8_000
"""Pages in the log (32 MB) from which the writer is held for a moment, so that the log starts over."""
SHRINK_FRAMES = 4 * RESET_FRAMES
"""Pages from which the log also gives its space back: a long reader had kept it from starting over."""
READERS_S = 0.02
"""How long a reset waits for readers before it leaves it to the next one."""


class Checkpointer:
    """A thread with a connection of its own; `turn` is the lock the writer holds while it commits."""

    def __init__(self, path: Path, turn: AbstractContextManager[object], files: OpenFiles) -> None:
        self._path = path
        self._files = files
        self._log = path.with_name(path.name + "-wal")
        self._turn = turn
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="patchbay-checkpoint", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._thread.join()

    def _work(self) -> None:
        connection: sqlite3.Connection | None = None
        seen: tuple[int, int] | None = None
        while not self._stopped.wait(EVERY_S):
            # a file that cannot be read or written now is tried again: the log only grows meanwhile
            with contextlib.suppress(StorageError, sqlite3.Error, OSError):
                self._files.check_known()  # the log must not be moved into another file
                if connection is None:
                    connection = connect(self._path, busy_timeout_s=READERS_S)
                found = self._log.stat()
                if (found.st_size, found.st_mtime_ns) != seen:
                    seen = (found.st_size, found.st_mtime_ns)
                    self._move(connection)
        if connection is not None:
            connection.close()

    def _move(self, connection: sqlite3.Connection) -> None:
        _, frames, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        if frames < RESET_FRAMES:
            return
        # once more for what came meanwhile, so that the writer is held only for what comes during that
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        with self._turn:
            # to give the file back and let it grow again would cost every commit after it
            mode = "TRUNCATE" if frames >= SHRINK_FRAMES else "RESTART"
            connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
