"""Run a typed line: the one entry for every door. Who may, what is asked first, what is written down with it.

A command only says what it would do (`Plan`); asking, dry runs, applying, audit, undo and notes live here once.
"""

import re
from collections.abc import Awaitable
from dataclasses import replace

from handlers.answers import as_json, not_done
from handlers.asking import asked, confirming, dry_run, shown_name
from handlers.command import (
    Answer,
    Audience,
    Call,
    Command,
    CommandContext,
    Commands,
    Confirm,
    Mark,
    Plan,
)
from handlers.dialect import decoded
from handlers.line import Problem, ProblemKind, Span, quote
from handlers.listing import NOUNS, REFERENCE, ambiguous
from handlers.nearest import nearest
from handlers.parse import Parsed, Reading, Unnamed, parse, written
from handlers.permissions import sees_roles
from handlers.proposals import Kept, new_code, proposal, undo
from handlers.services import HOOKS, JOURNAL, PEOPLE
from handlers.slots import DRY_RUN, JSON, PUBLIC, YES, Argument, Given, Slot, Values
from handlers.values import ValueType
from storage.errors import Gone, Spent, Taken
from storage.ids import timed_id
from storage.records.audit import AuditRow
from storage.records.changes import Changes, merge
from storage.records.integration import direction
from storage.records.pending import PendingEnd, PendingKey, PendingKind, PendingOf
from storage.records.user import Role

UNSIGNED_NEVER = frozenset({"user", "export", "import", "keys"})
"""Nouns that no door runs which cannot prove its sender (decision 62)."""

_LINK = "user link"
_DONE_ONCE = "This was confirmed a moment ago; it is done once."
_ROW = re.compile(r"#([1-9][0-9]{0,5})")


async def execute(line: str, context: CommandContext, commands: Commands, *, typed: bool = True) -> Answer:
    """Answer a line without its root; one that is not `typed` comes from a button or form of ours.

    No input raises; a storage error does, since the door alone knows how to say that the server is unwell.
    """
    if typed:
        line = decoded(line, context.door.dialect, context.mentions)
    parsed = parse(line, _reading(context, commands))
    if isinstance(parsed, Unnamed):
        parsed = await _referred(parsed, context, commands)
    result = await _run(parsed, context, commands) if isinstance(parsed, Parsed) else parsed
    if isinstance(result, Problem):
        secret = tuple(flag.name for command in commands for flag in command.flags if flag.secret)
        result = not_done(result, line=line, root=context.root, secret_flags=secret)
    if not isinstance(parsed, Parsed):
        return result
    if result.mark is Mark.NOT_DONE:
        result = _without_secrets(result, parsed)
    result = _shown_to(result, parsed)
    return replace(result, text=as_json(result)) if JSON.name in parsed.controls else result


def _without_secrets(answer: Answer, parsed: Parsed) -> Answer:
    """Mask what the line itself gave as a secret, wherever a refusal may have repeated it."""
    text = answer.text
    for secret in parsed.values.secrets.values():
        text = text.replace(secret.value, "***")
    return replace(answer, text=text)


async def resume(kept: Kept, take: PendingKey, call: Call, *, name: str | None) -> Answer | Problem:
    """Run a line that waited: its confirmation is here, `name` typed with it.

    Everything is judged again as it is now. Raises nothing; the proposal is used up with the effect or not at all.
    """
    context = replace(call.context, private=kept.private)
    parsed = parse(kept.line, _reading(context, call.commands))
    if not isinstance(parsed, Parsed):
        return parsed if isinstance(parsed, Problem) else parsed.problem
    planned = await _permitted(parsed, context, call.commands)
    if (not isinstance(planned, Plan) or not kept.fits(planned.thing)) and await _is_over(take, context):
        return _second(taking=True)  # what it no longer fits is the effect of the press before
    if not isinstance(planned, Plan):
        return planned
    needs = planned.confirm or parsed.command.confirm
    thing = planned.thing
    # a name with line breaks is typed as it was shown
    misnamed = Confirm.NAME in (needs, kept.confirm) and thing and name not in (thing.name, shown_name(thing))
    if call.dry:
        return dry_run(planned, Confirm.NAME if misnamed else Confirm.NONE)
    if not kept.fits(thing):
        return await _propose(planned, parsed, context, lead="It changed since you were asked, so this is asked again.")
    if misnamed and thing:
        return await _wrong_name(shown_name(thing), take, call)
    return _shown_to(await _apply(planned, parsed, context, take), parsed)


async def take_back(kept: Kept, take: PendingKey, call: Call) -> Answer | Problem:
    """Run the line that undoes a change, unless the thing changed since (decision 65)."""
    parsed = parse(kept.line, _reading(call.context, call.commands))
    if not isinstance(parsed, Parsed):
        return parsed if isinstance(parsed, Problem) else parsed.problem
    planned = await _permitted(parsed, call.context, call.commands)
    if (not isinstance(planned, Plan) or not kept.fits(planned.thing)) and await _is_over(take, call.context):
        return _second(taking=False)
    if not isinstance(planned, Plan):
        return planned
    if not kept.fits(planned.thing):
        text = f"It changed since, so it is not undone: {kept.title}."
        return Problem(kind=ProblemKind.CONFLICT, text=text, next=kept.line)
    by_name = Confirm.NAME in (planned.confirm, parsed.command.confirm)
    if call.dry:
        return dry_run(planned, Confirm.NAME if by_name else Confirm.NONE)
    if by_name:
        return await _propose(planned, parsed, call.context)
    done = await _apply(replace(planned, undo=None), parsed, call.context, take, is_undo=True)
    return _shown_to(done, parsed)


def _reading(context: CommandContext, commands: Commands) -> Reading:
    return Reading(
        commands,
        permits=lambda command: permits(command, context),
        now=context.now,
        zone=context.zone,
        private=context.private,
    )


def permits(command: Command, context: CommandContext) -> bool:
    """Tell whether the caller may run a command at all, by this door; only such are suggested and explained."""
    if context.unlinked and not command.unlinked:
        looks = context.unlinked.viewer and command.role is Role.VIEWER and not command.writes
        return looks and not command.permissions
    if command.noun in UNSIGNED_NEVER and not context.door.signed and command.words != _LINK:
        return False
    return command.unlinked or command.allows(context.actor, context.permissions)


def _shown_to(answer: Answer, parsed: Parsed) -> Answer:
    """Say who sees an answer: what is not a plain success stays with the caller, and so does every secret."""
    success = answer.code == "ok"
    public = parsed.command.audience is Audience.ROOM or PUBLIC.name in parsed.controls or not answer.private
    return replace(answer, private=answer.secret or not (success and public))


# --- may it run, and with what ----------------------------------------------------------------------


async def _run(parsed: Parsed, context: CommandContext, commands: Commands) -> Answer | Problem:
    if problem := await _forbidden(parsed, context):
        return problem
    values = _with_rows(parsed, context)
    if isinstance(values, Problem):
        return values
    parsed = replace(parsed, values=values)
    result = await _permitted(parsed, context, commands)
    return await _decide(result, parsed, context) if isinstance(result, Plan) else result


async def _permitted(parsed: Parsed, context: CommandContext, commands: Commands) -> Plan | Answer | Problem:
    """Run a command's own function once nothing forbids it and every value is there."""
    command = parsed.command
    if problem := await _forbidden(parsed, context):
        return problem
    if PUBLIC.name in parsed.controls and command.shows_secret:
        text = f'"{command.words}" may show a secret, so nobody but you may see its answer.'
        return Problem(
            kind=ProblemKind.FORBIDDEN, text=text, allowed="the same without --public", next=f"help {command.words}"
        )
    if parsed.asked or (parsed.literal and context.door.public_lines):
        return asked(parsed, context)
    dry = DRY_RUN.name in parsed.controls
    return await command.run(Call(context, commands, command, parsed.values, dry))


async def _forbidden(parsed: Parsed, context: CommandContext) -> Problem | None:
    command = parsed.command
    making_code = command.words == _LINK and not parsed.values.given
    if permits(command, context) and (context.door.signed or not making_code):
        return None
    if context.unlinked and not command.unlinked:
        return Problem(
            kind=ProblemKind.FORBIDDEN,
            text="Nobody here is linked to your account of this chat yet, so you may not run this.",
            allowed="help, whoami, user link CODE",
            next="user link CODE, with a code that `user link` gives you where you are signed in to Patchbay",
        )
    if command.noun in UNSIGNED_NEVER and not context.door.signed:
        return Problem(
            kind=ProblemKind.FORBIDDEN,
            text=f'"{command.words}" does not run here: this chat does not prove who types.',
            allowed="the same command in Patchbay itself, a terminal, or a chat that signs its requests",
        )
    text = (
        f'"{command.words}" needs {command.role}; you are {context.actor.role}. {await _whom_to_ask(command, context)}'
    )
    return Problem(kind=ProblemKind.FORBIDDEN, text=text)


async def _whom_to_ask(command: Command, context: CommandContext) -> str:
    """Name who has the role that is needed, to those who may know."""
    if not sees_roles(context.actor):
        return "Ask an admin."
    holders = ", ".join(f"@{name}" for name in await context.services.of(PEOPLE).holders(command.role))
    return f"Those with that role here: {holders}." if holders else "Nobody here has that role."


def _with_rows(parsed: Parsed, context: CommandContext) -> Values | Problem:
    """Put the ids of the caller's last list in the place of `#n` (commands.md §2.1)."""
    given = dict(parsed.values.given)
    slots: tuple[Slot, ...] = (*parsed.command.arguments, *parsed.command.flags)
    for slot in (slot for slot in slots if slot.type is ValueType.REFERENCE and slot.name in given):
        before = given[slot.name]
        words = before.value if isinstance(before.value, tuple) else (str(before.value),)
        ids = [_row(word, context, before.span) for word in words]
        for found in ids:
            if isinstance(found, Problem):
                return found
        known = tuple(str(found) for found in ids)
        given[slot.name] = replace(before, value=known if isinstance(before.value, tuple) else known[0], typed=known)
    return replace(parsed.values, given=given)


def _row(word: str, context: CommandContext, span: Span) -> str | Problem:
    found = _ROW.fullmatch(word)
    if found is None:
        return word
    rows = context.last_list
    if thing := rows.get(int(found[1])):
        return thing
    text = f"{word} is no row of your last list here." if rows else f"{word} means a row of a list, and none is fresh."
    allowed = f"#{min(rows)} to #{max(rows)}" if rows else "a list of yours in this room, for 10 min"
    return Problem(kind=ProblemKind.UNKNOWN, text=text, span=span, allowed=allowed)


async def _referred(unnamed: Unnamed, context: CommandContext, commands: Commands) -> Parsed | Problem:
    """Read a lone word that is no command as a reference to show (decision 58)."""
    span = unnamed.problem.span or Span(0, len(unnamed.reference))
    if context.unlinked and not context.unlinked.viewer:
        return unnamed.problem
    reference = _row(unnamed.reference, context, span)
    if isinstance(reference, Problem):
        return reference
    desk = context.services.of(HOOKS)
    found = await desk.find(reference)
    if len(found.things) > 1:
        return ambiguous(unnamed.reference, found, span, "in show ID")
    show = commands.find(NOUNS[direction(found.things[0])], "show") if found.things else None
    if show is None:
        words = [word for noun in commands.nouns for word in (noun.name, *noun.aliases)]
        runnable = [w for w in words if (n := commands.noun(w)) and any(permits(c, context) for c in n.commands)]
        near = nearest(reference, [*runnable, *await desk.near(reference)])
        return replace(unnamed.problem, suggestions=near)
    return Parsed(show, Values({REFERENCE: Given(found.things[0].id, (found.things[0].id,), span)}), unnamed.controls)


# --- a plan: told, asked or applied -----------------------------------------------------------------


async def _decide(plan: Plan, parsed: Parsed, context: CommandContext) -> Answer | Problem:
    needs = plan.confirm or parsed.command.confirm
    if DRY_RUN.name in parsed.controls:
        return dry_run(plan, needs)
    if needs is Confirm.NAME or (needs is Confirm.BUTTON and YES.name not in parsed.controls):
        return await _propose(plan, parsed, context)
    return await _apply(plan, parsed, context)


async def _propose(plan: Plan, parsed: Parsed, context: CommandContext, *, lead: str = "") -> Answer:
    """Keep the command and ask; a newer proposal of the same person in the same place takes over."""
    kept = Kept(
        line=plan.line if plan.line and plan.private else _normalised(plan, parsed),
        private={name: secret.value for name, secret in parsed.values.secrets.items()} | dict(plan.private),
        title=plan.title,
        confirm=plan.confirm or parsed.command.confirm,
        thing=plan.thing,
    )
    while True:
        code = new_code()
        before = PendingOf(PendingKind.PROPOSAL, context.actor.id, context.place.key)
        try:
            changes = Changes(pending_clear=(before,), pending_put=(proposal(kept, code, context),))
            await context.services.of(JOURNAL).commit(changes)
        except Taken:  # somebody's code of these very letters waits already
            continue
        return confirming(plan, kept.confirm, code, context, lead=lead)


async def _apply(
    plan: Plan, parsed: Parsed, context: CommandContext, take: PendingKey | None = None, *, is_undo: bool = False
) -> Answer:
    """Do it, with its audit row, its undo and its used-up confirmation in one unit of work.

    After a change that cannot be taken back `undo` must not reach past it to an older one.
    """
    line = plan.line or _normalised(plan, parsed)
    row = AuditRow(
        id=timed_id(context.now),
        org_id=context.actor.org_id,
        at=context.now,
        actor_id=None if context.unlinked else context.actor.id,
        actor_name=context.actor.username,
        door=context.door.name,
        place=_place_name(context),
        command=parsed.command.words,
        line=line,
        object_kind=plan.thing.kind if plan.thing else None,
        object_id=plan.thing.id if plan.thing else None,
        object_name=plan.thing.name if plan.thing else None,
        outcome="done",
    )
    undoing = (undo(_inverse(plan, plan.undo), context),) if plan.undo else ()
    barred = () if plan.undo or is_undo else (PendingOf(PendingKind.UNDO, context.actor.id, context.place.key),)
    also = Changes(audit=(row,), pending_put=undoing, pending_take=(take,) if take else (), pending_clear=barred)
    result = await _written(plan.apply(merge(also, context.also)))
    if isinstance(result, Problem):
        if take and await context.services.of(JOURNAL).pending_end(*take) is PendingEnd.TAKEN:
            # whatever it ran into, the other press did it: that is what changed the thing
            result = Problem(kind=ProblemKind.EXPIRED, text=_DONE_ONCE)
        return not_done(result, line=line, root=context.root)
    if result.mark is Mark.NOT_DONE:
        return result
    hint = f"\nUndo: {context.root} undo (10 min)" if plan.undo else ""
    if plan.note and result.room_note is None:
        result = replace(result, room_note=plan.note, note_channels=plan.channels)
    return replace(result, text=f"{result.text}{hint}")


async def _written(applying: Awaitable[Answer | Problem]) -> Answer | Problem:
    """Await an effect; who came second is told so."""
    try:
        return await applying
    except Spent:
        return Problem(kind=ProblemKind.EXPIRED, text="This was done a moment ago.")
    except (Taken, Gone):
        text = "Somebody else changed it meanwhile; look at it again and repeat."
        return Problem(kind=ProblemKind.CONFLICT, text=text)


def _second(*, taking: bool) -> Problem:
    """Tell who came second that it is done."""
    text = "This was confirmed a moment ago; it is done once." if taking else "This was done a moment ago."
    return Problem(kind=ProblemKind.EXPIRED, text=text)


async def _is_over(take: PendingKey, context: CommandContext) -> bool:
    """Tell whether what was waiting a moment ago has been used up: that happens together with its effect."""
    return await context.services.of(JOURNAL).pending(*take) is None


async def _wrong_name(name: str, take: PendingKey, call: Call) -> Problem:
    journal = call.context.services.of(JOURNAL)
    await journal.commit(Changes(pending_try=(take,)))
    left = await journal.pending(take.kind, take.key)
    if left is None:
        text = "The name was wrong too often, so this confirmation is over; nothing was done."
        return Problem(kind=ProblemKind.EXPIRED, text=text, allowed="type the command itself again")
    minutes = max(1, (left.expires_at - call.context.now) // 60_000)
    return Problem(
        kind=ProblemKind.INVALID,
        text=f"The name must match exactly: {name}. The code is still good for {minutes} min.",
        span=call.values.span("NAME"),
        next=f"confirm {take.key} {quote(name)}",
    )


def _normalised(plan: Plan, parsed: Parsed) -> str:
    """Write the command for later: secrets as `?`, the thing by its id, so that no rename redirects it."""
    values = parsed.values
    references = [a for a in parsed.command.arguments if a.type is ValueType.REFERENCE and not a.repeated]
    if plan.thing and len(references) == 1 and references[0].name in values.given:
        values = _with_id(values, references[0], plan.thing.id)
    shown = [f"--{name}" for name in (JSON.name, PUBLIC.name) if name in parsed.controls]
    return " ".join([written(parsed.command, values), *shown])


def _with_id(values: Values, argument: Argument, thing_id: str) -> Values:
    before = values.given[argument.name]
    return replace(values, given={**values.given, argument.name: Given(thing_id, (thing_id,), before.span)})


def _inverse(plan: Plan, line: str) -> Kept:
    """Return what takes a change back: for the version the thing has after it."""
    thing = plan.thing
    if thing and thing.version is not None:
        after = thing.version + 1 if plan.version_after is None else plan.version_after
        thing = replace(thing, version=after)
    return Kept(line=line, title=plan.title, thing=thing)


def _place_name(context: CommandContext) -> str:
    room = context.place.room
    return f"#{room.name}" if room and room.name else context.place.key
