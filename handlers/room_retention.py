"""`room retention`: for how long, and how many of its messages, a room keeps."""

from handlers.answers import done, plural
from handlers.command import Answer, Audience, Call, Command, Confirm, Plan, Thing
from handlers.line import Problem, ProblemKind
from handlers.listing import note_of
from handlers.rooms import ROOM, ROOMS, Retention, find_room, lasting
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.records.changes import Changes
from storage.records.room import Room
from storage.records.user import Role

LEAST_KEEP_MS = 3_600_000
"""An hour: what is meant to be kept for less is no chat, and a slip of a unit must not empty a room."""

_KEEP, _LAST, _OFF = "keep", "keep-last", "off"
_ALLOWED = "--keep 30d, --keep-last 10000, both of them, or --off"


async def _retention(call: Call) -> Plan | Problem:
    room = await find_room(call, whole=True)
    if isinstance(room, Problem):
        return room
    wanted = _wanted(call)
    if isinstance(wanted, Problem):
        return wanted
    before = Retention.of(room)
    if wanted == before:
        text = f"#{room.name} keeps {wanted.in_words} already."
        return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"room show {room.id}")
    desk = call.services.of(ROOMS)
    going = await desk.beyond(room, wanted)

    async def apply(also: Changes) -> Answer | Problem:
        if fault := await desk.retain(room, wanted, also):
            return Problem(kind=ProblemKind.CONFLICT, text=fault.bracketed, next=f"room show {room.id}")
        text = f"#{room.name} keeps {wanted.in_words}. {_effects(going, wanted)}"
        data = {"id": room.id, "name": room.name, "keep_ms": wanted.keep_ms, "keep_last": wanted.keep_last}
        return done(f"{text}\nNext: {call.context.root} room show {room.id}", data=data)

    return Plan(
        title=f"Keep {wanted.in_words} in #{room.name} ({room.id})",
        effects=_effects(going, wanted),
        thing=Thing(kind="room", id=room.id, name=room.name or "", version=room.version),
        version_after=room.version + 1,
        apply=apply,
        confirm=Confirm.BUTTON if going else Confirm.NONE,
        undo=f"room retention {room.id} {before.flags}",
        note=note_of(call, f"set #{room.name} to keep {wanted.in_words}"),
        channels=(f"#{room.name}",),
    )


def _wanted(call: Call) -> Retention | Problem:
    keep, last, off = call.values.number(_KEEP), call.values.number(_LAST), call.values.switch(_OFF)
    if off == (keep is not None or last is not None):
        text = "Say what the room keeps: for how long, how many, or --off to keep everything."
        return Problem(kind=ProblemKind.USAGE, text=text, allowed=_ALLOWED, next=f"help {call.command.words}")
    if keep is not None and keep < LEAST_KEEP_MS:
        return Problem(
            kind=ProblemKind.INVALID,
            text=f"A room keeps its messages for {lasting(LEAST_KEEP_MS)} at least.",
            span=call.values.span(_KEEP),
            allowed=_ALLOWED,
        )
    return Retention(keep_ms=keep, keep_last=last)


def _effects(going: int, wanted: Retention) -> str:
    if wanted == Retention():
        return "Nothing is removed any more; what was removed does not come back."
    if not going:
        return "Nothing is beyond that now; what will be is removed within 10 min, with its files."
    return f"{plural(going, 'message')} and their files are removed within 10 min; no undo brings them back."


def kept_in_words(room: Room, removed: int) -> str:
    """Say what a room keeps, and what was removed so far."""
    gone = f"; {plural(removed, 'message')} removed so far" if removed else ""
    return f"{Retention.of(room).in_words}{gone}"


RETENTION = Command(
    noun="room",
    verb="retention",
    summary="sets for how long, and how many of its messages, a room keeps; what is not named has no bound",
    role=Role.ADMIN,
    audience=Audience.CALLER_AND_NOTE,
    writes=True,
    arguments=(Argument(name=ROOM, summary="#name or id", type=ValueType.REFERENCE, offers="rooms"),),
    flags=(
        Flag(name=_KEEP, summary="removes what is older", type=ValueType.DURATION, metavar="30d"),
        Flag(name=_LAST, summary="removes all but the newest so many", type=ValueType.NUMBER, metavar="N"),
        Flag(name=_OFF, summary="keeps everything from now on"),
    ),
    examples=("room retention #deploys --keep 30d --keep-last 10000", "room retention #deploys --off"),
    run=_retention,
)
