"""`test` and `preview`: what a hook would do, for real or only shown (commands.md §2.2)."""

from handlers.answers import done, inert, plural
from handlers.bodies import BodyFault, parse_json
from handlers.command import Answer, Audience, Call, Command, Plan
from handlers.errors import Fault
from handlers.formatter import available
from handlers.hooks.naming import not_live, typable
from handlers.hooks.refused import refused
from handlers.hooks.rendered import rendered
from handlers.hooks.work import HOOK_TRIALS
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import REFERENCE_ARGUMENT, Wording, managed_hook, thing_of
from handlers.message import Defaults, DraftFault, read_draft
from handlers.permissions import FULL, OWN
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.records.changes import Changes
from storage.records.integration import IncomingHook, OutgoingHook
from storage.records.user import Role

SAMPLE = "sample"
"""The word for the format's own example."""

_PAYLOAD = Flag(
    name="payload",
    summary="JSON to post, in a code block; else the format's sample",
    type=ValueType.TEXT,
    metavar="JSON",
)
_FORMATS = tuple(available())
_FORMAT = Argument(name="FORMAT", summary="which dialect", choices=_FORMATS)
_SHOWN = Argument(name="SAMPLE", summary=f"JSON in a code block, or the word {SAMPLE}")
_MOST_CHARACTERS = 40_000
"""A preview is no message: the default limit of one, which no line reaches anyway."""


def trial(wording: Wording) -> Command:
    """Return `test`: a sample or a given payload as if it had come to the address, or a real call through the queue."""

    async def run(call: Call) -> Plan | Problem:
        hook = await managed_hook(call, wording, whole=False)
        if isinstance(hook, Problem):
            return hook
        if why := not_live(hook, call):
            text = f"{why} Nothing was sent."
            return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"{wording.noun} show {hook.id}")
        return await (_post(call, wording, hook) if isinstance(hook, IncomingHook) else _fire(call, wording, hook))

    incoming = wording.noun == "in"
    return Command(
        noun=wording.noun,
        verb="test",
        summary="posts a sample, or JSON you give, through one hook"
        if incoming
        else "calls a hook's addresses for real",
        role=Role.EDITOR,
        permissions=frozenset({FULL[wording.way], OWN[wording.way]}),
        audience=Audience.ROOM,
        writes=True,
        arguments=(REFERENCE_ARGUMENT,),
        flags=(_PAYLOAD,) if incoming else (),
        examples=("in test ci", """in test ci --payload '{"text":"Hello"}'""") if incoming else ("out test ops-bot",),
        run=run,
    )


def preview() -> Command:
    """Return `in preview`: what a payload would look like, posting nothing."""
    return Command(
        noun="in",
        verb="preview",
        summary="shows what JSON would look like as a message; posts nothing",
        role=Role.VIEWER,
        arguments=(_FORMAT, _SHOWN),
        examples=("in preview slack sample", """in preview auto '{"text":"Hello"}'"""),
        run=_preview,
    )


async def _post(call: Call, wording: Wording, hook: IncomingHook) -> Plan | Problem:
    body = _body(call, _PAYLOAD.name, call.values.text(_PAYLOAD.name), hook.format)
    if isinstance(body, Problem):
        return body
    trials, name = call.services.of(HOOK_TRIALS), one_line(hook.name)
    mark = f"[test by {inert(call.actor.username)}] "
    following = await typable(call, hook)

    async def apply(also: Changes) -> Answer | Problem:
        posted = await trials.post(hook, body, mark, also)
        if isinstance(posted, Fault):
            return refused(posted, call, applying=True)
        text = f"Posted a test of {name} into {', '.join(posted.rooms)}."
        data = {"id": hook.id, "messages": list(posted.message_ids)}
        return done(f"{text}\nNext: {call.context.root} in history {following}", data=data)

    rooms = ", ".join(hook.channels)
    return Plan(
        title=f"Post a test of {name} into {rooms}",
        thing=thing_of(hook, wording),
        apply=apply,
        # a payload is content, and may hold what no audit should keep
        line=f"in test {hook.id} --payload ***" if call.values.text(_PAYLOAD.name) else None,
    )


async def _fire(call: Call, wording: Wording, hook: OutgoingHook) -> Plan | Problem:
    trials, name = call.services.of(HOOK_TRIALS), one_line(hook.name)
    following = await typable(call, hook)

    async def apply(also: Changes) -> Answer | Problem:
        queued = await trials.fire(hook, also)
        if isinstance(queued, Fault):
            return refused(queued, call, applying=True)
        text = f"Queued a test of {name} to {plural(queued, 'address', 'addresses')}."
        data = {"id": hook.id, "queued": queued}
        return done(f"{text}\nNext: {call.context.root} out history {following}", data=data)

    many = plural(len(hook.urls), "address", "addresses")
    return Plan(title=f"Call {many} of {name} with a made-up event", thing=thing_of(hook, wording), apply=apply)


async def _preview(call: Call) -> Answer | Problem:
    name = call.values.text("FORMAT") or ""
    body = _body(call, "SAMPLE", call.values.text("SAMPLE"), name)
    if isinstance(body, Problem):
        return body
    formatted = available()[name].format(body)
    fault = formatted if isinstance(formatted, DraftFault) else None
    draft = None if isinstance(formatted, DraftFault) else read_draft(formatted, Defaults(), max_chars=_MOST_CHARACTERS)
    if isinstance(draft, DraftFault):
        fault = draft
    if fault is not None or draft is None or isinstance(draft, DraftFault):
        text = f"It cannot be posted: {one_line(fault.error if fault else '', 200)}"
        return Problem(kind=ProblemKind.INVALID, text=text, next="help in preview")
    shown = rendered(draft)
    text = f"A message, shown and not posted:\n{shown or '(empty: nothing would be posted)'}"
    return done(f"{text}\nNext: {call.context.root} in add NAME --room #room --format {name}", data={"text": shown})


def _body(call: Call, slot: str, typed: str | None, format_name: str) -> object | Problem:
    """Return what is to be posted: the JSON that was given, else the sample of the format."""
    sampled = typed is None or typed.casefold() == SAMPLE
    body = parse_json(available()[format_name].sample if sampled else _unfenced(typed or ""), what=slot)
    if not isinstance(body, BodyFault):
        return body
    return Problem(  # without its span: an echo would repeat what may be secret in it
        kind=ProblemKind.INVALID,
        text=one_line(body.text, 200),
        allowed=f"JSON between ``` and ```, or {SAMPLE}",
        next=f"help {call.command.words}",
    )


def _unfenced(text: str) -> str:
    """Drop the language some clients write behind the fence of a code block."""
    first, _, rest = text.partition("\n")
    return rest if rest and first.strip().casefold() in ("json", "js", "javascript") else text
