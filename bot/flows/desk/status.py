"""How the server does, for `status`."""

from importlib.metadata import version

from bot.flows.desks import Caller, Desk, Kit
from handlers.services import STATUS, StatusDesk, StatusFacts
from storage.records.integration import BY_NAME

MOST_FAILING = 50
"""Failing hooks that are named; of more only their number is told."""


class Status:
    """Implements `handlers.services.StatusDesk`; what fails is told of the caller's own hooks only."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user

    async def status(self) -> StatusFacts:
        store = self._kit.store
        seen = self._kit.hooks.seen(self._user, order=BY_NAME)
        failing, count = await store.hooks_failing(seen, count=MOST_FAILING)
        chats = await store.workspaces(self._kit.directory.org)
        return StatusFacts(
            version=version("patchbay"),
            counts=await store.counts(),
            hooks=await store.hook_tally(seen, self._kit.clock.now()),
            failing=tuple(failing),
            failing_count=count,
            workspaces=tuple(chat.name for chat in chats),
        )


def _make(kit: Kit, caller: Caller) -> StatusDesk:
    return Status(kit, caller)


DESK: Desk = Desk(STATUS, _make)
