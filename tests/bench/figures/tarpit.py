"""One of a thousand integrations never answers: what the others feel of it."""

import asyncio
from dataclasses import dataclass, replace
from statistics import median

from tests.bench.bench import Bench
from tests.bench.children import call, listening
from tests.bench.fill import add_hooks, add_rooms, incoming_hooks, opened, outgoing_hooks, posted_event
from tests.bench.lines import AtMost, Figure, Line, p99
from tests.bench.load import Load, fire
from tests.bench.server import Workspace, first_start, serving

ROOMS = 1_000
SILENT = "/tarpit"
"""The path of the one integration's receiver."""
RATE = 300.0
"""Posts a second: well below what the server can, so that waiting for each other is what shows."""
PILE = 64
"""Deliveries the one integration has waiting before the load begins: more than it may have under way."""
RUNS = 3
SLOWER = AtMost(1.10)


@dataclass(frozen=True, slots=True)
class Run:
    """One paced load over all hooks."""

    p99_ms: float
    """Of all but the one, from when a post was due to its arrival at the receiver."""
    held: int
    """Calls the one had been sent when the load began."""


def measure(bench: Bench) -> Figure:
    """Pace posts over a room for each hook, with hook 0 answering and with it silent, in turn."""
    seconds = bench.pick(20, 3)
    workspace = first_start(bench.data("tarpit"))
    with listening("receiver") as receiver:
        path = asyncio.run(_prepared(workspace, receiver))
        well: list[Run] = []
        stuck: list[Run] = []
        for number in range(RUNS):
            for order, found in (("answer", well), ("tarpit", stuck)):
                call("GET", f"{receiver}/control/{order}")
                run = workspace.copied(f"tarpit-{number}-{order}")
                found.append(_run(run, path, receiver, seconds))
    line = Line(
        what=f"1 of {ROOMS:,} silent, others' p99, median of {RUNS}",
        value=median(run.p99_ms for run in stuck),
        unit="ms",
        bar=SLOWER,
        peer=median(run.p99_ms for run in well),
        peer_name="all answer",
        note=f"runs with it {_shown(stuck)}, without {_shown(well)} ms; {RATE:g} posts/s; {stuck[-1].held} calls hang",
    )
    return Figure((line,))


async def _prepared(workspace: Workspace, receiver: str) -> str:
    """Make rooms and hooks; return the path of a hook that may post to any of them."""
    org = posted_event(workspace.data).org_id
    hooks = outgoing_hooks(org, ROOMS, f"{receiver}/{{}}", channel="#bench-{}")
    silent = outgoing_hooks(org, 1, f"{receiver}{SILENT}", channel="#bench-{}")
    [entrance] = incoming_hooks(org, 1, override_destination=True)
    async with opened(workspace.data) as store:
        await add_rooms(store, org, [f"bench-{number}" for number in range(ROOMS)])
        await add_hooks(store, [*silent, *hooks[1:], entrance])
    return f"/hooks/{entrance.id}/{entrance.token}"


def _run(workspace: Workspace, path: str, receiver: str, seconds: int) -> Run:
    with serving(workspace.data) as server:
        over_all = Load(
            url=server.url + path,
            body='{"channel":"#bench-@room","text":"@t"}',
            connections=16,
            seconds=seconds,
            rate=RATE,
            rooms=ROOMS,
        )
        fire(replace(over_all, rooms=1, rate=4 * PILE, seconds=0.25))
        fire(replace(over_all, rate=ROOMS, seconds=1))  # every room and hook once: caches are warm
        begun = call("GET", f"{receiver}/control/report")
        fire(over_all)
        arrived = call("GET", f"{receiver}/control/report")
        server.kill()  # it would wait for the silent one
    waits = [(at - int(text)) / 1e6 for called, at, text in arrived if called != SILENT]
    return Run(p99(waits), sum(called == SILENT for called, _, _ in begun))


def _shown(runs: list[Run]) -> str:
    return "/".join(f"{run.p99_ms:.1f}" for run in runs)
