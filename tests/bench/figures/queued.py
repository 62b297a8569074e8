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
from tests.bench.disk import Span, met, watching
from tests.bench.fill import add_hooks, facts, opened, outgoing_hooks, posted_event, queue_up
from tests.bench.lines import AtMost, Figure, Line, p99
from tests.bench.load import Load, loading
from tests.bench.server import Workspace, first_start, peak_memory_mb, serving

ONE_LANE = AtMost(2)
MANY_LANES = AtMost(8)
LONGEST_MS = AtMost(50)
MEMORY_MB = AtMost(200)
WAL_MB = AtMost(64)
"""The contract says bounded; this is what we call so."""
FEW = 1_000
LANES = 1_000
CLAIM = 16
LEASE_MS = 60_000
SAMPLE_S = 0.1
MOST_LEFT_OUT = 0.01
"""Part of the commits that may have met a stall of the disk itself; they are not judged."""


@dataclass(slots=True)
class Queue:
    """A queue of some size, and what its rounds took so far."""

    workspace: Workspace
    event: NewEvent
    hooks: list[OutgoingHook]
    claims: list[Span] = field(default_factory=list)
    others: list[Span] = field(default_factory=list)
    """Settles and new deliveries, each with its commit, as the caller waits for it."""
    wal_mb: list[float] = field(default_factory=list)

    @property
    def claims_ms(self) -> list[float]:
        return [_ms(span) for span in self.claims]


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
        with watching(bench.folder) as disk:
            asyncio.run(_probe((few, one, spread), rounds))
            stalled = disk.stalls()
        working = _work_off(spread.workspace, bench.pick(20, 4))
    commits = [*one.claims, *one.others, *spread.claims, *spread.others]
    own = [span for span in commits if not met(span, stalled)]
    left_out = [span for span in commits if met(span, stalled)]
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
            what="longest commit",
            value=max(map(_ms, own), default=0.0),
            unit="ms",
            bar=LONGEST_MS,
            note=f"p99 {p99([_ms(span) for span in commits]):.1f} ms; {_left_out(left_out, stalled)}",
            faults="" if len(left_out) <= MOST_LEFT_OUT * len(commits) else "the disk stalled nearly all the time",
        ),
        Line(what="write-ahead log at most", value=wal, unit="MB", bar=WAL_MB),
        Line(what="server's memory at most", value=working.memory_mb, unit="MB", bar=MEMORY_MB),
        Line(what="slowest /ready while it works them off", value=working.slowest_ms, unit="ms"),
    )
    return Figure(lines)


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
    with _timed(queue.claims):
        claimed = await store.claim(now=clock.steady(), limit=CLAIM, busy={}, lease_ms=LEASE_MS, lane_leases=slots)
    assert len(claimed.leases) == CLAIM, claimed
    with _timed(queue.others):
        await asyncio.gather(*(store.settle(_delivered(leased, clock)) for leased in claimed.leases))
    with _timed(queue.others):
        await store.commit(Changes(facts=facts(store, queue.event, queue.hooks, CLAIM)))
    queue.wal_mb.append(queue.workspace.wal_mb)


@contextmanager
def _timed(spans: list[Span]) -> Iterator[None]:
    began = time.monotonic_ns()
    yield
    spans.append((began, time.monotonic_ns()))


def _ms(span: Span) -> float:
    return (span[1] - span[0]) / 1e6


def _left_out(spans: Sequence[Span], stalled: Sequence[Span]) -> str:
    if not spans:
        return f"the disk itself stalled {len(stalled)} times meanwhile"
    longest, disk = max(map(_ms, spans)), max(map(_ms, stalled))
    left_out = f"left out {len(spans)} up to {longest:.0f} ms"
    return f"{left_out}, which met one of {len(stalled)} stalls of the disk itself up to {disk:.0f} ms"


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
