"""`status`: how the server and the caller's hooks do; also what an empty line means."""

from collections import Counter
from collections.abc import Mapping, Sequence

from handlers.answers import moment, plural
from handlers.command import Answer, Call, Command, CommandContext, Noun
from handlers.line import one_line
from handlers.listing import state
from handlers.services import HOOKS, STATUS
from storage.records.integration import Direction, Hook, direction
from storage.records.queue import Counts
from storage.records.user import Role

_SHOWN = 5
_SILENT = ("off", "expired", "muted")
"""The states of hooks that pass nothing on."""


async def _run(call: Call) -> Answer:
    context = call.context
    facts = await context.services.of(STATUS).status()
    hooks = await context.services.of(HOOKS).hooks()
    failing = sorted((hook.name, hook.id) for hook in hooks if hook.id in facts.failing)
    counts = facts.counts
    silent = Counter(state(hook, context) for hook in hooks)
    chats = [f"Connected chats: {len(facts.workspaces):,} ({_names(facts.workspaces)})"] if facts.workspaces else []
    following = "dead list" if counts.dead else "delivery list"
    lines = [
        f"Patchbay {facts.version}",
        f"Deliveries: {_waiting(counts, context)}",
        f"Your hooks: {_by_direction(hooks)}",
        *([f"Silent: {quiet}"] if (quiet := _quiet(silent)) else []),
        f"Failing: {_names([name for name, _ in failing])}",
        *chats,
        f"Next: {context.root} help · {context.root} list · {context.root} {following}",
    ]
    data = {
        "version": facts.version,
        "queued": counts.queued,
        "dead": counts.dead,
        "oldestQueuedAt": counts.oldest_queued_at,
        "addresses": counts.lanes,
        "held": counts.held,
        "hooks": len(hooks),
        "silent": {word: silent[word] for word in _SILENT},
        "workspaces": list(facts.workspaces),
        "failing": [hook_id for _, hook_id in failing],
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
    return ", ".join(f"{states[word]:,} {word}" for word in _SILENT if states[word])


def _by_direction(hooks: Sequence[Hook]) -> str:
    incoming = sum(direction(hook) is Direction.INCOMING for hook in hooks)
    return f"{incoming:,} incoming, {len(hooks) - incoming:,} outgoing"


def _names(things: Sequence[str]) -> str:
    if not things:
        return "none"
    rest = len(things) - _SHOWN
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
    needs=(HOOKS, STATUS),
)
