"""What `/metrics` shows."""

from bot.metrics import Metrics
from storage.clock import Millis
from storage.records.queue import Counts
from tests.clock import ManualClock


def test_figures() -> None:
    """Everything counted stands in the text, each process value in a registry of its own."""
    clock = ManualClock()
    metrics = Metrics(clock)
    metrics.request("/hooks/{id}/{token}", "POST", 200, 0.002)
    metrics.hook_request("posted")
    metrics.attempt("retry", 0.3)
    metrics.queue(Counts(queued=3, dead=1, oldest_queued_at=Millis(clock.now() - 2500)))
    content, content_type = metrics.expose()
    lines = content.decode().splitlines()
    assert content_type.startswith("text/plain")
    assert {
        'patchbay_http_request_seconds_count{method="POST",route="/hooks/{id}/{token}",status="200"} 1.0',
        'patchbay_hook_requests_total{verdict="posted"} 1.0',
        'patchbay_attempt_seconds_count{outcome="retry"} 1.0',
        "patchbay_queue_depth 3.0",
        "patchbay_dead_letters 1.0",
        "patchbay_queue_oldest_seconds 2.5",
    } <= set(lines)
    assert b"posted" not in Metrics(clock).expose()[0]
