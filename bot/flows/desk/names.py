"""Names a caller may refer to, for completion: hooks they see, rooms they are in, people (commands.md §2.7)."""

from collections.abc import Sequence
from dataclasses import replace

from bot.flows.desks import Caller, Desk, Kit
from handlers.complete import NAMES, Names, Offer
from handlers.offers import HOOK_KINDS, direction_of, hook_offers, names_beginning
from handlers.permissions import sees_roles
from storage.records.integration import LATEST_FIRST


class CallersNames:
    """Implements `handlers.complete.Names` over what the directory remembers anyway."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._caller = caller

    async def offers(self, kind: str, typed: str, most: int) -> Sequence[Offer]:
        directory, user = self._kit.directory, self._caller.user
        if kind in HOOK_KINDS:
            latest = self._kit.hooks.seen(user, order=LATEST_FIRST)
            beginning = replace(latest, begins=typed or None, equal=direction_of(kind))
            return hook_offers(await self._kit.store.hook_outlines(beginning, count=most))
        if kind in ("rooms", "room"):
            rooms = {f"#{room.name}": "" for room in await directory.rooms_of(user.id) if room.name}
            return names_beginning(rooms, typed, most)
        if kind in ("users", "user") and self._caller.unlinked is None:
            told = sees_roles(user)
            people = {
                f"@{each.username}": each.role.value if told else "" for each in await directory.users() if each.active
            }
            return names_beginning(people, typed, most)
        return ()


def _make(kit: Kit, caller: Caller) -> Names:
    return CallersNames(kit, caller)


DESK: Desk = Desk(NAMES, _make)
