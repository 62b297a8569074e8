"""`status`: how the server and the caller's hooks do; also what an empty line means."""

from collections.abc import Sequence

from handlers.answers import moment, plural
from handlers.command import Answer, Call, Command, Noun
from handlers.line import one_line
from handlers.services import HOOKS, STATUS
from storage.records.integration import Direction, Hook, direction
from storage.records.user import Role

_SHOWN = 5


async def _run(call: Call) -> Answer:
    context = call.context
    facts = await context.services.of(STATUS).status()
    hooks = await context.services.of(HOOKS).hooks()
    failing = sorted((hook.name, hook.id) for hook in hooks if hook.id in facts.failing)
    counts = facts.counts
    waiting = f"{counts.queued:,} queued, {counts.dead:,} dead"
    if counts.oldest_queued_at is not None:
        waiting += f", oldest waiting since {moment(counts.oldest_queued_at, now=context.now, zone=context.zone)}"
    chats = [f"Connected chats: {facts.workspaces:,}"] if facts.workspaces else []
    lines = [
        f"Patchbay {facts.version}",
        f"Deliveries: {waiting}",
        f"Your hooks: {_by_direction(hooks)}",
        f"Failing: {_names([name for name, _ in failing])}",
        *chats,
        f"Next: {context.root} help · {context.root} in list · {context.root} out list",
    ]
    data = {
        "version": facts.version,
        "queued": counts.queued,
        "dead": counts.dead,
        "oldestQueuedAt": counts.oldest_queued_at,
        "hooks": len(hooks),
        "workspaces": facts.workspaces,
        "failing": [hook_id for _, hook_id in failing],
    }
    return Answer("\n".join(lines), data=data)


def _by_direction(hooks: Sequence[Hook]) -> str:
    incoming = sum(direction(hook) is Direction.INCOMING for hook in hooks)
    return f"{incoming:,} incoming, {len(hooks) - incoming:,} outgoing"


def _names(failing: list[str]) -> str:
    if not failing:
        return "none"
    rest = len(failing) - _SHOWN
    names = ", ".join(map(one_line, failing[:_SHOWN]))
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
