"""The writer's process: commits what the server sends, and ends with it."""

import gc
import pickle
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import closing

from filelock import FileLock, Timeout

from storage.errors import StorageError, Unavailable
from storage.sqlite.connect import connect, make_durable
from storage.sqlite.engine import Opening, start
from storage.sqlite.files import OpenFiles
from storage.sqlite.transactions import BATCH_BYTES, Job, Transactions, batches
from storage.sqlite.wire import Frames, frame, pack_results, unpack_jobs

LOCK_S = 10.0
"""How long to wait for the writer of a server that was killed: it may have a last commit in hand."""
_CHUNK = 1 << 18
_HELD = "The writer of a server that was killed still has the database; end that process first (storage.sqlite.child)."


class _Line:
    """The server's end of the line; what it sends while a commit runs is taken together."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._frames = Frames()
        self._ended = False

    def first(self) -> Opening:
        """Wait for the first frame: what to open."""
        opening: Opening = pickle.loads(next(self._received()))  # noqa: S301 # our own other end
        return opening

    def jobs(self) -> Iterator[list[Job]]:
        """Return what waits, again and again, until the server is gone."""
        while waiting := list(self._received()):
            yield [job for data in waiting for job in unpack_jobs(data)]

    def _received(self) -> Iterator[bytes]:
        """Wait until something is complete, then return all that is there."""
        complete: list[bytes] = []
        while not complete and not self._ended:
            complete = self._read(0)
        # more than one commit takes is left where it is: the server counts it as under way and holds what would follow
        size = sum(map(len, complete))
        while complete and size < BATCH_BYTES and not self._ended and (more := self._read(socket.MSG_DONTWAIT)):
            complete += more
            size += sum(map(len, more))
        return iter(complete)

    def _read(self, flags: int) -> list[bytes]:
        try:
            data = self._connection.recv(_CHUNK, flags)
        except BlockingIOError:
            return []
        except ConnectionError:
            data = b""
        self._ended = not data
        return list(self._frames.feed(data))

    def send(self, data: bytes) -> None:
        self._connection.sendall(frame(data))


def serve(line: _Line) -> None:
    """Open the file as the server says, then commit until it is gone."""
    opening = line.first()
    try:
        held = FileLock(f"{opening.path}.writer", timeout=LOCK_S).acquire()
    except Timeout:
        line.send(pickle.dumps(Unavailable(_HELD)))
        return
    with held:
        try:
            OpenFiles(opening.path, opening.file).check_known()  # before anything of another file is touched
            connection = connect(opening.path, busy_timeout_s=opening.busy_timeout_s)
            make_durable(connection, opening.path)
            transactions, end = start(connection, opening)
        except StorageError as error:
            line.send(pickle.dumps(error))
            return
        gc.freeze()
        line.send(pickle.dumps(None))
        try:
            for jobs in line.jobs():
                _work(line, transactions, jobs)
        finally:
            end()


def _work(line: _Line, transactions: Transactions, jobs: list[Job]) -> None:
    for batch in batches(jobs):
        transactions.commit(batch)
        line.send(pack_results(batch))


def main() -> None:
    """Serve the socket whose number is the only argument."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the server says when to end: what it has sent is written first
        signal.signal(number, signal.SIG_IGN)
    with closing(socket.socket(fileno=int(sys.argv[1]))) as connection:
        try:
            serve(_Line(connection))
        except (BrokenPipeError, ConnectionError, StopIteration):
            return  # the server is gone


if __name__ == "__main__":
    main()
