"""The running server: opens everything in order, serves until told to stop, closes in reverse."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from aiohttp import web

from bot import collecting
from bot.app import SHORTCUT, make_app
from bot.compose import judge_folder, open_services
from bot.folder import Folder
from bot.outbound import CHAT_CALLS
from bot.services import Services
from bot.settings import Settings
from bot.web.connections import Connections, allow_connections
from bot.web.listening import Listener
from bot.web.middleware import observe
from bot.web.protocol import Http, without_server
from bot.workspace.first_start import FirstStart
from bot.workspace.passwords import Passwords
from storage.clock import Clock, SystemClock

BACKLOG = 1024
"""Connections that wait in the system's queue until they are taken."""
FINISH_S = 5.0
"""Seconds requests under way may take to finish once the server stops; the workers' own 5 s run beside them."""
GIVE_UP_S = 0.5
"""Seconds aiohttp waits for the rest, twice: with connections that take nothing more, then with broken ones."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that accepts requests."""

    services: Services
    url: str
    """Where it listens, which a base address may hide."""
    first_start: FirstStart | None


class CannotListen(Exception):
    """The address the server should listen on is taken, or not this machine's."""


def listen(host: str, port: int) -> socket.socket:
    """Bind the address; raise CannotListen with one sentence when that is not possible."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4][:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"Cannot listen on {host} port {port}: {error.strerror or error}.") from error


@asynccontextmanager
async def running(
    settings: Settings,
    clock: Clock | None = None,
    *,
    connections: Connections | None = None,
    finish_s: float = FINISH_S,
    apart: bool = False,
    passwords: Passwords | None = None,
) -> AsyncIterator[Running]:
    """Run a server; leaving stops accepting, finishes requests and deliveries, releases leases, closes the file.

    `apart` commits in a process of its own, which needs the machine's own clock.
    """
    async with AsyncExitStack() as stack:
        folder = Folder(settings.data)
        judge_folder(settings, folder)
        folder.make()
        stack.enter_context(folder.locked())
        folder.narrow()
        listener = stack.enter_context(contextlib.closing(listen(settings.host, settings.port)))
        port = listener.getsockname()[1]
        services, first = await stack.enter_async_context(
            open_services(
                settings,
                folder,
                clock or SystemClock(),
                base_url=settings.url(port),
                serving=True,
                apart=apart,
                passwords=passwords,
            )
        )
        for calls in (services.hook_calls, services.chat_calls):
            await stack.enter_async_context(calls)
        await services.supervisor.start()
        stack.push_async_callback(services.supervisor.stop)
        app = make_app(services)
        connections = connections or Connections(
            allow_connections(settings.outgoing_concurrency + CHAT_CALLS),
            largest_body=settings.max_body_bytes,
            proxies=settings.trusted_proxies,
        )
        runner = web.AppRunner(app, shutdown_timeout=GIVE_UP_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        assert runner.server is not None  # noqa: S101 # made by setup
        observed = observe(
            runner.server.request_handler, services.clock, services.metrics, settings.trusted_proxies, app[SHORTCUT]
        )
        runner.server.request_handler = connections.counting(observed)
        without_server(runner.server)
        # a site of aiohttp's would take the connections as they are, without limits
        listening = Listener(
            listener,
            connections,
            partial(Http, runner.server, loop=asyncio.get_running_loop(), malformed=connections.malformed),
        )
        listening.start()

        async def stop() -> None:
            services.store.hurry()
            services.stream.close()
            listening.stop()
            await app.shutdown()  # closes the realtime sockets, which have no end of their own
            # the runner alone would drop bodies still on their way
            await asyncio.gather(connections.finish(finish_s), services.supervisor.stop())

        stack.push_async_callback(stop)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield Running(services, f"http://{host}:{port}", first)


async def serve(settings: Settings, announce: Callable[[Running], None]) -> None:
    """Serve until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running(settings, apart=True) as server:
        collecting.begin()
        announce(server)
        log = structlog.get_logger("patchbay.serve")
        log.info("started", url=server.url, base_url=server.services.base_url)
        collector = asyncio.create_task(collecting.collect_when_idle())
        await stopped.wait()
        collector.cancel()
        log.info("stopping")
