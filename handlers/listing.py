"""What both directions of hooks share in chat: finding, listing, showing and removing them (commands.md §2.2)."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from urllib.parse import urlsplit

from handlers.answers import ROWS, done, inert, listing, moment, pages, plural, warning
from handlers.command import (
    PAGE,
    Answer,
    Argument,
    Audience,
    Call,
    Command,
    CommandContext,
    Flag,
    Given,
    Noun,
    Traffic,
    Values,
)
from handlers.line import Problem, ProblemKind, Span, one_line, quote
from handlers.nearest import nearest
from handlers.parse import written
from handlers.permissions import FULL, OWN, may_manage
from handlers.references import resolve
from handlers.values import ValueType
from storage.records.integration import Direction, Hook, IncomingHook, OutgoingHook
from storage.records.user import Role

REFERENCE = "REF"

NOUNS = MappingProxyType({Direction.INCOMING: "in", Direction.OUTGOING: "out"})
"""The noun of each direction."""

_ROOM = Flag(name="room", summary="only those of one room", type=ValueType.ROOM, metavar="#ROOM")
_MINE = Flag(name="mine", summary="only those you made")
_DISABLED = Flag(name="disabled", summary="only those switched off")
_CONFIRM = Flag(name="confirm", summary="the name, typed to be sure", type=ValueType.TEXT, metavar="NAME")


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


def hook_noun(wording: Wording) -> Noun:
    """Declare the commands of one direction of hooks."""
    noun, many = wording.noun, f"{wording.one}s"

    async def list_hooks(call: Call) -> Answer | Problem:
        return await _list(call, wording)

    async def show_hook(call: Call) -> Answer | Problem:
        hook = await _find(call, wording)
        return hook if isinstance(hook, Problem) else await _shown(call.context, wording, hook)

    async def remove_hook(call: Call) -> Answer | Problem:
        return await _remove(call, wording)

    reference = Argument(name=REFERENCE, summary="id, name or beginning of a name", type=ValueType.REFERENCE)
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
                flags=(_ROOM, _MINE, _DISABLED, PAGE),
                examples=(f"{noun} list", f"{noun} list --room #general --disabled"),
                run=list_hooks,
            ),
            Command(
                noun=noun,
                verb="show",
                summary=f"shows one {wording.one}",
                role=Role.VIEWER,
                arguments=(reference,),
                examples=(f"{noun} show ci",),
                run=show_hook,
            ),
            Command(
                noun=noun,
                verb="remove",
                summary=f"removes one {wording.one} for good",
                role=Role.ADMIN,
                permissions=frozenset({FULL[wording.way], OWN[wording.way]}),
                audience=Audience.CALLER_AND_NOTE,
                arguments=(replace(reference, summary="id or whole name"),),
                flags=(_CONFIRM,),
                examples=(f"{noun} remove ci", f"{noun} remove ci --confirm ci"),
                run=remove_hook,
            ),
        ),
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
    traffic = (await context.services.traffic([hook.id])).get(hook.id, Traffic())
    facts = [
        ("id", hook.id),
        ("state", _state(hook)),
        ("place", wording.place(hook)),
        *wording.facts(hook),
        ("made", f"by {hook.created_by[1]}, {moment(hook.created_at, now=context.now, zone=context.zone)}"),
        ("last traffic", _last(traffic, context)),
        ("failures", str(traffic.failures)),
    ]
    title = f"{wording.one.capitalize()} {one_line(hook.name)}"
    lines = [f"{name}: {one_line(value, 200)}" for name, value in facts]
    return Answer(
        "\n".join([title, *lines, f"Next: {context.root} {wording.noun} list"]),
        data={"name": hook.name, **dict(facts)},
    )


async def _list(call: Call, wording: Wording) -> Answer | Problem:
    context = call.context
    hooks = _sifted(await _of(context, wording), call)
    page = call.values.number(PAGE.name) or 1
    if page > pages(len(hooks)):
        return Problem(
            kind=ProblemKind.INVALID,
            text=f"There is no page {page}.",
            span=call.values.span(PAGE.name),
            allowed=f"1 to {pages(len(hooks))}",
            next=f"{wording.noun} list",
        )
    part = hooks[(page - 1) * ROWS : page * ROWS]
    traffic = await context.services.traffic([hook.id for hook in part])
    rows = [_cells(hook, wording, traffic.get(hook.id, Traffic()), context) for hook in part]
    text = listing(
        plural(len(hooks), wording.one),
        [" · ".join(row.values()) for row in rows],
        page=page,
        total=len(hooks),
        next_page=f"{context.root} {_page_command(call, page + 1)}",
    )
    return Answer(text, data={"total": len(hooks), "page": page, "rows": rows})


def _sifted(hooks: Sequence[Hook], call: Call) -> list[Hook]:
    """Return the hooks the flags leave, in their order."""
    room, mine, disabled = call.values.text("room"), call.values.switch("mine"), call.values.switch("disabled")
    if room is None and not mine and not disabled:
        return list(hooks)
    return [
        hook
        for hook in hooks
        if (room is None or room.casefold() in map(str.casefold, hook.channels))
        and not (mine and hook.created_by[0] != call.context.actor.id)
        and not (disabled and hook.enabled)
    ]


def _page_command(call: Call, page: int) -> str:
    given = Given(page, (str(page),), Span(0, 0))
    return written(call.command, Values({**call.values.given, PAGE.name: given}))


def _cells(hook: Hook, wording: Wording, traffic: Traffic, context: CommandContext) -> dict[str, str]:
    """Return a row in the fixed order of commands.md §2.3."""
    return {
        "state": _state(hook),
        "name": one_line(hook.name),
        "id": hook.id,
        "place": one_line(wording.place(hook), 60),
        "what": one_line(wording.what(hook), 60),
        "last traffic": _last(traffic, context),
        "failures": plural(traffic.failures, "failure"),
    }


async def _remove(call: Call, wording: Wording) -> Answer | Problem:
    context, typed = call.context, call.values.text(_CONFIRM.name)
    hook = await _find(call, wording, whole=True)
    if isinstance(hook, Problem):
        return hook
    if not may_manage(context.permissions, context.actor.id, hook):
        return _no_such(call, wording, ())
    command = f"{wording.noun} remove {hook.id} --confirm {quote(hook.name)}"
    name = one_line(hook.name)
    if typed is None:
        effects = await wording.effects(context, hook)
        return warning(
            f"Remove {wording.one} {name} ({hook.id})? {effects} This cannot be undone.\n"
            f"Type: {context.root} {command}",
            code="confirm",
            data={"id": hook.id, "name": hook.name, "effects": effects, "command": command},
        )
    if typed != hook.name:
        return Problem(
            kind=ProblemKind.INVALID,
            text=f"The name must match exactly: {name}.",
            span=call.values.span(_CONFIRM.name),
            next=command,
        )
    if fault := await context.services.remove_hook(hook):
        return Problem(kind=ProblemKind.CONFLICT, text=fault, next=f"{wording.noun} list")
    answer = done(
        f"Removed {wording.one} {name} ({hook.id}).\nNext: {context.root} {wording.noun} list",
        data={"id": hook.id, "name": hook.name},
    )
    note = f"{inert(context.actor.username)} removed {wording.one} {inert(name)}."
    rooms = tuple(channel for channel in hook.channels if channel[:1] in ("#", "@"))
    return replace(answer, room_note=note, note_channels=rooms)


async def _find(call: Call, wording: Wording, *, whole: bool = False) -> Hook | Problem:
    """Return the hook a reference names; `whole` refuses the beginning of a name (commands.md §2.1)."""
    reference = call.values.text(REFERENCE) or ""
    hooks = await _of(call.context, wording)
    found = resolve(reference, hooks)
    if not found.things:
        return _no_such(call, wording, nearest(reference, (hook.name for hook in hooks)))
    if len(found.things) > 1:
        return ambiguous(reference, found.things, call.values.span(REFERENCE), f"{call.command.words} ID")
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


def ambiguous(reference: str, hooks: Sequence[Hook], span: Span | None, following: str) -> Problem:
    """Say that a reference means several hooks, and which."""
    shown = [f"{one_line(hook.name)} ({hook.id})" for hook in hooks[:ROWS]]
    more = f" and {len(hooks) - ROWS:,} more" if len(hooks) > ROWS else ""
    return Problem(
        kind=ProblemKind.AMBIGUOUS,
        text=f'"{one_line(reference)}" means {plural(len(hooks), "hook")}.',
        span=span,
        allowed=", ".join(shown) + more,
        next=following,
    )


def _no_such(call: Call, wording: Wording, suggestions: tuple[str, ...]) -> Problem:
    """Say the same whether a hook is missing or hidden (commands.md §2.4)."""
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'There is no {wording.one} "{one_line(call.values.text(REFERENCE) or "")}".',
        span=call.values.span(REFERENCE),
        suggestions=tuple(map(one_line, suggestions)),
        allowed="the id or the name of one you may see",
        next=f"{wording.noun} list",
    )


async def _of(context: CommandContext, wording: Wording) -> list[Hook]:
    kind = IncomingHook if wording.way is Direction.INCOMING else OutgoingHook
    return [hook for hook in await context.services.hooks() if isinstance(hook, kind)]


def _state(hook: Hook) -> str:
    return "on" if hook.enabled else "off"


def _last(traffic: Traffic, context: CommandContext) -> str:
    return "no traffic" if traffic.last_at is None else moment(traffic.last_at, now=context.now, zone=context.zone)
