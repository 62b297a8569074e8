"""Who holds which role, for refusals that say whom to ask."""

from collections.abc import Sequence

from bot.flows.desks import Caller, Desk, Kit
from handlers.services import PEOPLE, PeopleDesk
from storage.records.user import Role


class People:
    """Implements `handlers.services.PeopleDesk`."""

    def __init__(self, kit: Kit) -> None:
        self._directory = kit.directory

    async def holders(self, role: Role) -> Sequence[str]:
        users = await self._directory.users()
        return [user.username for user in users if user.active and user.type == "user" and user.role.at_least(role)]


def _make(kit: Kit, _: Caller) -> PeopleDesk:
    return People(kit)


DESK: Desk = Desk(PEOPLE, _make)
