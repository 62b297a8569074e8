"""What operators and their tools ask: alive, ready, figures."""

from typing import Protocol

from aiohttp import web

from bot.metrics import Metrics
from bot.web.answers import answer
from bot.workers.supervisor import Supervisor
from storage.errors import StorageError
from storage.ports import Queue, Upkeep


class HealthStore(Queue, Upkeep, Protocol):
    """What health looks at."""


class HealthRoutes:
    """`/health` says that the process answers, `/ready` that it can do its work, `/metrics` how it does."""

    def __init__(self, store: HealthStore, supervisor: Supervisor, metrics: Metrics) -> None:
        self._store = store
        self._supervisor = supervisor
        self._metrics = metrics

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
        try:
            await self._store.probe()
            stored = True
        except StorageError:
            stored = False
        ready = stored and all(workers.values())
        body = {"status": "ready" if ready else "not ready", "storage": stored, "workers": workers}
        return answer(body, 200 if ready else 503, {} if ready else {"Retry-After": "5"})

    async def _figures(self, _: web.Request) -> web.Response:
        self._metrics.queue(await self._store.counts())
        body, content_type = self._metrics.expose()
        return web.Response(body=body, headers={"Content-Type": content_type})
