"""What the disk does by itself: a process that writes and syncs one page after the other, beside what is measured.

What overlaps a stall of it waited for the disk, not for the server.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from tests.bench.children import command, end
from tests.process import ROOT

STALL_S = 0.015
PAUSE_S = 0.002
WATCH_S = 0.01
SETTLED_S = 0.2
"""After which a stall is over and written down."""
PAGE = b"x" * 4096

T = TypeVar("T")
Span = tuple[int, int]
"""Beginning and end of something, as of a write that took long, in monotonic nanoseconds."""


def at_rest(folder: Path, quiet_s: float, most_s: float) -> float:
    """Wait until no write has been held up for `quiet_s`, and no longer than `most_s`; return the seconds it took.

    A file system that hands back what was deleted, as the folders of thousands of tests just were, holds each
    write up for 50 to 200 ms now and then, for some seconds: that would be measured instead of the server.
    """
    os.sync()
    began = calm = time.monotonic()

    def stalled(_: Span) -> None:
        nonlocal calm
        calm = time.monotonic()

    def over() -> bool:
        now = time.monotonic()
        return now - calm > quiet_s or now - began > most_s

    _write(folder / "rest", PAUSE_S, stalled, over)
    return time.monotonic() - began


class Watch:
    """A process that watches the disk; `stalls` are those it has seen so far."""

    def __init__(self, folder: Path) -> None:
        self._seen = folder / "stalls"
        with self._seen.open("w") as out:
            self._child = subprocess.Popen(command("disk", str(folder / "watched")), cwd=ROOT, stdout=out, text=True)

    def stalls(self) -> list[Span]:
        time.sleep(SETTLED_S)
        return [(int(began), int(ended)) for began, ended in map(str.split, self._seen.read_text().splitlines())]

    def end(self) -> None:
        end(self._child)


@contextmanager
def watching(folder: Path) -> Iterator[Watch]:
    """Watch the disk meanwhile."""
    watch = Watch(folder)
    try:
        yield watch
    finally:
        watch.end()


def met(span: Span, stalls: Sequence[Span]) -> bool:
    """Tell whether something from beginning to end overlaps a stall."""
    return any(span[0] < ended and began < span[1] for began, ended in stalls)


def in_turn(folder: Path, turns: int, spare: int, turn: Callable[[int], T]) -> tuple[list[T], list[T]]:
    """Take turns until so many were calm, with at most `spare` more; return the calm ones, and those left out.

    Left out is what met a stall of the disk itself; when nearly all did, nothing is.
    """
    calm, stalled = list[T](), list[T]()
    with watching(folder) as watch:
        while len(calm) < turns and len(calm) + len(stalled) < turns + spare:
            began = time.monotonic_ns()
            found = turn(len(calm) + len(stalled))
            (stalled if met((began, time.monotonic_ns()), watch.stalls()) else calm).append(found)
    return (calm, stalled) if 2 * len(calm) > turns else (calm + stalled, [])


def _write(file: Path, pause_s: float, stalled: Callable[[Span], None], over: Callable[[], bool]) -> None:
    with file.open("wb", buffering=0) as out:
        while not over():
            began = time.monotonic_ns()
            out.seek(0)
            out.write(PAGE)
            os.fsync(out.fileno())  # with its times: a file that grows waits for the file system's journal, too
            ended = time.monotonic_ns()
            if ended - began > STALL_S * 1e9:
                stalled((began, ended))
            time.sleep(pause_s)


if __name__ == "__main__":
    _write(Path(sys.argv[1]), WATCH_S, lambda stall: print(*stall, flush=True), lambda: False)
