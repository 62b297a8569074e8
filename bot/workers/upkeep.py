"""What is done every so often: retention, held deliveries, forgotten uploads, other processes' commits."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from bot.workspace.uploads import CONFIRM_WITHIN_MS
from storage.clock import Clock, Millis
from storage.errors import Moved, Unavailable
from storage.ports import Upkeep

FOREIGN_COMMITS_S = 1.0
"""Another process's commit is noticed within this time (decision 28)."""
HELD_S = 60.0
RETENTION_S = 600.0
SLICE_PAUSE_S = 0.05
"""Between slices of retention, so that it runs beside normal traffic."""
UPLOADS_S = 3600.0

log = structlog.get_logger()


class Periodic:
    """A worker that does one thing, waits, and does it again.

    The work may return seconds to wait this time instead of `every_s`. A store that cannot be written is
    waited out; whatever else goes wrong ends the worker, and its supervisor restarts it.
    """

    def __init__(self, name: str, every_s: float, work: Callable[[], Awaitable[float | None]]) -> None:
        self.name = name
        self._every_s = every_s
        self._work = work

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            wait: float | None = None
            try:
                wait = await self._work()
            except Unavailable as error:
                log.warning("upkeep", worker=self.name, fault=error.code)
            await asyncio.sleep(self._every_s if wait is None else wait)


def foreign_commits(
    store: Upkeep, react: Callable[[], Awaitable[None]], *, every_s: float = FOREIGN_COMMITS_S
) -> Periodic:
    """React to commits of other processes: drop caches, read the key file and the stream again (decision 28)."""

    async def look() -> None:
        with suppress(Moved):  # which is told of once, and not every second
            if await store.changed_elsewhere():
                await react()

    return Periodic("foreign-commits", every_s, look)


def held_expiry(store: Upkeep, *, every_s: float = HELD_S) -> Periodic:
    """Let deliveries die that a disabled hook has held for a day (decision 43)."""

    async def expire() -> float | None:
        expired = await store.expire_held()
        if expired:
            log.info("expired", deliveries=expired)
        return SLICE_PAUSE_S if expired else None

    return Periodic("held", every_s, expire)


def retention(store: Upkeep, clock: Clock, *, every_s: float = RETENTION_S) -> Periodic:
    """Remove what is past its age, a slice at a time until nothing is left to remove (decision 33)."""

    async def purge() -> float | None:
        # the earlier of both: a step of the wall clock must not empty rooms that keep messages for a time
        return SLICE_PAUSE_S if await store.purge(min(clock.now(), clock.steady())) else None

    return Periodic("retention", every_s, purge)


def unconfirmed_uploads(
    remove: Callable[[Millis], Awaitable[object]], clock: Clock, *, every_s: float = UPLOADS_S
) -> Periodic:
    """Remove files whose message never came; `remove` is told before which moment they were sent (decision 52)."""

    async def sweep() -> None:
        await remove(Millis(clock.now() - CONFIRM_WITHIN_MS))

    return Periodic("uploads", every_s, sweep)
