"""People and bots, their roles, and the tokens they act with."""

from dataclasses import dataclass
from enum import StrEnum

from storage.clock import Millis
from storage.ids import OrgId, UserId


class Role(StrEnum):
    """The four roles of decision 7, most to least."""

    OWNER = "owner"
    ADMIN = "admin"
    EDITOR = "editor"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        """Return 0 for the highest role."""
        return list(Role).index(self)

    def at_least(self, other: "Role") -> bool:
        """Tell whether this role includes the other one."""
        return self.rank <= other.rank


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One account; serves every door (decision 7)."""

    id: UserId
    org_id: OrgId
    username: str
    name: str
    emails: tuple[str, ...] = ()
    role: Role = Role.VIEWER
    is_bot: bool = False
    """Holds Rocket.Chat's role `bot` (decision 20)."""
    type: str = "user"
    """`user` or `bot`, as Rocket.Chat shows it."""
    granted: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    active: bool = True
    created_at: Millis
    password_hash: str | None = None
    version: int = 1
    """Grows with every change; a change of an older version is refused."""


class TokenKind(StrEnum):
    """Why a token exists."""

    SESSION = "session"
    PERSONAL = "personal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A login session or a personal access token; only its keyed hash is stored (decision 9)."""

    hash: bytes
    user_id: UserId
    kind: TokenKind
    name: str | None
    last_part: str
    created_at: Millis
    last_used_at: Millis | None = None
    expires_at: Millis | None = None
