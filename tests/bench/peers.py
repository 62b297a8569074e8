"""The peers of a run: a bare aiohttp handler that reads and parses a body, and a bare aiohttp client that posts one."""

import asyncio
import json
import sys
import time

import aiohttp
from aiohttp import web

CLIENTS = 64


async def handler() -> None:
    """Serve on a free port until ended."""

    async def take(request: web.Request) -> web.Response:
        json.loads(await request.read())
        return web.json_response({"success": True})

    app = web.Application()
    app.router.add_post("/hooks/{id}/{token}", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def client(url: str, seconds: float, body: str) -> None:
    """Post as fast as possible; print how many a second."""
    data, headers, done = body.encode(), {"Content-Type": "application/json"}, 0
    began = time.perf_counter()

    async def post() -> None:
        nonlocal done
        while time.perf_counter() - began < seconds:
            async with session.post(url, data=data, headers=headers) as response:
                await response.read()
            done += 1

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CLIENTS)) as session:
        await asyncio.gather(*(post() for _ in range(CLIENTS)))
    print(done / (time.perf_counter() - began))


if __name__ == "__main__":
    if sys.argv[1] == "handler":
        asyncio.run(handler())
    else:
        asyncio.run(client(sys.argv[2], float(sys.argv[3]), sys.argv[4]))
