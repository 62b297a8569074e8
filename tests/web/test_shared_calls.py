"""Receivers that hang have their share of the calls under way, and everybody else is called as if they were not."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from bot.workers.delivery import LANE_SLOTS
from storage.ids import IntegrationId, UserId
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook
from tests.clock import ManualClock
from tests.delivering import Bench, delivering, receiving, retrying, until
from tests.records import outgoing
from tests.scenarios.stored import rows

ADDRESSES = 20
"""Of one hook."""
HOOKS_A_WORD = 4
"""Hooks that listen to one word: what one message may cause is bounded."""
OTHER = outgoing(id=IntegrationId("f" * 24), channels=("#general",), created_by=(UserId("bob"), "bob"))
DEADLINE_S = 1.0
"""Where calls are to time out: long enough for a receiver that answers."""
PATIENCE_S = 5.0
"""Long beside a delivery, short beside the deadline of those that hang."""


@dataclass
class Tarpit:
    """Takes calls on any path and answers when told to."""

    url: str = ""
    under_way: int = 0
    most: int = 0
    calls: int = 0
    answers: bool = False
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, request: web.Request) -> web.Response:
        self.calls += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            while not self.answers:
                self._changed.clear()
                await self._changed.wait()
        finally:
            self.under_way -= 1
        return web.Response()

    def answer(self) -> None:
        self.answers = True
        self._changed.set()


@pytest.fixture
async def tarpit() -> AsyncIterator[Tarpit]:
    tarpit = Tarpit()
    app = web.Application()
    app.router.add_post("/{path}", tarpit.take)
    async with TestServer(app, host="127.0.0.1", handler_cancellation=True) as server:
        tarpit.url = str(server.make_url("/"))
        yield tarpit
        tarpit.answer()


def hooks_on(tarpit: Tarpit, count: int, *, addresses: int = 1, creator: str = "ann") -> list[OutgoingHook]:
    """Return hooks whose every address hangs."""
    return [
        retrying(
            tarpit.url,
            id=IntegrationId(f"{number:024x}"),
            urls=tuple(f"{tarpit.url}{number}.{each}" for each in range(addresses)),
            created_by=(UserId(creator), creator),
            retry_delay="powers-of-two",
            trigger_words=() if addresses == 1 else (word(number // HOOKS_A_WORD),),
        )
        for number in range(count)
    ]


def word(number: int) -> str:
    """Return a word that four hooks of many addresses listen to."""
    return f"word{number}"


async def delivered_soon(bench: Bench, hook: OutgoingHook, count: int) -> None:
    """Wait until so many of a hook's deliveries have ended well, much less than the others hang."""
    async with asyncio.timeout(PATIENCE_S):
        assert not any(attempt.failed for attempt in await bench.attempts(count, hook.id))


async def test_three_hundred_silent_addresses_delay_nobody(tmp_path: Path, tarpit: Tarpit) -> None:
    """Fifteen hooks of twenty addresses that never answer: another creator's hook is called at once, each time."""
    hooks = hooks_on(tarpit, 15, addresses=ADDRESSES)
    async with receiving() as sound:
        other = replace(OTHER, urls=(sound.url,))
        async with delivering(tmp_path / "patchbay.db", ManualClock(), *hooks, other, concurrency=256) as bench:
            for number in range(11):
                await bench.say(word(number % 4))
                await delivered_soon(bench, other, number + 1)
            assert 100 < tarpit.most <= 128
            tarpit.answer()


@pytest.mark.parametrize("creator", ["ann", "bob"])
async def test_fifty_that_fall_silent_delay_nobody(tmp_path: Path, tarpit: Tarpit, creator: str) -> None:
    """Each has a pile waiting; a hook of the same creator is called at once as well."""
    hooks = hooks_on(tarpit, 50, creator=creator)
    async with receiving() as sound:
        other = replace(OTHER, urls=(sound.url,))
        async with delivering(tmp_path / "patchbay.db", ManualClock(), *hooks, other, concurrency=256) as bench:
            for number in range(20):
                await bench.say(f"m{number}")
                await delivered_soon(bench, other, number + 1)
            assert tarpit.most == 50
            tarpit.answer()


async def test_a_hooks_only_address_has_all_its_slots_where_there_are_few(tmp_path: Path, tarpit: Tarpit) -> None:
    """A quarter of 64 calls is left to it, as nothing need be kept for other addresses of its hook."""
    [hook] = hooks_on(tarpit, 1)
    async with delivering(tmp_path / "patchbay.db", ManualClock(), hook, concurrency=64, probes=LANE_SLOTS) as bench:
        for number in range(2 * LANE_SLOTS):
            await bench.say(f"m{number}")

        async def all_slots() -> bool:
            return tarpit.under_way == LANE_SLOTS

        await until(all_slots)
        tarpit.answer()
        await bench.ended(DeliveryState.DELIVERED, 2 * LANE_SLOTS)
    assert tarpit.most == LANE_SLOTS


async def test_a_lane_that_timed_out_has_one_call_until_one_is_answered(tmp_path: Path, tarpit: Tarpit) -> None:
    """What was answered and falls silent has one probe after the other; the next answer ends that."""
    [hook] = hooks_on(tarpit, 1)
    pile = 2 * LANE_SLOTS
    async with delivering(
        tmp_path / "patchbay.db", ManualClock(), hook, concurrency=256, deadline_s=DEADLINE_S
    ) as bench:
        tarpit.answers = True
        await bench.say("first")
        await bench.attempts(1, hook.id)
        tarpit.answers = False
        for number in range(pile):
            await bench.say(f"m{number}")
        await bench.attempts(1 + LANE_SLOTS, hook.id)
        assert tarpit.most == LANE_SLOTS
        tarpit.most = 0
        await bench.attempts(1 + LANE_SLOTS + 3, hook.id)
        assert tarpit.most == 1
        tarpit.answer()
        await bench.ended(DeliveryState.DELIVERED, 1 + pile - LANE_SLOTS - 3)


async def test_what_was_silent_is_known_after_a_restart(tmp_path: Path, tarpit: Tarpit) -> None:
    """More silent addresses than probes: those of their creator that are answered need not wait for a round of them."""
    hooks = hooks_on(tarpit, 5, addresses=ADDRESSES, creator="bob")
    path, clock = tmp_path / "patchbay.db", ManualClock()
    async with receiving() as sound:
        other = replace(OTHER, urls=(sound.url,))
        async with delivering(path, clock, *hooks, other, concurrency=256, deadline_s=DEADLINE_S) as bench:
            await bench.say(word(0))
            await bench.say(word(1))
            await each_attempted(bench, tmp_path, hooks)
        clock.advance(2_000)  # all of them are due again
        async with delivering(path, clock, *hooks, other, concurrency=256) as bench:

            async def probing() -> bool:
                return tarpit.under_way >= 60

            await until(probing)
            await bench.say("hello")
            await delivered_soon(bench, other, 3)
            tarpit.answer()


async def test_names_nobody_answers_cost_others_nothing(tmp_path: Path) -> None:
    """Forty of them, looked up at once: another hook's delivery arrives, and none ends for want of a lookup."""
    gate = asyncio.Event()

    async def resolve(host: str) -> list[str]:
        if host.startswith("h"):
            await gate.wait()
        return ["127.0.0.1"]

    async with receiving() as sound:
        port = URL(sound.url).port
        hooks = [
            retrying(
                "",
                id=IntegrationId(f"{number:024x}"),
                urls=tuple(f"http://h{number}-{each}.hang.test:{port}/in" for each in range(20)),
            )
            for number in range(2)
        ]
        other = replace(OTHER, urls=(f"http://good.test:{port}/in",))
        path = tmp_path / "patchbay.db"
        async with delivering(path, ManualClock(), *hooks, other, concurrency=256, resolve=resolve) as bench:
            for number in range(4):
                await bench.say(f"m{number}")
                await delivered_soon(bench, other, number + 1)
            assert (await bench.store.deliveries(state=DeliveryState.DEAD))[1] == 0
            gate.set()


async def test_a_call_without_a_slot_for_its_lookup_is_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is made a little later, with its whole budget."""
    monkeypatch.setattr("bot.dns.MAX_LOOKUPS", 1)
    monkeypatch.setattr("bot.dns.TURN_SECONDS", 0.05)
    gate, clock = asyncio.Event(), ManualClock()

    async def resolve(host: str) -> list[str]:
        await gate.wait()
        return ["127.0.0.1"]

    async with receiving() as sound:
        port = URL(sound.url).port
        hook = retrying("", urls=(f"http://hang.test:{port}/in",), retry_failed_calls=False)
        other = replace(OTHER, urls=(f"http://good.test:{port}/in",), retry_failed_calls=False)
        async with delivering(tmp_path / "patchbay.db", clock, hook, other, resolve=resolve) as bench:
            await bench.say("hello")

            async def given_back() -> bool:
                return rows(tmp_path, "SELECT tries, receives FROM delivery WHERE lease IS NULL") == [(0, 0)]

            await until(given_back)
            gate.set()
            await bench.ended(DeliveryState.DELIVERED)
            clock.advance(1_000)
            bench.worker.notify()
            await bench.ended(DeliveryState.DELIVERED, 2)
            assert (await bench.store.attempts([hook.id, other.id]))[1] == 2


async def each_attempted(bench: Bench, folder: Path, hooks: Iterable[OutgoingHook]) -> None:
    lanes = sum(len(hook.urls) for hook in hooks)

    async def all_of_them() -> bool:
        return rows(folder, "SELECT count(*) FROM lane WHERE silent") == [(lanes,)]

    await until(all_of_them)


async def test_every_silent_lane_has_its_probe(tmp_path: Path, tarpit: Tarpit) -> None:
    """More of them than probes, each with a pile: none waits for the piles of those before it."""
    hooks = hooks_on(tarpit, 12)
    async with delivering(
        tmp_path / "patchbay.db", ManualClock(), *hooks, concurrency=16, deadline_s=DEADLINE_S
    ) as bench:
        for number in range(4):
            await bench.say(f"m{number}")
        await each_attempted(bench, tmp_path, hooks)
        assert tarpit.most < len(hooks)
        tried = {hook.id: len(await bench.attempts(1, hook.id)) for hook in hooks}
        assert max(tried.values()) - min(tried.values()) <= 2
        tarpit.answer()
        await bench.ended(DeliveryState.QUEUED, sum(tried.values()))
