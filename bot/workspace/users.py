"""Making and changing users: who may, what it drags along, all in one commit (decisions 7, 21, 22, 24, 49)."""

from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.workspace import user_fields
from bot.workspace.accounts import Accounts
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.passwords import Passwords, digest_of, weakness
from bot.workspace.posting import Posting
from bot.workspace.stops import Stops
from handlers import permissions
from handlers.acting import Stopped
from handlers.errors import UNAUTHORIZED, Fault
from handlers.rocketchat.views import user_view
from storage import ports
from storage.clock import Clock
from storage.errors import Taken
from storage.ids import GENERAL, UserId, random_text
from storage.records.changes import NOTHING, Changes, Fact, merge
from storage.records.event import EventKind
from storage.records.integration import Hook, HookField, WantedHooks
from storage.records.user import Role, User
from storage.records.version import revised

INVALID_USER = Fault("Invalid user", "error-invalid-user")
NO_NEW_OWNER = Fault(
    "The role owner is given on the server only: patchbay user role NAME owner", "error-action-not-allowed"
)
LAST_OWNER = Fault("The last owner keeps the role; make somebody else owner first", "error-action-not-allowed")
HAS_PASSWORD = Fault("This account has a password already; sign in with it", "error-action-not-allowed")
OWNER_STAYS = Fault("An owner cannot be deactivated; give a lower role first", "error-action-not-allowed")


class UsersStore(ports.Ledger, ports.Users, ports.Integrations, Protocol):
    """What these rules read and write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """A user somebody asks for; the password is in clear, None for a guest who chooses one (`accept`)."""

    username: str
    name: str
    password: str | None = field(repr=False)
    email: str | None = None
    role: Role = Role.VIEWER
    is_bot: bool = False
    id: UserId = field(default_factory=lambda: UserId(random_text(17)))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserUpdate:
    """What to change of a user; None leaves a field as it is."""

    name: str | None = None
    email: str | None = None
    password: str | None = field(default=None, repr=False)
    role: Role | None = None
    is_bot: bool | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    """A user after a change, with the hooks it switched off or stopped."""

    user: User
    disabled: tuple[Hook, ...] = ()
    """Those that post as somebody who was deactivated."""
    stopped: tuple[Stopped, ...] = ()
    """Those that are on and lost rights of their maker."""


class Users:
    """Each method checks the actor's right, then commits one unit of work.

    Owners and admins manage users; admins never an owner, nor their own rights. `by_operator` marks the command
    line, the only door that makes owners. `also` is written with the change, or neither is.
    """

    def __init__(
        self,
        store: UsersStore,
        directory: Directory,
        fanout: Fanout,
        posting: Posting,
        accounts: Accounts,
        passwords: Passwords,
        clock: Clock,
    ) -> None:
        self._store = store
        self._directory = directory
        self._fanout = fanout
        self._posting = posting
        self._accounts = accounts
        self._passwords = passwords
        self._clock = clock
        self._stops = Stops(directory, fanout)

    async def create(
        self, actor: User, new: NewUser, *, by_operator: bool = False, also: Changes = NOTHING
    ) -> User | Fault:
        """Make a user, who joins `#general` as every new user of Rocket.Chat does."""
        fault = self._new_fault(actor, new, by_operator=by_operator)
        if fault:
            return fault
        user = User(
            id=new.id,
            org_id=self._directory.org,
            username=new.username,
            name=new.name,
            emails=(new.email,) if new.email is not None else (),
            role=new.role,
            is_bot=new.is_bot,
            created_at=self._clock.now(),
            password_hash=None if new.password is None else await self._passwords.hash(digest_of(new.password)),
        )
        async with self._accounts.changing:
            if fault := await self._taken_fault(new):
                return fault
            made = Changes(new_users=(user,), facts=(await self._fanout.user_created(user),))
            return await self._commit(user, merge(made, await self._welcome(user), also))

    async def creation_fault(self, actor: User, new: NewUser) -> Fault | None:
        """Tell why `create` would refuse."""
        return self._new_fault(actor, new, by_operator=False) or await self._taken_fault(new)

    async def accept(self, user_id: UserId, password: str, *, also: Changes = NOTHING) -> User | Fault:
        """Give a guest the password they chose; whoever has one changes it where they prove the old one."""
        if fault := weakness(password):
            return fault
        hashed = await self._passwords.hash(digest_of(password))
        async with self._accounts.changing:
            user = await self._store.user(user_id)
            if user is None or not user.active:
                return INVALID_USER
            if not is_guest(user):
                return HAS_PASSWORD
            return await self._put(user, replace(user, password_hash=hashed), also)

    async def update(
        self,
        actor: User,
        user_id: UserId,
        update: UserUpdate,
        *,
        by_operator: bool = False,
        also: Changes = NOTHING,
    ) -> Changed | Fault:
        """Change a user; a new password ends the user's sessions, personal tokens stay (decision 22)."""
        async with self._accounts.changing:
            user = await self._managed(actor, user_id)
            if isinstance(user, Fault):
                return user
            fault = _fields_fault(update) or await self._change_fault(actor, user, update, by_operator=by_operator)
            if fault:
                return fault
            hashed = await self._passwords.hash(digest_of(update.password)) if update.password is not None else None
            changed = replace(
                user,
                name=user.name if update.name is None else update.name,
                emails=user.emails if update.email is None else (update.email,),
                role=update.role or user.role,
                is_bot=user.is_bot if update.is_bot is None else update.is_bot,
                password_hash=hashed or user.password_hash,
            )
            if hashed is None:
                return await self._put_judged(actor, user, changed, also)
            ending = Changes(drop_tokens=await self._accounts.tokens_to_end(user.id, personal=False))
            return await self._put_judged(actor, user, changed, merge(ending, also), ends_sessions=True)

    async def role_fault(self, actor: User, user: User, role: Role) -> Fault | None:
        """Tell why `update` would refuse to give this role."""
        managed = await self._managed(actor, user.id)
        if isinstance(managed, Fault):
            return managed
        return await self._change_fault(actor, managed, UserUpdate(role=role), by_operator=False)

    async def activation_fault(self, actor: User, user: User, *, active: bool) -> Fault | None:
        """Tell why `set_active` would refuse."""
        managed = await self._managed(actor, user.id)
        if isinstance(managed, Fault):
            return managed
        return OWNER_STAYS if managed.role is Role.OWNER and managed.active and not active else None

    async def posting_as(self, user: User) -> list[Hook]:
        """Return the hooks that post as a user."""
        wanted = WantedHooks(org_id=self._directory.org, equal=((HookField.USER, user.id),))
        return [hook async for hook in self._directory.every_hook(wanted)]

    async def set_active(
        self, actor: User, user_id: UserId, *, active: bool, also: Changes = NOTHING
    ) -> Changed | Fault:
        """Activate or deactivate a user; deactivating ends everything the user is signed in with.

        It disables the hooks that post as this user and returns them, with those that lose what their maker might
        enter; activating does not enable any again.
        """
        async with self._accounts.changing:
            user = await self._managed(actor, user_id)
            if isinstance(user, Fault):
                return user
            if user.active == active:
                return Changed(user)
            changed = replace(user, active=active)
            if active:
                put = await self._put(actor, changed, also)
                return put if isinstance(put, Fault) else Changed(put)
            if user.role is Role.OWNER:
                return OWNER_STAYS
            hooks = await self._without_poster(actor, user)
            caused = Changes(
                drop_tokens=await self._accounts.tokens_to_end(user.id, personal=True),
                put_hooks=hooks,
                facts=tuple(
                    self._fanout.plain(EventKind.INTEGRATION_CHANGED, actor, {"id": hook.id}) for hook in hooks
                ),
            )
            off = {hook.id for hook in hooks}
            stopped = tuple(one for one in await self._stops.by_change(changed) if one.hook.id not in off)
            everything = merge(caused, self._stops.told(actor, stopped), also)
            put = await self._put(actor, changed, everything, ends_sessions=True)
            return put if isinstance(put, Fault) else Changed(put, hooks, stopped)

    async def stopped_by(self, changed: User) -> tuple[Stopped, ...]:
        """Return the hooks that would lose rights of their maker, were a user as given."""
        return await self._stops.by_change(changed)

    async def permission_fault(self, actor: User, user: User) -> Fault | None:
        """Tell why `set_permission` would refuse, whatever the permission."""
        managed = await self._managed(actor, user.id)
        if isinstance(managed, Fault):
            return managed
        return UNAUTHORIZED if _on_own_rights(actor, managed) else None

    async def set_permission(
        self, actor: User, user_id: UserId, permission: str, *, granted: bool, also: Changes = NOTHING
    ) -> Changed | Fault:
        """Grant a single permission to a user or take it away, whatever the role says (decision 7)."""
        if permission not in permissions.KNOWN:
            known = ", ".join(sorted(permissions.KNOWN))
            return Fault(f"There is no such permission; known are {known}", "error-invalid-permission")
        async with self._accounts.changing:
            user = await self._managed(actor, user_id)
            if isinstance(user, Fault):
                return user
            if _on_own_rights(actor, user):
                return UNAUTHORIZED
            plain = replace(user, granted=user.granted - {permission}, denied=user.denied - {permission})
            changed, exception = plain, frozenset({permission})
            if granted != (permission in permissions.permissions(plain)):
                changed = (
                    replace(plain, granted=plain.granted | exception)
                    if granted
                    else replace(plain, denied=plain.denied | exception)
                )
            return await self._put_judged(actor, user, changed, also)

    # --- who may do what ----------------------------------------------------------------------------

    async def _managed(self, actor: User, user_id: UserId) -> User | Fault:
        """Find a user the actor may manage."""
        if not actor.role.at_least(Role.ADMIN):
            return UNAUTHORIZED
        user = await self._store.user(user_id)
        if user is None or user.org_id != self._directory.org:
            return INVALID_USER
        return user if actor.role.at_least(user.role) else UNAUTHORIZED

    def _new_fault(self, actor: User, new: NewUser, *, by_operator: bool) -> Fault | None:
        return (
            self._role_fault(actor, new.role, by_operator=by_operator)
            or user_fields.username_fault(new.username)
            or user_fields.name_fault(new.name)
            or (user_fields.email_fault(new.email) if new.email is not None else None)
            or (weakness(new.password) if new.password is not None else None)
        )

    async def _taken_fault(self, new: NewUser) -> Fault | None:
        if await self._store.user_named(new.username):
            return _in_use(new.username)
        return await self._email_fault(new.email)

    def _role_fault(self, actor: User, role: Role, *, by_operator: bool) -> Fault | None:
        if not actor.role.at_least(Role.ADMIN):
            return UNAUTHORIZED
        return NO_NEW_OWNER if role is Role.OWNER and not by_operator else None

    async def _change_fault(self, actor: User, user: User, update: UserUpdate, *, by_operator: bool) -> Fault | None:
        new_role = update.role is not None and update.role is not user.role
        new_mark = update.is_bot is not None and update.is_bot != user.is_bot
        if (new_role or new_mark) and _on_own_rights(actor, user):
            return UNAUTHORIZED
        if update.role is not None and new_role:
            if fault := self._role_fault(actor, update.role, by_operator=by_operator):
                return fault
            if user.role is Role.OWNER and await self._only_owner(user):
                return LAST_OWNER
        if update.email is not None and update.email not in user.emails:
            return await self._email_fault(update.email, besides=user)
        return None

    async def _only_owner(self, owner: User) -> bool:
        others = await self._store.users(self._directory.org)
        return not any(user.role is Role.OWNER and user.active and user.id != owner.id for user in others)

    async def _email_fault(self, email: str | None, *, besides: User | None = None) -> Fault | None:
        holder = await self._store.user_with_email(email) if email is not None else None
        if email is None or holder is None or (besides is not None and holder.id == besides.id):
            return None
        return _in_use(email)

    # --- what is written ----------------------------------------------------------------------------

    async def _welcome(self, user: User) -> Changes:
        room = await self._directory.room(GENERAL)
        return Changes() if room is None or room.archived else await self._posting.join(room, user)

    async def _without_poster(self, actor: User, poster: User) -> tuple[Hook, ...]:
        """Return the enabled hooks that post as a user, disabled; each outgoing one holds its queue (decision 14)."""
        now = self._clock.now()
        return tuple(
            revised(hook, enabled=False, updated_at=now, updated_by=(actor.id, actor.username))
            for hook in await self.posting_as(poster)
            if hook.enabled
        )

    async def _put_judged(
        self, actor: User, before: User, changed: User, also: Changes, *, ends_sessions: bool = False
    ) -> Changed | Fault:
        """Write a user whose rights may be others, and the line each hook gets that this stops."""
        stopped: tuple[Stopped, ...] = ()
        if _rights(before) != _rights(changed):
            stopped = await self._stops.by_change(changed)
        put = await self._put(
            actor, changed, merge(self._stops.told(actor, stopped), also), ends_sessions=ends_sessions
        )
        return put if isinstance(put, Fault) else Changed(put, stopped=stopped)

    async def _put(
        self, actor: User, user: User, also: Changes = NOTHING, *, ends_sessions: bool = False
    ) -> User | Fault:
        # another process learns from the fact that it has sockets to close (decisions 22, 28)
        user = revised(user)
        body = {"user": user_view(user), "sessions_ended": ends_sessions}
        fact: Fact = self._fanout.plain(EventKind.USER_CHANGED, actor, body)
        put = await self._commit(user, merge(Changes(put_users=(user,), facts=(fact,)), also))
        if ends_sessions and isinstance(put, User):
            self._accounts.ended(user.id)
        return put

    async def _commit(self, user: User, changes: Changes) -> User | Fault:
        try:
            await self._store.commit(changes)
        except Taken:
            return Fault("Somebody else changed this meanwhile; look at it again and repeat")
        return user


def _rights(user: User) -> tuple[object, ...]:
    return user.role, user.is_bot, user.granted, user.denied


def is_guest(user: User) -> bool:
    """Tell whether somebody was invited and has not chosen a password yet."""
    return user.type == "user" and user.password_hash is None


def _on_own_rights(actor: User, user: User) -> bool:
    """Tell whether somebody acts on their own rights; what an owner took away stays away."""
    return user.id == actor.id and actor.role is not Role.OWNER


def _fields_fault(update: UserUpdate) -> Fault | None:
    return (
        (user_fields.name_fault(update.name) if update.name is not None else None)
        or (user_fields.email_fault(update.email) if update.email is not None else None)
        or (weakness(update.password) if update.password is not None else None)
    )


def _in_use(value: str) -> Fault:
    return Fault(f"{value} is already in use :(", "error-field-unavailable")
