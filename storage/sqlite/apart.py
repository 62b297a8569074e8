"""The writer in a process of its own, so that commits do not wait for the server's interpreter (delivery.md §8)."""

import asyncio
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from storage.condition import Condition
from storage.errors import StorageError, Unavailable, Uncertain
from storage.sqlite.child import LOCK_S
from storage.sqlite.engine import Opening
from storage.sqlite.line import STANDS_STILL, Line, Waiting, answer, fail
from storage.sqlite.wire import Frames, frame, frame_of, pack_job, unpack_results
from storage.sqlite.writer import Heard, Many

ROOT = Path(__file__).parents[2]
AGAIN_S = 1.0
"""How long to wait before a writer is started again that ended by itself."""
END_S = 3.0
"""How long a writer may take over what it has when the server stops. One that hangs is killed then, since the lock it
holds would keep the next server out: nobody was promised what it has not answered."""
OPEN_S = LOCK_S + 10.0
"""How long a writer may take to start: it waits for the lock of one that was killed, then opens the file."""
TOGETHER = 32
"""Jobs that leave at once: they are being written while the loop goes on with its turn."""
TOGETHER_BYTES = 1 << 18
"""Jobs of so many bytes leave at once, too, so that what is larger is not put together before it can go."""
CHILD = "storage.sqlite.child"
"""The module that is run as the writer."""
_CHUNK = 1 << 18

HAS_ENDED = "The process that writes the database has ended; it is started again."

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")
I_ = TypeVar("I_")


class _Child:
    """One life of the writer's process, and the socket that leads to it."""

    def __init__(self, opening: Opening) -> None:
        self.socket, theirs = socket.socketpair()
        with theirs:
            # in the folder of this program, whose modules it needs, wherever the server was started
            self._process = subprocess.Popen(  # noqa: S603 # the interpreter this runs in, with our own module
                [sys.executable, "-m", CHILD, str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                process_group=0,  # Ctrl-C is for the server, which then says when to end
            )
        self._opening = opening

    def open(self) -> None:
        """Wait until it has opened the file; raise StorageError when it cannot."""
        frames = Frames()
        self.socket.settimeout(OPEN_S)
        try:
            self.socket.sendall(frame(pickle.dumps(self._opening)))
            while data := self.socket.recv(_CHUNK):
                for answered in frames.feed(data):
                    fault: StorageError | None = pickle.loads(answered)  # noqa: S301 # our own other end
                    if fault is not None:
                        raise fault
                    self.socket.setblocking(False)
                    return
        except OSError:
            pass
        raise Unavailable("The process that writes the database could not be started.")

    def kill(self) -> None:
        """End it at once; what it has not answered is written whole or not at all."""
        self._process.kill()

    def end(self, within_s: float | None = None) -> None:
        """Let it finish what it has, then wait for its end; kill it when that does not come."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
        try:
            self._process.wait(END_S if within_s is None else within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.socket.close()


@dataclass(slots=True)
class _Frame:
    """Jobs that leave together, and what of them has not left yet."""

    left: memoryview
    count: int
    begun: bool = False


class _Outgoing:
    """Frames on their way into the socket; what of one has left is stepped over, never copied."""

    def __init__(self) -> None:
        self._frames: deque[_Frame] = deque()

    def __bool__(self) -> bool:
        return bool(self._frames)

    def put(self, data: bytes, count: int) -> None:
        """Take a frame of so many jobs."""
        self._frames.append(_Frame(memoryview(data), count))

    def send(self, connection: socket.socket) -> None:
        """Write what the socket takes."""
        frames = self._frames
        while frames:
            first = frames[0]
            try:
                sent = connection.send(first.left)
            except BlockingIOError:
                return
            except OSError:
                return  # the reader sees the end, too
            first.begun = True
            if sent < len(first.left):
                first.left = first.left[sent:]
                return
            frames.popleft()

    def take_back(self) -> int:
        """Drop the frames of which nothing has left; return how many jobs they hold."""
        kept = [frame for frame in self._frames if frame.begun]
        count = self.jobs - sum(frame.count for frame in kept)
        self._frames = deque(kept)
        return count

    @property
    def jobs(self) -> int:
        """Return how many jobs have not left whole: the other end can have done nothing of them."""
        return sum(frame.count for frame in self._frames)


class ProcessWriter(Generic[S]):
    """A writer in a child process; started again when it ends by itself."""

    def __init__(
        self,
        opening: Opening,
        *,
        heard: Heard,
        condition: Condition,
        unheard: Callable[[], None] = lambda: None,
    ) -> None:
        """Start it and wait until it has opened the file; raise StorageError when it cannot.

        `unheard` is called when more may be stored than was told of: when the writer has ended with jobs in hand,
        and when another one goes on.
        """
        self._opening = replace(opening, recovering=False)
        self._heard = heard
        self._unheard = unheard
        self._condition = condition
        self._loop = asyncio.get_running_loop()
        self._line = Line(condition, self._take_back)
        self._fresh: list[bytes] = []
        """Jobs of this turn of the loop, the newest of the line: they leave in one frame."""
        self._fresh_bytes = 0
        self._outgoing = _Outgoing()
        self._closed = False
        self._buried: asyncio.Future[None] | None = None
        """The end of a child that died by itself; it comes also when nobody starts another one."""
        self._restart: asyncio.Task[None] | None = None
        self._hurried: asyncio.Task[None] | None = None
        self._answers = 0
        self._frames = Frames()
        child = _Child(opening)
        try:
            child.open()
        except BaseException:
            child.end()
            raise
        self._child: _Child | None = child
        self._loop.add_reader(child.socket, self._receive)

    def run(self, operation: Callable[Concatenate[S, P], T], *arguments: P.args, **_: P.kwargs) -> asyncio.Future[T]:
        return self._submit(Waiting(operation, arguments))

    def run_many(self, operation: Many[S, I_, T], item: I_) -> asyncio.Future[T]:
        return self._submit(Waiting(operation, (item,), many=True))

    def hurry(self) -> None:
        if self._hurried is None:
            self._hurried = self._loop.create_task(self._end_hanging())

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._hurried is not None:
            self._hurried.cancel()
        if self._restart is not None:
            self._restart.cancel()
            with suppress(asyncio.CancelledError):
                await self._restart
        self._flush()
        if self._child is not None:
            is_drained = await self._line.drained(END_S)
        if self._child is not None:  # it may have ended meanwhile
            child = self._child
            self._let_go(child)
            await asyncio.to_thread(child.end, None if is_drained else 0)
        if self._buried is not None:
            await self._buried

    def _submit(self, job: Waiting) -> asyncio.Future[Any]:
        if self._closed:
            raise Unavailable("The database is closed.")
        if self._child is None:
            raise Unavailable
        self._line.admit()
        packed = pack_job(job)
        job.weight = len(packed)
        if not self._fresh:
            self._loop.call_soon(self._flush)
        self._fresh.append(packed)
        self._fresh_bytes += len(packed)
        future = self._line.add(job)
        if len(self._fresh) >= TOGETHER or self._fresh_bytes >= TOGETHER_BYTES:
            self._flush()
        return future

    def _flush(self) -> None:
        if not self._fresh or self._child is None:  # when it has ended, they have failed with it
            return
        is_waiting = bool(self._outgoing)
        self._outgoing.put(frame_of(self._fresh), len(self._fresh))
        self._fresh, self._fresh_bytes = [], 0
        if not is_waiting:
            self._outgoing.send(self._child.socket)
            if self._outgoing:
                self._loop.add_writer(self._child.socket, self._send_on, self._child)

    def _send_on(self, child: _Child) -> None:
        self._outgoing.send(child.socket)
        if not self._outgoing:
            self._loop.remove_writer(child.socket)

    def _receive(self) -> None:
        child = self._child
        assert child is not None  # noqa: S101 # it is read only while it is there
        try:
            data = child.socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost(child)
            return
        for sent in self._frames.feed(data):
            results = unpack_results(sent)
            self._answers += len(results)
            jobs = self._line.answered(len(results))
            for job, (result, error) in zip(jobs, results, strict=True):
                job.result, job.error = result, error
            answer(jobs, self._heard)

    def _lost(self, child: _Child) -> None:
        """The writer has ended by itself: nobody knows what became of the jobs it had."""
        self._let_go(child)
        self._condition.report("writer", HAS_ENDED)
        self._unheard()
        self._buried = self._loop.run_in_executor(None, child.end)
        if not self._closed:
            self._restart = self._loop.create_task(self._start_again(self._buried))

    async def _end_hanging(self) -> None:
        """Kill a writer that answers nobody for `END_S`; those who wait get an error, and the next one finishes."""
        while True:
            child, answers, waiting = self._child, self._answers, bool(self._line)
            await asyncio.sleep(END_S)
            if waiting and child is not None and child is self._child and answers == self._answers:
                child.kill()

    def _take_back(self) -> None:
        """Keep from a writer that stands still what was not handed to it: that is certain not to be stored."""
        count = len(self._fresh) + self._outgoing.take_back()
        self._fresh, self._fresh_bytes = [], 0
        fail(self._line.take_back(count), lambda: Unavailable(f"{STANDS_STILL} Nothing was changed."))

    def _let_go(self, child: _Child) -> None:
        """Go on without a child; who waits for it gets an error."""
        self._child = None
        self._loop.remove_reader(child.socket)
        self._loop.remove_writer(child.socket)
        self._frames = Frames()
        count = len(self._fresh) + self._outgoing.jobs
        self._outgoing, self._fresh, self._fresh_bytes = _Outgoing(), [], 0
        unsent = self._line.take_back(count)
        fail(self._line.take_all(), lambda: Uncertain(f"{HAS_ENDED} It is not certain whether this was stored."))
        fail(unsent, lambda: Unavailable(f"{HAS_ENDED} Nothing was changed."))

    async def _start_again(self, buried: asyncio.Future[None]) -> None:
        await asyncio.shield(buried)
        while not self._closed:
            child = _Child(self._opening)
            try:
                await asyncio.to_thread(child.open)
            except StorageError:
                await asyncio.to_thread(child.end)
                await asyncio.sleep(AGAIN_S)
                continue
            except asyncio.CancelledError:
                child.end()
                raise
            self._child = child
            self._loop.add_reader(child.socket, self._receive)
            self._condition.clear("writer")
            self._unheard()  # between the two another process may have written, which the new one cannot tell
            return
