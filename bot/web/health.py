"""What operators and their tools ask: alive, ready, figures."""

import asyncio
from typing import Protocol

from aiohttp import web

from bot.metrics import Metrics
from bot.web.answers import answer
from bot.workers.supervisor import Supervisor
from storage.clock import Clock
from storage.errors import StorageError
from storage.ports import Queue, Upkeep

PROBE_EVERY_S = 1.0
PROBE_S = 2.0
"""Longest wait for a probe: whoever asks wants to know now, and a store that slow is not ready."""


class HealthStore(Queue, Upkeep, Protocol):
    """What health looks at."""


class HealthRoutes:
    """`/health` says that the process answers, `/ready` that it can do its work, `/metrics` how it does."""

    def __init__(self, store: HealthStore, supervisor: Supervisor, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._supervisor = supervisor
        self._metrics = metrics
        self._clock = clock
        self._probing = asyncio.Lock()
        self._probed_at: float | None = None
        self._stored = False

    def add_to(self, app: web.Application) -> None:
        """Register the three addresses."""
        app.router.add_get("/health", self._health)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._figures)

    async def _health(self, _: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def _ready(self, _: web.Request) -> web.Response:
        """Say whether requests can be stored and deliveries leave; 503 names what cannot."""
        workers = {name: health.running for name, health in self._supervisor.health().items()}
        stored = await self._can_store()
        troubles = self._store.troubles()  # after the probe, which may have ended some
        stored = stored and not troubles
        ready = stored and all(workers.values())
        body = {
            "status": "ready" if ready else "not ready",
            "storage": stored,
            "reasons": sorted(troubles.values()),
            "workers": workers,
        }
        return answer(body, 200 if ready else 503, {} if ready else {"Retry-After": "5"})

    async def _can_store(self) -> bool:
        """Tell whether the store can be written; anybody may ask, so a verdict holds for a second."""
        async with self._probing:
            if self._probed_at is None or self._clock.monotonic() - self._probed_at >= PROBE_EVERY_S:
                try:
                    async with asyncio.timeout(PROBE_S):
                        await self._store.probe()
                    self._stored = True
                except (StorageError, TimeoutError):
                    self._stored = False
                self._probed_at = self._clock.monotonic()
            return self._stored

    async def _figures(self, _: web.Request) -> web.Response:
        self._metrics.queue(await self._store.counts())
        body, content_type = self._metrics.expose()
        return web.Response(body=body, headers={"Content-Type": content_type})
