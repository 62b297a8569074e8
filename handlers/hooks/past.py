"""`history` and `replay`: what passed through a hook, and some of it once more (commands.md §2.2)."""

from dataclasses import replace

from handlers.answers import ROWS, done, inert, moment, plural
from handlers.command import Answer, Audience, Call, Command, Plan
from handlers.errors import Fault
from handlers.hooks.naming import not_live, typable
from handlers.hooks.refused import refused
from handlers.hooks.work import HOOK_TRIALS, Called
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import (
    REFERENCE,
    REFERENCE_ARGUMENT,
    Wording,
    find_hook,
    managed_hook,
    note_of,
    rooms_of,
    thing_of,
)
from handlers.outgoing import steps
from handlers.outgoing.history import shown_error
from handlers.paging import Row, listed, offset_of
from handlers.permissions import FULL, OWN
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.clock import Millis
from storage.records.changes import Changes
from storage.records.hook_request import HookRequest
from storage.records.integration import IncomingHook, OutgoingHook
from storage.records.user import Role

_SINCE = Flag(name="since", summary="only what came since", type=ValueType.TIME, metavar="-2h")
_FAILED = Flag(name="failed", summary="only what failed")
_ID = Argument(
    name="ID",
    summary="which entry of its history: an id, or #n of the list",
    type=ValueType.REFERENCE,
    offers="entries",
)
_GONE = "history-data-must-be-defined"
_SENDER_HEADERS = ("x-github-event", "x-gitlab-event", "x-event-key", "user-agent")


def past(wording: Wording) -> tuple[Command, ...]:
    """Return the commands that look back on one direction of hooks."""

    async def history(call: Call) -> Answer | Problem:
        return await _history(call, wording)

    async def replay(call: Call) -> Plan | Problem:
        return await _replay(call, wording)

    noun = wording.noun
    incoming = noun == "in"
    return (
        Command(
            noun=noun,
            verb="history",
            summary="lists the requests a hook got" if incoming else "lists the calls a hook made",
            role=Role.VIEWER,
            arguments=(REFERENCE_ARGUMENT,),
            flags=(_SINCE, _FAILED),
            pages=True,
            examples=(f"{noun} history ci", f"{noun} history ci --since -2h --failed"),
            run=history,
        ),
        Command(
            noun=noun,
            verb="replay",
            summary="posts a kept request again, marked as replayed" if incoming else "makes a call again",
            role=Role.EDITOR,
            permissions=frozenset({FULL[wording.way], OWN[wording.way]}),
            audience=Audience.ROOM if incoming else Audience.CALLER_AND_NOTE,
            writes=True,
            arguments=(REFERENCE_ARGUMENT, _ID),
            examples=(f"{noun} replay ci #1",),
            run=replay,
        ),
    )


# --- history ----------------------------------------------------------------------------------------


async def _history(call: Call, wording: Wording) -> Answer | Problem:
    hook = await find_hook(call, wording)
    if isinstance(hook, Problem):
        return hook
    trials, since = call.services.of(HOOK_TRIALS), call.values.number("since")
    failed, first = call.values.switch("failed"), offset_of(call)
    at = None if since is None else Millis(since)
    if isinstance(hook, IncomingHook):
        requests, total = await trials.requests(hook, since=at, failed=failed, offset=first, count=ROWS)
        rows = [Row(each.id, _request(call, each)) for each in requests]
        what = plural(total, "request")
        if not total and not hook.keep_requests:
            what += "; this hook keeps none"
    else:
        calls, total = await trials.calls(hook, since=at, failed=failed, offset=first, count=ROWS)
        rows = [Row(each.attempt.id, _called(call, each)) for each in calls]
        what = plural(total, "call")
    answer = listed(call, f"{one_line(hook.name)}: {what}{' that failed' if failed else ''}", rows, total=total)
    if isinstance(answer, Problem) or not rows:
        return answer
    following = f"Next: {call.context.root} {wording.noun} replay {await typable(call, hook)} #{answer.first_row}"
    return replace(answer, text=f"{answer.text}\n{following}")


def _request(call: Call, request: HookRequest) -> dict[str, str]:
    posted = plural(len(request.message_ids), "message") if request.message_ids else "nothing posted"
    extras = [
        f"signature {request.signature}" if request.signature else "",
        "body differed from the first" if request.body_differed else "",
        "old token" if request.previous_token else "",
    ]
    result = one_line(request.error, 120) if request.error else posted
    return {
        "state": request.verdict.value,
        "name": _sender(request),
        "id": request.id,
        "what": "; ".join(filter(None, [f"{request.method} {request.status}, {result}", *extras])),
        "last traffic": moment(request.at, now=call.context.now, zone=call.context.zone),
    }


def _sender(request: HookRequest) -> str:
    """Return what a request calls its sender, by headers that are never secret."""
    headers = {name.lower(): value for name, value in request.headers}
    return one_line(next((value for name in _SENDER_HEADERS if (value := headers.get(name))), "unnamed"), 30)


def _called(call: Call, called: Called) -> dict[str, str]:
    attempt = called.attempt
    state = "failed" if attempt.failed else "delivered" if attempt.called else "not called"
    if attempt.step.startswith(steps.going_to_retry(0)[:-1]):
        state = "will retry"
    status = "" if attempt.status is None else str(attempt.status)
    result = (
        one_line(error, 120)
        if (error := shown_error(attempt))
        else "answer posted"
        if attempt.message_id
        else attempt.step
    )
    took = f"{attempt.duration_ms} ms" if attempt.called else ""
    return {
        "state": state,
        "name": one_line(attempt.trigger_word or "", 30) or "event",
        "id": attempt.id,
        "place": called.address or "address removed",
        "what": ", ".join(filter(None, [status, result.removesuffix("."), took])),
        "last traffic": moment(attempt.updated_at, now=call.context.now, zone=call.context.zone),
    }


# --- replay -----------------------------------------------------------------------------------------


async def _replay(call: Call, wording: Wording) -> Plan | Problem:
    hook = await managed_hook(call, wording, whole=False)
    if isinstance(hook, Problem):
        return hook
    if why := not_live(hook, call):
        return Problem(
            kind=ProblemKind.CONFLICT, text=f"{why} Nothing was replayed.", next=f"{wording.noun} show {hook.id}"
        )
    if isinstance(hook, IncomingHook):
        return await _post_again(call, wording, hook)
    return await _call_again(call, wording, hook)


async def _post_again(call: Call, wording: Wording, hook: IncomingHook) -> Plan | Problem:
    trials, sought = call.services.of(HOOK_TRIALS), call.values.text("ID") or ""
    request = await trials.request(hook, sought)
    if request is None:
        return _no_entry(call, wording, sought)
    mark = f"[replayed by {inert(call.actor.username)}] "
    name = one_line(hook.name)

    async def apply(also: Changes) -> Answer | Problem:
        posted = await trials.post_again(hook, request, mark, also)
        if isinstance(posted, Fault):
            return refused(posted, call, applying=True)
        where = ", ".join(posted.rooms)
        text = f"Posted request {request.id} of {name} into {where} again, marked as replayed."
        data = {"id": hook.id, "request": request.id, "messages": list(posted.message_ids)}
        return done(f"{text}\nNext: {call.context.root} in history {hook.id}", data=data)

    return Plan(title=f"Post request {request.id} of {name} again", thing=thing_of(hook, wording), apply=apply)


async def _call_again(call: Call, wording: Wording, hook: OutgoingHook) -> Plan | Problem:
    trials, sought = call.services.of(HOOK_TRIALS), call.values.text("ID") or ""
    attempt = await trials.call(hook, sought)
    if attempt is None:
        return _no_entry(call, wording, sought)
    name = one_line(hook.name)

    async def apply(also: Changes) -> Answer | Problem:
        fault = await trials.call_again(hook, attempt, also)
        if fault and fault.code == _GONE:
            text = f"What this call told of is gone, or was only a test, so it cannot be made again. [{_GONE}]"
            return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"out history {hook.id}")
        if fault:
            return refused(fault, call, applying=True)
        text = f"Queued call {attempt.id} of {name} again.\nNext: {call.context.root} out history {hook.id}"
        return done(text, data={"id": hook.id, "call": attempt.id})

    return Plan(
        title=f"Make call {attempt.id} of {name} again",
        thing=thing_of(hook, wording),
        apply=apply,
        note=note_of(call, f"made a call of {wording.one} {name} again"),
        channels=rooms_of(hook),
    )


def _no_entry(call: Call, wording: Wording, sought: str) -> Problem:
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'Its history has no entry "{one_line(sought)}".',
        span=call.values.span("ID"),
        allowed="an id of its history, or #n of that list; old entries go",
        next=f"{wording.noun} history {call.values.text(REFERENCE) or ''}",
    )
