"""`/commands/…`: lines typed in other chats, and completion for those still being typed (decisions 62 and 64)."""

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from bot.web.chat_doors import ChatDoors, response
from handlers.chat.mattermost import Mattermost
from handlers.chat_adapter import ChatAdapter, Ignored, Refusal
from handlers.command import Answer, Place
from handlers.roots import meant

Handler = Callable[[web.Request], Awaitable[web.Response]]


class CommandRoutes:
    """Runs lines of the systems whose answer is the response, or follows it."""

    def __init__(self, doors: ChatDoors, adapters: Sequence[ChatAdapter]) -> None:
        self._doors = doors
        self._adapters = adapters

    def add_to(self, app: web.Application) -> None:
        """Register one address for each system."""
        for adapter in self._adapters:
            app.router.add_post(f"/commands/{adapter.name}", self._running(adapter))
            if isinstance(adapter, Mattermost):
                address = f"/commands/{adapter.name}/complete"
                app.router.add_get(address, self._completing(adapter), allow_head=False)

    def _running(self, adapter: ChatAdapter) -> Handler:
        async def handle(http: web.Request) -> web.Response:
            admitted = await self._doors.admit(http, adapter)
            if isinstance(admitted, web.Response):
                return admitted
            command = adapter.parse_command(admitted.request)
            if isinstance(command, Refusal):
                return self._doors.refused(adapter, command)
            if isinstance(command, Ignored):
                return response(command.reply)
            caller = await self._doors.caller(admitted, command)
            root, line = meant(command.word, command.text)

            async def work() -> Answer:
                return await self._doors.services.flow.run(
                    caller.principal,
                    caller.place,
                    line,
                    adapter.door,
                    request_id=command.request_id,
                    sender=caller.sender,
                    root=root,
                )

            return await self._doors.answer(
                caller,
                work,
                lambda answer: adapter.reply(answer, caller.asked),
                lambda answer: adapter.late(answer, caller.asked),
            )

        return handle

    def _completing(self, adapter: Mattermost) -> Handler:
        async def handle(http: web.Request) -> web.Response:
            admitted = await self._doors.admit(http, adapter)
            if isinstance(admitted, web.Response):
                return admitted
            typing = adapter.parse_completion(admitted.request)
            if isinstance(typing, Refusal):
                return self._doors.refused(adapter, typing)
            origin, workspace, flow = typing.origin, admitted.workspace, self._doors.services.flow
            principal = await flow.who(workspace, origin.user_id, origin.user_name)
            place = Place(channel=origin.channel_id, workspace=workspace.id)
            _, line = meant(typing.word, typing.text)
            found = await flow.complete(principal, place, line, len(line), adapter.door)
            return response(adapter.completion(found))

        return handle
