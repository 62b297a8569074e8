"""How fast a half-typed line is completed where there are very many hooks, one of which has just changed."""

import asyncio

from tests.bench import doors
from tests.bench.bench import Bench
from tests.bench.fill import add_hooks, add_rooms, incoming_hooks, opened, outgoing_hooks, posted_event
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.load import Shot, in_turn, loading
from tests.bench.server import Workspace, first_start, serving

HOOKS = 10_000
RATE = 20
SLOWEST_MS = AtMost(50)
CHANGE_S = 1.0
"""How often a hook changes: all that is remembered about hooks is dropped then."""
LINES = ("b", "in show b", 'in show "bench 49', "out edit bench", "in edit bench --", "in add ci --room #g", "in ")


CHANGED = "changed-"
"""What the name of the hook that changes begins with."""


def measure(bench: Bench) -> Figure:
    """Complete through one door after the other while a hook gets other names; then look for those it had.

    Nothing is remembered when a server starts; the first list, which opens every hook, is not measured.
    """
    workspace = first_start(bench.data("completion"))
    hook = asyncio.run(_prepared(workspace))
    with serving(workspace.data) as server:
        ways = doors.opened(server.url, rate=RATE, seconds=bench.pick(150, 12) / 10)
        loads = ways.completions(LINES)
        ways.run("in list")
        changes = 0
        with loading(*in_turn(loads.values())) as underway:
            while not underway.ended(CHANGE_S):
                changes += 1
                ways.run(f"in edit {hook} --name {CHANGED}{changes}.")
            shots = underway.finish_all()
        found = [doors.answered(load) for load in ways.completions((f"in show {CHANGED}",)).values()]
        server.stop()
    old = sum(not 0 < answer.count(CHANGED) == answer.count(f"{CHANGED}{changes}.") for answer in found)
    lines = [_line(name, shot) for name, shot in zip(loads, shots, strict=True)]
    lines.append(Line(what="doors that offer an old name", value=old, unit="", bar=AtMost(0)))
    return Figure(tuple(lines))


def _line(name: str, shot: Shot) -> Line:
    note = f"{shot.rate:,.0f}/s, median {shot.p50_ms:.0f} ms"
    return Line(
        what=f"{name}, {HOOKS:,} hooks, p99",
        value=shot.p99_ms,
        unit="ms",
        bar=SLOWEST_MS,
        note=note,
        faults=shot.faults,
    )


async def _prepared(workspace: Workspace) -> str:
    org = posted_event(workspace.data).org_id
    hooks = incoming_hooks(org, HOOKS // 2)
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)
        # not in the room where each change is told: they would all be called
        await add_rooms(store, org, ["quiet"])
        await add_hooks(store, outgoing_hooks(org, HOOKS // 2, "http://127.0.0.1:9/{}", "#quiet"))
        await doors.connect(store, org)
    return hooks[0].id
