"""A slash command over REST: `in list` where there are very many hooks."""

import asyncio

from tests.bench.bench import Bench
from tests.bench.children import call
from tests.bench.fill import add_hooks, incoming_hooks, opened, posted_event
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.load import Load, fire
from tests.bench.server import Workspace, first_start, login, serving

HOOKS = 1_000
CONNECTIONS = 16
SLOWEST_MS = AtMost(20)
COMMAND = '{"command":"hook","params":"in list","roomId":"GENERAL"}'


def measure(bench: Bench) -> Figure:
    """Run the command with 16 connections as the owner."""
    workspace = first_start(bench.data("commands"))
    asyncio.run(_prepared(workspace))
    with serving(workspace.data) as server:
        url, owner = f"{server.url}/api/v1/commands.run", login(server.url)
        shown = call("POST", url, {"command": "hook", "params": "in list", "roomId": "GENERAL"}, owner)
        assert "bench" in str(shown), shown
        shot = fire(Load(url=url, body=COMMAND, connections=CONNECTIONS, seconds=bench.pick(10, 3), headers=owner))
        server.stop()
    line = Line(
        what=f"`in list` of {HOOKS:,} hooks, {CONNECTIONS} connections, p99",
        value=shot.p99_ms,
        unit="ms",
        bar=SLOWEST_MS,
        note=f"{shot.rate:,.0f} runs/s",
        faults=shot.faults,
    )
    return Figure((line,))


async def _prepared(workspace: Workspace) -> None:
    hooks = incoming_hooks(posted_event(workspace.data).org_id, HOOKS)
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)
