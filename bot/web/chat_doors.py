"""What the doors of other chats share: the proof, the answer in time, and what follows it (decisions 60 to 62).

A chat waits three seconds for an answer and shows an error after that, though the work goes on. So whatever takes
longer than `ACK_S` is acknowledged, and its answer goes to the response address.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import structlog
from aiohttp import web

from bot.services import Services
from bot.web.chat_proof import ChatProof, Proven
from bot.web.limits import RateLimit
from handlers.chat import rocketchat
from handlers.chat_adapter import (
    LATE_USES,
    UNAUTHENTICATED,
    Asked,
    ChatAdapter,
    ChatCommand,
    Direct,
    InteractiveAdapter,
    Opening,
    Origin,
    Refusal,
    Reply,
    Request,
    load_adapters,
    refusal_reply,
)
from handlers.command import Answer, Form, Mark, Place, Unlinked
from handlers.http import Answered, OutboundRequest
from storage.errors import StorageError, Uncertain
from storage.records.user import User
from storage.records.workspace import Workspace, WorkspaceKind

T = TypeVar("T")

MAX_BODY_BYTES: Final = 256 * 1024
"""A press brings its whole message with it."""
ACK_S = 0.25
"""How long an answer may take to stand in the response; 300 ms are promised (commands.md §2.9)."""
LONGEST_S: Final = 25.0
"""How long to wait where an answer can go nowhere but into the response."""
CALL_S: Final = 10.0
OPEN_S: Final = 2.5
"""A dialog's trigger lives about 3 s."""
FINISH_S: Final = 4.0
"""How long answers under way may take when the server stops."""

_UNAVAILABLE = Answer(
    f"{Mark.NOT_DONE} [unavailable]. The server cannot read or write its state right now. Try again shortly.",
    Mark.NOT_DONE,
    "unavailable",
)
_UNCERTAIN = Answer(
    f"{Mark.WARNING} [uncertain]. The server did not hear whether this was written: it is not certain whether it was"
    " stored; look, or repeat it with the same id.",
    Mark.WARNING,
    "uncertain",
)
_BROKEN = Answer(
    f"{Mark.NOT_DONE} [unavailable]. Something went wrong here; the server's log names it.",
    Mark.NOT_DONE,
    "unavailable",
)
_NOT_SENT = Answer(
    f"{Mark.WARNING} [unavailable]. It was done, but what is shown only once could not be sent to you. "
    "Make a new one: rotate it.",
    Mark.WARNING,
    "unavailable",
)


@dataclass(frozen=True, slots=True)
class Admitted:
    """An authentic request."""

    adapter: ChatAdapter
    workspace: Workspace
    request: Request


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, where, and what their answer is written with."""

    admitted: Admitted
    principal: User | Unlinked
    place: Place
    asked: Asked

    @property
    def sender(self) -> tuple[str, str]:
        return self.admitted.workspace.id, self.asked.origin.user_id


class ChatDoors:
    """Admits requests and sees their answers through; owns the tasks that outlive a request."""

    def __init__(self, services: Services, proof: ChatProof) -> None:
        self.services = services
        self._proof = proof
        self._limit = RateLimit(services.settings.api_rate_per_minute, services.clock)
        self._tasks: set[asyncio.Task[object]] = set()
        self._log = structlog.get_logger("patchbay.chat").bind()

    def add_to(self, app: web.Application) -> None:
        """See to it that answers under way are finished when the server stops."""
        app.on_shutdown.append(self._finish)

    async def admit(self, http: web.Request, adapter: ChatAdapter) -> Admitted | web.Response:
        """Read and prove a request."""
        proven = await self._proof.of(http, adapter, MAX_BODY_BYTES)
        match proven:
            case Proven():
                return Admitted(adapter, proven.workspace, proven.request)
            case Refusal():
                return self.refused(adapter, proven)
            case Reply():
                return response(proven)
        return proven

    def refused(self, adapter: ChatAdapter, refusal: Refusal | None) -> web.Response:
        """Refuse; the reason goes to the log alone."""
        refusal = refusal or UNAUTHENTICATED
        self._log.info("refused", door=adapter.name, reason=refusal.reason or refusal.text)
        return response(refusal_reply(refusal))

    async def caller(self, admitted: Admitted, origin: Origin) -> Caller:
        """Say who a request is from: by the link of their id, never by a name."""
        workspace = admitted.workspace
        principal = await self.services.flow.who(workspace, origin.user_id, origin.user_name)
        place = Place(channel=origin.channel_id, workspace=workspace.id, thread=origin.thread_id)
        asked = Asked(
            origin=origin,
            secret=workspace.secret,
            interactions_url=f"{self.services.base_url}/interactions/{admitted.adapter.name}",
            now=self.services.clock.now(),
        )
        return Caller(admitted, principal, place, asked)

    async def answer(
        self,
        caller: Caller,
        work: Callable[[], Awaitable[Answer]],
        write: Callable[[Answer], Reply],
        late: Callable[[Answer], Sequence[bytes]],
    ) -> web.Response:
        """Answer in the response when the work is done in time, else acknowledge and answer later."""
        origin, adapter = caller.asked.origin, caller.admitted.adapter
        task = self._keep(self._worked(caller, work))  # it goes on when the chat hangs up
        waited = ACK_S if origin.response_url else LONGEST_S
        done, _ = await asyncio.wait({task}, timeout=waited)
        if not done:
            self._keep(self._later(caller, task, late))
            return response(adapter.acknowledgement())
        reply = write(task.result())
        if reply.direct is not None and not await self._direct(caller, reply.direct):
            reply = write(_NOT_SENT)
        if reply.later:
            self._keep(self._post(caller, reply.later))
        return response(reply)

    # --- the work -----------------------------------------------------------------------------------

    async def _worked(self, caller: Caller, work: Callable[[], Awaitable[Answer]]) -> Answer:
        """Do the work and open what it asks for; whatever goes wrong is an answer, too: the chat shows no other."""
        workspace_id, user_id = caller.sender
        allowance = self._limit.take((workspace_id, user_id))
        if allowance is not None and not allowance.allowed:
            text = f"{Mark.NOT_DONE} [limited]. Too many commands; wait {allowance.wait_s} s."
            return Answer(text, Mark.NOT_DONE, "limited")
        try:
            return await self._opened(caller, await work())
        except StorageError as error:
            self._log.error("command failed", door=caller.admitted.adapter.name, fault=error.code)
            return _UNCERTAIN if isinstance(error, Uncertain) else _UNAVAILABLE
        except Exception:  # noqa: BLE001 # the person gets a sentence, the log the trace
            self._log.exception("command failed", door=caller.admitted.adapter.name)
            return _BROKEN

    async def _opened(self, caller: Caller, answer: Answer) -> Answer:
        adapter, asked = caller.admitted.adapter, caller.asked
        if answer.burnt and await self._deleted(caller):
            answer = replace(answer, text=f"{answer.text}\nThe line was deleted.")
        if answer.form is not None:
            return await self._with_form(caller, answer, answer.form)
        if isinstance(adapter, InteractiveAdapter) and (ask := adapter.open_confirmation(answer, asked)):
            await self._open(caller.admitted, ask)  # the answer says the same and has the buttons
        return answer

    async def _with_form(self, caller: Caller, answer: Answer, form: Form) -> Answer:
        """Open a form in the chat, else give a page that takes the private input once (decision 66)."""
        adapter = caller.admitted.adapter
        if isinstance(adapter, InteractiveAdapter):
            opening = adapter.open_form(form, caller.asked)
            if opening is not None and await self._open(caller.admitted, opening):
                return replace(answer, private=True, text=f"{answer.text}\nThe form is open.")
        if not isinstance(caller.principal, User):
            return answer
        address = await self.services.forms.make(form, caller.principal, caller.place, adapter.name)
        # whoever has the address can use it: it is shown like a secret
        text = f"{answer.text}\nOpen (10 min, once): {address}"
        told = f"{answer.text}\nIts address was sent to you directly."
        return replace(answer, text=text, private=True, secret=True, public_text=told)

    async def _open(self, admitted: Admitted, opening: Opening) -> bool:
        workspace = admitted.workspace
        base = workspace.base_url or admitted.adapter.base_url
        if base is None or (opening.needs_token and workspace.bot_token is None):
            return False
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if opening.needs_token:
            headers["Authorization"] = f"Bearer {workspace.bot_token}"
        end = await self.services.chat_calls.send(
            OutboundRequest(
                "POST", f"{base.rstrip('/')}{opening.path}", headers, opening.body, OPEN_S, share=(workspace.id,)
            )
        )
        opened = isinstance(end, Answered) and end.status == 200 and _is_ok(end.body)
        if not opened:
            self._log.info("dialog not opened", door=admitted.adapter.name, status=getattr(end, "status", None))
        return opened

    async def _deleted(self, caller: Caller) -> bool:
        """Delete a line that held a secret, where we have a bot that may (commands.md §2.6)."""
        workspace, command = caller.admitted.workspace, caller.asked.origin
        if workspace.bot_token is None or not isinstance(command, ChatCommand):
            return False
        look = rocketchat.looking(command, workspace.bot_token)
        if look is None:
            return False
        headers, path = look
        found = await self._called(workspace, OutboundRequest("GET", path, headers, b"", OPEN_S))
        body = None if found is None else rocketchat.deletion(command, found)
        if body is None:
            return False
        call = OutboundRequest("POST", "/api/v1/chat.delete", headers, body, OPEN_S)
        return await self._called(workspace, call) is not None

    async def _called(self, workspace: Workspace, call: OutboundRequest) -> bytes | None:
        """Call a path of a Rocket.Chat server; returns the body of a success."""
        end = await self.services.chat_calls.send(
            replace(call, url=f"{_site(workspace)}{call.url}", share=(workspace.id,))
        )
        return end.body if isinstance(end, Answered) and end.status == 200 else None

    # --- what follows -------------------------------------------------------------------------------

    async def _later(
        self, caller: Caller, task: asyncio.Task[Answer], late: Callable[[Answer], Sequence[bytes]]
    ) -> None:
        await self._post(caller, late(await task))

    async def _post(self, caller: Caller, bodies: Sequence[bytes]) -> None:
        """Post to the response address in order; what comes after a failure is worth nothing without it."""
        address = caller.asked.origin.response_url
        for body in bodies[:LATE_USES] if address else ():
            headers = {"Content-Type": "application/json; charset=utf-8"}
            end = await self.services.chat_calls.send(
                OutboundRequest("POST", address or "", headers, body, CALL_S, share=(caller.admitted.workspace.id,))
            )
            if not isinstance(end, Answered) or end.status >= 300:
                # the address is a credential and what the other side says may quote it: only the outcome is logged
                door, status = caller.admitted.adapter.name, getattr(end, "status", type(end).__name__)
                self._log.warning("late answer not delivered", door=door, status=status)
                return

    async def _direct(self, caller: Caller, direct: Direct) -> bool:
        """Send somebody what only they may read: in their chat where we have a bot there, else by `rocket.cat` here."""
        workspace = caller.admitted.workspace
        call = rocketchat.direct_call(direct, workspace.bot_token) if workspace.bot_token else None
        if call is None:
            if not isinstance(caller.principal, User):
                return False
            return all([await self.services.flow.whisper(caller.principal, text) for text in direct.texts])
        headers, bodies = call
        address = f"{_site(workspace)}/api/v1/chat.postMessage"
        for body in bodies:
            end = await self.services.chat_calls.send(
                OutboundRequest("POST", address, headers, body, CALL_S, share=(workspace.id,))
            )
            if not isinstance(end, Answered) or end.status != 200:
                return False
        return True

    # --- tasks --------------------------------------------------------------------------------------

    def _keep(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _finish(self, app: web.Application) -> None:
        if not self._tasks:
            return
        _, slow = await asyncio.wait(self._tasks, timeout=FINISH_S)
        for task in slow:
            task.cancel()
        if slow:
            await asyncio.wait(slow)


def adapters_here() -> Sequence[ChatAdapter]:
    """Return the adapters these doors serve; the App has a door of its own, where lines are completed, too."""
    return [one for one in load_adapters().values() if one.name != WorkspaceKind.ROCKETCHAT_APP]


def response(reply: Reply) -> web.Response:
    """Write a reply as HTTP."""
    headers = {"Content-Type": reply.content_type, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(status=reply.status, body=reply.body, headers=headers)


def _site(workspace: Workspace) -> str:
    """Return the address of a Rocket.Chat server: its own says which it is."""
    return (workspace.base_url or workspace.team_id).rstrip("/")


def _is_ok(body: bytes) -> bool:
    """Tell whether an answer reports success: Slack's failures come as 200 with `ok` false (chat-dialects.md §1.9)."""
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("ok") is not False
