"""How fast each door of the commands acknowledges a line, one door after the other."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

from tests.bench import doors
from tests.bench.bench import Bench
from tests.bench.children import listening
from tests.bench.fill import add_hooks, incoming_hooks, opened, posted_event
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.load import Load, Shot, in_turn, loading
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
    """Read and write through every door as the owner; then look for each change that was acknowledged.

    Each door in a few turns, and the median of them: a stall of the disk of a second would be the p99 of one.
    """
    turns = bench.pick(3, 1)
    workspace = first_start(bench.data("doors"))
    hooks = asyncio.run(_prepared(workspace))
    with serving(workspace.data) as server, listening("receiver") as receiver:
        ways = doors.opened(server.url, rate=RATE, seconds=bench.pick(40, 8) / 10)
        loads = ways.commands([line for hook in hooks[:CHANGED] for line in _lines(hook)], f"{receiver}/late")
        found = [_turn(loads.values(), turn) for turn in range(turns)]
        server.stop()
    [(changes,)] = rows(workspace.data, AUDITED)
    lost = sum(shot.ok // len(_lines("")) for shots in found for shot in shots) - changes
    lines = [_line(name, shots) for name, shots in zip(loads, zip(*found, strict=True), strict=True)]
    lines.append(Line(what="acknowledged changes that are lost", value=lost, unit="", bar=AtMost(0)))
    return Figure(tuple(lines), max(0, lost))


def _lines(hook: str) -> tuple[str, ...]:
    """Return lines that read, one that is misspelt, and one that writes."""
    return "help", "in list", f"in show {hook}", "in lst", f"in edit {hook} --alias @n"


def _turn(loads: Iterable[Load], turn: int) -> Sequence[Shot]:
    """Run the doors one after the other, each request with a number that no turn has used."""
    with loading(*in_turn(replace(load, prefix=f"{turn}{load.prefix}") for load in loads)) as underway:
        return underway.finish_all()


def _line(name: str, shots: Sequence[Shot]) -> Line:
    shown = "/".join(f"{shot.p99_ms:.0f}" for shot in shots)
    rate, middle = median(shot.rate for shot in shots), median(shot.p50_ms for shot in shots)
    return Line(
        what=f"{name}, p99",
        value=median(shot.p99_ms for shot in shots),
        unit="ms",
        bar=SLOWEST_MS,
        note=f"{shown} ms; {rate:,.0f}/s, median {middle:.0f} ms",
        faults="; ".join({shot.faults for shot in shots} - {""}),
    )


async def _prepared(workspace: Workspace) -> list[str]:
    org = posted_event(workspace.data).org_id
    hooks = incoming_hooks(org, HOOKS)
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)
        await doors.connect(store, org)
    return [hook.id for hook in hooks]
