"""What `/metrics` shows, in Prometheus' terms; labels name routes, verdicts and outcomes, never what was sent."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from handlers.http import METHODS
from storage.clock import Clock
from storage.records.queue import Counts

_FAST_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_CALL_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 60)


class Metrics:
    """The process's counters, in a registry of their own."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._registry = registry = CollectorRegistry()
        self._requests = Histogram(
            "patchbay_http_request_seconds",
            "HTTP requests by route pattern, method and status.",
            ("route", "method", "status"),
            buckets=_FAST_S,
            registry=registry,
        )
        self._hook_requests = Counter(
            "patchbay_hook_requests", "Requests to incoming webhooks by verdict.", ("verdict",), registry=registry
        )
        self._attempts = Histogram(
            "patchbay_attempt_seconds",
            "Calls of outgoing webhooks by outcome.",
            ("outcome",),
            buckets=_CALL_S,
            registry=registry,
        )
        self._queued = Gauge("patchbay_queue_depth", "Deliveries that wait or are under way.", registry=registry)
        self._oldest = Gauge("patchbay_queue_oldest_seconds", "Age of the oldest queued delivery.", registry=registry)
        self._dead = Gauge("patchbay_dead_letters", "Deliveries that failed for good.", registry=registry)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered HTTP request; `route` is the pattern, never the path (decision 31)."""
        self._of(route, method if method in METHODS else "other", status).observe(seconds)

    @cache  # noqa: B019 # one instance a process, and few routes, methods and statuses
    def _of(self, route: str, method: str, status: int) -> Histogram:
        return self._requests.labels(route, method, str(status))

    def hook_request(self, verdict: str) -> None:
        """Count one request to an incoming webhook."""
        self._to(verdict).inc()

    @cache  # noqa: B019 # as above
    def _to(self, verdict: str) -> Counter:
        return self._hook_requests.labels(verdict)

    def attempt(self, outcome: str, seconds: float) -> None:
        """Count one attempt at a delivery."""
        self._ended(outcome).observe(seconds)

    @cache  # noqa: B019 # as above
    def _ended(self, outcome: str) -> Histogram:
        return self._attempts.labels(outcome)

    def queue(self, counts: Counts) -> None:
        """Take the queue as it is now."""
        self._queued.set(counts.queued)
        self._dead.set(counts.dead)
        oldest = counts.oldest_queued_at
        self._oldest.set(0 if oldest is None else max(0, self._clock.now() - oldest) / 1000)

    def expose(self) -> tuple[bytes, str]:
        """Return everything in Prometheus' text format, and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4
