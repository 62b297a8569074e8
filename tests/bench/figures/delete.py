"""Deleting an integration with very much queued: how long the caller waits, and whether calls go on after it."""

import asyncio
import time

from tests.bench.bench import Bench
from tests.bench.children import call, listening
from tests.bench.fill import add_hooks, opened, outgoing_hooks, posted_event, queue_up
from tests.bench.lines import AtLeast, AtMost, Figure, Line
from tests.bench.server import Workspace, first_start, login, serving
from tests.scenarios.stored import rows

QUEUED = 50_000
SPARE = 5_000
"""Queued beyond that, for what is delivered before the deletion arrives."""
SLOWEST_MS = AtMost(250)
ON_THE_WIRE_NS = 50_000_000
"""How long after the answer a call may still arrive that was sent before it."""
WATCH_S = 1.5


def measure(bench: Bench) -> Figure:
    """Delete through REST while the hook is being called."""
    workspace = first_start(bench.data("delete"))
    with listening("receiver") as receiver:
        hook = asyncio.run(_prepared(workspace, receiver))
        with serving(workspace.data) as server:
            owner = login(server.url)
            [(queued,)] = rows(workspace.data, "SELECT count(*) FROM delivery WHERE state = 'queued'")
            wanted = {"type": "webhook-outgoing", "integrationId": hook}
            began = time.perf_counter()
            call("POST", f"{server.url}/api/v1/integrations.remove", wanted, owner)
            took_ms = (time.perf_counter() - began) * 1000
            answered = time.monotonic_ns()
            time.sleep(WATCH_S)
            server.stop()
        arrived = call("GET", f"{receiver}/control/report")
    states = dict(rows(workspace.data, "SELECT state, count(*) FROM delivery GROUP BY state"))
    late = sum(1 for _, at, _ in arrived if at > answered + ON_THE_WIRE_NS)
    note = f"{queued:,} queued before, {len(arrived):,} calls made"
    return Figure(
        (
            Line(what=f"with {QUEUED:,} queued", value=took_ms, unit="ms", bar=SLOWEST_MS, note=note),
            Line(what="calls that start after it", value=late, unit="", bar=AtMost(0)),
            Line(what="deliveries that stay queued", value=states.get("queued", 0), unit="", bar=AtMost(0)),
            Line(what="deliveries discarded by it", value=states.get("discarded", 0), unit="", bar=AtLeast(QUEUED)),
        )
    )


async def _prepared(workspace: Workspace, receiver: str) -> str:
    event = posted_event(workspace.data)
    hooks = outgoing_hooks(event.org_id, 1, f"{receiver}/in")
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)
        await queue_up(store, event, hooks, QUEUED + SPARE)
    return hooks[0].id
