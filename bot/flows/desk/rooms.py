"""Rooms for commands: those the caller may enter, made and closed by the rules of `bot/workspace/rooms.py`."""

from collections.abc import Mapping, Sequence

from bot.flows.desks import Caller, Desk, Kit
from bot.lists import sorted_in_slices
from handlers.errors import Fault
from handlers.rooms import ROOMS, NewRoom, Retention, RoomDesk, RoomFacts
from storage.clock import Millis
from storage.ids import RoomId
from storage.records.changes import NOTHING, Changes, merge
from storage.records.room import Room, RoomKind
from storage.records.user import User


class CallersRooms:
    """Implements `handlers.rooms.RoomDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user

    async def rooms(self) -> Sequence[Room]:
        directory = self._kit.directory
        public = [room for room in await directory.rooms() if room.kind is RoomKind.PUBLIC]
        private = [room for room in await directory.rooms_of(self._user.id) if room.kind is RoomKind.PRIVATE]
        return await sorted_in_slices((*public, *private), lambda room: ((room.name or "").casefold(), room.id))

    async def facts(self, room_ids: Sequence[RoomId]) -> Mapping[RoomId, RoomFacts]:
        found = await self._kit.store.room_counts(room_ids)
        return {room_id: RoomFacts(*counted) for room_id, counted in found.items()}

    async def owners(self, room: Room) -> Sequence[str]:
        directory = self._kit.directory
        owning = [member.user_id for member in await directory.members(room.id) if member.is_owner]
        users = [await directory.user(user_id) for user_id in owning]
        return [user.username for user in users if user is not None]

    async def judge(self, new: NewRoom) -> Fault | None:
        invited = await self._invited(new)
        return invited if isinstance(invited, Fault) else await self._kit.rooms.judge_name(new.name)

    async def create(self, new: NewRoom, also: Changes) -> Room | Fault:
        invited = await self._invited(new)
        if isinstance(invited, Fault):
            return invited
        kind = RoomKind.PRIVATE if new.private else RoomKind.PUBLIC
        return await self._kit.rooms.create(self._user, new.name, kind, invited, read_only=new.read_only, also=also)

    async def archive(self, room: Room, *, archived: bool, note: str, also: Changes) -> Fault | None:
        # nobody can write into it afterwards, so its note goes in with the deed itself
        told = await self._note(room, note) if archived else NOTHING
        changed = await self._kit.rooms.archive(self._user, room, archived=archived, also=merge(also, told))
        return changed if isinstance(changed, Fault) else None

    async def beyond(self, room: Room, retention: Retention) -> int:
        store, by_age = self._kit.store, 0
        if retention.keep_ms is not None:
            before = Millis(self._kit.clock.now() - retention.keep_ms)
            _, by_age = await store.messages(room.id, latest=before, count=1)
        _, messages, _ = (await store.room_counts([room.id])).get(room.id, (0, 0, None))
        return max(by_age, 0 if retention.keep_last is None else messages - retention.keep_last)

    async def removed(self, room: Room) -> int:
        found = (await self._kit.store.room_removals([room.id])).get(room.id)
        return found.messages if found else 0

    async def retain(self, room: Room, retention: Retention, also: Changes) -> Fault | None:
        changed = await self._kit.rooms.set_retention(
            self._user, room, keep_ms=retention.keep_ms, keep_last=retention.keep_last, also=also
        )
        return changed if isinstance(changed, Fault) else None

    async def _note(self, room: Room, note: str) -> Changes:
        """Return the note as a message, where `rocket.cat` may post it."""
        prepared = await self._kit.posting.notice(note, room.id)
        return NOTHING if isinstance(prepared, Fault) else prepared.changes

    async def _invited(self, new: NewRoom) -> list[User] | Fault:
        found = []
        for name in new.invited:
            user = await self._kit.directory.user_named(name)
            if user is None or not user.active:
                return Fault(f"There is nobody active called {name[:60]}", "error-invalid-user")
            found.append(user)
        return found


def _make(kit: Kit, caller: Caller) -> RoomDesk:
    return CallersRooms(kit, caller)


DESK: Desk = Desk(ROOMS, _make)
