"""Outgoing hooks made and removed by whoever knows an incoming one's address: `/hooks/add` and `/hooks/remove` (§5.5).

That address may have leaked, so nothing is done that maker and posting user of the incoming hook may not both do.
"""

from bot.workspace.directory import Directory
from bot.workspace.hook_forms import Body, zapier_body
from bot.workspace.hook_rules import ownership_fault
from bot.workspace.hooks import UNAUTHORIZED, Hooks
from handlers.acting import lesser
from handlers.errors import NOT_PERMITTED, Fault
from storage.records.integration import Direction, Hook
from storage.records.user import User

NOT_FOUND = Fault("integration-not-found")


class Zapier:
    """Judges by the rights of two people, then acts as the one who may do less."""

    def __init__(self, directory: Directory, hooks: Hooks) -> None:
        self._directory = directory
        self._hooks = hooks

    async def add(self, hook: Hook, body: Body) -> Hook | Fault:
        """Make the outgoing hook a body asks for; it belongs to the lesser of the two."""
        pair = await self._behind(hook)
        if pair is None:
            return UNAUTHORIZED
        wanted = zapier_body(body)
        if isinstance(wanted, Fault):
            return wanted
        for one in pair:
            judged = await self._hooks.judge(one, wanted)
            if isinstance(judged, Fault):
                return judged
        return await self._hooks.create(lesser(*pair), wanted)

    async def remove(self, hook: Hook, body: Body) -> Hook | Fault:
        """Remove the outgoing hook that calls `target_url`."""
        pair = await self._behind(hook)
        if pair is None:
            return UNAUTHORIZED
        if not all(map(self._hooks.may_see_any, pair)):  # else the answer would tell which addresses are called
            return NOT_PERMITTED
        found = await self._hooks.calling(lesser(*pair), body.get("target_url"))
        if found is None:
            return NOT_FOUND
        for one in pair:
            if fault := ownership_fault(one, found, "deleteOutgoingIntegration"):
                return fault
        return await self._hooks.remove(lesser(*pair), {"type": Direction.OUTGOING.value, "integrationId": found.id})

    async def _behind(self, hook: Hook) -> tuple[User, User] | None:
        """Return maker and posting user of a hook, while both are there and the one may act as the other."""
        maker, poster = await self._directory.user(hook.created_by[0]), await self._directory.user(hook.user_id)
        if maker is None or poster is None or not maker.active or not await self._directory.acts_as(hook, poster):
            return None
        return maker, poster
