"""Quiet for a while: what `mute` and `room mute` share, and the lines that take it back (decision 65)."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Protocol

from handlers.answers import done, plural, until
from handlers.command import Answer, Call, Plan, Thing
from handlers.errors import Fault
from handlers.line import Problem, ProblemKind, Span, one_line, quote
from handlers.listing import note_of, rooms_of
from handlers.services import Need
from handlers.values import ValueType, read_value
from storage.clock import Millis
from storage.records.changes import Changes
from storage.records.integration import Hook, IncomingHook, is_muted

LONGEST_MS: Final = 366 * 24 * 3_600_000
"""Whoever wants silence for longer should disable the hook."""

MOST_NAMED: Final = 90
"""Hooks an undo can name: a line has at most 100 words (§2.1)."""


class MuteDesk(Protocol):
    """Mutes hooks with the caller's rights."""

    async def mute(self, hooks: Sequence[Hook], until: Millis | None, also: Changes) -> Fault | None:
        """Mute hooks until a time, or end that (None): all of them as they were seen, with `also`, or none."""
        ...


MUTES: Need[MuteDesk] = Need("mutes")


def muted_plan(call: Call, hooks: Sequence[Hook], end: Millis | None) -> Plan:
    """Plan to mute hooks until a time, or (None) to let them be heard again."""
    desk, called = call.services.of(MUTES), _called(call, hooks)
    what = f"{called} ({hooks[0].id})" if len(hooks) == 1 else called
    again = f"mute off {hooks[0].id}" if len(hooks) == 1 else "mute off"

    async def apply(also: Changes) -> Answer | Problem:
        if fault := await desk.mute(hooks, end, also):
            return Problem(kind=ProblemKind.CONFLICT, text=fault.bracketed, next="list")
        data = {"hooks": [hook.id for hook in hooks], "until": end}
        if end is None:
            return done(f"Ended the mute of {what}.\nNext: {call.context.root} list", data=data)
        quiet = f"until {_clock(end, call)}{_ahead(end, call)}"
        return done(f"Muted {what} {quiet}.\nNext: {call.context.root} {again}", data=data)

    return Plan(
        title=f"Mute {what} until {_clock(end, call)}" if end else f"End the mute of {what}",
        effects=_effects(call, hooks) if end else "",
        thing=_thing(call, hooks),
        version_after=sum(hook.version for hook in hooks) + len(hooks),
        apply=apply,
        undo=_undo(hooks, end, call),
        note=note_of(call, f"muted {called} until {_clock(end, call)}" if end else f"ended the mute of {called}"),
        channels=tuple(dict.fromkeys(room for hook in hooks for room in rooms_of(hook))),
    )


def read_end(call: Call, slot: str, text: str) -> Millis | Problem:
    """Read how long (`1h`) or until when (`2026-03-02T09:00`) to be quiet."""
    now, zone, span = call.context.now, call.context.zone, call.values.span(slot)
    lasts = read_value(ValueType.DURATION, text, now=now, zone=zone)
    end = now + lasts if isinstance(lasts, int) else read_value(ValueType.TIME, text, now=now, zone=zone)
    if not isinstance(end, int):
        return no_end(call, f'"{one_line(text)}" is neither a duration nor a time.', span)
    return judged_end(call, Millis(end), span)


def judged_end(call: Call, end: Millis, span: Span | None) -> Millis | Problem:
    """Return the end of a mute if it lies ahead, but not too far."""
    if end <= call.context.now:
        return no_end(call, "This time is over already.", span)
    if end - call.context.now > LONGEST_MS:
        return no_end(call, "This is more than a year ahead.", span)
    return end


def no_end(call: Call, text: str, span: Span | None) -> Problem:
    """Say that it was not understood for how long."""
    return Problem(
        kind=ProblemKind.INVALID,
        text=text,
        span=span,
        allowed="a duration up to a year: 15m, 1h or 7d; a time; or off",
        next=f"help {call.command.words}",
    )


def is_quiet(hook: Hook, call: Call) -> bool:
    return is_muted(hook, call.context.now)


def _clock(end: Millis, call: Call) -> str:
    """Write the end of a mute so that it is still true when it is read later."""
    return datetime.fromtimestamp(end / 1000, call.context.zone).strftime("%Y-%m-%d %H:%M")


def _ahead(end: Millis, call: Call) -> str:
    relative = until(end, now=call.context.now, zone=call.context.zone)
    return f" ({relative})" if relative.startswith("in ") else ""


def _called(call: Call, hooks: Sequence[Hook]) -> str:
    """Call one hook by its name, several by their room."""
    if len(hooks) == 1:
        return one_line(hooks[0].name)
    return f"{plural(len(hooks), 'hook')} of {_room(call)}"


def _room(call: Call) -> str:
    room = call.context.room
    return f"#{room.name}" if room and room.name else "this room"


def _thing(call: Call, hooks: Sequence[Hook]) -> Thing:
    """Return what is changed; several hooks are one thing that changes whenever any of them does."""
    version = sum(hook.version for hook in hooks)
    if len(hooks) == 1:
        [hook] = hooks
        kind = f"{'incoming' if isinstance(hook, IncomingHook) else 'outgoing'} hook"
        return Thing(kind=kind, id=hook.id, name=hook.name, version=version)
    return Thing(kind="hooks of a room", id=call.context.place.channel, name=_room(call), version=version)


def _effects(call: Call, hooks: Sequence[Hook]) -> str:
    """Say what is not heard, and where else than here."""
    incoming = sum(isinstance(hook, IncomingHook) for hook in hooks)
    told = []
    if incoming:
        told.append("What tools send is answered as usual and posted nowhere.")
    if incoming < len(hooks):
        told.append("What happens meanwhile is not delivered, also not later.")
    elsewhere = {channel for hook in hooks for channel in hook.channels} - {_room(call)}
    if len(hooks) > 1 and elsewhere:
        told.append(f"{plural(len(elsewhere), 'other room')} will not hear them either.")
    return " ".join(told)


def _undo(hooks: Sequence[Hook], end: Millis | None, call: Call) -> str | None:
    """Return the line that makes the hooks as quiet as they were; None where one line cannot."""
    before = {hook.muted_until if is_quiet(hook, call) else None for hook in hooks}
    if len(before) != 1 or len(hooks) > MOST_NAMED or before == {end}:
        return None
    [was] = before
    exact = None if was is None else datetime.fromtimestamp(was / 1000, UTC).isoformat(timespec="milliseconds")
    if len(hooks) == 1:
        return f"room mute {hooks[0].id} {f'--until {quote(exact)}' if exact else '--off'}"
    return f"mute {quote(exact) if exact else 'off'} {' '.join(hook.id for hook in hooks)}"
