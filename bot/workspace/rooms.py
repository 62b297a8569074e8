"""What people do with rooms: make, enter, leave, rename, close them (decisions 25, 49)."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout, unheard_by
from bot.workspace.posting import NOT_ALLOWED, Posting
from bot.workspace.stops import Stops
from handlers.acting import Stopped
from handlers.errors import Fault
from storage.clock import Clock
from storage.errors import Taken
from storage.ids import OrgId, RoomId, random_text
from storage.ports import Ledger
from storage.records.changes import NOTHING, Changes, Fact, merge
from storage.records.event import EventKind
from storage.records.integration import Hook
from storage.records.room import Member, Room, RoomKind, direct_room_id
from storage.records.user import Role, User
from storage.records.version import revised

RenamedHooks = Callable[[str, str, User], Awaitable[Sequence[Hook]]]
"""Finds the hooks that name a room and returns them with its new name (decision 25)."""

MOST_TRIES = 5
"""Times a change is tried while somebody else, maybe another process, changes the room or the hooks that name it."""

_NAME = re.compile(r"[0-9A-Za-z_.-]{1,120}")


@dataclass(frozen=True, slots=True)
class Left:
    """A room after somebody is out of it, with the hooks that no longer work there."""

    room: Room
    stopped: tuple[Stopped, ...]


class Rooms:
    """Each method checks the caller's right, then commits one unit of work."""

    def __init__(
        self,
        directory: Directory,
        ledger: Ledger,
        fanout: Fanout,
        posting: Posting,
        clock: Clock,
        renamed_hooks: RenamedHooks,
    ) -> None:
        self._directory = directory
        self._ledger = ledger
        self._fanout = fanout
        self._posting = posting
        self._clock = clock
        self._renamed_hooks = renamed_hooks
        self._stops = Stops(directory, fanout)
        self._turn = asyncio.Lock()
        """Lets one change in at a time: each puts the room it has read, and only one of two such puts is written."""

    async def create(
        self,
        actor: User,
        name: str,
        kind: RoomKind,
        members: Sequence[User] = (),
        *,
        read_only: bool = False,
        also: Changes = NOTHING,
    ) -> Room | Fault:
        """Make a public or private room; the maker owns it. `also` is written with it or not at all."""
        fault = await self._name_fault(name)
        if fault:
            return fault
        now = self._clock.now()
        room = Room(
            id=RoomId(random_text(17)),
            org_id=OrgId(actor.org_id),
            kind=kind,
            name=name,
            owner_id=actor.id,
            read_only=read_only,
            created_at=now,
            updated_at=now,
        )
        places = {actor.id: Member(room_id=room.id, user_id=actor.id, joined_at=now, is_owner=True)}
        for user in members:
            places.setdefault(user.id, Member(room_id=room.id, user_id=user.id, joined_at=now))
        fact = await self._fanout.room(EventKind.ROOM_CREATED, room, actor, at=now, new_with=len(places))
        changes = Changes(new_rooms=(room,), add_members=tuple(places.values()), facts=(fact,))
        try:
            await self._ledger.commit(merge(changes, also))
        except Taken:
            return _name_taken(name)
        return room

    async def judge_name(self, name: str) -> Fault | None:
        """Return why no room may be called so, or None."""
        return await self._name_fault(name)

    async def open_direct(self, actor: User, other: User) -> Room:
        """Return the direct room of two users, making it when it is missing."""
        known = await self._directory.room(direct_room_id(tuple({actor.id, other.id})))
        if known is not None:
            return known
        room, changes = self._posting.direct_room(actor, other)
        await self._ledger.commit(changes)
        return room

    async def join(self, actor: User, room: Room) -> Room | Fault:
        """Enter a public room."""
        if room.kind is not RoomKind.PUBLIC:
            return NOT_ALLOWED
        if room.archived:
            return Fault(f"The channel, {room.name}, is archived", "error-room-archived")
        if await self._directory.member(room.id, actor.id) is None:
            await self._ledger.commit(await self._posting.join(room, actor))
        return room

    async def invite(self, actor: User, room: Room, users: Sequence[User]) -> Room | Fault:
        """Bring users into a room; members may, and admins into public rooms."""
        inside = await self._directory.member(room.id, actor.id) is not None
        if not inside and not (room.kind is RoomKind.PUBLIC and actor.role.at_least(Role.ADMIN)):
            return NOT_ALLOWED
        if any(not user.active for user in users):
            return Fault("Invalid user", "error-invalid-user")
        parts = [
            await self._posting.join(room, user)
            for user in users
            if await self._directory.member(room.id, user.id) is None
        ]
        if parts:
            await self._ledger.commit(merge(*parts))
        return room

    async def kick(self, actor: User, room: Room, user: User) -> Left | Fault:
        """Put a user out of a room."""
        if not await self.manages(actor, room):
            return NOT_ALLOWED
        return await self._out(room, user, actor)

    async def leave(self, actor: User, room: Room) -> Left | Fault:
        """Leave a room; its last owner has to name another one first."""
        return await self._out(room, actor, actor)

    async def archive(self, actor: User, room: Room, *, archived: bool, also: Changes = NOTHING) -> Room | Fault:
        """Close a room for messages, or open it again; `also` is written with it or not at all."""
        return await self._changing(room, lambda now: self._archive(actor, now, archived=archived, also=also))

    async def _archive(self, actor: User, room: Room, *, archived: bool, also: Changes) -> Room | Fault:
        if not await self.manages(actor, room):
            return NOT_ALLOWED
        if room.archived == archived:
            kind = "channel" if room.kind is RoomKind.PUBLIC else "private group"
            return Fault(f"The {kind}, {room.name}, is {'already' if archived else 'not'} archived")
        changed = replace(room, archived=archived, updated_at=self._clock.now())
        if not archived:
            return await self._put(actor, changed, also=also)
        fact = await self._fanout.room(EventKind.ROOM_ARCHIVED, changed, actor, at=changed.updated_at)
        return await self._put(actor, changed, facts=(fact,), also=also)

    async def rename(self, actor: User, room: Room, name: str) -> Room | Fault:
        """Give a room another name; hooks that name it follow in the same transaction (decision 25)."""
        return await self._changing(room, lambda now: self._rename(actor, now, name))

    async def _rename(self, actor: User, room: Room, name: str) -> Room | Fault:
        if not await self.manages(actor, room):
            return NOT_ALLOWED
        if name == room.name:
            kind = "channel" if room.kind is RoomKind.PUBLIC else "private group"
            return Fault(f"The {kind} name is the same as what it would be renamed to.")
        fault = await self._name_fault(name, besides=room)
        if fault:
            return fault
        hooks = await self._renamed_hooks(room.name or "", name, actor)
        facts = tuple(
            self._fanout.plain(EventKind.INTEGRATION_CHANGED, actor, {"id": hook.id, "name": hook.name})
            for hook in hooks
        )
        changed = replace(room, name=name, updated_at=self._clock.now())
        return await self._put(actor, changed, hooks=tuple(hooks), facts=facts)

    async def set_read_only(self, actor: User, room: Room, *, read_only: bool) -> Room | Fault:
        """Let only owners and admins post, or everybody again."""
        return await self._changing(room, lambda now: self._set_read_only(actor, now, read_only=read_only))

    async def _set_read_only(self, actor: User, room: Room, *, read_only: bool) -> Room | Fault:
        if not await self.manages(actor, room):
            return NOT_ALLOWED
        if room.read_only == read_only:
            kind = "channel" if room.kind is RoomKind.PUBLIC else "private group"
            return Fault(f"The {kind} read only setting is the same as what it would be changed to.")
        return await self._put(actor, replace(room, read_only=read_only, updated_at=self._clock.now()))

    async def set_retention(
        self, actor: User, room: Room, *, keep_ms: int | None, keep_last: int | None, also: Changes = NOTHING
    ) -> Room | Fault:
        """Say for how long, and how many of its messages, a room keeps; None sets no bound of that kind."""

        async def change(now: Room) -> Room | Fault:
            if not await self.manages(actor, now):
                return NOT_ALLOWED
            kept = replace(now, keep_ms=keep_ms, keep_last=keep_last, updated_at=self._clock.now())
            return await self._put(actor, kept, also=also)

        return await self._changing(room, change)

    async def _changing(self, room: Room, change: Callable[[Room], Awaitable[Room | Fault]]) -> Room | Fault:
        """Change a room as it is after the change before this one; look again when somebody else was faster."""
        async with self._turn:
            for _ in range(MOST_TRIES):
                try:
                    return await change(await self._directory.room(room.id) or room)
                except Taken:  # the room, its new name, or a hook that names it
                    self._directory.clear()
        return Fault("This room, or a webhook that names it, is being changed; try again.", "error-not-allowed")

    async def manages(self, actor: User, room: Room) -> bool:
        """Tell whether a user may change a room: its owners, and admins of the workspace."""
        if room.kind is RoomKind.DIRECT:
            return False
        member = await self._directory.member(room.id, actor.id)
        return actor.role.at_least(Role.ADMIN) or (member is not None and member.is_owner)

    async def _put(
        self,
        actor: User,
        room: Room,
        *,
        hooks: tuple[Hook, ...] = (),
        facts: tuple[Fact, ...] = (),
        also: Changes = NOTHING,
    ) -> Room:
        room = revised(room)
        changed = self._fanout.plain(EventKind.ROOM_CHANGED, actor, {"_id": room.id, "name": room.name}, room)
        await self._ledger.commit(merge(also, Changes(put_rooms=(room,), put_hooks=hooks, facts=(*facts, changed))))
        return room

    async def _out(self, room: Room, user: User, actor: User) -> Left | Fault:
        members = await self._directory.members(room.id)
        place = next((member for member in members if member.user_id == user.id), None)
        if room.kind is RoomKind.DIRECT:
            return NOT_ALLOWED
        if place is None:
            whom = "You are" if user.id == actor.id else "User is"
            return Fault(f"{whom} not in this room", "error-user-not-in-room")
        if place.is_owner and sum(member.is_owner for member in members) == 1:
            return Fault(
                "You are the last owner. Please set new owner before leaving the room.", "error-you-are-last-owner"
            )
        fact = await self._fanout.room(EventKind.ROOM_LEFT, room, user, at=self._clock.now())
        stopped = await self._stops.by_leaving(room, user)
        # the hooks that this stops do not call anybody about it any more
        fact = unheard_by(fact, {one.hook.id for one in stopped})
        out = Changes(drop_members=((room.id, user.id),), facts=(fact,))
        await self._ledger.commit(merge(out, self._stops.told(actor, stopped)))
        return Left(room, stopped)

    async def _name_fault(self, name: str, *, besides: Room | None = None) -> Fault | None:
        if not _NAME.fullmatch(name):
            return Fault(f"{name[:120]} is not a valid room name.", "error-invalid-room-name")
        holder = await self._directory.room_name_holder(name)
        if holder is None and await self._directory.room(RoomId(name)) is not None:
            holder = RoomId(name)  # a name that is another room's id would stand for two rooms
        if holder is not None and (besides is None or holder != besides.id):
            return _name_taken(name)
        return None


def _name_taken(name: str) -> Fault:
    return Fault(f"A channel with name '{name}' exists", "error-duplicate-channel-name", {"channel_name": name})
