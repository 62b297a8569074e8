"""How fast each door of the commands acknowledges a line, one door after the other."""

import asyncio

from tests.bench import doors
from tests.bench.bench import Bench
from tests.bench.children import listening
from tests.bench.fill import add_hooks, incoming_hooks, opened, posted_event
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.load import Shot, in_turn, loading
from tests.bench.server import Workspace, first_start, serving
from tests.scenarios.stored import rows

HOOKS = 1_000
RATE = 50
"""Lines a second through each door (commands.md §2.9)."""
SLOWEST_MS = AtMost(300)
CHANGED = 20
"""Hooks that are changed in turn: two changes of one at the same time would be a conflict."""
AUDITED = "SELECT count(*) FROM audit WHERE command = 'in edit' AND outcome = 'done'"


def measure(bench: Bench) -> Figure:
    """Read and write through every door as the owner; then look for each change that was acknowledged."""
    workspace = first_start(bench.data("doors"))
    hooks = asyncio.run(_prepared(workspace))
    with serving(workspace.data) as server, listening("receiver") as receiver:
        ways = doors.opened(server.url, rate=RATE, seconds=bench.pick(100, 8) / 10)
        loads = ways.commands([line for hook in hooks[:CHANGED] for line in _lines(hook)], f"{receiver}/late")
        with loading(*in_turn(loads.values())) as underway:
            shots = underway.finish_all()
        server.stop()
    [(changes,)] = rows(workspace.data, AUDITED)
    lost = sum(shot.ok for shot in shots) // len(_lines("")) - changes
    lines = [_line(name, shot) for name, shot in zip(loads, shots, strict=True)]
    lines.append(Line(what="acknowledged changes that are lost", value=lost, unit="", bar=AtMost(0)))
    return Figure(tuple(lines), max(0, lost))


def _lines(hook: str) -> tuple[str, ...]:
    """Return lines that read, one that is misspelt, and one that writes."""
    return "help", "in list", f"in show {hook}", "in lst", f"in edit {hook} --alias @n"


def _line(name: str, shot: Shot) -> Line:
    note = f"{shot.rate:,.0f}/s, median {shot.p50_ms:.0f} ms"
    return Line(what=f"{name}, p99", value=shot.p99_ms, unit="ms", bar=SLOWEST_MS, note=note, faults=shot.faults)


async def _prepared(workspace: Workspace) -> list[str]:
    org = posted_event(workspace.data).org_id
    hooks = incoming_hooks(org, HOOKS)
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)
        await doors.connect(store, org)
    return [hook.id for hook in hooks]
