"""Exports for commands: how much there is, and an address at which to take it."""

import asyncio

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.downloads import Downloads
from handlers.commands.exporting import EXPORTS, ExportDesk
from handlers.portable.writing import written
from storage.records.changes import Changes
from storage.records.integration import Direction, direction


class Exports:
    """Implements `handlers.commands.exporting.ExportDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user
        self._downloads = Downloads(kit.store, kit.directory, kit.clock, kit.base_url)

    async def size(self, only: Direction | None) -> tuple[int, int]:
        hooks = [
            hook
            for hook in await self._kit.hooks.visible_by_name(self._user)
            if only is None or direction(hook) is only
        ]
        # thousands of hooks take a while to write, and nobody else should wait for it
        text = await asyncio.to_thread(written, hooks, now=self._kit.clock.now(), masked=True, only=only)
        return len(hooks), len(text.encode())

    def prepare(self, only: Direction | None) -> tuple[str, Changes]:
        return self._downloads.prepare(self._user.id, only)


def _make(kit: Kit, caller: Caller) -> ExportDesk:
    return Exports(kit, caller)


DESK: Desk = Desk(EXPORTS, _make)
