"""The writer in a process of its own, so that commits do not wait for the server's interpreter (delivery.md §8)."""

import asyncio
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from storage.errors import StorageError, Unavailable
from storage.sqlite.engine import Opening
from storage.sqlite.wire import Frames, frame, pack_jobs, unpack_results
from storage.sqlite.writer import Commit, Many, Waiting, answer

ROOT = Path(__file__).parents[2]
AGAIN_S = 1.0
"""How long to wait before a writer is started again that ended by itself."""
END_S = 3.0
"""How long a writer may take over what it has when the server stops. One that hangs is killed then, since the lock it
holds would keep the next server out: nobody was promised what it has not answered."""
TOGETHER = 32
"""Jobs that leave at once: they are being written while the loop goes on with its turn."""
_CHUNK = 1 << 18

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
                [sys.executable, "-m", "storage.sqlite.child", str(theirs.fileno())],
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


class ProcessWriter(Generic[S]):
    """A writer in a child process; started again when it ends by itself."""

    def __init__(self, opening: Opening, *, committed: Commit) -> None:
        """Start it and wait until it has opened the file; raise StorageError when it cannot."""
        self._opening = replace(opening, recovering=False)
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._fresh: list[Waiting] = []
        """Jobs of this turn of the loop: they leave in one frame."""
        self._sent: deque[Waiting] = deque()
        self._unsent = b""
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
        until = self._loop.time() + END_S
        while self._child is not None and self._sent and (left := until - self._loop.time()) > 0:
            last = self._sent[-1].future
            assert last is not None  # noqa: S101 # each job that was submitted has one
            await asyncio.wait([last], timeout=left)
        if self._child is not None:
            child, unanswered = self._let_go(self._child), list(self._sent)
            self._sent.clear()
            self._fail(unanswered)
            await asyncio.to_thread(child.end, 0 if unanswered else None)
        if self._buried is not None:
            await self._buried

    def _submit(self, job: Waiting) -> asyncio.Future[Any]:
        if self._closed:
            raise Unavailable("The database is closed.")
        if self._child is None:
            raise Unavailable
        if not self._fresh:
            self._loop.call_soon(self._flush)
        future: asyncio.Future[Any] = self._loop.create_future()
        job.future = future
        self._fresh.append(job)
        if len(self._fresh) >= TOGETHER:
            self._flush()
        return future

    def _flush(self) -> None:
        jobs, self._fresh = self._fresh, []
        if not jobs:
            return
        if self._child is None:  # it ended since they were submitted
            self._fail(jobs)
            return
        self._sent.extend(jobs)
        data = frame(pack_jobs(jobs))
        if self._unsent:
            self._unsent += data
        else:
            self._send(self._child, data)

    def _send(self, child: _Child, data: bytes) -> None:
        try:
            sent = child.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the reader sees the end, too
        if sent == len(data):
            if self._unsent:
                self._unsent = b""
                self._loop.remove_writer(child.socket)
            return
        if not self._unsent:
            self._loop.add_writer(child.socket, lambda: self._send(child, self._unsent))
        self._unsent = data[sent:]

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
            jobs = [self._sent.popleft() for _ in results]
            for job, (result, error) in zip(jobs, results, strict=True):
                job.result, job.error = result, error
            answer(jobs, self._committed)

    def _lost(self, child: _Child) -> None:
        """The writer has ended by itself: nobody knows what became of its last jobs, so they have failed."""
        self._let_go(child)
        jobs = list(self._sent)
        self._sent.clear()
        self._fail(jobs)
        self._buried = self._loop.run_in_executor(None, child.end)
        if not self._closed:
            self._restart = self._loop.create_task(self._start_again(self._buried))

    async def _end_hanging(self) -> None:
        """Kill a writer that answers nobody for `END_S`; those who wait get an error, and the next one finishes."""
        while True:
            child, answers, waiting = self._child, self._answers, bool(self._sent)
            await asyncio.sleep(END_S)
            if waiting and child is not None and child is self._child and answers == self._answers:
                child.kill()

    def _let_go(self, child: _Child) -> _Child:
        self._child = None
        self._loop.remove_reader(child.socket)
        self._loop.remove_writer(child.socket)
        self._unsent = b""
        self._frames = Frames()
        return child

    def _fail(self, jobs: list[Waiting]) -> None:
        for job in jobs:
            job.error = Unavailable("The process that writes the database has ended; it is started again.")
        answer(jobs, lambda _: None)

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
            return
