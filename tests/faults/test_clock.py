"""The wall clock steps an hour either way: retries, leases, ids and tokens do not mind (decision 29)."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from storage.records.delivery import DeliveryState
from tests.clock import ManualClock
from tests.faults import stage
from tests.scenarios.receiver import Sent, receiving
from tests.server import serving

HOUR_MS = 3_600_000


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS])
async def test_a_step_of_the_wall_clock(tmp_path: Path, step_ms: int) -> None:
    """Retries come when their time has passed, a request id stays used, logins stay good, also after a restart."""
    clock, busy = ManualClock(), True

    def answer(_: Sent) -> web.Response:
        return web.Response(status=503 if busy else 200)

    async with receiving(answer) as receiver:
        async with serving(tmp_path / "data", clock) as server:
            personal = (await server.post("users.generatePersonalAccessToken", {"tokenName": "t"}))["token"]
            hook = await stage.hook_calling(server, receiver.url, retry_delay="powers-of-two")
            post = {"webhook-id": "one"}
            assert await stage.post(server, "hello", **post) == (200, {"success": True})
            await stage.attempts(server, hook, 1)
            clock.step_wall(step_ms)
            assert await stage.post(server, "hello", **post) == (200, {"success": True})
            await stage.say(server, "after the step")
            await stage.attempts(server, hook, 2)
            waiting = await stage.ended(server, hook, DeliveryState.QUEUED, 2)
            assert {one.available_at - clock.steady() for one in waiting} == {2_000}
            clock.advance(1_999)
            await stage.say(server, "just before")
            assert len(await stage.attempts(server, hook, 3)) == 3
            busy = False
            clock.advance(1)
            await stage.ended(server, hook, DeliveryState.DELIVERED, 2)
            login = {"X-User-Id": server.owner["X-User-Id"], "X-Auth-Token": personal}
            for who in (server.owner, login):
                assert (await server.get("me", who=who))["username"] == "owner"
            texts = [message["msg"] for message in await server.room_messages()]
            assert sorted(texts) == ["after the step", "hello", "just before"]
            address = server.hook.removeprefix(server.url)

        # the next process knows the time only from its own wall clock
        async with serving(tmp_path / "data", clock) as server:
            async with server.http.post(server.url + address, json={"text": "hello"}, headers=post) as response:
                assert response.status == 200
            assert len(await server.room_messages()) == 3
            clock.advance(2_000)
            await stage.ended(server, hook, DeliveryState.DELIVERED, 3)


@pytest.mark.parametrize("step_ms", [HOUR_MS, -HOUR_MS])
async def test_a_lease_survives_a_step(tmp_path: Path, step_ms: int) -> None:
    """A call under way while the clock steps is neither made twice nor fenced."""
    clock, gate, called = ManualClock(), asyncio.Event(), asyncio.Queue[str]()

    async def take(request: web.Request) -> web.Response:
        called.put_nowait(text := (await request.json())["text"])
        if text != "zero":
            await gate.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app, host="127.0.0.1") as receiver, serving(tmp_path / "data", clock) as server:
        hook = await stage.hook_calling(server, str(receiver.make_url("/")))
        async with asyncio.timeout(stage.WAIT_S):
            await stage.say(server, "zero")  # only a receiver that answers is called twice at once
            await stage.ended(server, hook, DeliveryState.DELIVERED)
            assert await called.get() == "zero"
            await stage.say(server, "one")
            assert await called.get() == "one"
            clock.step_wall(step_ms)
            await stage.say(server, "two")  # has the worker claim again
            assert await called.get() == "two"
        gate.set()
        await stage.ended(server, hook, DeliveryState.DELIVERED, 3)
        assert called.empty()
