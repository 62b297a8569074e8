"""People, linked accounts, audit rows and origins for commands that run over services held in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from handlers.acting import Stopped
from handlers.commands.audit import AUDIT
from handlers.commands.why import ORIGINS, Origin
from handlers.line import Problem, ProblemKind
from handlers.people import LINKS, USERS, Account, Chat, Invitation, NewGuest, Rooms
from handlers.services import Journal, Provided, provide
from storage.ids import MessageId, UserId
from storage.records.audit import AuditFilter, AuditRow
from storage.records.changes import Changes
from storage.records.integration import Hook
from storage.records.user import Role, User


@dataclass
class Town:
    """Everybody there is; refuses nothing, and writes what comes with each change."""

    actor: User
    journal: Journal
    site: str = "https://hooks.example.test"
    people: list[User] = field(default_factory=list)
    linked: list[Account] = field(default_factory=list)

    def provided(self) -> tuple[Provided, ...]:
        """Return the services of the nouns about people."""
        return provide(USERS, self), provide(LINKS, self), provide(AUDIT, self), provide(ORIGINS, self)

    async def users(self) -> Sequence[User]:
        return [self.actor, *self.people]

    async def rooms(self, user: User) -> Rooms:
        return Rooms(names=("#general",), direct=1)

    async def removed(self, message_id: MessageId, room: str | None) -> Sequence[str]:
        return ()

    async def posting_as(self, user: User) -> Sequence[Hook]:
        return ()

    async def stopped_by(self, changed: User) -> Sequence[Stopped]:
        return ()

    async def refused_role(self, user: User, role: Role) -> str | None:
        return None

    async def refused_activity(self, user: User, *, active: bool) -> str | None:
        return None

    async def refused_guest(self, guest: NewGuest) -> str | None:
        return None

    async def refused_permissions(self, user: User) -> str | None:
        return None

    async def set_permission(self, user: User, permission: str, *, granted: bool, also: Changes) -> str | None:
        await self.journal.commit(also)
        return None

    async def give_role(self, user: User, role: Role, also: Changes) -> str | None:
        await self.journal.commit(also)
        self._put(replace(user, role=role))
        return None

    async def set_active(self, user: User, *, active: bool, also: Changes) -> Sequence[Hook] | str:
        await self.journal.commit(also)
        self._put(replace(user, active=active))
        return ()

    async def invite(self, guest: NewGuest, also: Changes) -> Invitation | str:
        await self.journal.commit(also)
        return Invitation(f"{self.site}/forms/code")

    async def invite_again(self, user: User, also: Changes) -> Invitation:
        await self.journal.commit(also)
        return Invitation(f"{self.site}/forms/code")

    async def accept(self, password: str, also: Changes) -> str | None:
        await self.journal.commit(also)
        return None

    def is_guest(self, user: User) -> bool:
        return False

    async def chats(self) -> Sequence[Chat]:
        return [Chat("acme", "slack")]

    async def here(self) -> Chat | None:
        return None

    async def accounts(self, user_id: UserId) -> Sequence[Account]:
        return self.linked

    async def make_code(self, also: Changes) -> str:
        await self.journal.commit(also)
        return "K7M4QX2P"

    async def redeem(self, code: str, also: Changes) -> User | Problem:
        return Problem(kind=ProblemKind.INVALID, text="There is no such code.")

    async def unlink(self, user: User, account: Account, also: Changes) -> bool:
        await self.journal.commit(also)
        self.linked.remove(account)
        return True

    async def rows(self, wanted: AuditFilter, *, offset: int, count: int) -> tuple[Sequence[AuditRow], int]:
        return (), 0

    async def origin(self, message_id: MessageId) -> Origin | None:
        return None

    def _put(self, user: User) -> None:
        self.people = [user if each.id == user.id else each for each in self.people]
