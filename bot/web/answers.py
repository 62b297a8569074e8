"""Answers in the shape of the contract: JSON without a charset, never cached (`rocketchat.md` §1)."""

import contextlib
import json
from collections.abc import AsyncIterable, Mapping

from aiohttp import ClientConnectionError, web
from multidict import CIMultiDict

from handlers.errors import Fault

HEADERS = {
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "X-Content-Type-Options": "nosniff",
}

AT_ONCE = 64 * 1024
"""Bytes of a large answer that are handed to the connection at once."""

SUCCESS = b'{"success":true}'
_READY_HEADERS = CIMultiDict(HEADERS)
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)

LOGIN_NEEDED = {"status": "error", "message": "You must be logged in to do this."}
NOT_FOUND = {"success": False, "error": "Resource not found"}
WRONG_METHOD = {"status": "error", "message": "API endpoint does not exist"}


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return a JSON answer."""
    text = _ENCODER.encode(body)
    # half a surrogate pair has no UTF-8; the error handler's \\udXXX is JSON's own way to write it
    raw = text.encode("utf-8", "backslashreplace")
    return web.Response(status=status, body=raw, headers={**HEADERS, **(headers or {})})


async def streamed(
    request: web.BaseRequest, pieces: AsyncIterable[str], headers: Mapping[str, str]
) -> web.StreamResponse:
    """Write a text as it is made, as fast as it is read: no more of it is held than one stretch."""
    response = web.StreamResponse(headers=headers)
    with contextlib.suppress(ConnectionError, ClientConnectionError):  # nobody is there to be told
        await response.prepare(request)
        stretch, size = list[str](), 0
        async for piece in pieces:
            stretch.append(piece)
            size += len(piece)
            if size >= AT_ONCE:
                await response.write("".join(stretch).encode())
                stretch, size = [], 0
        await response.write("".join(stretch).encode())
        await response.write_eof()
    return response


async def written(request: web.BaseRequest, body: bytes, headers: Mapping[str, str]) -> web.StreamResponse:
    """Write a JSON answer as fast as it is read, so that whoever waits for its end waits until it was taken."""
    response = web.StreamResponse(headers={**HEADERS, **headers})
    response.content_length = len(body)
    with contextlib.suppress(ConnectionError, ClientConnectionError):  # nobody is there to be told
        await response.prepare(request)
        for start in range(0, len(body), AT_ONCE):
            await response.write(body[start : start + AT_ONCE])
        await response.write_eof()
    return response


def success(body: Mapping[str, object] | None = None) -> web.Response:
    """Return an object as the contract does: `success` is added last."""
    if not body:
        return web.Response(body=SUCCESS, headers=_READY_HEADERS)
    return answer({**body, "success": True})


def failure(text: str, status: int = 400, headers: Mapping[str, str] | None = None) -> web.Response:
    """Refuse with a text."""
    return answer({"success": False, "error": text}, status, headers)


def refusal(fault: Fault) -> web.Response:
    """Refuse with a fault, as REST calls do (§1.1)."""
    body: dict[str, object] = {"success": False, "error": fault.bracketed}
    if fault.code is not None:
        body["errorType"] = fault.code
    if fault.details is not None:
        body["details"] = fault.details
    if fault.status in (403, 429):
        body = {"success": False, "error": fault.bracketed}
    headers = None if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
    return answer(body, fault.status, headers)


def too_many(seconds: int, headers: Mapping[str, str]) -> web.Response:
    """Refuse a call beyond the rate limit (§1.3)."""
    text = (
        "Error, too many requests. Please slow down."
        f" You must wait {seconds} seconds before trying this endpoint again. [error-too-many-requests]"
    )
    return failure(text, 429, headers)
