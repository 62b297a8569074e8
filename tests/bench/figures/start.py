"""Starting on a big database: from the process to a `/ready` that says yes."""

import asyncio
import time
from statistics import median

from tests.bench.bench import Bench
from tests.bench.children import call
from tests.bench.fill import add_hooks, add_messages, incoming_hooks, opened, outgoing_hooks, posted_event
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.server import Workspace, first_start, serving

HOOKS = 10_000
STARTS = 3
SLOWEST_S = AtMost(1.5)


def measure(bench: Bench) -> Figure:
    """Start a few times; half of the hooks are incoming, half outgoing."""
    messages = bench.pick(1_000_000, 100_000)
    workspace = first_start(bench.data("start"))
    asyncio.run(_prepared(workspace, messages))
    starts = [_start(workspace) for _ in range(STARTS)]
    line = Line(
        what=f"to /ready, {HOOKS:,} hooks, {messages:,} messages, median of {STARTS}",
        value=median(starts),
        unit="s",
        bar=SLOWEST_S,
    )
    return Figure((line,))


async def _prepared(workspace: Workspace, messages: int) -> None:
    org = posted_event(workspace.data).org_id
    async with opened(workspace.data) as store:
        await add_hooks(store, incoming_hooks(org, HOOKS // 2))
        await add_hooks(store, outgoing_hooks(org, HOOKS // 2, "http://127.0.0.1:9/{}"))
        await add_messages(store, org, messages)


def _start(workspace: Workspace) -> float:
    began = time.perf_counter()
    with serving(workspace.data) as server:
        call("GET", f"{server.url}/ready")
        took = time.perf_counter() - began
        server.stop()
    return took
