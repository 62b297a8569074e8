"""People in commands: how they are found and told, and what is asked of the server about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol

from handlers.acting import Stopped
from handlers.answers import ROWS
from handlers.command import Call
from handlers.line import Problem, ProblemKind, one_line
from handlers.nearest import nearest
from handlers.permissions import (
    CREATE_TOKENS,
    FULL,
    IMPERSONATE,
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
    OWN,
)
from handlers.references import resolve
from handlers.services import Need
from storage.clock import Millis
from storage.ids import UserId, WorkspaceId
from storage.records.changes import Changes
from storage.records.integration import Direction, Hook
from storage.records.user import Role, User

# --- what is asked of the server --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The rooms somebody is in, as far as the caller may know them."""

    names: tuple[str, ...] = ()
    """With their `#`."""
    hidden: int = 0
    """Private rooms the caller is not in."""
    direct: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGuest:
    """Somebody to invite."""

    username: str
    name: str
    email: str | None
    role: Role


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where a guest chooses a password, once; whoever has the address can."""

    address: str = field(repr=False)


class UserDesk(Protocol):
    """People, with the caller's rights over them; refusals are sentences (decisions 7, 22, 24)."""

    async def users(self) -> Sequence[User]:
        """Return everybody, by user name."""
        ...

    async def rooms(self, user: User) -> Rooms: ...
    async def posting_as(self, user: User) -> Sequence[Hook]:
        """Return the hooks that post as a user, enabled or not."""
        ...

    async def stopped_by(self, changed: User) -> Sequence[Stopped]:
        """Return the hooks that would lose rights of their maker, were a user as given."""
        ...

    async def refused_role(self, user: User, role: Role) -> str | None:
        """Tell why the caller may not give this role."""
        ...

    async def refused_activity(self, user: User, *, active: bool) -> str | None:
        """Tell why the caller may not disable or enable a user."""
        ...

    async def refused_guest(self, guest: NewGuest) -> str | None:
        """Tell why nobody can be invited like this."""
        ...

    async def refused_permissions(self, user: User) -> str | None:
        """Tell why the caller may not grant this user permissions, or take them away."""
        ...

    async def give_role(self, user: User, role: Role, also: Changes) -> str | None: ...
    async def set_permission(self, user: User, permission: str, *, granted: bool, also: Changes) -> str | None: ...
    async def set_active(self, user: User, *, active: bool, also: Changes) -> Sequence[Hook] | str:
        """Disable or enable a user at the state seen; return the hooks this switched off, or why not."""
        ...

    async def invite(self, guest: NewGuest, also: Changes) -> Invitation | str:
        """Make a user without password, who chooses one at a one-time address; or say why not."""
        ...

    async def invite_again(self, user: User, also: Changes) -> Invitation:
        """Return a new address for a guest; the one before is worth nothing any more."""
        ...

    async def accept(self, password: str, also: Changes) -> str | None:
        """Give the caller, a guest, the password they chose."""
        ...

    def is_guest(self, user: User) -> bool:
        """Tell whether somebody was invited and has not chosen a password yet."""
        ...

    @property
    def site(self) -> str:
        """Return where people sign in."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An account of another chat that is bound to a user."""

    workspace_id: WorkspaceId
    name: str
    """What the other chat is called here."""
    system: str
    """Which kind of chat it is: `slack`."""
    external_id: str
    external_name: str
    linked_at: Millis

    @property
    def id(self) -> str:
        return f"{self.workspace_id}:{self.external_id}"


@dataclass(frozen=True, slots=True)
class Chat:
    """Another chat that is connected."""

    name: str
    system: str


class LinkDesk(Protocol):
    """Accounts of other chats (decision 60)."""

    async def chats(self) -> Sequence[Chat]: ...
    async def here(self) -> Chat | None:
        """Return the other chat the caller types in, if it is one."""
        ...

    async def accounts(self, user_id: UserId) -> Sequence[Account]:
        """Return a user's accounts, oldest first."""
        ...

    async def make_code(self, also: Changes) -> str:
        """Make a code for the caller, good for 10 minutes and once."""
        ...

    async def redeem(self, code: str, also: Changes) -> User | Problem:
        """Bind the account the caller types from to whoever made the code."""
        ...

    async def unlink(self, user: User, account: Account, also: Changes) -> bool:
        """Take an account off; tell whether it was bound to this user still."""
        ...


USERS: Need[UserDesk] = Need("users")
LINKS: Need[LinkDesk] = Need("links")


# --- finding somebody -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Named:
    """A user as a reference names one."""

    user: User

    @property
    def id(self) -> str:
        return self.user.id

    @property
    def name(self) -> str:
        return self.user.username


async def find_user(call: Call, slot: str, *, whole: bool = False) -> User | Problem:
    """Return whom a reference names, with or without `@`; `whole` refuses the beginning of a name."""
    reference = (call.values.text(slot) or "").removeprefix("@")
    users = await call.services.of(USERS).users()
    found = resolve(reference, [_Named(user) for user in users])
    if len(found.things) == 1 and not (found.by_prefix and whole):
        return found.things[0].user
    span, shown = call.values.span(slot), one_line(reference)
    if not found.things:
        return Problem(
            kind=ProblemKind.UNKNOWN,
            text=f'There is no user "{shown}".',
            span=span,
            suggestions=nearest(reference, (user.username for user in users)),
            allowed="@name, the id, or a row of `user list`",
            next="user list",
        )
    names = ", ".join(f"@{each.name}" for each in found.things[:ROWS])
    more = f" and {len(found.things) - ROWS:,} more" if len(found.things) > ROWS else ""
    return Problem(
        kind=ProblemKind.AMBIGUOUS,
        text=f'"{shown}" is only the beginning of a name.',
        span=span,
        allowed=f"{names}{more}",
        next=f"{call.command.words} @{found.things[0].name}",
    )


# --- what is said of them ---------------------------------------------------------------------------

_WAYS = MappingProxyType({Direction.INCOMING: "incoming", Direction.OUTGOING: "outgoing"})
_OTHERS = MappingProxyType({IMPERSONATE: "post under other names", CREATE_TOKENS: "make personal access tokens"})
_ALL = frozenset({MANAGE_INCOMING, MANAGE_OUTGOING})
_OWN = frozenset({MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING})


def rights_in_words(role: Role, held: frozenset[str]) -> tuple[str, ...]:
    """Say what somebody may do, as phrases behind "may"."""
    people = ("manage people and rooms, and read the audit",) if role.at_least(Role.ADMIN) else ()
    others = tuple(words for permission, words in _OTHERS.items() if permission in held)
    return ("look", *_hooks_in_words(held), *people, *others)


def _hooks_in_words(held: frozenset[str]) -> tuple[str, ...]:
    if held >= _ALL:
        return ("manage every hook",)
    if held >= _OWN and not held & _ALL:
        return ("make hooks and manage own ones",)
    each = ((way, "every" if FULL[way] in held else "own" if OWN[way] in held else "") for way in Direction)
    return tuple(f"manage {which} {_WAYS[way]} hook{'s' if which == 'own' else ''}" for way, which in each if which)


def rooms_in_words(rooms: Rooms) -> str:
    """Name the rooms somebody is in, as many as a line takes."""
    shown = list(rooms.names[:ROWS])
    if more := len(rooms.names) - len(shown):
        shown.append(f"{more:,} more")
    if rooms.hidden:
        shown.append(f"{rooms.hidden:,} private")
    if rooms.direct:
        shown.append(f"{rooms.direct:,} direct")
    return ", ".join(shown) or "none"


def account_in_words(account: Account) -> str:
    """Name an account of another chat."""
    who = f"{account.external_name} ({account.external_id})" if account.external_name else account.external_id
    return f"{one_line(account.name)} ({account.system}): {one_line(who, 80)}"
