"""`in`: the hooks that tools post to."""

from handlers.command import Call, CommandContext, Noun
from handlers.hooks.adopting import adoption
from handlers.hooks.incoming import address_once, made_and_changed
from handlers.hooks.past import past
from handlers.hooks.rotating import rotation
from handlers.hooks.switching import switches
from handlers.hooks.trying import preview, trial
from handlers.hooks.work import HOOK_TRIALS, HOOK_WORK
from handlers.listing import Wording, hook_noun
from storage.records.integration import Direction, Hook, IncomingHook


def _place(hook: Hook) -> str:
    return ", ".join(hook.channels)


def _what(hook: Hook) -> str:
    return f"posts as {hook.username}"


def _facts(hook: Hook) -> list[tuple[str, str]]:
    if not isinstance(hook, IncomingHook):
        return []
    return [
        ("posts as", hook.username),
        ("format", hook.format),
        ("signature", "checked" if hook.secret else "not checked"),
        ("duplicates", _duplicates(hook)),
        ("sender may choose the room", "yes" if hook.override_destination else "no"),
    ]


def _duplicates(hook: IncomingHook) -> str:
    """Say by which header a request that comes again is told (decision 37)."""
    if hook.dedup == "off":
        return "posted again, but for copies of a signed request" if hook.secret else "posted again"
    by = "webhook-id, X-GitHub-Delivery or Idempotency-Key" if hook.dedup == "standard" else hook.dedup
    return f"dropped, told by {by}"


async def _effects(_: CommandContext, hook: Hook) -> str:
    return f"Its address stops working at once; {_place(hook)} gets nothing from it any more."


async def _held_up(_: Call, hook: Hook) -> str:
    return f"Senders are told that it is off (503), and {_place(hook)} gets nothing from it."


_WORDING = Wording(
    way=Direction.INCOMING,
    one="incoming hook",
    aliases=("incoming", "hook"),
    place=_place,
    what=_what,
    facts=_facts,
    effects=_effects,
)

NOUN: Noun = hook_noun(
    _WORDING,
    *made_and_changed(_WORDING),
    *switches(_WORDING, _held_up),
    rotation(_WORDING, address_once, lambda _: ""),
    adoption(_WORDING),
    trial(_WORDING),
    preview(),
    *past(_WORDING),
    needs=(HOOK_WORK, HOOK_TRIALS),
)
