"""What operators and their tools ask: alive, ready, figures."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from aiohttp import web

from bot.metrics import Metrics
from bot.web.answers import answer
from bot.workers.supervisor import Supervisor
from storage.clock import Clock
from storage.errors import StorageError
from storage.ports import Queue, Upkeep

PROBE_S = 2.0
"""Longest wait for a probe: whoever asks wants to know now, and a store that slow is not ready."""
HOLDS_S = 1.0
"""Anybody may ask, as often as they like: what was found out holds for so long."""

T = TypeVar("T")


class Held(Generic[T]):
    """What a question costs much to answer was answered lately; those who ask meanwhile wait for the one answer."""

    def __init__(self, ask: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._ask = ask
        self._clock = clock
        self._asking = asyncio.Lock()
        self._held: tuple[float, T] | None = None

    async def get(self) -> T:
        """Return the answer, at most `HOLDS_S` old; a failure is not held."""
        async with self._asking:
            if self._held is None or self._clock.monotonic() - self._held[0] >= HOLDS_S:
                told = await self._ask()
                self._held = self._clock.monotonic(), told
            return self._held[1]


class HealthStore(Queue, Upkeep, Protocol):
    """What health looks at."""


class HealthRoutes:
    """`/health` says that the process answers, `/ready` that it can do its work, `/metrics` how it does."""

    def __init__(self, store: HealthStore, supervisor: Supervisor, metrics: Metrics, clock: Clock) -> None:
        self._store = store
        self._supervisor = supervisor
        self._metrics = metrics
        self._stored = Held(self._can_store, clock)
        self._shown = Held(self._show, clock)

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
        stored = await self._stored.get()
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
        try:
            async with asyncio.timeout(PROBE_S):
                await self._store.probe()
        except (StorageError, TimeoutError):
            return False
        return True

    async def _figures(self, _: web.Request) -> web.Response:
        body, content_type = await self._shown.get()
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _show(self) -> tuple[bytes, str]:
        self._metrics.queue(await self._store.counts())
        return self._metrics.expose()
