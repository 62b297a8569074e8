"""Which hook a reference on the command line means."""

from bot.services import Services
from handlers.errors import Fault
from storage.records.integration import Hook
from storage.records.user import User


async def find(services: Services, owner: User, ref: str, *, whole_name: bool = False) -> Hook | Fault:
    """Find the one hook a reference means; what changes it takes no mere beginning of a name."""
    found = await services.hooks.find(owner, ref)
    if not found.things:
        return Fault(f"There is no hook {ref!r}; `patchbay hook list` shows all.")
    if len(found.things) > 1:
        ids = ", ".join(hook.id for hook in found.things)
        return Fault(f"{ref!r} may mean several hooks; name one by its id: {ids}.")
    if found.by_prefix and whole_name:
        return Fault(f"{ref!r} is only the beginning of a name; write {found.things[0].name!r} or the id.")
    return found.things[0]
