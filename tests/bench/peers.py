"""The peers of a run: a bare aiohttp handler that reads and parses a body, a bare aiohttp client that posts one, and a
bare event loop whose callbacks all do the same."""

import asyncio
import json
import socket
import sys
import time

import aiohttp
from aiohttp import web

CLIENTS = 64
TURN_S = 0.002
ROUNDS = 40
"""How often a callback of the bare loop writes and reads the body: about half a millisecond of work."""


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


async def loop(seconds: float, parts: int, body: str) -> None:
    """Work a little, always the same, and send it, at each turn; print its longest work of each part in milliseconds.

    As the loop watch counts work: processor time of the thread. What is far over the usual is what the machine itself
    did in that time.
    """
    ours, theirs = socket.socketpair()
    parsed, longest = json.loads(body), [0.0] * parts
    began = time.perf_counter()
    with ours, theirs:
        while (passed := time.perf_counter() - began) < seconds:
            worked = time.thread_time()
            for _ in range(ROUNDS):
                ours.send(json.dumps(json.loads(json.dumps(parsed))).encode())
                theirs.recv(1 << 16)
            part = int(passed / seconds * parts)
            longest[part] = max(longest[part], (time.thread_time() - worked) * 1000)
            await asyncio.sleep(TURN_S)
    print(json.dumps(longest))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["handler"]:
            asyncio.run(handler())
        case ["client", address, seconds, body]:
            asyncio.run(client(address, float(seconds), body))
        case ["loop", seconds, parts, body]:
            asyncio.run(loop(float(seconds), int(parts), body))
        case _:
            sys.exit(f"no such peer: {sys.argv[1:]}")
