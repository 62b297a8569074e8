"""A hook changed by the command line beside the running server: what the worker holds ahead knows it, too."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.workers.delivery import LANE_SLOTS
from storage.ids import IntegrationId
from storage.records.delivery import DeliveryState
from tests.faults import stage
from tests.process import patchbay
from tests.scenarios.stored import rows
from tests.server import Server, serving

BEHIND = 4
"""Deliveries that find no slot."""
FIRST = "the first"
"""What alone is answered before the gate opens."""


@dataclass
class Held:
    """A server whose receiver answers nothing before the gate opens, with calls in all slots and more waiting."""

    server: Server
    data: Path
    hook: IntegrationId
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[web.Request] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        if (await request.json())["text"] == FIRST:
            return web.Response()
        self.calls.append(request)
        await self.gate.wait()
        return web.Response()

    async def leased(self) -> int:
        [(count,)] = rows(self.data, "SELECT count(*) FROM delivery WHERE lease IS NOT NULL")
        return int(count)

    async def beside(self, *words: str) -> None:
        """Run a command in a process of its own, on the folder of the running server."""
        done = await asyncio.to_thread(patchbay, "hook", *words, "--data", self.data)
        assert done.returncode == 0, done.stderr


@pytest.fixture
async def held(tmp_path: Path) -> AsyncIterator[Held]:
    data = tmp_path / "data"
    async with serving(data) as server:
        held = Held(server, data, IntegrationId(""))
        app = web.Application()
        app.router.add_post("/in", held.take)
        async with TestServer(app, host="127.0.0.1") as receiver:
            held.hook = await stage.hook_calling(server, str(receiver.make_url("/in")))
            await stage.say(server, FIRST)  # only a receiver that answers is called in all slots
            await stage.ended(server, held.hook, DeliveryState.DELIVERED)
            for number in range(LANE_SLOTS + BEHIND):
                await stage.say(server, f"number {number}")

            async def full() -> bool:
                return len(held.calls) == LANE_SLOTS and await held.leased() == LANE_SLOTS + BEHIND

            await stage.until(full)
            yield held
            held.gate.set()


async def test_what_waits_is_given_back_when_its_hook_is_disabled_beside(held: Held) -> None:
    """Within the second in which commits of others are noticed; it is delivered once the hook is enabled again."""
    await held.beside("edit", held.hook, "--disable")

    async def given_back() -> bool:
        return await held.leased() == LANE_SLOTS

    await stage.until(given_back)
    held.gate.set()
    await stage.ended(held.server, held.hook, DeliveryState.DELIVERED, 1 + LANE_SLOTS)
    assert len(held.calls) == LANE_SLOTS
    await held.beside("edit", held.hook, "--enable")
    await stage.ended(held.server, held.hook, DeliveryState.DELIVERED, 1 + LANE_SLOTS + BEHIND)
    assert len(held.calls) == LANE_SLOTS + BEHIND


async def test_no_call_starts_after_its_hook_was_removed_beside(held: Held) -> None:
    """What waited is never called, and calls under way are ended (delivery.md §1)."""
    await held.beside("remove", held.hook, "--yes")

    async def calls_ended() -> bool:
        return all(call.transport is None or call.transport.is_closing() for call in held.calls)

    await stage.until(calls_ended)
    held.gate.set()
    await stage.say(held.server, "afterwards")
    await stage.ended(held.server, held.hook, DeliveryState.DISCARDED, LANE_SLOTS + BEHIND)
    assert len(held.calls) == LANE_SLOTS
