"""Muting hooks for commands, several in one unit of work."""

from collections.abc import Sequence

from bot.flows.desks import Caller, Desk, Kit
from handlers.errors import Fault
from handlers.muting import MUTES, MuteDesk
from storage.clock import Millis
from storage.records.changes import Changes
from storage.records.integration import Hook


class Mutes:
    """Implements `handlers.muting.MuteDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user

    async def mute(self, hooks: Sequence[Hook], until: Millis | None, also: Changes) -> Fault | None:
        return await self._kit.hooks.mute(self._user, hooks, until, also)


def _make(kit: Kit, caller: Caller) -> MuteDesk:
    return Mutes(kit, caller)


DESK: Desk = Desk(MUTES, _make)
