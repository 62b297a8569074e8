"""What both directions of hooks share in chat: finding, listing, showing and removing them (commands.md §2.2)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from handlers.answers import ROWS, done, inert, moment, plural, until
from handlers.command import Answer, Audience, Button, Call, Command, CommandContext, Confirm, Noun, Plan, Thing
from handlers.line import Problem, ProblemKind, Span, one_line
from handlers.paging import Row, listed, offset_of
from handlers.permissions import FULL, OWN, may_manage
from handlers.references import Found
from handlers.services import HOOKS, HookFilter, Need, Traffic
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.records.changes import Changes
from storage.records.integration import Direction, Hook, IncomingHook, is_expired, is_muted
from storage.records.user import Role

REFERENCE = "REF"

NOUNS = MappingProxyType({Direction.INCOMING: "in", Direction.OUTGOING: "out"})
"""The noun of each direction."""

_ROOM = Flag(name="room", summary="only those of one room", type=ValueType.ROOM, metavar="#ROOM")
_MINE = Flag(name="mine", summary="only those you made")
_DISABLED = Flag(name="disabled", summary="only those switched off")
REFERENCE_ARGUMENT = Argument(name=REFERENCE, summary="id, name or beginning of a name", type=ValueType.REFERENCE)
WHOLE_REFERENCE = replace(REFERENCE_ARGUMENT, summary="id or whole name")
"""For verbs that lose something: the beginning of a name is too little."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How one direction of hooks is called and told."""

    way: Direction
    one: str
    """`incoming hook` or `outgoing hook`."""
    aliases: tuple[str, ...]
    place: Callable[[Hook], str]
    """Where it posts or listens."""
    what: Callable[[Hook], str]
    """What it does there, in a row of a list."""
    facts: Callable[[Hook], Sequence[tuple[str, str]]]
    """What `show` adds, none of it secret."""
    effects: Callable[[CommandContext, Hook], Awaitable[str]]
    """What removing it would do, as a sentence."""

    @property
    def noun(self) -> str:
        return NOUNS[self.way]


def hook_noun(wording: Wording, *more: Command, needs: Sequence[Need[Any]] = ()) -> Noun:
    """Declare the commands of one direction of hooks; `more` are those beside finding and removing them."""
    noun, many = wording.noun, f"{wording.one}s"

    async def list_hooks(call: Call) -> Answer | Problem:
        return await _list(call, wording)

    async def show_hook(call: Call) -> Answer | Problem:
        hook = await find_hook(call, wording)
        return hook if isinstance(hook, Problem) else await _shown(call.context, wording, hook)

    async def remove_hook(call: Call) -> Plan | Problem:
        return await _remove(call, wording)

    return Noun(
        name=noun,
        summary=many,
        aliases=wording.aliases,
        commands=(
            Command(
                noun=noun,
                verb="list",
                summary=f"lists the {many} you may see",
                role=Role.VIEWER,
                flags=(_ROOM, _MINE, _DISABLED),
                pages=True,
                examples=(f"{noun} list", f"{noun} list --room #general --disabled"),
                run=list_hooks,
            ),
            Command(
                noun=noun,
                verb="show",
                summary=f"shows one {wording.one}",
                role=Role.VIEWER,
                arguments=(REFERENCE_ARGUMENT,),
                examples=(f"{noun} show ci",),
                run=show_hook,
            ),
            *more,
            Command(
                noun=noun,
                verb="remove",
                summary=f"removes one {wording.one} for good",
                role=Role.ADMIN,
                permissions=frozenset({FULL[wording.way], OWN[wording.way]}),
                audience=Audience.CALLER_AND_NOTE,
                writes=True,
                confirm=Confirm.NAME,
                arguments=(WHOLE_REFERENCE,),
                examples=(f"{noun} remove ci",),
                run=remove_hook,
            ),
        ),
        needs=(HOOKS, *needs),
    )


def masked_address(url: str) -> str:
    """Write an address without what may be secret in it: user, path and query (decision 31)."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "(an address that cannot be read)"
    if not host:
        return "(an address without host)"
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port else ''}/…"


async def _shown(context: CommandContext, wording: Wording, hook: Hook) -> Answer:
    """Show one hook, without token, secret or full address."""
    traffic = (await context.services.of(HOOKS).traffic([hook.id])).get(hook.id, Traffic())
    stops = await context.services.of(HOOKS).stops(hook)
    facts = [
        ("id", hook.id),
        ("state", state(hook, context)),
        *([("stopped", f"{stops}; an admin can take it over by adopt")] if stops else []),
        ("place", wording.place(hook)),
        *wording.facts(hook),
        *_ends(hook, context),
        *_old_token(hook, traffic, context),
        ("made", f"by {hook.created_by[1]}, {moment(hook.created_at, now=context.now, zone=context.zone)}"),
        ("last traffic", last_traffic(traffic, context, never="none")),
        ("failures", str(traffic.failures)),
    ]
    title = f"{wording.one.capitalize()} {one_line(hook.name)}"
    lines = [f"{name}: {one_line(value, 200)}" for name, value in facts]
    following = f"{context.root} {wording.noun} history {hook.id}"
    return Answer(
        "\n".join([title, *lines, f"Next: {following}"]),
        data={"name": hook.name, **dict(facts)},
    )


async def _list(call: Call, wording: Wording) -> Answer | Problem:
    context = call.context
    room = call.values.text("room")
    wanted = HookFilter(
        way=wording.way,
        channels=None if room is None else (room,),
        mine=call.values.switch("mine"),
        silent=call.values.switch("disabled"),
    )
    part, total = await context.services.of(HOOKS).page(wanted, offset=offset_of(call), count=ROWS)
    traffic = await context.services.of(HOOKS).traffic([hook.id for hook in part])
    rows = [Row(hook.id, _cells(hook, wording, traffic.get(hook.id, Traffic()), context)) for hook in part]
    return listed(call, plural(total, wording.one), rows, total=total)


def _cells(hook: Hook, wording: Wording, traffic: Traffic, context: CommandContext) -> dict[str, str]:
    """Return a row in the fixed order of commands.md §2.3."""
    return {
        "state": state(hook, context),
        "name": one_line(hook.name),
        "id": hook.id,
        "place": one_line(wording.place(hook), 60),
        "what": "; ".join([one_line(wording.what(hook), 60), *_marks(hook, traffic, context)]),
        "last traffic": last_traffic(traffic, context),
        "failures": plural(traffic.failures, "failure"),
    }


async def _remove(call: Call, wording: Wording) -> Plan | Problem:
    context, noun = call.context, wording.noun
    hook = await managed_hook(call, wording)
    if isinstance(hook, Problem):
        return hook
    name = one_line(hook.name)

    async def apply(also: Changes) -> Answer | Problem:
        if fault := await context.services.of(HOOKS).remove_hook(hook, also):
            return Problem(kind=ProblemKind.CONFLICT, text=fault, next=f"{noun} list")
        text = f"Removed {wording.one} {name} ({hook.id}).\nNext: {context.root} {noun} list"
        return done(text, data={"id": hook.id, "name": hook.name})

    return Plan(
        title=f"Remove {wording.one} {name} ({hook.id})",
        effects=await wording.effects(context, hook),
        thing=thing_of(hook, wording),
        apply=apply,
        note=note_of(call, f"removed {wording.one} {name}"),
        channels=rooms_of(hook),
        alternative=Button("Disable instead", f"{noun} disable {hook.id}") if hook.enabled else None,
    )


def thing_of(hook: Hook, wording: Wording) -> Thing:
    """Return what a plan about a hook is about."""
    return Thing(kind=wording.one, id=hook.id, name=hook.name, version=hook.version)


def note_of(call: Call, deed: str) -> str:
    """Write the line a room reads of a change; nothing in it calls anybody."""
    return f"{inert(call.actor.username)} {inert(deed)}."


def rooms_of(hook: Hook) -> tuple[str, ...]:
    """Return the rooms that should read what became of a hook."""
    return tuple(channel for channel in hook.channels if channel[:1] in ("#", "@"))


async def managed_hook(call: Call, wording: Wording, *, whole: bool = True) -> Hook | Problem:
    """Return the hook a reference names if the caller may change it; for others it does not exist (§2.4)."""
    hook = await find_hook(call, wording, whole=whole)
    if isinstance(hook, Problem) or may_manage(call.context.permissions, call.actor.id, hook):
        return hook
    return _no_such(call, wording, ())


async def find_hook(call: Call, wording: Wording, *, whole: bool = False) -> Hook | Problem:
    """Return the hook a reference names; `whole` refuses the beginning of a name (commands.md §2.1)."""
    reference = call.values.text(REFERENCE) or ""
    desk = call.context.services.of(HOOKS)
    found = await desk.find(reference, wording.way)
    if not found.things:
        return _no_such(call, wording, await desk.near(reference, wording.way))
    if len(found.things) > 1:
        return ambiguous(reference, found, call.values.span(REFERENCE), f"{call.command.words} ID")
    if found.by_prefix and whole:
        return Problem(
            kind=ProblemKind.AMBIGUOUS,
            text=f'"{one_line(reference)}" is only the beginning of a name; {call.command.verb} needs all of it.',
            span=call.values.span(REFERENCE),
            suggestions=(one_line(found.things[0].name),),
            allowed="the id or the whole name",
            next=f"{call.command.words} {found.things[0].id}",
        )
    return found.things[0]


def ambiguous(reference: str, found: Found[Hook], span: Span | None, following: str) -> Problem:
    """Say that a reference means several hooks, and which."""
    shown = [f"{one_line(hook.name)} ({hook.id})" for hook in found.things[:ROWS]]
    total = max(found.total, len(found.things))
    more = f" and {total - ROWS:,} more" if total > ROWS else ""
    return Problem(
        kind=ProblemKind.AMBIGUOUS,
        text=f'"{one_line(reference)}" means {plural(total, "hook")}.',
        span=span,
        allowed=", ".join(shown) + more,
        next=following,
    )


def _no_such(call: Call, wording: Wording, suggestions: Sequence[str]) -> Problem:
    """Say the same whether a hook is missing or hidden (commands.md §2.4)."""
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'There is no {wording.one} "{one_line(call.values.text(REFERENCE) or "")}".',
        span=call.values.span(REFERENCE),
        suggestions=tuple(map(one_line, suggestions)),
        allowed="the id or the name of one you may see",
        next=f"{wording.noun} list",
    )


def state(hook: Hook, context: CommandContext) -> str:
    """Say in a word whether a hook works: an expired one is as good as off (decision 65)."""
    if hook.damaged:
        return "damaged"
    if not hook.enabled:
        return "off"
    if is_expired(hook, context.now):
        return "expired"
    return "muted" if is_muted(hook, context.now) else "on"


def _ends(hook: Hook, context: CommandContext) -> list[tuple[str, str]]:
    """Say when a hook expires and until when it is muted."""
    now, zone = context.now, context.zone
    found = []
    if hook.expires_at is not None:
        expired = is_expired(hook, now)
        when = moment(hook.expires_at, now=now, zone=zone) if expired else until(hook.expires_at, now=now, zone=zone)
        found.append(("expired" if expired else "expires", when))
    if hook.muted_until is not None and is_muted(hook, now):
        found.append(("mute ends", until(hook.muted_until, now=now, zone=zone)))
    return found


def _old_token(hook: Hook, traffic: Traffic, context: CommandContext) -> list[tuple[str, str]]:
    """Say how much the token of before the last rotation is still used (commands.md §2.6)."""
    previous = hook.previous_token if isinstance(hook, IncomingHook) else None
    if previous is None or previous.until <= context.now:
        return []
    ends = until(previous.until, now=context.now, zone=context.zone)
    return [("old token", f"{plural(traffic.old_token_calls, 'call')}, ends {ends}")]


def _marks(hook: Hook, traffic: Traffic, context: CommandContext) -> list[str]:
    return [f"{name} {value}" for name, value in (*_ends(hook, context), *_old_token(hook, traffic, context))]


def last_traffic(traffic: Traffic, context: CommandContext, *, never: str = "no traffic") -> str:
    """Say when something last passed through a hook."""
    return never if traffic.last_at is None else moment(traffic.last_at, now=context.now, zone=context.zone)
