"""Around every request: one wide log line, one measurement, the last net for faults.

It stands around the whole application and not among its middlewares: those cost each request as much again.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from bot.metrics import Metrics
from bot.settings import Network
from bot.web.answers import NOT_FOUND, WRONG_METHOD, answer, failure
from bot.web.client import client_address
from bot.web.large_bodies import OF_SERVER, LargeBodies
from storage.clock import Clock
from storage.errors import StorageError, Unavailable, Uncertain
from storage.ids import timed_id

RETRY_AFTER_S = "5"
_NOT_STORED = "The server cannot store anything right now; nothing was changed. Try again shortly."
_UNCERTAIN = (
    "The server did not hear whether this was written: it is not certain whether it was stored;"
    " repeat it with the same id."
)

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
"""What answers a request of any route; it may raise what routing raises."""


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A way past the router for what most requests ask: it costs each of them more than finding the hook."""

    route: str
    """The pattern of the route the router would have found."""
    take: Callable[[web.BaseRequest], Awaitable[web.StreamResponse] | None]
    """Return what answers a request; None when it is one for the router."""


NO_SHORTCUT = Shortcut("-", lambda _: None)


def observe(
    handle: Handle,
    clock: Clock,
    metrics: Metrics,
    trusted: tuple[Network, ...],
    shortcut: Shortcut = NO_SHORTCUT,
) -> Handle:
    """Return `handle` observed; the log names the route's pattern, never path or query (decision 31)."""
    log = structlog.get_logger("patchbay.request").bind()
    large = LargeBodies()

    async def observed(request: web.BaseRequest) -> web.StreamResponse:
        started = clock.monotonic()
        request_id, fault = None, None
        request[OF_SERVER] = large
        answering = shortcut.take(request)
        try:
            response = await (handle(request) if answering is None else answering)
        except web.HTTPMethodNotAllowed as error:
            response = answer(WRONG_METHOD, 405, {"Allow": ", ".join(sorted(error.allowed_methods))})
        except web.HTTPException as error:
            response = answer(NOT_FOUND, 404) if error.status == 404 else failure(error.reason, error.status)
        except Unavailable as error:
            fault = str(error)
            response = failure(not_stored(error), 503, {"Retry-After": RETRY_AFTER_S})
        except StorageError as error:
            fault = str(error)
            response = failure(f"The stored state cannot be read or written [{error.code}].", 500)
        except Exception as error:  # the server goes on; the log has the trace, the client an id
            fault, request_id = type(error).__name__, timed_id(clock.now())
            log.exception("unexpected fault", request_id=request_id)
            response = failure(f"Internal server error; the log names it {request_id}.", 500)
        finally:
            large.leave(request)
        route = _route(request) if answering is None else shortcut.route
        seconds = clock.monotonic() - started
        if response.status != 101:  # a socket's whole life is no answer time
            metrics.request(route, request.method, response.status, seconds)
        if log.is_enabled_for(logging.INFO):
            log.info(
                "request",
                request_id=request_id or timed_id(clock.now()),
                method=request.method,
                route=route,
                status=response.status,
                duration_ms=round(seconds * 1000, 2),
                client=client_address(request, trusted),
                **({"fault": fault} if fault else {}),
            )
        return response

    return observed


def not_stored(error: Unavailable) -> str:
    """Say to who asked for a change that it failed, and whether it is certain that nothing was changed."""
    return _UNCERTAIN if isinstance(error, Uncertain) else _NOT_STORED


def _route(request: web.BaseRequest) -> str:
    """Return the pattern of the request's route; a dash where none was found."""
    found = request.match_info.route.resource if isinstance(request, web.Request) else None
    return "-" if found is None else found.canonical
