"""Fifty of a thousand integrations never answer: what the others feel of it."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.bench.bench import Bench
from tests.bench.children import call, listening
from tests.bench.fill import add_hooks, add_rooms, incoming_hooks, opened, outgoing_hooks, posted_event
from tests.bench.lines import AtMost, Figure, Line, p99
from tests.bench.load import Load, Shot, fire, loading
from tests.bench.server import Workspace, first_start, serving

ROOMS = 1_000
SILENT_HOOKS = 50
SILENT = "/tarpit"
"""The path of the receiver that never answers theirs."""
FIRST = "/first"
"""The path of the same hooks where nobody is silent."""
RATE = 200.0
"""Posts a second and server: well below what both can, so that waiting for each other is what shows."""
PILE = 500
"""Deliveries the silent integrations have waiting before the load begins: more than can have been called by the end."""
LEAD_S = 0.5
"""The beginning of each load, which is not counted: the loader and its connections are new."""
WAIT_S = 5.0
"""How long after a load the last calls of it may arrive; what has not by then counts as never."""
SLOWER = AtMost(1.30)


def measure(bench: Bench) -> Figure:
    """Pace posts over a room for each hook at two servers at once; at one of them the first fifty get no answer.

    At once, and in turns: what the machine and its disk do in a moment is more than the bar, and meets both alike. So
    each turn is compared with itself, and the median of these ratios is judged.
    """
    seconds, turns = bench.pick(4, 1), bench.pick(15, 3)
    with ExitStack() as stack:
        receivers = [stack.enter_context(listening("receiver")) for _ in range(2)]
        call("GET", f"{receivers[1]}/control/tarpit")
        prepared = [
            _prepared(bench.data(f"tarpit-{place}"), receiver, first)
            for place, (receiver, first) in enumerate(zip(receivers, (FIRST, SILENT), strict=True))
        ]
        servers = [stack.enter_context(serving(workspace.data)) for workspace, _ in prepared]
        loads = [
            Load(
                url=server.url + path,
                body='{"channel":"#bench-@room","text":"@t"}',
                connections=16,
                seconds=LEAD_S + seconds,
                rate=RATE,
                rooms=ROOMS,
            )
            for server, (_, path) in zip(servers, prepared, strict=True)
        ]
        for load in loads:
            fire(replace(load, rooms=SILENT_HOOKS, rate=PILE, seconds=1))
            fire(replace(load, rate=ROOMS, seconds=1))  # every room and hook once: caches are warm
        before = [call("GET", f"{receiver}/control/report") for receiver in receivers]
        hanging = sum(path == SILENT for path, _, _ in before[1])
        found = [_turn(loads, receivers) for _ in range(turns)]
        called = hanging + sum(silent for turn in found for _, silent, _ in turn)
        for server in servers:
            server.kill()  # the one would wait for the silent receivers
    without, with_it = ([turn[place][0] for turn in found] for place in (0, 1))
    faults = [fault for turn in found for _, _, fault in turn if fault]
    if not SILENT_HOOKS <= hanging <= called < PILE:
        faults.append("the silent ones were not called all the time as often as they may be")
    shown = f"with it {_shown(with_it)}, without {_shown(without)} ms"
    line = Line(
        what=f"{SILENT_HOOKS} of {ROOMS:,} silent, others' p99 to that with none, median of {turns}",
        value=median(one / other for one, other in zip(with_it, without, strict=True)),
        unit="x",
        bar=SLOWER,
        note=f"medians {median(with_it):.1f} and {median(without):.1f} ms; {shown}; "
        f"{RATE:g} posts/s each; {hanging} calls hang, {called} by the end",
        faults="; ".join(faults),
    )
    return Figure((line,))


def _prepared(data: Path, receiver: str, first: str) -> tuple[Workspace, str]:
    """Make rooms and hooks, fifty of them with that path; return the path of a hook that may post to any room."""
    workspace = first_start(data)
    org = posted_event(workspace.data).org_id
    hooks = outgoing_hooks(org, ROOMS, f"{receiver}/{{}}", channel="#bench-{}")
    named = outgoing_hooks(org, SILENT_HOOKS, f"{receiver}{first}", channel="#bench-{}")
    [entrance] = incoming_hooks(org, 1, override_destination=True)

    async def fill() -> None:
        async with opened(workspace.data) as store:
            await add_rooms(store, org, [f"bench-{number}" for number in range(ROOMS)])
            await add_hooks(store, [*named, *hooks[SILENT_HOOKS:], entrance])

    asyncio.run(fill())
    return workspace, f"/hooks/{entrance.id}/{entrance.token}"


def _turn(loads: Sequence[Load], receivers: Sequence[str]) -> list[tuple[float, int, str]]:
    """Load both servers at once; return for each the p99 of all but the first hooks, the silent calls and faults."""
    with loading(*loads) as underway:
        shots = underway.finish_all()
    return [_seen(shot, receiver) for shot, receiver in zip(shots, receivers, strict=True)]


def _seen(shot: Shot, receiver: str) -> tuple[float, int, str]:
    """A wait is from when a post was due to the arrival of its call; posts go to the hooks in turn."""
    rounds, rest = divmod(shot.ok, ROOMS)
    expected, until = shot.ok - rounds * SILENT_HOOKS - min(rest, SILENT_HOOKS), time.monotonic() + WAIT_S
    others: list[tuple[int, int]] = []
    silent = 0
    while len(others) < expected and time.monotonic() < until:
        time.sleep(0.02)
        report = call("GET", f"{receiver}/control/report")
        others += [(int(text), at) for path, at, text in report if path not in (SILENT, FIRST)]
        silent += sum(path == SILENT for path, _, _ in report)
    first = min(due for due, _ in others) + LEAD_S * 1e9
    never = f"{expected - len(others)} calls never arrived" if len(others) < expected else ""
    waits = [(at - due) / 1e6 for due, at in others if due >= first]
    return p99(waits), silent, "; ".join(filter(None, (shot.faults, never)))


def _shown(values: list[float]) -> str:
    return "/".join(f"{value:.1f}" for value in values)
