"""Where a request of another chat comes from, proven at the least cost: its signature comes before it is parsed."""

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from aiohttp import web

from bot.services import Services
from bot.web.answers import failure
from bot.web.bodies import read_wire
from bot.web.strangers import Strangers
from handlers.bodies import BodyFault
from handlers.chat_adapter import UNAUTHENTICATED, ChatAdapter, Refusal, Reply, Request
from storage.records.workspace import Workspace, WorkspaceKind

_UNKNOWN: Final = replace(UNAUTHENTICATED, reason="workspace-unknown")
_UNCHANGED = re.compile(r"[A-Za-z0-9._-]+")
"""What stands in a form and in JSON as it is."""


@dataclass(frozen=True, slots=True)
class Proven:
    """An authentic request, and the workspace it comes from."""

    workspace: Workspace
    request: Request


class ChatProof:
    """Proves requests; nothing in an answer tells which part of the proof was wrong."""

    def __init__(self, services: Services, strangers: Strangers) -> None:
        self._services = services
        self._strangers = strangers

    async def of(self, http: web.Request, adapter: ChatAdapter, most: int) -> Proven | Refusal | Reply | web.Response:
        """Read a request of at most `most` bytes and prove it.

        Returns a reply where nothing needs proof, a refusal for what is not proven, and an answer for what cannot be
        read, or comes too often from an address that names no workspace.
        """
        raw = await read_wire(http, most)
        if isinstance(raw, BodyFault):
            return failure(raw.text, raw.status)
        request = Request(tuple(http.headers.items()), raw, http.rel_url.raw_query_string)
        if probed := adapter.probe(request):
            return probed
        teams = await self._named(adapter, request)
        if not teams:
            return self._strangers.refused(http) or _UNKNOWN
        if not adapter.door.signed:  # the proof stands among the fields
            team = adapter.team_of(request)
            teams = [one for one in teams if one == team]
        org, kind, refusal = self._services.directory.org, WorkspaceKind(adapter.name), _UNKNOWN
        for team in teams:
            workspace = await self._services.store.workspace_of_team(org, kind, team)
            if workspace is None:  # removed since
                continue
            failed = adapter.authenticate(request, workspace.secret, self._services.clock.now())
            if failed is None and adapter.team_of(request) == team:  # elsewhere in it is not enough
                return Proven(workspace, request)
            refusal = failed or refusal
        return refusal

    async def _named(self, adapter: ChatAdapter, request: Request) -> list[str]:
        """Return the teams that stand anywhere in a request: far cheaper than to find the one in its place."""
        teams = await self._services.store.teams(self._services.directory.org, WorkspaceKind(adapter.name))
        query = request.query.encode("ascii", "replace")
        return [team for team in teams if (mark := _mark(team)) in request.body or mark in query]


@lru_cache(maxsize=256)
def _mark(team_id: str) -> bytes:
    """Return the longest part of a team's id that is written the same everywhere; empty when there is none."""
    return max(_UNCHANGED.findall(team_id), key=len, default="").encode("ascii")
