"""How answers about hooks call them, and what may be typed next."""

from handlers.command import Call
from handlers.line import one_line, quote
from handlers.services import HOOKS
from storage.records.integration import Hook, is_expired, is_muted


async def typable(call: Call, hook: Hook) -> str:
    """Return what names a hook in the next line: its name where that is plain and nobody else's, else its id."""
    plain = one_line(hook.name) == hook.name and hook.name[:1] not in "#-"
    return hook.id if not plain or await call.services.of(HOOKS).has_namesake(hook) else quote(hook.name)


def not_live(hook: Hook, call: Call) -> str | None:
    """Say what keeps a hook from passing anything on, or None (decisions 14, 65)."""
    name = one_line(hook.name)
    if not hook.enabled:
        return f"{name} is switched off."
    if is_expired(hook, call.context.now):
        return f"{name} has expired."
    return f"{name} is muted." if is_muted(hook, call.context.now) else None
