"""A million queued deliveries: what a claim costs, how long commits take, what the process and its log grow to."""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median

from storage.clock import SystemClock
from storage.ids import timed_id
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.delivery import Attempt, DeliveryState
from storage.records.event import NewEvent
from storage.records.integration import OutgoingHook
from storage.records.queue import Leased, Settle
from tests.bench.bench import BODY, Bench
from tests.bench.children import call, listening
from tests.bench.fill import add_hooks, facts, opened, outgoing_hooks, posted_event, queue_up
from tests.bench.lines import AtMost, Figure, Line, p99
from tests.bench.load import Load, loading
from tests.bench.server import Workspace, first_start, peak_memory_mb, serving

ONE_LANE = AtMost(2)
MANY_LANES = AtMost(8)
LONGEST_MS = AtMost(50)
MEMORY_MB = AtMost(200)
PARTS = 3
"""Of the rounds: a single stall of the disk is more than the bar, what the store itself does comes back in each."""
WAL_MB = AtMost(64)
"""The contract says bounded; this is what we call so."""
FEW = 1_000
LANES = 1_000
CLAIM = 16
LEASE_MS = 60_000
SAMPLE_S = 0.1


@dataclass(slots=True)
class Queue:
    """A queue of some size, and what its rounds took so far."""

    workspace: Workspace
    event: NewEvent
    hooks: list[OutgoingHook]
    claims_ms: list[float] = field(default_factory=list)
    others_ms: list[float] = field(default_factory=list)
    """Settles and new deliveries, each with its commit."""
    wal_mb: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Working:
    """A server that works a long queue off while posts come in."""

    memory_mb: float
    wal_mb: float
    slowest_ms: float
    """The slowest `/ready`, which writes once a second."""


def measure(bench: Bench) -> Figure:
    """Compare claims on a short queue, on a long one in one lane, and on a long one over many."""
    many, rounds = bench.pick(1_000_000, 50_000), bench.pick(2_000, 300)
    plain = first_start(bench.data("queue"))
    with listening("receiver") as receiver:
        few, one, spread = (
            asyncio.run(_filled(plain.copied(f"queue-{name}"), receiver, queued, lanes))
            for name, queued, lanes in (("few", FEW, 1), ("one", many, 1), ("spread", many, LANES))
        )
        bench.rest()
        asyncio.run(_probe((few, one, spread), rounds))
        working = _work_off(spread.workspace, bench.pick(20, 4))
    longest = _longest(one, spread)
    wal = max(*one.wal_mb, *spread.wal_mb, working.wal_mb)
    lines = (
        Line(
            what=f"claim of {CLAIM} p99, {many:,} in one lane",
            value=p99(one.claims_ms),
            unit="ms",
            bar=ONE_LANE,
            peer=p99(few.claims_ms),
            peer_name=f"at {FEW:,}",
            note=f"medians {median(one.claims_ms):.2f} and {median(few.claims_ms):.2f} ms",
        ),
        Line(
            what=f"claim of {CLAIM} p99, {many:,} over {LANES:,} lanes",
            value=p99(spread.claims_ms),
            unit="ms",
            bar=MANY_LANES,
            peer=p99(few.claims_ms),
            peer_name=f"at {FEW:,}",
            note=f"median {median(spread.claims_ms):.2f} ms; each lease from a lane of its own",
        ),
        Line(
            what=f"longest commit, median of {PARTS} parts",
            value=median(longest),
            unit="ms",
            bar=LONGEST_MS,
            note=f"{'/'.join(f'{part:.1f}' for part in longest)} ms, as the caller waits for it; "
            f"p99 {p99(one.others_ms + spread.others_ms):.1f} ms",
        ),
        Line(what="write-ahead log at most", value=wal, unit="MB", bar=WAL_MB),
        Line(what="server's memory at most", value=working.memory_mb, unit="MB", bar=MEMORY_MB),
        Line(what="slowest /ready while it works them off", value=working.slowest_ms, unit="ms"),
    )
    return Figure(lines)


def _longest(*queues: Queue) -> list[float]:
    """Return the longest claim or commit of each part of the rounds."""
    found = [0.0] * PARTS
    for queue in queues:
        for times_ms in (queue.claims_ms, queue.others_ms):
            size = -(-len(times_ms) // PARTS)
            for part in range(PARTS):
                found[part] = max(found[part], *times_ms[part * size : (part + 1) * size])
    return found


async def _filled(workspace: Workspace, receiver: str, queued: int, lanes: int) -> Queue:
    event = posted_event(workspace.data)
    hooks = outgoing_hooks(event.org_id, lanes, f"{receiver}/in/{{}}", channel="#elsewhere")
    async with opened(workspace.data) as store:
        await add_hooks(store, hooks)
        await queue_up(store, event, hooks, queued)
    return Queue(workspace, event, hooks)


async def _probe(queues: Sequence[Queue], rounds: int) -> None:
    """Work on the queues in turn, so that what else the machine does meets all of them alike."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(opened(queue.workspace.data)) for queue in queues]
        gc.collect()
        gc.freeze()
        stack.callback(gc.unfreeze)
        for _ in range(rounds):
            for queue, store in zip(queues, stores, strict=True):
                await _round(queue, store)


async def _round(queue: Queue, store: Store) -> None:
    """Claim, settle and queue as many again, so that the queue keeps its length."""
    clock = SystemClock()
    slots = CLAIM if len(queue.hooks) == 1 else 1
    with _timed(queue.claims_ms):
        claimed = await store.claim(now=clock.steady(), limit=CLAIM, busy={}, lease_ms=LEASE_MS, lane_leases=slots)
    assert len(claimed.leases) == CLAIM, claimed
    with _timed(queue.others_ms):
        await asyncio.gather(*(store.settle(_delivered(leased, clock)) for leased in claimed.leases))
    with _timed(queue.others_ms):
        await store.commit(Changes(facts=facts(store, queue.event, queue.hooks, CLAIM)))
    queue.wal_mb.append(queue.workspace.wal_mb)


@contextmanager
def _timed(times_ms: list[float]) -> Iterator[None]:
    began = time.perf_counter()
    yield
    times_ms.append((time.perf_counter() - began) * 1000)


def _delivered(leased: Leased, clock: SystemClock) -> Settle:
    now = clock.now()
    return Settle(
        delivery_id=leased.delivery.id,
        lane_id=leased.delivery.lane_id,
        lease=leased.lease,
        state=DeliveryState.DELIVERED,
        now=clock.steady(),
        attempt=Attempt(
            id=timed_id(now),
            integration_id=leased.hook.id,
            version=leased.hook.version,
            event_seq=leased.event.seq,
            delivery_id=leased.delivery.id,
            url_hash=leased.delivery.url_hash,
            trigger_word=None,
            step="after-http-call",
            finished=True,
            failed=False,
            started_at=now,
            updated_at=now,
            duration_ms=1,
            status=200,
        ),
    )


def _work_off(workspace: Workspace, seconds: int) -> Working:
    """Run the server on the long queue under posts; its own commits and memory are looked at from outside."""
    slowest, wal = 0.0, 0.0
    with serving(workspace.data) as server:
        load = Load(url=server.url + workspace.hook_path, body=BODY, connections=16, seconds=seconds)
        with loading(load) as underway:
            for _ in range(round(2 * seconds / SAMPLE_S)):
                if underway.ended(SAMPLE_S):
                    break
                began = time.perf_counter()
                call("GET", f"{server.url}/ready")
                slowest = max(slowest, (time.perf_counter() - began) * 1000)
                wal = max(wal, workspace.wal_mb)
            underway.finish()
        memory = peak_memory_mb(server.pid)
        server.stop()
    return Working(memory, wal, slowest)
