"""`room`: the rooms here and the hooks that stand in them (commands.md §2.2)."""

from handlers.answers import ROWS, done, moment, plural
from handlers.command import Answer, Audience, Call, Command, Confirm, Noun, Plan, Thing
from handlers.deliveries import find_hook_named
from handlers.errors import Fault
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import note_of
from handlers.muting import MUTES, is_quiet, judged_end, muted_plan, no_end
from handlers.paging import Row, listed, offset_of
from handlers.permissions import MANAGE_ANY, may_manage
from handlers.room_hooks import counted, listed_hooks, naming, standing_in
from handlers.room_retention import RETENTION, kept_in_words
from handlers.rooms import ROOM, ROOMS, NewRoom, RoomFacts, find_room, kind_of, state_of
from handlers.services import HOOKS
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.clock import Millis
from storage.records.changes import Changes
from storage.records.integration import Direction, IncomingHook, OutgoingHook
from storage.records.room import Room
from storage.records.user import Role

_NAME, _HOOK = "NAME", "HOOK"


async def _list(call: Call) -> Answer | Problem:
    desk = call.services.of(ROOMS)
    archived = call.values.switch("archived")
    rooms = [room for room in await desk.rooms() if room.archived == archived]
    part = rooms[offset_of(call) : offset_of(call) + ROWS]
    facts = await desk.facts([room.id for room in part])
    rows = [Row(room.id, _cells(room, facts.get(room.id, RoomFacts()), call)) for room in part]
    return listed(call, f"{plural(len(rooms), 'room')}{' in the archive' if archived else ''}", rows, total=len(rooms))


def _cells(room: Room, facts: RoomFacts, call: Call) -> dict[str, str]:
    """Return a row in the fixed order of commands.md §2.3."""
    return {
        "state": state_of(room),
        "name": f"#{room.name}",
        "id": room.id,
        "place": kind_of(room),
        "what": f"{plural(facts.members, 'member')}, {plural(facts.messages, 'message')}",
        "last traffic": _last(facts, call),
    }


def _last(facts: RoomFacts, call: Call) -> str:
    if facts.last_at is None:
        return "no traffic"
    return moment(facts.last_at, now=call.context.now, zone=call.context.zone)


async def _show(call: Call) -> Answer | Problem:
    room = await find_room(call)
    if isinstance(room, Problem):
        return room
    desk, context = call.services.of(ROOMS), call.context
    facts = (await desk.facts([room.id])).get(room.id, RoomFacts())
    told = [
        ("id", room.id),
        ("state", state_of(room)),
        ("kind", kind_of(room)),
        *([("topic", one_line(room.topic, 200))] if room.topic else []),
        *([("about", one_line(room.description, 200))] if room.description else []),
        ("owners", ", ".join(await desk.owners(room)) or "none"),
        ("members", f"{facts.members:,}"),
        ("messages", f"{facts.messages:,}"),
        ("last traffic", _last(facts, call)),
        ("keeps", kept_in_words(room, await desk.removed(room))),
        ("made", moment(room.created_at, now=context.now, zone=context.zone)),
        ("hooks", f"{await counted(call, standing_in(room)):,}"),
    ]
    lines = [f"Room #{room.name}", *(f"{name}: {value}" for name, value in told)]
    following = f"Next: {context.root} room hooks #{room.name}"
    return Answer("\n".join([*lines, following]), data={"name": room.name, **dict(told)})


async def _hooks(call: Call) -> Answer | Problem:
    room = await find_room(call)
    return room if isinstance(room, Problem) else await listed_hooks(call, room)


# --- making and closing -----------------------------------------------------------------------------


async def _create(call: Call) -> Plan | Problem:
    desk, root = call.services.of(ROOMS), call.context.root
    names = call.values.texts("invite")
    new = NewRoom(
        name=(call.values.text(_NAME) or "").removeprefix("#"),
        private=call.values.switch("private"),
        read_only=call.values.switch("read-only"),
        invited=tuple(name.removeprefix("@") for name in names),
    )
    if fault := await desk.judge(new):
        return _refused(fault, call)

    async def apply(also: Changes) -> Answer | Problem:
        room = await desk.create(new, also)
        if isinstance(room, Fault):
            return _refused(room, call, applying=True)
        text = f"Created room #{room.name} ({room.id}).\nNext: {root} in add NAME --room #{room.name}"
        return done(text, data={"id": room.id, "name": room.name})

    kind = "private" if new.private else "public"
    return Plan(
        title=f"Create {kind} room #{new.name}",
        effects=f"You own it; {plural(len(new.invited), 'other')} will be in it." if new.invited else "You own it.",
        apply=apply,
        note=note_of(call, f"created room #{new.name}"),
        channels=(f"#{new.name}",),
    )


def _refused(fault: Fault, call: Call, *, applying: bool = False) -> Problem:
    slot = "invite" if fault.code == "error-invalid-user" else _NAME
    taken = fault.code == "error-duplicate-channel-name"
    allowed = "@names of active people" if slot == "invite" else "letters, digits, dots, dashes and underscores"
    return Problem(
        kind=ProblemKind.CONFLICT if taken else ProblemKind.INVALID,
        text=fault.bracketed,
        span=None if applying else call.values.span(slot),
        allowed="another name" if taken else allowed,
        next="room list",
    )


async def _archive(call: Call) -> Plan | Problem:
    room = await find_room(call, whole=True)
    if isinstance(room, Problem):
        return room
    desk, root, closing = call.services.of(ROOMS), call.context.root, not call.values.switch("off")
    if room.archived == closing:
        text = f"#{room.name} is {'already' if closing else 'not'} archived."
        return Problem(kind=ProblemKind.CONFLICT, text=text, span=call.values.span(ROOM), next=f"room show {room.id}")
    deed = "archived" if closing else "opened"
    note = note_of(call, f"{deed} room #{room.name}")

    async def apply(also: Changes) -> Answer | Problem:
        if fault := await desk.archive(room, archived=closing, note=note, also=also):
            return Problem(kind=ProblemKind.CONFLICT, text=fault.bracketed, next=f"room show {room.id}")
        following = "room list --archived" if closing else f"room show {room.id}"
        text = f"{deed.capitalize()} room #{room.name} ({room.id}).\nNext: {root} {following}"
        return done(text, data={"id": room.id, "name": room.name, "archived": closing})

    return Plan(
        title=f"{'Archive' if closing else 'Open'} room #{room.name} ({room.id})",
        effects=await _lost(call, room) if closing else "People and hooks can write into it again.",
        # open or not is all that an undo depends on
        thing=Thing(kind="room", id=room.id, name=room.name or "", version=int(room.archived)),
        version_after=int(closing),
        apply=apply,
        confirm=Confirm.BUTTON if closing else Confirm.NONE,
        undo=f"room archive {room.id}{' --off' if closing else ''}",
        note=None if closing else note,
        channels=(f"#{room.name}",),
    )


async def _lost(call: Call, room: Room) -> str:
    """Say who can no longer write."""
    facts = (await call.services.of(ROOMS).facts([room.id])).get(room.id, RoomFacts())
    posting = await counted(call, naming(room, Direction.INCOMING))
    people = f"{plural(facts.members, 'member')} can read it, but nobody can write into it any more"
    refused = f"; {plural(posting, 'incoming hook')} will be refused there" if posting else ""
    return f"{people}{refused}."


# --- quiet ------------------------------------------------------------------------------------------


async def _mute(call: Call) -> Plan | Answer | Problem:
    hook = await find_hook_named(call, _HOOK, call.values.text(_HOOK) or "", (IncomingHook, OutgoingHook))
    if isinstance(hook, Problem):
        return hook
    if not may_manage(call.context.permissions, call.actor.id, hook):
        text = f'There is no hook "{one_line(call.values.text(_HOOK) or "")}".'
        return Problem(kind=ProblemKind.UNKNOWN, text=text, span=call.values.span(_HOOK), next="list")
    end = _end(call)
    if isinstance(end, Problem):
        return end
    if end is None and not is_quiet(hook, call):
        text = f"{one_line(hook.name)} is not muted."
        return Problem(kind=ProblemKind.CONFLICT, text=text, next=f"room mute {hook.id} --for 1h")
    return muted_plan(call, [hook], end)


def _end(call: Call) -> Millis | Problem | None:
    """Return until when; None ends it."""
    lasts, until, off = call.values.number("for"), call.values.number("until"), call.values.switch("off")
    if (lasts is not None) + (until is not None) + off != 1:
        return no_end(call, "Say either --for how long, or --until when, or --off.", None)
    if off:
        return None
    slot = "for" if until is None else "until"
    end = call.context.now + (lasts or 0) if until is None else until
    return judged_end(call, Millis(end), call.values.span(slot))


_ROOM = Argument(
    name=ROOM,
    summary="#name or id, if not this one",
    type=ValueType.REFERENCE,
    required=False,
    offers="rooms",
)

NOUN: Noun = Noun(
    name="room",
    summary="rooms and the hooks in them",
    aliases=("rooms",),
    alone=("rooms",),
    commands=(
        Command(
            noun="room",
            verb="list",
            summary="lists public rooms and private ones you are in",
            role=Role.VIEWER,
            flags=(Flag(name="archived", summary="those that are closed instead"),),
            pages=True,
            examples=("room list",),
            run=_list,
        ),
        Command(
            noun="room",
            verb="show",
            summary="shows one room",
            role=Role.VIEWER,
            arguments=(_ROOM,),
            examples=("room show", "room show #general"),
            run=_show,
        ),
        Command(
            noun="room",
            verb="create",
            summary="makes a room that you own",
            role=Role.EDITOR,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            arguments=(Argument(name=_NAME, summary="its name, with or without #"),),
            flags=(
                Flag(name="private", summary="only its members see it"),
                Flag(name="read-only", summary="only its owners and admins write into it"),
                Flag(
                    name="invite",
                    summary="who is in it from the start",
                    type=ValueType.LIST,
                    metavar="@USER,…",
                    offers="users",
                ),
            ),
            examples=("room create #deploys", "room create night-watch --private --invite @ann,@bob"),
            run=_create,
        ),
        Command(
            noun="room",
            verb="archive",
            summary="closes a room for messages, or opens it again",
            role=Role.ADMIN,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            confirm=Confirm.BUTTON,
            arguments=(Argument(name=ROOM, summary="#name or id", type=ValueType.REFERENCE, offers="rooms"),),
            flags=(Flag(name="off", summary="opens it again"),),
            examples=("room archive #deploys", "room archive #deploys --off"),
            run=_archive,
        ),
        RETENTION,
        Command(
            noun="room",
            verb="hooks",
            summary="lists the hooks of a room that you may see, incoming and outgoing",
            role=Role.VIEWER,
            arguments=(_ROOM,),
            pages=True,
            examples=("room hooks", "room hooks #general"),
            run=_hooks,
        ),
        Command(
            noun="room",
            verb="mute",
            summary="mutes one hook for a while",
            role=Role.EDITOR,
            permissions=MANAGE_ANY,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            arguments=(Argument(name=_HOOK, summary="id or name", type=ValueType.REFERENCE, offers="things"),),
            flags=(
                Flag(name="for", summary="how long", type=ValueType.DURATION, metavar="1h"),
                Flag(name="until", summary="until when", type=ValueType.TIME, metavar="TIME"),
                Flag(name="off", summary="ends it now"),
            ),
            examples=("room mute ci --for 1h", "room mute ci --off"),
            run=_mute,
        ),
    ),
    needs=(HOOKS, ROOMS, MUTES),
)
