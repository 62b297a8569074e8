"""When Python looks for what lies in circles among all that lives: while nobody waits for the event loop.

Such a full collection holds everything up for 17 ms over what 200 hooks make, so it may not come in the middle of work.
It must come, though: each connection that has ended leaves a circle behind.
"""

import asyncio
import gc
import time

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


def begin() -> None:
    """Take over from Python; what the start has made lives as long as the process and is left out (delivery.md §8)."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


async def collect_when_idle(every_s: float = EVERY_S, look_s: float = LOOK_S, most_looks: int = MOST_LOOKS) -> None:
    """Collect fully while the loop is idle, where anything has grown old since the last time; until cancelled."""
    looks = 0
    while True:
        await asyncio.sleep(every_s)
        worked = time.thread_time()
        await asyncio.sleep(look_s)
        looks += 1
        is_idle = time.thread_time() - worked <= IDLE * look_s
        _, _, grown_old = gc.get_count()
        if grown_old and (is_idle or looks >= most_looks):
            gc.collect()
            looks = 0
