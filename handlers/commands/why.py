"""`why LINK`: what made a message, what was decided on the way, and what it caused (decision 59)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from handlers.answers import ROWS, moment, plural
from handlers.command import Answer, Call, Command, CommandContext, Noun
from handlers.dispatch import permits
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import NOUNS
from handlers.masking import masked_headers
from handlers.outgoing import steps
from handlers.outgoing.history import shown_error
from handlers.services import Need
from handlers.signing.verdict import Verdict as Signature
from handlers.slots import Argument
from handlers.values import ValueType
from storage.clock import Millis
from storage.ids import MessageId
from storage.records.delivery import Attempt, Delivery
from storage.records.hook_request import HookRequest
from storage.records.integration import Hook, IncomingHook, OutgoingHook, direction
from storage.records.message import Message
from storage.records.user import Role

LONGEST_BODY = 1_500
"""Characters of a masked body that are shown."""

_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_BY_COMMAND = {"REPLAY": "posted again by a replay, from the request it had", "TEST": "posted by a test"}
"""What history notes in place of a method for requests that commands made up."""

_EVENT_HEADERS = ("x-github-event", "x-gitlab-event", "x-event-key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caused:
    """A delivery of the message's event, or the entry of a hook that heard it and was not called."""

    what: Delivery | Attempt
    id: str | None
    """As deliveries are written; None when there was none."""
    hook: Hook | None
    """None for hooks the caller may not see, and removed ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a message came from, as far as the caller may know."""

    message: Message
    room: str
    """The room's name with its `#`, or in words."""
    hook: Hook | None = None
    """The hook it came through; None where it was written by a person, or the hook was removed."""
    request: HookRequest | None = None
    """Of an incoming hook; None once it is no longer kept."""
    shape: str | None = None
    """The format its body had, by name."""
    body: object = None
    """The request's body without its secrets; only for those who may see the hook's history."""
    sees_history: bool = False
    manages: bool = False
    """The caller may change the hook, and so replay its requests."""
    call: Attempt | None = None
    """The outgoing call whose answer this is."""
    delivery: str | None = None
    """The id of that call's delivery."""
    answers: str | None = None
    """Link to the message that call was about, if the caller may see it."""
    caused: tuple[Caused, ...] = ()


class OriginDesk(Protocol):
    """Messages and what made them."""

    async def origin(self, message_id: MessageId) -> Origin | None:
        """Return where a message came from; None when it is not there, or not in a room of the caller's."""
        ...

    async def removed(self, message_id: MessageId, room: str | None) -> Sequence[str]:
        """Say of the caller's rooms which have removed a message of that age, and what they keep.

        `room` is the one the message's link names.
        """
        ...


ORIGINS: Need[OriginDesk] = Need("origins")

_LINK = Argument(name="LINK", summary="a message's link (…/channel/NAME?msg=ID) or its id", type=ValueType.TEXT)


async def _run(call: Call) -> Answer | Problem:
    message_id = read_link(call.values.text(_LINK.name) or "")
    if message_id is None:
        return Problem(
            kind=ProblemKind.INVALID,
            text="This is neither the link of a message nor its id.",
            span=call.values.span(_LINK.name),
            allowed="a link as clients copy it, such as …/channel/ops?msg=ID, or the id alone",
            next="help why",
        )
    desk = call.services.of(ORIGINS)
    origin = await desk.origin(message_id)
    if origin is None:
        removed = await desk.removed(message_id, _named_room(call.values.text(_LINK.name) or ""))
        why = f" Of that age, messages were removed by retention: {'; '.join(removed)}." if removed else ""
        return Problem(
            kind=ProblemKind.UNKNOWN,
            text=f'There is no message "{message_id}".{why}',
            span=call.values.span(_LINK.name),
            allowed="a message of a room you are in",
            next="help why",
        )
    title, facts = _told(origin, call.context)
    lines = [f"{name}: {value}" for name, value in facts.items()]
    more = _sent(origin)
    text = "\n".join([title, *lines, *more, f"Next: {_following(call, origin)}"])
    data = {"message": message_id, "room": origin.room, **facts, **({"body": origin.body} if more else {})}
    answer = Answer(text, data=data, rows=tuple(each.id for each in origin.caused if each.id))
    if not more:
        return answer
    # what was sent is for those who may see the hook's history, not for a room
    return replace(answer, secret=True, public_text=f"What made that message was sent to @{call.actor.username}.")


def read_link(text: str) -> MessageId | None:
    """Return the id a link names in `msg`, or the text that is one."""
    if _ID.fullmatch(text):
        return MessageId(text)
    try:
        query = urlsplit(text).query
    except ValueError:
        return None
    found = dict(parse_qsl(query)).get("msg", "")
    return MessageId(found) if _ID.fullmatch(found) else None


def _named_room(text: str) -> str | None:
    """Return the room's name in a link such as `…/channel/ops?msg=ID`."""
    parts = urlsplit(text).path.rstrip("/").split("/")
    return unquote(parts[-1]) if len(parts) > 2 and parts[-2] in ("channel", "group") else None


# --- what is told -----------------------------------------------------------------------------------


def _told(origin: Origin, context: CommandContext) -> tuple[str, Mapping[str, str]]:
    message = origin.message
    what = f"Message {message.id} in {origin.room}"
    facts = {"posted": _when(message.at, context), **_shown_as(message)}
    caused = _caused(origin)
    if message.integration_id is None:
        return f"{what}: written by @{message.username}, through no hook", {**facts, **caused}
    if origin.call is not None or isinstance(origin.hook, OutgoingHook):
        return f"{what}: the answer to a call of {_hook(origin)}", {**facts, **_of_call(origin), **caused}
    return f"{what}: posted by {_hook(origin)}", {**facts, **_of_request(origin, context), **caused}


def _hook(origin: Origin) -> str:
    if origin.hook is None:
        return f"a hook that was removed ({origin.message.integration_id})"
    way = "incoming hook" if isinstance(origin.hook, IncomingHook) else "outgoing hook"
    return f"{way} {one_line(origin.hook.name)} ({origin.hook.id})"


def _shown_as(message: Message) -> dict[str, str]:
    alias = f', shown as "{one_line(message.alias)}"' if message.alias else ""
    edited = f", edited by @{message.edited_by[1]}" if message.edited_by else ""
    return {"by": f"@{message.username}{alias}{edited}"}


def _of_request(origin: Origin, context: CommandContext) -> dict[str, str]:
    request, hook = origin.request, origin.hook
    if request is None:
        kept = isinstance(hook, IncomingHook) and not hook.keep_requests
        why = "this hook keeps none" if kept else "the newest 200 of a hook are kept, for 30 days"
        return {"request": f"no longer kept ({why})"}
    again = {"how": _BY_COMMAND[request.method]} if request.method in _BY_COMMAND else {}
    token = {"token": "the one before the last rotation"} if request.previous_token else {}
    return {
        **again,
        "sender": _sender(request),
        "received": f"{_when(request.at, context)}, as request {request.id}",
        "signature": (request.signature or "not asked for").removeprefix("signature-"),
        **token,
        "format": _shape(origin),
        "duplicates": _dedup(request, hook),
        "timing": f"{request.duration_us / 1000:.1f} ms until it was stored",
    }


def _sender(request: HookRequest) -> str:
    """Name the sender as its headers do."""
    headers = {name.lower(): value for name, value in request.headers}
    name = one_line(headers.get("user-agent", ""), 80) or "no name in its headers"
    event = next((headers[each] for each in _EVENT_HEADERS if each in headers), "")
    return f"{name}, event {one_line(event)}" if event else name


def _shape(origin: Origin) -> str:
    wanted = origin.hook.format if isinstance(origin.hook, IncomingHook) else "auto"
    if origin.shape is None:
        return wanted
    return f"{origin.shape}, found by auto" if wanted == "auto" else origin.shape


def _dedup(request: HookRequest, hook: Hook | None) -> str:
    if request.dedup_key is not None:
        return "the first with its id; a repeat is not posted"
    if request.signature == Signature.VALID:
        return "a copy of what was signed is not posted"
    if isinstance(hook, IncomingHook) and hook.dedup == "off":
        return "not looked for, this hook has it switched off"
    return "it carried no id, so a repeat would be posted again"


def _of_call(origin: Origin) -> dict[str, str]:
    call = origin.call
    if call is None:
        return {"call": "no longer kept (calls are, for 30 days)"}
    told = {"call": f"{call.status or 'no status'}, {call.duration_ms:,} ms", "about": origin.answers or "–"}
    return {**told, "delivery": origin.delivery} if origin.delivery else told


def _caused(origin: Origin) -> dict[str, str]:
    if not origin.caused:
        return {"caused": "no deliveries"}
    shown = [_row(each) for each in origin.caused[:ROWS]]
    more = [f"{len(origin.caused) - ROWS:,} more"] if len(origin.caused) > ROWS else []
    return {"caused": "\n".join([plural(len(origin.caused), "delivery", "deliveries"), *shown, *more])}


def _row(each: Caused) -> str:
    hook = f"out {one_line(each.hook.name)}" if each.hook else "a hook you may not see"
    what = each.what
    if isinstance(what, Attempt):
        why = "muted" if what.step == steps.MUTED else one_line(shown_error(what) or what.step, 100)
        return f"- not called · {hook} · {why}"
    reason = f" · {one_line(what.reason, 100)}" if what.reason and each.hook else ""
    return f"- {what.state} · {each.id} · {hook} · {plural(what.tries, 'try', 'tries')}{reason}"


def _sent(origin: Origin) -> list[str]:
    """Return headers and body of the request, masked, for those who may see the hook's history."""
    if origin.request is None or not origin.sees_history:
        return []
    headers = [f"{name}: {one_line(value, 200)}" for name, value in masked_headers(origin.request.headers)]
    body = origin.body if isinstance(origin.body, str) else json.dumps(origin.body, ensure_ascii=False, indent=1)
    if len(body) > LONGEST_BODY:
        body = f"{body[:LONGEST_BODY]}\n… {len(body) - LONGEST_BODY:,} characters more"
    block = "\n".join([*headers, "", body]).replace("```", "'''")
    return [f"request {origin.request.method}:\n```\n{block}\n```"]


def _when(at: Millis, context: CommandContext) -> str:
    exact = datetime.fromtimestamp(at / 1000, context.zone).strftime("%Y-%m-%d %H:%M:%S")
    relative = moment(at, now=context.now, zone=context.zone)
    return exact if exact.startswith(relative) else f"{relative} ({exact})"


def _following(call: Call, origin: Origin) -> str:
    """Return the commands that go on from here, as far as there are any the caller may run."""
    seen = next((each.id for each in origin.caused if each.id and each.hook), None) or origin.delivery
    lines = []
    if origin.hook is not None and origin.manages:
        noun = NOUNS[direction(origin.hook)]
        if origin.request is not None:
            lines.append((noun, "replay", f"{origin.hook.id} {origin.request.id}"))
        lines.append((noun, "history", origin.hook.id))
    if seen:
        lines.append(("delivery", "show", seen))
    runnable = [
        f"{call.context.root} {noun} {verb} {rest}"
        for noun, verb, rest in lines
        if (command := call.commands.find(noun, verb)) and permits(command, call.context)
    ]
    return " · ".join(runnable) or f"{call.context.root} help"


NOUN: Noun = Noun(
    name="why",
    summary="what made a message",
    commands=(
        Command(
            noun="why",
            verb=None,
            summary="tells what made a message: hook, sender, verdicts, timing, and the deliveries it caused",
            role=Role.VIEWER,
            arguments=(_LINK,),
            examples=("why https://hooks.example.com/channel/ops?msg=8sXvB2dhW3pTmKz5q", "why 8sXvB2dhW3pTmKz5q"),
            run=_run,
        ),
    ),
    needs=(ORIGINS,),
)
