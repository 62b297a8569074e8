"""The hooks that stand in a room, both ways in one list: `list` and `room hooks` (decision 58)."""

from handlers.answers import ROWS, plural
from handlers.command import Answer, Call
from handlers.line import Problem, one_line
from handlers.listing import NOUNS, last_traffic, state
from handlers.paging import Row, listed, offset_of
from handlers.services import HOOKS, HookFilter, Traffic
from storage.records.integration import EVERYWHERE, Direction, Hook, OutgoingHook, direction
from storage.records.room import Room, RoomKind


def standing_in(room: Room | None) -> HookFilter:
    """Return the filter for the hooks that concern a room; outside of rooms and in direct ones nothing is left out."""
    if room is None or room.name is None:
        return HookFilter()
    everywhere = (EVERYWHERE,) if room.kind is RoomKind.PUBLIC else ()
    return HookFilter(channels=(f"#{room.name}", *everywhere))


def naming(room: Room, way: Direction | None = None) -> HookFilter:
    """Return the filter for the hooks that name a room themselves."""
    return HookFilter(way=way, channels=() if room.name is None else (f"#{room.name}",))


async def listed_hooks(call: Call, room: Room | None) -> Answer | Problem:
    """Answer with a page of the hooks of a room that the caller may see."""
    part, total = await call.services.of(HOOKS).page(standing_in(room), offset=offset_of(call), count=ROWS)
    traffic = await call.services.of(HOOKS).traffic([hook.id for hook in part])
    rows = [Row(hook.id, _cells(call, hook, traffic.get(hook.id, Traffic()))) for hook in part]
    where = f" of #{room.name}" if room and room.name else ""
    return listed(call, f"{plural(total, 'hook')}{where}", rows, total=total)


async def counted(call: Call, wanted: HookFilter) -> int:
    """Return how many hooks a list would show."""
    return (await call.services.of(HOOKS).page(wanted, offset=0, count=0))[1]


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
