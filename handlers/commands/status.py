"""`status`: how the server and the caller's hooks do; also what an empty line means."""

from collections.abc import Mapping, Sequence

from handlers.answers import moment, plural
from handlers.command import Answer, Call, Command, CommandContext, Noun
from handlers.line import one_line
from handlers.services import STATUS
from storage.records.queue import Counts
from storage.records.user import Role

_SHOWN = 5


async def _run(call: Call) -> Answer:
    context = call.context
    facts = await context.services.of(STATUS).status()
    counts, hooks = facts.counts, facts.hooks
    silent = {"off": hooks.off, "expired": hooks.expired, "muted": hooks.muted}
    chats = facts.workspaces
    connected = [f"Connected chats: {len(chats):,} ({_names(chats, len(chats))})"] if chats else []
    following = "dead list" if counts.dead else "delivery list"
    failing = _names([hook.name for hook in facts.failing], facts.failing_count)
    lines = [
        f"Patchbay {facts.version}",
        f"Deliveries: {_waiting(counts, context)}",
        f"Your hooks: {hooks.incoming:,} incoming, {hooks.outgoing:,} outgoing",
        *([f"Silent: {quiet}"] if (quiet := _quiet(silent)) else []),
        f"Failing: {failing}",
        *connected,
        f"Next: {context.root} help · {context.root} list · {context.root} {following}",
    ]
    data = {
        "version": facts.version,
        "queued": counts.queued,
        "dead": counts.dead,
        "oldestQueuedAt": counts.oldest_queued_at,
        "addresses": counts.lanes,
        "held": counts.held,
        "hooks": hooks.incoming + hooks.outgoing,
        "silent": silent,
        "workspaces": list(facts.workspaces),
        "failing": [hook.id for hook in facts.failing],
    }
    return Answer("\n".join(lines), data=data)


def _waiting(counts: Counts, context: CommandContext) -> str:
    """Say what is queued for how many addresses, what is dead, and how long the oldest has waited."""
    to = f" for {plural(counts.lanes, 'address', 'addresses')}" if counts.lanes else ""
    held = f" ({counts.held:,} held, their hooks are off)" if counts.held else ""
    text = f"{counts.queued:,} queued{to}{held}, {counts.dead:,} dead"
    if counts.oldest_queued_at is None:
        return text
    return f"{text}, the oldest made {moment(counts.oldest_queued_at, now=context.now, zone=context.zone)}"


def _quiet(states: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {word}" for word, count in states.items() if count)


def _names(things: Sequence[str], total: int) -> str:
    if not things:
        return "none"
    rest = total - _SHOWN
    names = ", ".join(map(one_line, things[:_SHOWN]))
    return f"{names} and {plural(rest, 'other')}" if rest > 0 else names


NOUN: Noun = Noun(
    name="status",
    summary="how the server and your hooks do",
    commands=(
        Command(
            noun="status",
            verb=None,
            summary="shows queues, failing hooks, the oldest waiting delivery and the version",
            role=Role.VIEWER,
            examples=("status",),
            run=_run,
        ),
    ),
    needs=(STATUS,),
)
