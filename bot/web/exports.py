"""`/exports/CODE`: the page from which an export is taken, once.

Like a form it is used up by its button and not by looking: chats fetch every link that is posted in them.
"""

from datetime import datetime, tzinfo
from typing import Final

from aiohttp import web

from bot.settings import Network
from bot.web.answers import streamed
from bot.web.client import counted_address
from bot.web.forms import Page
from bot.web.limits import RateLimit
from bot.workspace.directory import Directory
from bot.workspace.downloads import PATH, Download, Downloads
from bot.workspace.exporting import export_pieces
from bot.workspace.hooks import Hooks
from storage.clock import Clock
from storage.records.integration import Direction
from storage.records.pending import PendingEnd

_TITLE = "Export"
_AGAIN = "Run export again for a new one."
_GONE: Final = {
    PendingEnd.TAKEN: f"This export was taken already; the address works once. {_AGAIN}",
    PendingEnd.REPLACED: f"A newer export took the place of this one. {_AGAIN}",
    PendingEnd.GUESSED: f"This export is closed. {_AGAIN}",
    PendingEnd.EXPIRED: f"This address is no longer good: they hold for 10 minutes. {_AGAIN}",
}
_UNKNOWN = f"There is no such export. It may have expired. {_AGAIN}"
_WHAT = {None: "all hooks", Direction.INCOMING: "the incoming hooks", Direction.OUTGOING: "the outgoing hooks"}


class ExportRoutes:
    """Shows and gives exports."""

    def __init__(
        self,
        downloads: Downloads,
        hooks: Hooks,
        directory: Directory,
        clock: Clock,
        limit: RateLimit,
        trusted: tuple[Network, ...],
        zone: tzinfo,
    ) -> None:
        self._downloads = downloads
        self._hooks = hooks
        self._directory = directory
        self._clock = clock
        self._limit = limit
        self._trusted = trusted
        self._zone = zone
        self._page = Page("export.html")

    def add_to(self, app: web.Application) -> None:
        """Register the address of every export."""
        app.router.add_get(PATH + "/{code}", self._show)
        app.router.add_post(PATH + "/{code}", self._give)

    async def _show(self, request: web.Request) -> web.Response:
        found = await self._found(request)
        if isinstance(found, web.Response):
            return found
        until = datetime.fromtimestamp(found.expires_at / 1000, self._zone)
        values = {
            "title": _TITLE,
            "user": found.user.username,
            "what": _WHAT[found.only],
            "until": f"{until:%H:%M %Z}",
            "text": "",
        }
        return self._page.response(200, values)

    async def _give(self, request: web.Request) -> web.StreamResponse:
        found = await self._found(request)
        if isinstance(found, web.Response):
            return found
        if not await self._downloads.take(request.match_info["code"]):
            return self._say(_GONE[PendingEnd.TAKEN], 410)
        now = self._clock.now()
        name = f"patchbay-{datetime.fromtimestamp(now / 1000, self._zone):%Y-%m-%d}.yaml"
        headers = {**self._page.headers, "Content-Disposition": f'attachment; filename="{name}"'}
        pieces = export_pieces(self._hooks, self._directory, found.user, now=now, only=found.only)
        return await streamed(request, pieces, {**headers, "Content-Type": "application/yaml; charset=utf-8"})

    async def _found(self, request: web.Request) -> Download | web.Response:
        allowance = self._limit.take(counted_address(request, self._trusted))
        if allowance is not None and not allowance.allowed:
            return self._say(f"Too many requests. Wait {allowance.wait_s} s and try again.", 429)
        found = await self._downloads.find(request.match_info["code"])
        if isinstance(found, Download):
            return found
        return self._say(_UNKNOWN, 404) if found is None else self._say(_GONE[found], 410)

    def _say(self, text: str, status: int) -> web.Response:
        return self._page.response(status, {"title": "Not done", "user": "", "what": "", "until": "", "text": text})
