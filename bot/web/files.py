"""`/file-upload/…`: uploaded files, for the members of their room only (decision 52)."""

import re
from typing import IO, Any, Final  # any: as aiohttp has it
from urllib.parse import quote

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from bot.services import Services
from bot.web.answers import LOGIN_NEEDED, NOT_FOUND, answer
from bot.workspace.uploads import IMAGE_TYPES, UNKNOWN_TYPE
from storage.records.upload import Upload

CHUNK_BYTES: Final = 64 << 10
"""What of a file is in memory for one reader."""

_NOT_PLAIN = re.compile(r'[^ -~]|["\\%]')


class FileRoutes:
    """Serves files; the login comes in headers, never in the address."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def add_to(self, app: web.Application) -> None:
        """Register the one address; its last part is for people, the id alone finds the file."""
        app.router.add_get("/file-upload/{id}/{name}", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        reader = await self._services.accounts.authenticate(
            request.headers.get("X-User-Id", ""), request.headers.get("X-Auth-Token", "")
        )
        if reader is None:
            return answer(LOGIN_NEEDED, 401)
        upload = await self._services.uploads.readable(reader, request.match_info["id"])
        if upload is None:
            return answer(NOT_FOUND, 404)
        return _File(self._services.uploads.path(upload), chunk_size=CHUNK_BYTES, headers=_headers(upload))


class _File(web.FileResponse):
    """A file that goes through the connection's buffer: handed to the system, nobody could tell whether it is read."""

    async def _sendfile(self, request: web.BaseRequest, fobj: IO[Any], offset: int, count: int) -> AbstractStreamWriter:
        writer = await web.StreamResponse.prepare(self, request)
        assert writer is not None  # noqa: S101 # prepared here, and only once
        return await self._sendfile_fallback(writer, fobj, offset, count)


def _headers(upload: Upload) -> dict[str, str]:
    """Return what keeps a hostile file harmless: no sniffing, no scripts, only images shown in place."""
    is_image = upload.type in IMAGE_TYPES
    return {
        "Content-Type": upload.type if is_image else UNKNOWN_TYPE,
        "Content-Disposition": content_disposition("inline" if is_image else "attachment", upload.name),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        # membership ends: the browser asks again before it shows its copy, proxies keep none
        "Cache-Control": "private, no-cache",
    }


def content_disposition(how: str, name: str) -> str:
    """Write the header of RFC 6266: a plain name for old clients, the true one beside it."""
    plain = _NOT_PLAIN.sub("_", name)
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
