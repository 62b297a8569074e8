"""`out`: the hooks that call addresses when something happens in rooms."""

from handlers.answers import plural
from handlers.command import CommandContext, Noun
from handlers.listing import Wording, hook_noun, masked_address
from handlers.services import HOOKS
from storage.records.integration import Direction, Hook, OutgoingHook


def _place(hook: Hook) -> str:
    return ", ".join(hook.channels) or "every public room"


def _addresses(hook: OutgoingHook) -> str:
    return ", ".join(map(masked_address, hook.urls))


def _what(hook: Hook) -> str:
    return f"{hook.event} → {_addresses(hook)}" if isinstance(hook, OutgoingHook) else ""


def _facts(hook: Hook) -> list[tuple[str, str]]:
    if not isinstance(hook, OutgoingHook):
        return []
    retries = f"{hook.retry_count} tries, {hook.retry_delay}" if hook.retry_failed_calls else "none"
    return [
        ("event", hook.event),
        ("calls", _addresses(hook)),
        ("trigger words", ", ".join(hook.trigger_words) or "none"),
        ("answers as", hook.username),
        ("retries", retries),
        ("signed", "yes" if hook.signing_keys else "no"),
    ]


async def _effects(context: CommandContext, hook: Hook) -> str:
    counts = await context.services.of(HOOKS).queue_counts(hook.id)
    waiting = plural(counts.queued, "queued delivery", "queued deliveries")
    return f"{waiting} will be discarded, and its history goes."


NOUN: Noun = hook_noun(
    Wording(
        way=Direction.OUTGOING,
        one="outgoing hook",
        aliases=("outgoing",),
        place=_place,
        what=_what,
        facts=_facts,
        effects=_effects,
    )
)
