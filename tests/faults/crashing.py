"""Stops the process at a chosen place: ports that crash before or after any of their calls, and all later ones."""

import asyncio
import inspect
import json
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast  # Any: the wrapped calls of a port take and give anything

from bot.flows.deliver import Deliver
from bot.flows.notices import Notices
from bot.flows.outages import Outages
from bot.flows.pace import Pace
from bot.flows.receive import Receive, Received, Result
from bot.flows.respond import Respond
from bot.metrics import Metrics
from bot.workers.delivery import LANE_LEASES, LANE_SLOTS, DeliveryWorker
from bot.workspace.allotment import Allotment
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.posting import Posting
from handlers.formatter import available
from handlers.http import Answered, OutboundRequest
from handlers.outgoing.scopes import hook_scopes
from storage.clock import Clock
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.event import EventKind
from storage.records.integration import OutgoingHook
from storage.sqlite.store import open_store
from storage.vault import Vault
from tests.delivering import CAT, HOOK, OWNER, SITE
from tests.records import ORG, incoming, room

IN = incoming()
WHOLE_PATH = {f"{side} {name}" for name in ("commit", "claim", "send", "settle") for side in ("before", "after")}
"""The places between a request and the end of its delivery."""


class Crash(BaseException):
    """The process is gone: nothing catches this."""


Place = tuple[str, int]
"""Before or after a call, and the how manieth of its kind."""


class Boundaries:
    """The places the process can stop at, counted as it comes by them; at one of them it stops."""

    def __init__(self, crash_at: Place | None = None) -> None:
        self.crashed = asyncio.Event()
        self.passed: Counter[str] = Counter()
        self._crash_at = crash_at

    def reach(self, name: str) -> None:
        """Pass a place; raise Crash at the chosen one and at every one after it."""
        self.passed[name] += 1
        if (name, self.passed[name]) == self._crash_at:
            self.crashed.set()
        if self.crashed.is_set():
            raise Crash(name)


class Crashing:
    """A port around another; each asynchronous call has a place to crash at before it and one after."""

    def __init__(self, inner: object, boundaries: Boundaries) -> None:
        self._inner = inner
        self._boundaries = boundaries

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(call):
            return call

        async def crashing(*values: object, **named: object) -> object:
            self._boundaries.reach(f"before {name}")
            result = await call(*values, **named)
            self._boundaries.reach(f"after {name}")
            return result

        return crashing


class Outside:
    """The receiver, which outlives the process: gives its answers in turn, the last one for ever."""

    def __init__(self, *answers: Answered) -> None:
        self._answers = answers
        self.bodies: list[dict[str, Any]] = []
        self._permits: asyncio.Semaphore | None = None

    @property
    def calls(self) -> int:
        return len(self.bodies)

    def hold(self) -> None:
        """Answer nothing more without permission."""
        self._permits = asyncio.Semaphore(0)

    def permit(self, answers: int) -> None:
        """Let so many calls that are held, or will be, have their answer."""
        assert self._permits is not None
        for _ in range(answers):
            self._permits.release()

    async def send(self, request: OutboundRequest) -> Answered:
        self.bodies.append(json.loads(request.body))
        answer = self._answers[min(self.calls, len(self._answers)) - 1]
        if self._permits is None:
            await asyncio.sleep(0)
        else:
            await self._permits.acquire()
        return answer


@dataclass(frozen=True, slots=True)
class Process:
    """One life of the process; `store` is what it really wrote, past the places to crash at."""

    store: Store
    ports: Store
    """The same with the places to crash at."""
    fanout: Fanout
    worker: DeliveryWorker
    receive: Receive

    async def accept(self, request_id: str, text: str) -> Result:
        """Take a request as the hook door does."""
        received = Received("POST", {"webhook-id": request_id}, text.encode())
        return await self.receive.deliver(IN, CAT, received, {"text": text})

    async def edit_hook(self, **changes: Any) -> None:
        """Change the hook as it stands."""
        current = await self.store.hook(HOOK)
        assert isinstance(current, OutgoingHook)
        changed = replace(current, version=current.version + 1, **changes)
        fact = self.fanout.plain(EventKind.INTEGRATION_CHANGED, OWNER, {"id": HOOK})
        await self.ports.commit(Changes(put_hooks=(changed,), facts=(fact,)))

    async def remove_hook(self) -> None:
        """Delete the hook."""
        fact = self.fanout.plain(EventKind.INTEGRATION_REMOVED, OWNER, {"id": HOOK})
        await self.ports.commit(Changes(drop_hooks=(HOOK,), facts=(fact,)))


@asynccontextmanager
async def process(
    path: Path,
    clock: Clock,
    outside: Outside,
    hook: OutgoingHook,
    boundaries: Boundaries,
    *,
    lane_slots: int = LANE_SLOTS,
    lane_leases: int = LANE_LEASES,
) -> AsyncIterator[Process]:
    """Open the file and wire the accepting and the delivering side on ports that crash.

    Leaving writes what the writer had in hand; that it was never written is what a crash before the call shows.
    """
    real = open_store(path, Vault([bytes(32)]), clock, hook_scopes, serving=True)
    try:
        if await real.organisation() is None:
            await real.make_organisation(ORG, "Test", clock.now())
            await real.commit(Changes(new_users=(OWNER, CAT), new_rooms=(room(),), new_hooks=(IN, hook)))
        store = cast(Store, Crashing(real, boundaries))
        directory = Directory(store, ORG)
        fanout = Fanout(directory, store, store, clock)
        posting = Posting(directory, store, fanout, clock, Allotment(store, clock, 0))
        notices = Notices(posting)
        deliver = Deliver(
            sender=cast(Outside, Crashing(outside, boundaries)),
            directory=directory,
            fanout=fanout,
            respond=Respond(directory, posting, notices, max_chars=40_000),
            notices=notices,
            outages=Outages(store, clock),
            secrets=store,
            clock=clock,
            meter=Metrics(clock),
            site_url=SITE,
            deadline_s=5.0,
        )
        worker = DeliveryWorker(
            store,
            deliver,
            clock,
            Pace(clock),
            concurrency=8,
            deadline_s=5.0,
            grace_s=0,
            lane_slots=lane_slots,
            lane_leases=lane_leases,
        )
        store.subscribe(worker.heard)
        store.on_queued(worker.queued)
        receive = Receive(directory, posting, store, available(), notices, Pace(clock), clock, 40_000)
        yield Process(real, store, fanout, worker, receive)
    finally:
        await real.close()


async def live(life: Process, boundaries: Boundaries, work: Coroutine[Any, Any, None]) -> None:
    """Do some work beside the worker until it is done or the process crashes."""
    others = asyncio.all_tasks()
    tasks = [asyncio.create_task(one) for one in (work, life.worker.run(), boundaries.crashed.wait())]
    await asyncio.wait([tasks[0], tasks[2]], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    left = asyncio.all_tasks() - others  # calls of a worker that crashed: they end with their process
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException) and not isinstance(end, Crash | asyncio.CancelledError):
            raise end
