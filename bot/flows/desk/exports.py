"""Exports for commands: how much there is, and an address at which to take it."""

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.downloads import Downloads
from bot.workspace.exporting import export_pieces
from handlers.commands.exporting import EXPORTS, ExportDesk
from storage.records.changes import Changes
from storage.records.integration import Direction


class Exports:
    """Implements `handlers.commands.exporting.ExportDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user
        self._downloads = Downloads(kit.store, kit.directory, kit.clock, kit.base_url)

    async def size(self, only: Direction | None) -> tuple[int, int]:
        kit, now = self._kit, self._kit.clock.now()
        pieces = export_pieces(kit.hooks, kit.directory, self._user, now=now, only=only)
        size = sum([len(piece.encode()) async for piece in pieces])
        tally = await kit.store.hook_tally(kit.hooks.seen(self._user), now)
        counts = {None: tally.incoming + tally.outgoing}
        return (counts | {Direction.INCOMING: tally.incoming, Direction.OUTGOING: tally.outgoing})[only], size

    def prepare(self, only: Direction | None) -> tuple[str, Changes]:
        return self._downloads.prepare(self._user.id, only)


def _make(kit: Kit, caller: Caller) -> ExportDesk:
    return Exports(kit, caller)


DESK: Desk = Desk(EXPORTS, _make)
