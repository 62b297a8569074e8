"""`out`: the hooks that call addresses when something happens in rooms."""

from handlers.answers import plural
from handlers.command import Call, CommandContext, Noun
from handlers.hooks.adopting import adoption
from handlers.hooks.outgoing import made_and_changed, once_shown
from handlers.hooks.past import past
from handlers.hooks.previewing import call_preview
from handlers.hooks.rotating import rotation
from handlers.hooks.switching import switches
from handlers.hooks.trying import trial
from handlers.hooks.work import HOOK_TRIALS, HOOK_WORK
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


async def _held_up(call: Call, hook: Hook) -> str:
    counts = await call.services.of(HOOKS).queue_counts(hook.id)
    if not counts.queued:
        return "Nothing is called meanwhile."
    waiting = plural(counts.queued, "queued delivery waits", "queued deliveries wait")
    return f"{waiting} until it is enabled; what is older than 24 h then goes to the dead letters."


def _rotated(_: Call, hook: Hook) -> tuple[str, ...]:
    return once_shown(hook, token=True, key=True)


def _noticed(hook: Hook) -> str:
    key = isinstance(hook, OutgoingHook) and bool(hook.signing_keys)
    signed = " Signatures stay valid: the signing key of now signs on for 24 h beside the new one." if key else ""
    return f"Receivers that check the token refuse calls until they know the new one.{signed}"


_WORDING = Wording(
    way=Direction.OUTGOING,
    one="outgoing hook",
    aliases=("outgoing",),
    place=_place,
    what=_what,
    facts=_facts,
    effects=_effects,
)

NOUN: Noun = hook_noun(
    _WORDING,
    *made_and_changed(_WORDING),
    *switches(_WORDING, _held_up),
    rotation(_WORDING, _rotated, _noticed),
    adoption(_WORDING),
    trial(_WORDING),
    call_preview(_WORDING),
    *past(_WORDING),
    needs=(HOOK_WORK, HOOK_TRIALS),
)
