"""`out preview`: the call an outgoing hook would make of a made-up event, shown and not made (commands.md §2.2)."""

import json
from collections.abc import Mapping
from typing import cast

from handlers.answers import done
from handlers.command import Answer, Call, Command
from handlers.errors import Fault
from handlers.hooks.naming import not_live, typable
from handlers.hooks.refused import refused
from handlers.hooks.rendered import fenced
from handlers.hooks.work import HOOK_TRIALS, MadeUp
from handlers.line import Problem, ProblemKind, one_line, quote
from handlers.listing import REFERENCE_ARGUMENT, Wording, find_hook, masked_address
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.payload import MASK, build_data, hops_of, text_of
from handlers.outgoing.request import build_request
from handlers.signing.standard_webhooks import ID_HEADER, SIGNATURE_HEADER
from handlers.slots import Flag
from handlers.triggers import Fire, fires
from handlers.values import ValueType
from storage.records.integration import OutgoingHook
from storage.records.user import Role

_TEXT = Flag(name="text", summary="what the message says; else a sample", type=ValueType.TEXT, metavar="TEXT")

_HIDDEN = frozenset({ID_HEADER, SIGNATURE_HEADER})
"""The id belongs to one delivery, and a signature of a text somebody chose could be sent in the hook's place."""


def call_preview(wording: Wording) -> Command:
    """Return the command; who may see a hook by `show` may see its call, secrets aside."""

    async def run(call: Call) -> Answer | Problem:
        hook = await find_hook(call, wording)
        if isinstance(hook, Problem):
            return hook
        return await _preview(call, cast(OutgoingHook, hook))  # the noun finds no others

    return Command(
        noun=wording.noun,
        verb="preview",
        summary="shows the call a message would cause; calls nothing",
        role=Role.VIEWER,
        arguments=(REFERENCE_ARGUMENT,),
        flags=(_TEXT,),
        examples=("out preview ops-bot", "out preview ops-bot --text '!deploy web'"),
        run=run,
    )


async def _preview(call: Call, hook: OutgoingHook) -> Answer | Problem:
    typed = call.values.text(_TEXT.name)
    sample = await call.services.of(HOOK_TRIALS).made_up(hook, typed)
    if isinstance(sample, Fault):
        return refused(sample, call)
    if typed is not None and "message" not in sample.body:
        return Problem(
            kind=ProblemKind.USAGE,
            text=f"{hook.event} has no text; leave --text out.",
            span=call.values.span(_TEXT.name),
            next=f"out preview {hook.id}",
        )
    fire = _fire(hook, sample)
    return await (_silent(call, hook) if fire is None else _shown(call, hook, sample, fire))


def _fire(hook: OutgoingHook, sample: MadeUp) -> Fire | None:
    if not OutgoingEvent(hook.event).uses_trigger_words:
        return Fire()
    return fires(hook, text_of(sample.body), is_edit=False)


async def _silent(call: Call, hook: OutgoingHook) -> Answer:
    """Say that a text has no trigger word, and which there are."""
    words = " or ".join(one_line(word) for word in hook.trigger_words)
    where = "hold" if hook.trigger_word_anywhere else "begin with"
    example = f"out preview {await typable(call, hook)} --text {quote(f'{one_line(hook.trigger_words[0])} …')}"
    lines = [
        f"This text would not fire {one_line(hook.name)}, so nothing would be called.",
        f"A message must {where} {words}; upper and lower case count.",
        f"Next: {call.context.root} {example}",
    ]
    data = {"id": hook.id, "fires": False, "trigger_words": list(hook.trigger_words)}
    return done("\n".join(lines), data=data)


async def _shown(call: Call, hook: OutgoingHook, sample: MadeUp, fire: Fire) -> Answer | Problem:
    payload = build_data(
        sample.kind,
        sample.body,
        trigger_word=fire.trigger_word,
        site_url=sample.site_url,
        token=None if hook.token is None else MASK,
    )
    try:
        request = build_request(
            hook,
            hook.urls[0],
            payload,
            webhook_id="preview",
            now=call.context.now,
            hops=hops_of(sample.body),
            deadline_s=0,  # nothing is sent
        )
    except ValueError as error:
        text = f"The call could not be built: {one_line(str(error), 200)}"
        return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"out show {hook.id}")
    headers = {name: MASK if name in _HIDDEN else value for name, value in request.headers.items()}
    calls = [f"{request.method} {masked_address(url)}" for url in hook.urls]
    why = not_live(hook, call)
    lines = [
        f"The call {one_line(hook.name)} would make on {hook.event}, shown and not made:",
        fenced(_written(calls, headers, payload)),
        *([f"{why} Until that ends it calls nothing."] if why else []),
        *(["You are not in its room, so nothing of that is shown."] if sample.masked else []),
        f"Next: {call.context.root} out test {await typable(call, hook)}",
    ]
    data = {"id": hook.id, "fires": True, "calls": calls, "headers": headers, "payload": payload}
    return done("\n".join(lines), data=data)


def _written(calls: list[str], headers: Mapping[str, str], payload: Mapping[str, object]) -> str:
    named = (f"{name}: {value}" for name, value in headers.items())
    return "\n".join([*calls, *named, "", json.dumps(payload, ensure_ascii=False, indent=2)])
