"""How the server does, for `status`."""

from importlib.metadata import version

from bot.flows.desks import Caller, Desk, Kit
from handlers.services import STATUS, StatusDesk, StatusFacts


class Status:
    """Implements `handlers.services.StatusDesk`; what fails is told of the caller's own hooks only."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user

    async def status(self) -> StatusFacts:
        store = self._kit.store
        last = await store.passed([hook.id for hook in await self._kit.hooks.visible(self._user)], 1)
        failing = frozenset(hook_id for hook_id, passed in last.items() if passed.failures)
        chats = await store.workspaces(self._kit.directory.org)
        return StatusFacts(version("patchbay"), await store.counts(), failing, tuple(chat.name for chat in chats))


def _make(kit: Kit, caller: Caller) -> StatusDesk:
    return Status(kit, caller)


DESK: Desk = Desk(STATUS, _make)
