"""What commands have done, with the names of other chats in place of their ids."""

from collections.abc import Sequence
from dataclasses import replace

from bot.flows.desks import Caller, Desk, Kit
from handlers.commands.audit import AUDIT, AuditDesk
from storage.records.audit import AuditFilter, AuditRow


class AuditTrail:
    """Implements `handlers.commands.audit.AuditDesk`."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    async def rows(self, wanted: AuditFilter, *, offset: int, count: int) -> tuple[Sequence[AuditRow], int]:
        found, total = await self._kit.store.audit_rows(wanted, offset=offset, count=count)
        chats = {str(one.id): one.name for one in await self._kit.store.workspaces(self._kit.directory.org)}
        return [replace(row, place=_named(row.place, chats)) for row in found], total


def _named(place: str, chats: dict[str, str]) -> str:
    """Write a channel of another chat with that chat's name; the command line has no place."""
    workspace, colon, channel = place.partition(":")
    if not colon:
        return place
    return f"{chats.get(workspace, workspace)}:{channel}" if workspace else channel


def _make(kit: Kit, _: Caller) -> AuditDesk:
    return AuditTrail(kit)


DESK: Desk = Desk(AUDIT, _make)
