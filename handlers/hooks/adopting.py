"""`adopt`: takes a hook over, so that it runs with the rights of who does so instead of its maker's."""

from handlers.answers import done
from handlers.command import Answer, Audience, Call, Command, Plan
from handlers.errors import Fault
from handlers.hooks.given import POST_AS
from handlers.hooks.refused import refused
from handlers.hooks.work import HOOK_WORK
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import WHOLE_REFERENCE, Wording, managed_hook, note_of, rooms_of, thing_of
from handlers.services import HOOKS
from handlers.slots import Flag
from handlers.values import ValueType
from storage.records.changes import Changes
from storage.records.integration import Hook
from storage.records.user import Role

_FOR = Flag(name="for", summary="gives it to somebody of no higher role", type=ValueType.USER, metavar="@USER")


def adoption(wording: Wording) -> Command:
    """Return the command."""

    async def adopt(call: Call) -> Plan | Problem:
        return await _adopt(call, wording)

    return Command(
        noun=wording.noun,
        verb="adopt",
        summary=f"takes one {wording.one} over: it runs with your rights from then on",
        role=Role.ADMIN,
        audience=Audience.CALLER_AND_NOTE,
        writes=True,
        arguments=(WHOLE_REFERENCE,),
        flags=(POST_AS, _FOR),
        examples=(f"{wording.noun} adopt ci", f"{wording.noun} adopt ci --post-as @rocket.cat"),
        run=adopt,
    )


async def _adopt(call: Call, wording: Wording) -> Plan | Problem:
    hook = await managed_hook(call, wording)
    if isinstance(hook, Problem):
        return hook
    work, name, noun = call.services.of(HOOK_WORK), one_line(hook.name), wording.noun
    holder, post_as = _name(call, _FOR), _name(call, POST_AS)
    judged = await work.judge_adoption(hook, holder, post_as)
    if isinstance(judged, Fault):
        return refused(judged, call)
    if (judged.created_by[0], judged.user_id) == (hook.created_by[0], hook.user_id):
        text = f"{wording.one.capitalize()} {name} runs with the rights of {hook.created_by[1]} already."
        return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"{noun} show {hook.id}")
    holding, before = judged.created_by[1], hook.created_by[1]

    async def apply(also: Changes) -> Answer | Problem:
        taken = await work.adopt(hook, holder, post_as, also)
        if isinstance(taken, Fault):
            return refused(taken, call, applying=True)
        first = f"{wording.one.capitalize()} {name} ({hook.id}) runs with the rights of {holding} now, not of {before}."
        still = await call.services.of(HOOKS).stops(taken)
        lines = [first, *([f"It still does not work everywhere: {still}."] if still else [])]
        following = f"show {hook.id}" if taken.enabled else f"enable {hook.id}"
        lines.append(f"Next: {call.context.root} {noun} {following}")
        return done("\n".join(lines), data={"id": hook.id, "name": hook.name, "maker": holding, "before": before})

    return Plan(
        title=f"Let {wording.one} {name} ({hook.id}) run with the rights of {holding}",
        effects=f"It hears and enters what {holding} may, and no longer what {before} may.",
        thing=thing_of(hook, wording),
        apply=apply,
        undo=await _undo(call, wording, hook, judged),
        note=note_of(call, f"took over {wording.one} {name}" if holder is None else f"gave away {wording.one} {name}"),
        channels=rooms_of(hook),
    )


async def _undo(call: Call, wording: Wording, hook: Hook, judged: Hook) -> str | None:
    """Return the line that gives it back, where the caller may: what somebody of a higher role had is not given."""
    before, poster = hook.created_by[1], None if judged.user_id == hook.user_id else hook.username
    back = await call.services.of(HOOK_WORK).judge_adoption(hook, before, poster)
    if isinstance(back, Fault):
        return None
    changed = "" if poster is None else f" --post-as @{poster}"
    return f"{wording.noun} adopt {hook.id} --for @{before}{changed}"


def _name(call: Call, flag: Flag) -> str | None:
    given = call.values.text(flag.name)
    return None if given is None else given.removeprefix("@")
