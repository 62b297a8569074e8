"""A server as it usually runs, for ten minutes: its memory stays flat, and no work keeps its loop for long."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from tests.bench.bench import BODY, Bench
from tests.bench.children import listening
from tests.bench.fill import add_hooks, incoming_hooks, opened, posted_event
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.load import Load, loading
from tests.bench.server import Workspace, first_start, login, memory_mb, outgoing_hook, serving

RATE = 500
"""Posts a second, each of them relayed: far below what the server can do, as a server usually runs."""
COMMANDS = 5
"""Lists of hooks a second beside them."""
HOOKS = 200
SAMPLE_S = 1.0
GROWTH = AtMost(1.05)
"""The contract says flat; this is what we call so."""
SETTLING = AtMost(1.1)
"""The same for a quick run, which ends before everything has its size."""
LONGEST_WORK_MS = AtMost(10)
"""For all callbacks but one: what a virtual machine's host takes for itself is counted as work of whoever ran."""
COMMAND = '{"command":"hook","params":"in list","roomId":"GENERAL"}'


@dataclass(frozen=True, slots=True)
class Stall:
    """One callback that kept the loop for long."""

    at: datetime
    stood_ms: float
    worked_ms: float
    place: str


NO_STALL = Stall(datetime.min.replace(tzinfo=UTC), 0.0, 0.0, "nowhere")


def measure(bench: Bench) -> Figure:
    """Compare the last fifth of a load of ten minutes with its second fifth; the first fills caches."""
    seconds = bench.pick(600, 6)
    workspace = first_start(bench.data("memory"))
    asyncio.run(_prepared(workspace))
    samples: list[float] = []
    watched = {"PATCHBAY_LOOP_WATCH_MS": "4"}
    with listening("receiver") as receiver, serving(workspace.data, watched) as server:
        owner = login(server.url)
        outgoing_hook(server.url, owner, f"{receiver}/in")
        posts = Load(url=server.url + workspace.hook_path, body=BODY, connections=16, seconds=seconds, rate=RATE)
        url = f"{server.url}/api/v1/commands.run"
        lists = Load(url=url, body=COMMAND, connections=2, seconds=seconds, rate=COMMANDS, headers=owner)
        began, since = time.monotonic(), datetime.now(UTC)
        with loading(posts, lists) as underway:
            while not underway.ended(SAMPLE_S) and time.monotonic() - began < 2 * seconds:
                samples.append(memory_mb(server.pid))
            shot, listed = underway.finish_all()
        until = datetime.now(UTC)
        server.stop()
        stalls = [stall for stall in _stalls(server.errors) if since <= stall.at <= until]
    faults = "; ".join(filter(None, (shot.faults, listed.faults, "" if samples[0] else "the system does not tell")))
    fifth = max(1, len(samples) // 5)
    stalls.sort(key=lambda one: one.worked_ms, reverse=True)
    waits = [one for one in stalls if one.worked_ms <= LONGEST_WORK_MS.limit < one.stood_ms]
    longest, second = ([*stalls[:2], NO_STALL, NO_STALL])[:2]
    lines = (
        Line(
            what=f"memory after {seconds / 60:.1f} min of {RATE}/s relayed",
            value=median(samples[-fifth:]),
            unit="MB",
            bar=SETTLING if bench.quick else GROWTH,
            peer=median(samples[fifth : 2 * fifth]),
            peer_name="early",
            note=f"answered {shot.rate:,.0f} posts and {listed.rate:.0f} lists of hooks a second",
            faults=faults,
        ),
        Line(
            what="second longest work of a callback meanwhile",
            value=second.worked_ms,
            unit="ms",
            bar=LONGEST_WORK_MS,
            note=f"at {second.place}; the longest {longest.worked_ms:.1f} ms at {longest.place}",
        ),
        Line(
            what=f"callbacks that waited, without working {LONGEST_WORK_MS.limit:g} ms, for as long",
            value=len(waits),
            unit="",
            note=_worst(waits),
        ),
    )
    return Figure(lines)


async def _prepared(workspace: Workspace) -> None:
    hooks = incoming_hooks(posted_event(workspace.data).org_id, HOOKS)
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)


def _worst(waits: Sequence[Stall]) -> str:
    if not waits:
        return ""
    worst = max(waits, key=lambda one: one.stood_ms)
    return f"for a processor, a lock or a call: {worst.stood_ms:.0f} ms at most, at {worst.place}"


def _stalls(log: str) -> list[Stall]:
    found = [json.loads(line) for line in log.splitlines() if '"loop blocked"' in line]
    return [
        Stall(datetime.fromisoformat(one["timestamp"]), one["duration_ms"], one["worked_ms"], one["stack"][-1])
        for one in found
    ]
