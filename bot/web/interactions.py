"""`/interactions/…`: pressed buttons and filled-in forms of other chats (decision 62)."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from aiohttp import web

from bot.web.chat_doors import Caller, ChatDoors, response
from handlers.chat_adapter import Cancelled, ChatAdapter, Ignored, InteractiveAdapter, Press, Refusal, Reply, Submission
from handlers.command import Answer


class InteractionRoutes:
    """Runs the line of a button or a form for whoever pressed or filled it in."""

    def __init__(self, doors: ChatDoors, adapters: Sequence[ChatAdapter]) -> None:
        self._doors = doors
        self._adapters = [one for one in adapters if isinstance(one, InteractiveAdapter)]

    def add_to(self, app: web.Application) -> None:
        """Register one address for each system that has buttons."""
        for adapter in self._adapters:
            app.router.add_post(f"/interactions/{adapter.name}", self._handling(adapter))

    def _handling(self, adapter: InteractiveAdapter) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(http: web.Request) -> web.Response:
            admitted = await self._doors.admit(http, adapter)
            if isinstance(admitted, web.Response):
                return admitted
            now = self._doors.services.clock.now()
            found = adapter.parse_interaction(admitted.request, admitted.workspace.secret, now)
            if isinstance(found, Refusal):
                return self._doors.refused(adapter, found)
            if isinstance(found, Ignored):
                return response(found.reply)
            if isinstance(found, Cancelled) and not found.line:
                return response(adapter.acknowledgement())
            caller = await self._doors.caller(admitted, found)
            match found:
                case Press():
                    return await self._pressed(adapter, caller, found)
                case Submission():
                    return await self._submitted(adapter, caller, found)
                case Cancelled():
                    return await self._cancelled(adapter, caller, found)

        return handle

    async def _pressed(self, adapter: InteractiveAdapter, caller: Caller, press: Press) -> web.Response:
        def write(answer: Answer) -> Reply:
            return adapter.pressed(answer, press, caller.asked)

        return await self._doors.answer(
            caller, self._run(adapter, caller, press.line), write, lambda answer: write(answer).later
        )

    async def _submitted(self, adapter: InteractiveAdapter, caller: Caller, found: Submission) -> web.Response:
        return await self._doors.answer(
            caller,
            self._run(adapter, caller, found.line, found.values),
            lambda answer: adapter.submitted(answer, found, caller.asked),
            lambda answer: adapter.late(answer, caller.asked),
        )

    async def _cancelled(self, adapter: InteractiveAdapter, caller: Caller, found: Cancelled) -> web.Response:
        return await self._doors.answer(
            caller,
            self._run(adapter, caller, found.line),
            lambda answer: replace(adapter.acknowledgement(), later=adapter.late(answer, caller.asked)),
            lambda answer: adapter.late(answer, caller.asked),
        )

    def _run(
        self, adapter: InteractiveAdapter, caller: Caller, line: str, values: Mapping[str, str] | None = None
    ) -> Callable[[], Awaitable[Answer]]:
        async def work() -> Answer:
            return await self._doors.services.flow.run(
                caller.principal,
                caller.place,
                line,
                adapter.door,
                request_id=caller.asked.origin.request_id,
                sender=caller.sender,
                private=values,
                typed=False,
            )

        return work
