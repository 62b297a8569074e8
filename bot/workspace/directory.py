"""Who and what there is, remembered: lookups every request needs, read once until something changes."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from typing import Any, Protocol, TypeVar

from handlers.acting import may_act_as, may_reach
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.scopes import EVERYWHERE, scopes_for
from storage.ids import IntegrationId, OrgId, RoomId, UserId
from storage.ports import Integrations, Rooms, Tokens, Users
from storage.records.event import Event, EventKind
from storage.records.integration import Direction, Hook, OutgoingHook, WantedHooks, direction
from storage.records.room import Member, Room, RoomKind
from storage.records.user import Token, User

T = TypeVar("T")


class _HasOrg(Protocol):
    """A record that says which organisation it belongs to."""

    @property
    def org_id(self) -> OrgId: ...


Found = TypeVar("Found", bound=_HasOrg | None)

MOST_ENTRIES = 50_000
"""Entries remembered before all are dropped and read again."""

AT_ONCE = 200
"""Hooks read and opened together where all of them are needed: some milliseconds' work."""

LONGEST_KEY = 200
"""Characters of a name or id that is remembered: whoever calls chooses it, found or not."""

_MESSAGES_ONLY = frozenset(
    {
        EventKind.MESSAGE_POSTED,
        EventKind.MESSAGE_EDITED,
        EventKind.MESSAGE_DELETED,
        EventKind.MESSAGE_REACTED,
        EventKind.FILE_UPLOADED,
        EventKind.DELIVERY_REPLAYED,
    }
)
"""Events after which everything remembered still holds."""


class DirectoryStore(Users, Tokens, Rooms, Integrations, Protocol):
    """What the directory reads from."""

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> None: ...


class Directory:
    """Remembers records by every key they are looked up by; drops all of them on any change.

    One organisation is served: a record of another one is not there (decisions 6, 17).
    Changes are rare beside lookups, so one rule that cannot miss a case beats many that could.
    """

    def __init__(self, store: DirectoryStore, org: OrgId) -> None:
        self._store = store
        self.org = org
        # Any: each key holds what its own loader returned
        self._found: dict[Hashable, Any] = {}
        self._generation = 0
        store.subscribe(self._heard)

    def clear(self) -> None:
        """Forget everything: another process has written, or a change carries no event."""
        self._generation += 1
        self._found.clear()

    def _heard(self, events: Sequence[Event]) -> None:
        if any(event.kind not in _MESSAGES_ONLY for event in events):
            self.clear()

    async def remembered(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        """Return what `load` gives, which must follow from what is remembered here: it is forgotten with it."""
        if key in self._found:
            found: T = self._found[key]
            return found
        if _is_long(key):
            return await load()
        generation = self._generation
        value = await load()
        if generation == self._generation:  # else the value may be from before the change
            if len(self._found) >= MOST_ENTRIES:
                self._found.clear()
            self._found[key] = value
        return value

    def _own(self, found: Found) -> Found | None:
        return found if found is not None and found.org_id == self.org else None

    async def _all_own(self, finding: Awaitable[list[Found]]) -> list[Found]:
        return [one for one in await finding if self._own(one) is not None]

    async def user(self, user_id: UserId) -> User | None:
        """Find a user by id."""
        key = ("user", user_id)
        found: User | None = self._found.get(key)  # asked for by every request: without a step more
        if found is None:
            found = await self.remembered(key, lambda: self._store.user(user_id))
        return self._own(found)

    async def user_named(self, username: str) -> User | None:
        """Find a user by name, whatever its case."""
        return self._own(
            await self.remembered(("username", _folded(username)), lambda: self._store.user_named(username))
        )

    async def users(self) -> list[User]:
        """Return all users, oldest first."""
        return await self.remembered("users", lambda: self._store.users(self.org))

    async def token(self, key: bytes) -> Token | None:
        """Find a session or personal token by its keyed hash."""
        return await self.remembered(("token", key), lambda: self._token(key))

    async def _token(self, key: bytes) -> Token | None:
        token = await self._store.token(key)
        return token if token is not None and await self.user(token.user_id) is not None else None

    async def room(self, room_id: RoomId) -> Room | None:
        """Find a room by id."""
        return self._own(await self.remembered(("room", room_id), lambda: self._store.room(room_id)))

    async def room_called(self, name: str) -> Room | None:
        """Find a room by its id, else by its name, as most calls let people name one."""
        return await self.remembered(("room called", name), lambda: self._called(name))

    async def _called(self, name: str) -> Room | None:
        return await self.room(RoomId(name)) or await self.room_named(name)

    async def room_named(self, name: str) -> Room | None:
        """Find a public or private room by name, whatever its case."""
        return self._own(await self._room_named(name))

    async def room_name_holder(self, name: str) -> RoomId | None:
        """Return which room has a name, of any organisation: they are unique over the server (decision 17)."""
        found = await self._room_named(name)
        return found.id if found else None

    async def _room_named(self, name: str) -> Room | None:
        return await self.remembered(("room name", _folded(name)), lambda: self._store.room_named(name))

    async def rooms(self) -> list[Room]:
        """Return all rooms, oldest first."""
        return await self.remembered("rooms", lambda: self._store.rooms(self.org))

    async def rooms_of(self, user_id: UserId) -> list[Room]:
        """Return the rooms a user is in."""
        return await self.remembered(("rooms of", user_id), lambda: self._all_own(self._store.rooms_of(user_id)))

    async def member(self, room_id: RoomId, user_id: UserId) -> Member | None:
        """Return a user's membership of a room."""
        return await self.remembered(("member", room_id, user_id), lambda: self._store.member(room_id, user_id))

    async def members(self, room_id: RoomId) -> list[Member]:
        """Return a room's members, in the order they joined."""
        return await self.remembered(("members", room_id), lambda: self._store.members(room_id))

    async def participants(self, room: Room) -> tuple[User, ...]:
        """Return the users of a direct room; none for other rooms."""
        found = [await self.user(user_id) for user_id in room.direct_users]
        return tuple(user for user in found if user is not None)

    async def is_inside(self, room: Room, user_id: UserId) -> bool:
        """Tell whether somebody is in a room: a member of it, or one of a direct room's users."""
        if room.kind is RoomKind.DIRECT:
            return user_id in room.direct_users
        return await self.member(room.id, user_id) is not None

    async def may_reach(self, user: User | None, way: Direction, room: Room | None) -> bool:
        """Tell whether what somebody makes may hear or post into a room now; None is what happens in no room."""
        public = room is not None and room.kind is RoomKind.PUBLIC
        inside = not public and room is not None and user is not None and await self.is_inside(room, user.id)
        return may_reach(user, way, public=public, inside=inside)

    async def reaches(self, hook: Hook, room: Room | None) -> bool:
        """Tell whether a hook may hear or post into a room now, by the rights of who made it."""
        if room is not None and room.kind is RoomKind.PUBLIC:
            return True  # before the maker is looked up: most hooks stand in public rooms
        return await self.may_reach(await self.user(hook.created_by[0]), direction(hook), room)

    async def may_see(self, viewer: User, event: Event | None) -> bool:
        """Tell whether somebody may be shown what a hook heard: who may enter the room, of a gone event who may any."""
        if event is not None and event.room_id is None:
            return True
        room = None if event is None or event.room_id is None else await self.room(event.room_id)
        return await self.may_reach(viewer, Direction.OUTGOING, room)

    async def acts_as(self, hook: Hook, user: User) -> bool:
        """Tell whether a hook may post as somebody now, by the rights of who made it."""
        return may_act_as(await self.user(hook.created_by[0]), user, direction(hook))

    async def hook(self, hook_id: IntegrationId) -> Hook | None:
        """Find an integration by id."""
        key = ("hook", hook_id)
        found: Hook | None = self._found.get(key)
        if found is None:
            found = await self.remembered(key, lambda: self._store.hook(hook_id))
        return self._own(found)

    async def hooks(self) -> list[Hook]:
        """Return all integrations, oldest first: for what has to know every one, and may take its time."""
        return [hook async for hook in self.every_hook(WantedHooks(org_id=self.org))]

    async def every_hook(self, wanted: WantedHooks) -> AsyncIterator[Hook]:
        """Bring all hooks that are meant, a few at a time; nothing of them is remembered."""
        ids = await self._store.hook_ids(wanted)
        for start in range(0, len(ids), AT_ONCE):
            for hook in await self._store.hooks_of(ids[start : start + AT_ONCE]):
                yield hook

    async def hooks_made_by(self, user_id: UserId) -> int:
        """Return how many integrations a user has made or taken over, as it is now: nothing of it is remembered."""
        return await self._store.hooks_made_by(user_id)

    async def listening(self, event: OutgoingEvent, room: Room | None, author: User) -> list[OutgoingHook]:
        """Return the enabled outgoing hooks that hear an event by this author in this room, and may."""
        # who hears a direct room depends on the author too (`rocketchat.md` §6)
        by = author.id if room and room.kind is RoomKind.DIRECT else None
        key = ("listening", event, room.id if room else None, by)
        found: list[OutgoingHook] | None = self._found.get(key)
        return await self.remembered(key, lambda: self._listening(event, room, author)) if found is None else found

    async def _listening(self, event: OutgoingEvent, room: Room | None, author: User) -> list[OutgoingHook]:
        place = room if event.uses_channels else None
        scopes = scopes_for(place, await self.participants(place), author) if place else {EVERYWHERE}
        found = await self._all_own(self._store.hooks_listening(event.value, sorted(scopes)))
        # here and not for each message: whatever changes anybody's rights makes all of this be read again
        return [hook for hook in found if await self.reaches(hook, room)]


def _folded(name: str) -> str:
    """Fold case as the store does, ASCII only: other names must not share a place with ASCII ones (K is U+212A)."""
    return name.lower() if name.isascii() else name


def _is_long(key: Hashable) -> bool:
    return isinstance(key, tuple) and any(isinstance(part, str) and len(part) > LONGEST_KEY for part in key)
