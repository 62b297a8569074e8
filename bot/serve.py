"""The running server: opens everything in order, serves until told to stop, closes in reverse."""

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from aiohttp import web

from bot.app import make_app
from bot.compose import open_services
from bot.folder import Folder
from bot.services import Services
from bot.settings import Settings
from bot.web.bodies import RUNNER_OPTIONS
from bot.web.middleware import UnderWay
from bot.workspace.first_start import FirstStart
from storage.clock import Clock, SystemClock

BACKLOG = 1024
FINISH_S = 3.0
"""Seconds requests under way may take to finish once the server stops; workers get theirs (5 s) after that."""
GIVE_UP_S = 0.5
"""Seconds aiohttp waits for the rest, twice: with connections that take nothing more, then with broken ones."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts requests."""

    services: Services
    url: str
    """Where it listens, which a base address may hide."""
    first_start: FirstStart | None


def listen(host: str, port: int) -> socket.socket:
    """Bind the address; raises OSError when it is taken or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return socket.create_server(found[0][4][:2], family=family, backlog=BACKLOG)


@asynccontextmanager
async def running(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Running]:
    """Run a server; leaving stops accepting, finishes requests, releases leases, closes the file."""
    async with AsyncExitStack() as stack:
        folder = Folder(settings.data)
        folder.make()
        stack.enter_context(folder.locked())
        listener = stack.enter_context(contextlib.closing(listen(settings.host, settings.port)))
        port = listener.getsockname()[1]
        services, first = await stack.enter_async_context(
            open_services(settings, folder, clock or SystemClock(), base_url=settings.url(port), serving=True)
        )
        await stack.enter_async_context(services.outbound)
        await services.supervisor.start()
        stack.push_async_callback(services.supervisor.stop)
        app = make_app(services)
        under_way = UnderWay()
        app.middlewares.insert(0, under_way.middleware())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=GIVE_UP_S, **RUNNER_OPTIONS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.SockSite(runner, listener, backlog=BACKLOG)
        await site.start()
        stack.push_async_callback(under_way.finish, FINISH_S)  # the runner alone would drop bodies still on their way
        stack.push_async_callback(site.stop)
        stack.callback(services.stream.close)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield Running(services, f"http://{host}:{port}", first)


async def serve(settings: Settings, announce: Callable[[Running], None]) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings) as server:
        gc.collect()
        gc.freeze()  # what the start made lives as long as the process: fewer pauses (delivery.md §8)
        announce(server)
        log = structlog.get_logger("patchbay.serve")
        log.info("started", url=server.url, base_url=server.services.base_url)
        await stopped.wait()
        log.info("stopping")
