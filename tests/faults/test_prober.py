"""The prober of the hostile bodies sees what it is there to see."""

import asyncio
import statistics
import time

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.faults.prober import Prober
from tests.faults.wire import exchange, request

STALL_S = 0.080
TIMES = 10


def blocking() -> web.Application:
    """Return a server with a door that keeps its loop busy, before its answer leaves or just after."""

    async def health(_: web.Request) -> web.Response:
        return web.Response()

    async def before(_: web.Request) -> web.Response:
        time.sleep(STALL_S)  # noqa: ASYNC251 # what is looked for
        return web.Response()

    async def after(_: web.Request) -> web.Response:
        asyncio.get_running_loop().call_soon(time.sleep, STALL_S)
        return web.Response()

    app = web.Application()
    app.router.add_get("/health", health)
    app.router.add_post("/idle", health)
    app.router.add_post("/before", before)
    app.router.add_post("/after", after)
    return app


@pytest.mark.parametrize("door", ["/before", "/after"])
async def test_a_stall_is_seen_every_time(door: str) -> None:
    """A loop that stands still for 80 ms is seen each time, and counted for the request that caused it."""
    async with TestServer(blocking(), host="127.0.0.1") as server:
        url = str(server.make_url("/"))
        async with Prober(url) as prober:
            stalled, idle = [], []
            for _ in range(TIMES):
                stalled.append((await prober.during(exchange(url, request(door, []))))[1])
                idle.append((await prober.during(exchange(url, request("/idle", []))))[1])
    # a probe begins a moment after the last one has ended: so much of a stall may pass unseen
    assert min(stalled) > STALL_S * 0.8, stalled
    assert statistics.median(idle) < STALL_S / 2, idle
