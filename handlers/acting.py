"""Who may act as whom, and which rooms a hook reaches: rights that end with the person who holds them.

A hook runs with its maker's rights, judged each time it runs: a maker who was put out of a room, got a lower role or
was deactivated takes the hook's reach along. Nothing here remembers; the directory brings the records.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from handlers.errors import Fault
from handlers.permissions import FULL, OWN, permissions
from storage.records.integration import Direction, Hook
from storage.records.user import Role, User

_ANYWHERE: Final = MappingProxyType(
    {
        Direction.INCOMING: frozenset({FULL[Direction.INCOMING], OWN[Direction.INCOMING]}),
        Direction.OUTGOING: frozenset({FULL[Direction.OUTGOING]}),
    }
)
"""What opens rooms one is not in: both permissions, as when a hook is made; for outgoing hooks the full one alone,
because that allows the words that hear every private room anyway."""

NOT_ACTING: Final = Fault("The webhook's maker may not let it post as this user", "error-not-allowed")
NOT_REACHING: Final = Fault("The webhook's maker may not enter this room", "error-not-allowed")
"""Why a hook is refused when it runs; senders are told the code alone."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """A hook that works no longer, or not everywhere any more."""

    hook: Hook
    why: str
    """A clause such as `its maker bob may not enter #board`."""


def is_bot(user: User) -> bool:
    """Tell whether an account is a bot's, which everybody's hooks may post as.

    An admin who holds role `bot` is a person here: to post under other names is no invitation to be posted as.
    """
    return (user.is_bot or user.type == "bot") and not user.role.at_least(Role.ADMIN)


def may_act_as(maker: User | None, other: User, way: Direction) -> bool:
    """Tell whether what `maker` makes may run in the name of `other`.

    As a bot and as oneself always; as anybody else only with the full permission of the direction, and never as
    somebody of a higher role. None as maker is somebody who is not there any more.
    """
    if is_bot(other):
        return True
    if maker is None or not maker.active:
        return False
    if maker.id == other.id:
        return True
    return FULL[way] in permissions(maker) and maker.role.at_least(other.role)


def may_reach(maker: User | None, way: Direction, *, public: bool, inside: bool) -> bool:
    """Tell whether what `maker` made may hear or post into a room, or a person be shown what was heard there.

    `public` rooms are open to everybody, `inside` says that the maker is in it. What happens in no room, and
    whole kinds of rooms, are neither.
    """
    if public:
        return True
    if maker is None or not maker.active:
        return False
    held = permissions(maker)
    return held >= _ANYWHERE[way] or (inside and not held.isdisjoint({FULL[way], OWN[way]}))


def lesser(one: User, other: User) -> User:
    """Return who of two may do less; the first one where their roles are the same."""
    return other if one.role.at_least(other.role) and one.role is not other.role else one
