"""`/commands/rocketchat-app`: what people type on a Rocket.Chat server that has our App (decisions 62, 63)."""

from dataclasses import replace
from typing import Final

import structlog
from aiohttp import web

from bot.services import Services
from bot.web.answers import too_many
from bot.web.chat_proof import ChatProof, Proven
from bot.web.limits import RateLimit
from handlers.chat.rocketchat_app import APP, MAX_BODY_BYTES, Typing
from handlers.chat_adapter import Asked, ChatCommand, Refusal, Reply, refusal_reply
from handlers.command import Place, Unlinked
from storage.records.user import User
from storage.records.workspace import Workspace

ADDRESS: Final = "/commands/rocketchat-app"


class RocketChatAppRoutes:
    """Runs lines, and completes those still being typed."""

    def __init__(self, services: Services, proof: ChatProof) -> None:
        self._services = services
        self._proof = proof
        self._limit = RateLimit(services.settings.api_rate_per_minute, services.clock)
        self._log = structlog.get_logger("patchbay.chat").bind()

    def add_to(self, app: web.Application) -> None:
        """Register the address."""
        app.router.add_post(ADDRESS, self._handle)

    async def _handle(self, http: web.Request) -> web.Response:
        proven = await self._proof.of(http, APP, MAX_BODY_BYTES)
        if isinstance(proven, Refusal):
            return self._refused(proven)
        if not isinstance(proven, Proven):
            return _response(proven) if isinstance(proven, Reply) else proven
        workspace = proven.workspace
        found = APP.parse(proven.request)
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
