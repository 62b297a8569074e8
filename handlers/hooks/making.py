"""`add` and `edit` of either direction: judged when planned, written once, what follows told (commands.md §2.2)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from handlers.answers import done
from handlers.command import Answer, Call, Plan, Thing
from handlers.errors import Fault
from handlers.hooks.given import nothing_said
from handlers.hooks.refused import refused
from handlers.hooks.wish import FLAGS, Wish, as_it_is, cannot_come_back, different, said, taking_back, wished
from handlers.hooks.work import HOOK_WORK
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import Wording, managed_hook, note_of, rooms_of, thing_of
from storage.ids import integration_id
from storage.records.changes import Changes
from storage.records.integration import Hook


@dataclass(frozen=True, slots=True)
class Told:
    """What the answer to a new or changed hook adds."""

    lines: tuple[str, ...] = ()
    secret: bool = False
    """A line shows something once."""
    public: str | None = None
    """What is said instead where others read it."""


Tell = Callable[[Call, Hook, Wish], Awaitable[Told]]


async def adding(
    call: Call, wording: Wording, wish: Wish, tell: Tell, *, does: Callable[[Hook], str], kind: str = ""
) -> Plan | Problem:
    """Plan a new hook; its id is chosen now, so that the audit row names it. `does` says what it is good for."""
    work, hook_id = call.services.of(HOOK_WORK), integration_id()
    judged = await work.judge(wording.way, None, wish)
    if isinstance(judged, Fault):
        return refused(judged, call)
    name = one_line(wish.name or "")

    async def apply(also: Changes) -> Answer | Problem:
        made = await work.make(wording.way, hook_id, wish, also)
        if isinstance(made, Fault):
            return refused(made, call, applying=True)
        told = await tell(call, made, wish)
        first = f"{wording.one.capitalize()} {name} ({made.id}) {does(made)}."
        data = {"id": made.id, "name": made.name, "rooms": list(made.channels)}
        return _answer(first, told, data)

    return Plan(
        title=f"Add {wording.one} {name}",
        thing=Thing(kind=wording.one, id=hook_id, name=wish.name or ""),
        apply=apply,
        note=note_of(call, f"added {wording.one} {name}{kind}"),
        channels=tuple(room for room in wish.rooms or () if room[:1] in ("#", "@")),
    )


async def editing(call: Call, wording: Wording, wish: Wish, tell: Tell) -> Plan | Problem:
    """Plan a change of what is named and different, and the line that undoes it."""
    hook = await managed_hook(call, wording, whole=False)
    if isinstance(hook, Problem):
        return hook
    if not wished(wish):
        return nothing_said(call)
    wish = different(hook, wish)
    if not wished(wish):
        text = f"{wording.one.capitalize()} {one_line(hook.name)} is so already."
        return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"{wording.noun} show {hook.id}")
    work = call.services.of(HOOK_WORK)
    judged = await work.judge(wording.way, hook, wish)
    if isinstance(judged, Fault):
        return refused(judged, call)
    change = different(hook, as_it_is(judged))  # more than was wished: an event without rooms drops them
    back, lost = taking_back(hook, change), cannot_come_back(hook, change)
    name, summary = one_line(hook.name), one_line(said(change, call.context.zone), 300)
    about = ", ".join(FLAGS.get(each, each) for each in wished(change))  # values may name rooms not all readers are in

    async def apply(also: Changes) -> Answer | Problem:
        changed = await work.change(hook, wish, also)
        if isinstance(changed, Fault):
            return refused(changed, call, applying=True)
        told = await tell(call, changed, wish)
        lines = [*told.lines]
        if lost:
            lines.append("What was secret cannot be undone: the old value is not kept.")
        lines.append(f"Next: {call.context.root} {wording.noun} show {hook.id}")
        data = {"id": hook.id, "name": changed.name, "changed": summary}
        first = f"Changed {wording.one} {name} ({hook.id}): {summary}."
        return _answer(first, Told(tuple(lines), told.secret, told.public), data)

    channels = dict.fromkeys((*rooms_of(hook), *(room for room in change.rooms or () if room[:1] in ("#", "@"))))
    return Plan(
        title=f"Change {wording.one} {name} ({hook.id}): {summary}",
        thing=thing_of(hook, wording),
        apply=apply,
        undo=f"{wording.noun} edit {hook.id} {back}" if back else None,
        note=note_of(call, f"changed {wording.one} {name}: {about}"),
        channels=tuple(channels),
    )


def _answer(first: str, told: Told, data: Mapping[str, object]) -> Answer:
    plain = done("\n".join([first, *told.lines]), data=data)
    return Answer(plain.text, data=plain.data, secret=told.secret, public_text=told.public)
