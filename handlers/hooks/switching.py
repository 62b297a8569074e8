"""`enable` and `disable`: a hook on and off again (commands.md §2.2)."""

from collections.abc import Awaitable, Callable

from handlers.answers import done, moment
from handlers.command import Answer, Audience, Call, Command, Confirm, Plan
from handlers.errors import Fault
from handlers.hooks.naming import typable
from handlers.hooks.refused import refused
from handlers.hooks.wish import Wish
from handlers.hooks.work import HOOK_WORK
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import REFERENCE_ARGUMENT, WHOLE_REFERENCE, Wording, managed_hook, note_of, rooms_of, thing_of
from handlers.permissions import FULL, OWN
from handlers.services import HOOKS, Traffic
from storage.records.changes import Changes
from storage.records.integration import Hook, is_expired
from storage.records.user import Role

DAY_MS = 24 * 60 * 60 * 1000

Effects = Callable[[Call, Hook], Awaitable[str]]


def switches(wording: Wording, effects: Effects) -> tuple[Command, ...]:
    """Return both commands; `effects` says what switching off holds up."""

    async def enable(call: Call) -> Plan | Problem:
        return await _enable(call, wording)

    async def disable(call: Call) -> Plan | Problem:
        return await _disable(call, wording, effects)

    permissions = frozenset({FULL[wording.way], OWN[wording.way]})
    return (
        Command(
            noun=wording.noun,
            verb="enable",
            summary=f"switches one {wording.one} on",
            role=Role.EDITOR,
            permissions=permissions,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            arguments=(REFERENCE_ARGUMENT,),
            examples=(f"{wording.noun} enable ci",),
            run=enable,
        ),
        Command(
            noun=wording.noun,
            verb="disable",
            summary=f"switches one {wording.one} off; everything else of it stays",
            role=Role.EDITOR,
            permissions=permissions,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            confirm_when="with traffic in 24 h",
            arguments=(WHOLE_REFERENCE,),
            examples=(f"{wording.noun} disable ci", f"{wording.noun} disable ci -y"),
            run=disable,
        ),
    )


async def _enable(call: Call, wording: Wording) -> Plan | Problem:
    hook = await managed_hook(call, wording, whole=False)
    if isinstance(hook, Problem):
        return hook
    if is_expired(hook, call.context.now):
        text = f"{wording.one.capitalize()} {one_line(hook.name)} has expired, so switching it on would change nothing."
        return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"{wording.noun} edit {hook.id} --expires 30d")
    if hook.enabled:
        return _so_already(hook, wording, "on")
    return await _switched(call, wording, hook, on=True)


async def _disable(call: Call, wording: Wording, effects: Effects) -> Plan | Problem:
    hook = await managed_hook(call, wording)
    if isinstance(hook, Problem):
        return hook
    if not hook.enabled:
        return _so_already(hook, wording, "off")
    traffic = (await call.services.of(HOOKS).traffic([hook.id])).get(hook.id, Traffic())
    now, last = call.context.now, traffic.last_at
    busy = last is not None and now - last < DAY_MS
    said = f"Its last traffic was {moment(last, now=now, zone=call.context.zone)}. " if busy and last else ""
    confirm = Confirm.BUTTON if busy else Confirm.NONE
    return await _switched(call, wording, hook, on=False, effects=said + await effects(call, hook), confirm=confirm)


async def _switched(
    call: Call, wording: Wording, hook: Hook, *, on: bool, effects: str = "", confirm: Confirm | None = None
) -> Plan | Problem:
    work, wish = call.services.of(HOOK_WORK), Wish(enabled=on)
    judged = await work.judge(wording.way, hook, wish)
    if isinstance(judged, Fault):
        return refused(judged, call)
    name, noun = one_line(hook.name), wording.noun
    following = f"{noun} test {await typable(call, hook)}" if on else f"{noun} list --disabled"
    deed, word = ("enabled", "Enable") if on else ("disabled", "Disable")

    async def apply(also: Changes) -> Answer | Problem:
        changed = await work.change(hook, wish, also)
        if isinstance(changed, Fault):
            return refused(changed, call, applying=True)
        text = f"{deed.capitalize()} {wording.one} {name} ({hook.id}).\nNext: {call.context.root} {following}"
        return done(text, data={"id": hook.id, "name": hook.name, "enabled": on})

    return Plan(
        title=f"{word} {wording.one} {name} ({hook.id})",
        effects=effects,
        thing=thing_of(hook, wording),
        apply=apply,
        confirm=confirm,
        undo=f"{noun} {'disable' if on else 'enable'} {hook.id}",
        note=note_of(call, f"{deed} {wording.one} {name}"),
        channels=rooms_of(hook),
    )


def _so_already(hook: Hook, wording: Wording, word: str) -> Problem:
    text = f"{wording.one.capitalize()} {one_line(hook.name)} is {word} already."
    return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"{wording.noun} show {hook.id}")
