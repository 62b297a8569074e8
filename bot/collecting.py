"""When Python looks for what lies in circles among all that lives: while nobody waits for the event loop.

Such a full collection holds everything up for 17 ms over what 200 hooks make, so it may not come in the middle of work.
It must come, though: each connection that has ended leaves a circle behind.
"""

import asyncio
import ctypes
import gc
import time
from collections.abc import Callable
from pathlib import Path

THRESHOLDS = (20_000, 20, 1_000_000)
"""Objects made between collections of the young, those between collections of the older; never a full one by itself.

Requests make many objects that live shortly, and next to none of them in circles.
"""
EVERY_S = 10.0
LOOK_S = 1.0
IDLE = 0.05
"""Part of a second up to which the loop's thread may work and counts as idle."""
MOST_LOOKS = 330
"""After so many looks without an idle one, an hour, a full collection comes all the same."""


GROWN_BYTES = 64 << 20
"""Memory grown by so much since the last full collection counts more than who would be held up."""
_PAGE = 4096
_MEMORY = Path("/proc/self/statm")


def begin() -> None:
    """Take over from Python; what the start has made lives as long as the process and is left out (delivery.md §8)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def collect_young() -> None:
    """Collect what was made lately: for what is large in few objects, too few to trigger it; 1 ms or less."""
    gc.collect(1)


async def collect_when_idle(every_s: float = EVERY_S, look_s: float = LOOK_S, most_looks: int = MOST_LOOKS) -> None:
    """Collect fully while the loop is idle, where anything has grown old since the last time; until cancelled.

    When memory has grown much it is collected all the same; then what is free goes back to the system.
    """
    looks, least = 0, _resident()
    while True:
        await asyncio.sleep(every_s)
        worked = time.thread_time()
        await asyncio.sleep(look_s)
        looks += 1
        is_idle = time.thread_time() - worked <= IDLE * look_s
        now = _resident()
        least = min(least, now)
        has_grown = now - least > GROWN_BYTES
        _, _, grown_old = gc.get_count()
        if has_grown or (grown_old and (is_idle or looks >= most_looks)):
            gc.collect()
            await asyncio.to_thread(_TRIM, 0)
            looks, least = 0, _resident()


def _resident() -> int:
    """Return the memory of this process; 0 where the system does not say."""
    try:
        return int(_MEMORY.read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _trim() -> Callable[[int], object]:
    """Return what gives free memory back; glibc keeps it otherwise, in pieces between what lives."""
    try:
        trim: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another libc
        return lambda _: None
    return trim


_TRIM = _trim()
