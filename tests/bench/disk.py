"""Waits until the disk is at rest: what it still does for the work before would be measured instead of the server."""

import os
import time
from pathlib import Path

STALL_S = 0.015
PAUSE_S = 0.002
PAGE = b"x" * 4096


def at_rest(folder: Path, quiet_s: float, most_s: float) -> float:
    """Wait until no write has been held up for `quiet_s`, and no longer than `most_s`; return the seconds it took.

    A file system that hands back what was deleted, as the folders of thousands of tests just were, holds each
    write up for 50 to 300 ms now and then, for up to some minutes.
    """
    os.sync()
    began = calm = time.monotonic()
    with (folder / "rest").open("wb", buffering=0) as out:
        while (now := time.monotonic()) - calm < quiet_s and now - began < most_s:
            out.seek(0)
            out.write(PAGE)
            os.fsync(out.fileno())  # with its times: a file that grows waits for the file system's journal, too
            if time.monotonic() - now > STALL_S:
                calm = time.monotonic()
            time.sleep(PAUSE_S)
    return time.monotonic() - began
