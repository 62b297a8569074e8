"""`list`: every hook of this room, both ways, in one list (decision 58)."""

from handlers.answers import ROWS, plural
from handlers.command import Answer, Call, Command, Noun
from handlers.line import Problem, one_line
from handlers.listing import NOUNS, last_traffic, state
from handlers.paging import Row, listed, offset_of
from handlers.services import HOOKS, Traffic
from storage.records.integration import Hook, OutgoingHook, direction
from storage.records.user import Role


async def _run(call: Call) -> Answer | Problem:
    room = call.context.room
    hooks = [hook for hook in await call.services.of(HOOKS).hooks() if room is None or _stands_in(hook, room.name)]
    part = hooks[offset_of(call) : offset_of(call) + ROWS]
    traffic = await call.services.of(HOOKS).traffic([hook.id for hook in part])
    rows = [Row(hook.id, _cells(call, hook, traffic.get(hook.id, Traffic()))) for hook in part]
    where = f" of #{room.name}" if room and room.name else ""
    return listed(call, f"{plural(len(hooks), 'hook')}{where}", rows, total=len(hooks))


def _stands_in(hook: Hook, name: str | None) -> bool:
    """Tell whether a hook concerns a room; in a direct room nothing is left out."""
    return name is None or not hook.channels or f"#{name}".casefold() in map(str.casefold, hook.channels)


def _cells(call: Call, hook: Hook, traffic: Traffic) -> dict[str, str]:
    return {
        "state": state(hook),
        "name": one_line(hook.name),
        "id": hook.id,
        "place": one_line(", ".join(hook.channels) or "every public room", 60),
        "what": f"{NOUNS[direction(hook)]} {hook.event if isinstance(hook, OutgoingHook) else hook.username}",
        "last traffic": last_traffic(traffic, call.context),
        "failures": plural(traffic.failures, "failure"),
    }


NOUN: Noun = Noun(
    name="list",
    summary="the hooks of this room, both ways",
    commands=(
        Command(
            noun="list",
            verb=None,
            summary="lists the hooks of this room that you may see, incoming and outgoing",
            role=Role.VIEWER,
            pages=True,
            examples=("list", "list --page 2"),
            run=_run,
        ),
    ),
    needs=(HOOKS,),
)
