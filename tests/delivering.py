"""The delivering side put together for tests: real store, real posting, real calls to a receiver on loopback."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any  # what receivers get is parsed JSON

from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.dns import Resolve, look_up
from bot.flows.deliver import Deliver
from bot.flows.notices import Notices
from bot.flows.outages import Outages
from bot.flows.pace import Pace
from bot.flows.respond import Respond
from bot.metrics import Metrics
from bot.outbound import Outbound
from bot.workers.delivery import PROBES, DeliveryWorker
from bot.workspace.allotment import Allotment
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.posting import Posting, Prepared, plain
from bot.workspace.replay import Replay
from handlers.outgoing.scopes import hook_scopes
from handlers.targets import AllowList
from storage.clock import Clock
from storage.ids import GENERAL, ROCKET_CAT, IntegrationId, MessageId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.event import EventKind
from storage.records.integration import Hook, OutgoingHook
from storage.records.message import Message
from storage.records.user import Role, User
from storage.sqlite.store import open_store
from storage.vault import Vault
from tests.records import ANN, ORG, outgoing, room, user

SITE = "https://chat.example.test"
HOOK = outgoing().id
CAT = user(id=ROCKET_CAT, username="rocket.cat", name="Rocket.Cat", is_bot=True, type="bot")
OWNER = user(role=Role.OWNER)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again until the condition holds."""
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 # what is waited for is a row, which signals nobody
            await asyncio.sleep(0)


@dataclass
class Receiver:
    """A place that is called; `answer` may be changed while it runs."""

    answer: Handler
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    async def take(self, request: web.Request) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        self.bodies.append(await request.json())
        return await self.answer(request)

    @property
    def texts(self) -> list[str]:
        return [body["text"] for body in self.bodies]

    async def called(self, times: int = 1) -> None:
        """Wait until it was called that often."""

        async def enough() -> bool:
            return len(self.bodies) >= times

        await until(enough)


def answering(status: int = 200, json: object = None, headers: dict[str, str] | None = None) -> Handler:
    """Answer always the same; without `json` the body is empty."""

    async def handler(_: web.Request) -> web.StreamResponse:
        if json is None:
            return web.Response(status=status, headers=headers)
        return web.json_response(json, status=status, headers=headers)

    return handler


def waiting(gate: asyncio.Event, status: int = 200) -> Handler:
    """Answer nothing before the gate opens."""

    async def handler(_: web.Request) -> web.StreamResponse:
        await gate.wait()
        return web.Response(status=status)

    return handler


@asynccontextmanager
async def receiving(answer: Handler | None = None) -> AsyncIterator[Receiver]:
    """Run a receiver on a free port."""
    receiver = Receiver(answer or answering())
    app = web.Application()
    app.router.add_post("/in", receiver.take)
    async with TestServer(app, host="127.0.0.1") as server:
        receiver.url = str(server.make_url("/in"))
        yield receiver


@dataclass
class Bench:
    """Everything from a posted message to the settled delivery."""

    store: Store
    directory: Directory
    fanout: Fanout
    posting: Posting
    replay: Replay
    worker: DeliveryWorker
    metrics: Metrics
    running: asyncio.Task[None]

    async def stop(self) -> None:
        """Stop the worker as the supervisor does."""
        self.running.cancel()
        with suppress(asyncio.CancelledError):
            await self.running

    async def say(self, text: str, *, author: User = OWNER, hops: int = 0) -> Message:
        """Post into `#general`."""
        prepared = await self.posting.prepare(plain(text), author, [GENERAL], hops=hops)
        assert isinstance(prepared, Prepared)
        await self.store.commit(prepared.changes)
        return prepared.messages[0]

    async def edit_hook(self, **changes: Any) -> OutgoingHook:
        """Change the hook as it stands."""
        current = await self.store.hook(HOOK)
        assert isinstance(current, OutgoingHook)
        changed = replace(current, version=current.version + 1, **changes)
        fact = self.fanout.plain(EventKind.INTEGRATION_CHANGED, OWNER, {"id": HOOK})
        await self.store.commit(Changes(put_hooks=(changed,), facts=(fact,)))
        return changed

    async def remove_hook(self, hook_id: IntegrationId = HOOK) -> None:
        """Delete a hook."""
        fact = self.fanout.plain(EventKind.INTEGRATION_REMOVED, OWNER, {"id": hook_id})
        await self.store.commit(Changes(drop_hooks=(hook_id,), facts=(fact,)))

    async def attempts(self, count: int, hook_id: IntegrationId = HOOK) -> list[Attempt]:
        """Wait for so many settled attempts; return them oldest first."""

        async def enough() -> bool:
            return (await self.store.attempts([hook_id]))[1] >= count

        await until(enough)
        return (await self.store.attempts([hook_id], ascending=True, count=1000))[0]

    async def ended(self, state: DeliveryState, count: int = 1) -> list[Delivery]:
        """Wait until so many deliveries stand in a state; return them newest first."""

        async def enough() -> bool:
            return (await self.store.deliveries(state=state))[1] >= count

        await until(enough)
        return (await self.store.deliveries(state=state, count=1000))[0]

    async def texts(self, room_id: str = GENERAL) -> list[str]:
        """Return what stands in a room, oldest first."""
        found, _ = await self.store.messages(room(id=room_id).id, count=100)
        return [message.text for message in reversed(found)]

    async def message(self, message_id: str | None) -> Message:
        """Return a message that is there."""
        found = await self.store.message(MessageId(message_id or ""))
        assert found is not None
        return found


@asynccontextmanager
async def delivering(
    path: Path,
    clock: Clock,
    *hooks: Hook,
    allow: str = "127.0.0.1",
    concurrency: int = 32,
    grace_s: float = 5.0,
    deadline_s: float = 20.0,
    probes: int = PROBES,
    resolve: Resolve = look_up,
) -> AsyncIterator[Bench]:
    """Run the delivering side on a file; a fresh one gets Ann, `rocket.cat`, `#general` and the hooks."""
    async with AsyncExitStack() as stack:
        store = open_store(path, Vault([bytes(32)]), clock, hook_scopes, serving=True, busy_timeout_s=0.05)
        stack.push_async_callback(store.close)
        if await store.organisation() is None:
            await store.make_organisation(ORG, "Test", clock.now())
            await store.commit(Changes(new_users=(OWNER, CAT), new_rooms=(room(),), new_hooks=hooks))
        outbound = await stack.enter_async_context(Outbound(AllowList.parse(allow), limit=concurrency, resolve=resolve))
        directory = Directory(store, ORG)
        fanout = Fanout(directory, store, store, clock)
        posting = Posting(directory, store, fanout, clock, Allotment(store, clock, 0))
        notices = Notices(posting)
        metrics = Metrics(clock)
        deliver = Deliver(
            sender=outbound,
            directory=directory,
            fanout=fanout,
            respond=Respond(directory, posting, notices, max_chars=40_000),
            notices=notices,
            outages=Outages(store, clock),
            secrets=store,
            clock=clock,
            meter=metrics,
            site_url=SITE,
            deadline_s=deadline_s,
        )
        worker = DeliveryWorker(
            store,
            deliver,
            clock,
            Pace(clock),
            concurrency=concurrency,
            deadline_s=deadline_s,
            grace_s=grace_s,
            probes=probes,
        )
        store.subscribe(worker.heard)
        store.on_queued(worker.queued)
        replay = Replay(store, directory, fanout, clock, site_url=SITE)
        running = asyncio.create_task(worker.run())
        bench = Bench(store, directory, fanout, posting, replay, worker, metrics, running)
        stack.push_async_callback(bench.stop)
        yield bench


def retrying(url: str, **changes: Any) -> OutgoingHook:
    """Build the hook of most tests: every message of `#general` to one address, retried on the contract's schedule."""
    return outgoing(
        **{
            "urls": (url,),
            "channels": ("#general",),
            "retry_failed_calls": True,
            "retry_count": 6,
            "retry_delay": "powers-of-ten",
            "created_by": (ANN, "ann"),
        }
        | changes
    )
