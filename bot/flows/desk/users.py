"""People for commands: seen, invited, given roles, switched off and on, with the caller's rights."""

from collections.abc import Sequence

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.forms import Forms
from bot.workspace.passwords import MIN_LENGTH
from bot.workspace.users import Changed, NewUser, UserUpdate, is_guest
from handlers.acting import Stopped
from handlers.command import Form, FormField, Place
from handlers.errors import UNAUTHORIZED, Fault
from handlers.people import USERS, Invitation, NewGuest, Rooms, UserDesk
from storage.records.changes import Changes, merge
from storage.records.integration import Hook
from storage.records.pending import PendingKind, PendingOf
from storage.records.room import RoomKind
from storage.records.user import Role, User

_INVITATION = Place(channel="invitation")
_FORM = Form(
    "Choose your password",
    "user accept --password ?",
    (FormField("password", "Password", f"at least {MIN_LENGTH} characters", secret=True, at_least=MIN_LENGTH),),
)
_CHANGED = "Somebody else changed this user meanwhile; look again and repeat."
_NO_PERSON = "rocket.cat speaks for Patchbay itself; it keeps its role and stays."


class UsersDesk:
    """Implements `handlers.people.UserDesk` over the rules of the workspace."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._users = kit.users
        self._actor = caller.user
        self._forms = Forms(kit.store, kit.directory, kit.clock, kit.base_url)

    @property
    def site(self) -> str:
        return self._kit.base_url

    async def users(self) -> Sequence[User]:
        return sorted(await self._kit.directory.users(), key=lambda user: user.username.casefold())

    async def rooms(self, user: User) -> Rooms:
        directory = self._kit.directory
        named = [room for room in await directory.rooms_of(user.id) if room.name]
        direct = sum(room.kind is RoomKind.DIRECT for room in await directory.rooms_of(user.id))
        known = {room.id for room in await directory.rooms_of(self._actor.id)}
        seen = [room for room in named if room.kind is RoomKind.PUBLIC or room.id in known]
        names = tuple(sorted(f"#{room.name}" for room in seen))
        return Rooms(names=names, hidden=len(named) - len(seen), direct=direct)

    async def posting_as(self, user: User) -> Sequence[Hook]:
        return await self._users.posting_as(user)

    async def stopped_by(self, changed: User) -> Sequence[Stopped]:
        return await self._users.stopped_by(changed)

    async def refused_role(self, user: User, role: Role) -> str | None:
        if user.type == "bot":
            return _NO_PERSON
        return self._why(user, await self._users.role_fault(self._actor, user, role))

    async def refused_activity(self, user: User, *, active: bool) -> str | None:
        if user.type == "bot":
            return _NO_PERSON
        return self._why(user, await self._users.activation_fault(self._actor, user, active=active))

    async def refused_guest(self, guest: NewGuest) -> str | None:
        fault = await self._users.creation_fault(self._actor, _new(guest))
        return None if fault is None else _sentence(fault)

    async def refused_permissions(self, user: User) -> str | None:
        return self._why(user, await self._users.permission_fault(self._actor, user))

    async def give_role(self, user: User, role: Role, also: Changes) -> str | None:
        if await self._stale(user):
            return _CHANGED
        done = await self._users.update(self._actor, user.id, UserUpdate(role=role), also=also)
        return self._why(user, done) if isinstance(done, Fault) else None

    async def set_permission(self, user: User, permission: str, *, granted: bool, also: Changes) -> str | None:
        if await self._stale(user):
            return _CHANGED
        done = await self._users.set_permission(self._actor, user.id, permission, granted=granted, also=also)
        return self._why(user, done) if isinstance(done, Fault) else None

    async def set_active(self, user: User, *, active: bool, also: Changes) -> Sequence[Hook] | str:
        if await self._stale(user):
            return _CHANGED
        done = await self._users.set_active(self._actor, user.id, active=active, also=also)
        return done.disabled if isinstance(done, Changed) else self._why(user, done) or ""

    async def invite(self, guest: NewGuest, also: Changes) -> Invitation | str:
        new = _new(guest)
        address, form = self._forms.prepare(_FORM, new.id, _INVITATION, "invitation")
        made = await self._users.create(self._actor, new, also=merge(form, also))
        return _sentence(made) if isinstance(made, Fault) else Invitation(address)

    async def invite_again(self, user: User, also: Changes) -> Invitation:
        address, form = self._forms.prepare(_FORM, user.id, _INVITATION, "invitation")
        before = PendingOf(PendingKind.FORM, user.id, _INVITATION.key)
        await self._kit.store.commit(merge(Changes(pending_clear=(before,)), form, also))
        return Invitation(address)

    async def accept(self, password: str, also: Changes) -> str | None:
        done = await self._users.accept(self._actor.id, password, also=also)
        return _sentence(done) if isinstance(done, Fault) else None

    def is_guest(self, user: User) -> bool:
        return is_guest(user)

    async def _stale(self, seen: User) -> bool:
        """Tell whether a user is no longer what was looked at and asked about."""
        now = await self._kit.directory.user(seen.id)
        return now is None or _rights(now) != _rights(seen)

    def _why(self, user: User, fault: Fault | None) -> str | None:
        if fault is not UNAUTHORIZED:
            return None if fault is None else _sentence(fault)
        if user.id == self._actor.id:
            return "Nobody changes their own rights; ask another admin."
        return f"{user.username} is {user.role}; only somebody with that role may change it."


def _rights(user: User) -> tuple[object, ...]:
    return user.role, user.active, user.granted, user.denied


def _new(guest: NewGuest) -> NewUser:
    return NewUser(username=guest.username, name=guest.name, password=None, email=guest.email, role=guest.role)


def _sentence(fault: Fault) -> str:
    return f"{(fault.reason or fault.bare).rstrip('.')}."


def _make(kit: Kit, caller: Caller) -> UserDesk:
    return UsersDesk(kit, caller)


DESK: Desk = Desk(USERS, _make)
