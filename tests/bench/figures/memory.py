"""A server as it usually runs, for ten minutes: its memory stays flat, and no work keeps its loop for long."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from tests.bench.bench import BODY, Bench
from tests.bench.children import command, end, listening
from tests.bench.fill import add_hooks, incoming_hooks, opened, posted_event
from tests.bench.lines import AtMost, Figure, Line
from tests.bench.load import Load, loading
from tests.bench.server import Workspace, first_start, login, memory_mb, outgoing_hook, serving
from tests.process import ROOT

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
WATCHED_MS = 4
LONGEST_WORK_MS = 10
LONG_WORKS = AtMost(2)
"""How many callbacks may work longer: what a virtual machine's host takes is counted as work of whoever ran."""
PARTS = 5
"""The longest work is told for each of them, as that of the bare loop."""
BARE_END_S = 30.0
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
    watched = {"PATCHBAY_LOOP_WATCH_MS": str(WATCHED_MS)}
    with listening("receiver") as receiver, serving(workspace.data, watched) as server:
        owner = login(server.url)
        outgoing_hook(server.url, owner, f"{receiver}/in")
        posts = Load(url=server.url + workspace.hook_path, body=BODY, connections=16, seconds=seconds, rate=RATE)
        url = f"{server.url}/api/v1/commands.run"
        lists = Load(url=url, body=COMMAND, connections=2, seconds=seconds, rate=COMMANDS, headers=owner)
        began, since = time.monotonic(), datetime.now(UTC)
        with loading(posts, lists) as underway, _bare_loop(seconds) as bare:
            while not underway.ended(SAMPLE_S) and time.monotonic() - began < 2 * seconds:
                samples.append(memory_mb(server.pid))
            shot, listed = underway.finish_all()
            bare_longest = json.loads(bare.communicate(timeout=BARE_END_S)[0])
        until = datetime.now(UTC)
        server.stop()
        stalls = [stall for stall in _stalls(server.errors) if since <= stall.at <= until]
    faults = "; ".join(filter(None, (shot.faults, listed.faults, "" if samples[0] else "the system does not tell")))
    fifth = max(1, len(samples) // 5)
    waits = [one for one in stalls if one.worked_ms <= LONGEST_WORK_MS < one.stood_ms]
    works = [float(WATCHED_MS)] * PARTS
    for one in stalls:
        part = min(int((one.at - since).total_seconds() / seconds * PARTS), PARTS - 1)
        works[part] = max(works[part], one.worked_ms)
    longest = max(stalls, key=lambda one: one.worked_ms, default=NO_STALL)
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
            what=f"callbacks that worked for more than {LONGEST_WORK_MS} ms meanwhile",
            value=sum(one.worked_ms > LONGEST_WORK_MS for one in stalls),
            unit="",
            bar=LONG_WORKS,
            note=f"longest of each fifth: {_each(works)} ms ({WATCHED_MS:.1f}: none was longer), at {longest.place}; "
            f"a bare loop beside it, which always does the same half a millisecond: {_each(bare_longest)}",
        ),
        Line(
            what=f"callbacks that waited, without working {LONGEST_WORK_MS} ms, for as long",
            value=len(waits),
            unit="",
            note=_worst(waits),
        ),
    )
    return Figure(lines)


@contextmanager
def _bare_loop(seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Run the loop that shows what the machine adds to work meanwhile."""
    loop = command("peers", "loop", str(seconds), str(PARTS), BODY)
    child = subprocess.Popen(loop, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield child
    finally:
        end(child)


async def _prepared(workspace: Workspace) -> None:
    hooks = incoming_hooks(posted_event(workspace.data).org_id, HOOKS)
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)


def _each(milliseconds: Sequence[float]) -> str:
    return "/".join(f"{one:.1f}" for one in milliseconds)


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
