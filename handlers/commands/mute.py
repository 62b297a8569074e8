"""`mute 1h`: the hooks of this room, or those named, are quiet for a while (commands.md §2.2, decision 58)."""

from handlers.command import Answer, Audience, Call, Command, Noun, Plan
from handlers.deliveries import find_hook_named
from handlers.line import Problem, ProblemKind, one_line
from handlers.muting import MUTES, is_quiet, muted_plan, read_end
from handlers.permissions import MANAGE_ANY, may_manage
from handlers.room_hooks import naming
from handlers.services import HOOKS, HookFilter
from handlers.slots import Argument
from handlers.values import ValueType
from storage.records.integration import Hook, IncomingHook, OutgoingHook
from storage.records.user import Role

_FOR, _HOOKS = "FOR", "HOOK"
_OFF = "off"
_PAGE = 200
"""Hooks asked for at once."""


async def _run(call: Call) -> Plan | Answer | Problem:
    text = call.values.text(_FOR) or ""
    end = None if text.casefold() == _OFF else read_end(call, _FOR, text)
    if isinstance(end, Problem):
        return end
    named = call.values.texts(_HOOKS)
    hooks = await (_named(call, named) if named else _of_room(call, quiet=end is None))
    if isinstance(hooks, Problem):
        return hooks
    if end is None and not any(is_quiet(hook, call) for hook in hooks):
        text = f"{one_line(hooks[0].name)} is not muted." if len(hooks) == 1 else "None of these hooks is muted."
        return Problem(kind=ProblemKind.CONFLICT, text=text, span=call.values.span(_HOOKS), next="list")
    return muted_plan(call, hooks, end)


async def _named(call: Call, references: tuple[str, ...]) -> list[Hook] | Problem:
    found: dict[str, Hook] = {}
    for reference in references:
        hook = await find_hook_named(call, _HOOKS, reference, (IncomingHook, OutgoingHook))
        if isinstance(hook, Problem):
            return hook
        if not may_manage(call.context.permissions, call.actor.id, hook):
            text = f'There is no hook "{one_line(reference)}".'
            return Problem(kind=ProblemKind.UNKNOWN, text=text, span=call.values.span(_HOOKS), next="list")
        found[hook.id] = hook
    return list(found.values())


async def _of_room(call: Call, *, quiet: bool) -> list[Hook] | Problem:
    """Return the hooks that name this room, the caller may change, and are quiet already or not yet.

    One that is quiet already keeps its end: only then does a single line take everything back.
    """
    room = call.context.room
    if room is None or room.name is None:
        return Problem(
            kind=ProblemKind.USAGE,
            text="There are no hooks of this place to mute; name one.",
            allowed=call.command.usage,
            next="room mute HOOK --for 1h",
        )
    held, actor = call.context.permissions, call.actor.id
    hooks = await _every(call, naming(room))
    mine = [hook for hook in hooks if may_manage(held, actor, hook)]
    found = [hook for hook in mine if is_quiet(hook, call) is quiet]
    if found:
        return found
    state = "muted" if quiet else "heard"
    text = (
        f"No hook of #{room.name} that you may change is {state}." if mine else f"No hook of yours is in #{room.name}."
    )
    return Problem(kind=ProblemKind.CONFLICT if mine else ProblemKind.UNKNOWN, text=text, next="list")


async def _every(call: Call, wanted: HookFilter) -> list[Hook]:
    found, total = list[Hook](), 1
    while len(found) < total:
        page, total = await call.services.of(HOOKS).page(wanted, offset=len(found), count=_PAGE)
        if not page:  # some went meanwhile
            break
        found += page
    return found


NOUN: Noun = Noun(
    name="mute",
    summary="quiet for a while: the hooks of this room, or one",
    commands=(
        Command(
            noun="mute",
            verb=None,
            summary="mutes the hooks of this room that you may change, or those named, for a while; off ends it",
            role=Role.EDITOR,
            permissions=MANAGE_ANY,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            arguments=(
                Argument(name=_FOR, summary="how long, such as 1h; until when; or off"),
                Argument(
                    name=_HOOKS,
                    summary="id or name, if not all of this room",
                    type=ValueType.REFERENCE,
                    required=False,
                    repeated=True,
                    offers="things",
                ),
            ),
            examples=("mute 1h", "mute 1h ci", "mute off"),
            run=_run,
        ),
    ),
    needs=(HOOKS, MUTES),
)
