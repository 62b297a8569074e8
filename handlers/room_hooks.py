"""The hooks that stand in a room, both ways in one list: `list` and `room hooks` (decision 58)."""

from handlers.answers import ROWS, plural
from handlers.command import Answer, Call
from handlers.line import Problem, one_line
from handlers.listing import NOUNS, last_traffic, state
from handlers.paging import Row, listed, offset_of
from handlers.services import HOOKS, Traffic
from storage.records.integration import Hook, OutgoingHook, direction
from storage.records.room import Room, RoomKind


async def hooks_of(call: Call, room: Room | None) -> list[Hook]:
    """Return the hooks of a room that the caller may see; outside of rooms nothing is left out."""
    return [hook for hook in await call.services.of(HOOKS).hooks() if room is None or _stands_in(hook, room)]


async def listed_hooks(call: Call, room: Room | None) -> Answer | Problem:
    """Answer with a page of them."""
    hooks = await hooks_of(call, room)
    part = hooks[offset_of(call) : offset_of(call) + ROWS]
    traffic = await call.services.of(HOOKS).traffic([hook.id for hook in part])
    rows = [Row(hook.id, _cells(call, hook, traffic.get(hook.id, Traffic()))) for hook in part]
    where = f" of #{room.name}" if room and room.name else ""
    return listed(call, f"{plural(len(hooks), 'hook')}{where}", rows, total=len(hooks))


def names_room(hook: Hook, room: Room) -> bool:
    """Tell whether a hook names a room itself."""
    return room.name is not None and f"#{room.name}".casefold() in map(str.casefold, hook.channels)


def _stands_in(hook: Hook, room: Room) -> bool:
    """Tell whether a hook concerns a room; in a direct room nothing is left out."""
    return room.name is None or (not hook.channels and room.kind is RoomKind.PUBLIC) or names_room(hook, room)


def _cells(call: Call, hook: Hook, traffic: Traffic) -> dict[str, str]:
    does = f"on {hook.event}" if isinstance(hook, OutgoingHook) else f"as {hook.username}"
    return {
        "state": state(hook, call.context),
        "name": one_line(hook.name),
        "id": hook.id,
        "place": one_line(", ".join(hook.channels) or "every public room", 60),
        "what": f"{NOUNS[direction(hook)]}, {does}",
        "last traffic": last_traffic(traffic, call.context),
        "failures": plural(traffic.failures, "failure"),
    }
