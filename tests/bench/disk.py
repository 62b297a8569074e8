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

from tests.bench.children import command, end
from tests.process import ROOT

STALL_S = 0.015
PAUSE_S = 0.002
WATCH_S = 0.005
PAGE = b"x" * 4096

Stall = tuple[int, int]
"""Beginning and end of a write that took long, in monotonic nanoseconds."""


def at_rest(folder: Path, quiet_s: float, most_s: float) -> float:
    """Wait until no write has been held up for `quiet_s`, and no longer than `most_s`; return the seconds it took.

    A file system that hands back what was deleted, as the folders of thousands of tests just were, holds each
    write up for 50 to 200 ms now and then, for some seconds: that would be measured instead of the server.
    """
    os.sync()
    began = calm = time.monotonic()

    def stalled(_: Stall) -> None:
        nonlocal calm
        calm = time.monotonic()

    def over() -> bool:
        now = time.monotonic()
        return now - calm > quiet_s or now - began > most_s

    _write(folder / "rest", PAUSE_S, stalled, over)
    return time.monotonic() - began


@contextmanager
def watching(folder: Path) -> Iterator[Callable[[], Sequence[Stall]]]:
    """Watch the disk in a process of its own; the function ends it and returns the stalls it saw."""
    seen = folder / "stalls"
    with seen.open("w") as out:
        child = subprocess.Popen(command("disk", str(folder / "watched")), cwd=ROOT, stdout=out, text=True)

    def finish() -> Sequence[Stall]:
        end(child)
        return [(int(began), int(ended)) for began, ended in map(str.split, seen.read_text().splitlines())]

    try:
        yield finish
    finally:
        end(child)


def _write(file: Path, pause_s: float, stalled: Callable[[Stall], None], over: Callable[[], bool]) -> None:
    with file.open("wb", buffering=0) as out:
        while not over():
            began = time.monotonic_ns()
            out.seek(0)
            out.write(PAGE)
            os.fdatasync(out.fileno())
            ended = time.monotonic_ns()
            if ended - began > STALL_S * 1e9:
                stalled((began, ended))
            time.sleep(pause_s)


if __name__ == "__main__":
    _write(Path(sys.argv[1]), WATCH_S, lambda stall: print(*stall, flush=True), lambda: False)
