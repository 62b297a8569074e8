"""`/commands/rocketchat-app`: what people type on a Rocket.Chat server that has our App (decisions 62, 63)."""

from dataclasses import replace
from typing import Final

import structlog
from aiohttp import web

from bot.services import Services
from bot.web.answers import failure, too_many
from bot.web.bodies import read_raw
from bot.web.limits import RateLimit
from handlers.bodies import BodyFault
from handlers.chat.rocketchat_app import APP, MAX_BODY_BYTES, Typing
from handlers.chat_adapter import NO_SECRET, UNAUTHENTICATED, Asked, ChatCommand, Refusal, Reply, Request, refusal_reply
from handlers.command import Place, Unlinked
from storage.records.user import User
from storage.records.workspace import Workspace, WorkspaceKind

ADDRESS: Final = "/commands/rocketchat-app"


class RocketChatAppRoutes:
    """Runs lines, and completes those still being typed."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._limit = RateLimit(services.settings.api_rate_per_minute, services.clock)
        self._log = structlog.get_logger("patchbay.chat").bind()

    def add_to(self, app: web.Application) -> None:
        """Register the address."""
        app.router.add_post(ADDRESS, self._handle)

    async def _handle(self, http: web.Request) -> web.Response:
        raw = await read_raw(http, MAX_BODY_BYTES)
        if isinstance(raw, BodyFault):
            return failure(raw.text, raw.status)
        request = Request(tuple(http.headers.items()), raw.raw)
        workspace = await self._proven(request)
        if isinstance(workspace, Refusal):
            return self._refused(workspace)
        found = APP.parse(request)
        if isinstance(found, Refusal):
            return self._refused(found)
        command = found.command if isinstance(found, Typing) else found
        allowance = self._limit.take((workspace.id, command.user_id))
        if allowance is not None and not allowance.allowed:
            return too_many(allowance.wait_s, allowance.headers)
        principal = await self._services.flow.who(workspace, command.user_id, command.user_name)
        place = Place(channel=command.channel_id, workspace=workspace.id, thread=command.thread_id)
        if isinstance(found, Typing):
            return _response(APP.preview(found, await self._lines(principal, place, command.text)))
        return await self._run(workspace, principal, place, command)

    async def _proven(self, request: Request) -> Workspace | Refusal:
        """Return the workspace whose secret the request was signed with; nothing tells which part was wrong."""
        team, org = APP.team_of(request), self._services.directory.org
        kind = WorkspaceKind.ROCKETCHAT_APP
        workspace = await self._services.store.workspace_of_team(org, kind, team or "")
        refusal = APP.authenticate(request, workspace.secret if workspace else NO_SECRET, self._services.clock.now())
        if workspace is None:
            return replace(UNAUTHENTICATED, reason="workspace-unknown")
        return refusal or workspace

    def _refused(self, refusal: Refusal) -> web.Response:
        self._log.info("refused", door=APP.name, reason=refusal.reason)
        return _response(refusal_reply(refusal))

    async def _run(
        self, workspace: Workspace, principal: User | Unlinked, place: Place, command: ChatCommand
    ) -> web.Response:
        said = await self._services.flow.run(
            principal,
            place,
            command.text,
            APP.door,
            request_id=command.request_id,
            sender=(workspace.id, command.user_id),
            root=command.word,
        )
        if said.form is not None and isinstance(principal, User):
            # the App has no dialogs: a page takes the private input once (decision 66)
            address = await self._services.forms.make(said.form, principal, place, APP.name)
            said = replace(said, text=f"{said.text}\nOpen (10 min, once): {address}", private=True)
        asked = Asked(origin=command, secret=workspace.secret, interactions_url="", now=self._services.clock.now())
        return _response(APP.reply(said, asked))

    async def _lines(self, principal: User | Unlinked, place: Place, line: str) -> list[str]:
        """Return the lines a half-typed one may become.

        Rocket.Chat keeps the space at the end of a line from Apps: a word that is whole is taken as ended.
        """
        found = await self._offers(principal, place, line)
        if line not in found:
            return found
        return [*await self._offers(principal, place, f"{line} "), *found]

    async def _offers(self, principal: User | Unlinked, place: Place, line: str) -> list[str]:
        offers = await self._services.flow.complete(principal, place, line, len(line), APP.door)
        return [line[: offer.start] + offer.insert for offer in offers]


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=reply.status, body=reply.body, headers=headers)
