"""What a user may do, in Rocket.Chat's permission names (decisions 7 and 20)."""

from types import MappingProxyType

from storage.ids import UserId
from storage.records.integration import Direction, Hook, Sight, direction
from storage.records.user import Role, User

MANAGE_INCOMING = "manage-incoming-integrations"
MANAGE_OWN_INCOMING = "manage-own-incoming-integrations"
MANAGE_OUTGOING = "manage-outgoing-integrations"
MANAGE_OWN_OUTGOING = "manage-own-outgoing-integrations"
IMPERSONATE = "message-impersonate"
CREATE_TOKENS = "create-personal-access-tokens"

FULL = MappingProxyType({Direction.INCOMING: MANAGE_INCOMING, Direction.OUTGOING: MANAGE_OUTGOING})
OWN = MappingProxyType({Direction.INCOMING: MANAGE_OWN_INCOMING, Direction.OUTGOING: MANAGE_OWN_OUTGOING})

MANAGE_ANY = frozenset({*FULL.values(), *OWN.values()})
"""Any of these opens `integrations.list` and `integrations.remove` (`rocketchat.md` §4.2, §4.5)."""

KNOWN = MANAGE_ANY | {IMPERSONATE, CREATE_TOKENS}
"""Everything that can be granted to or taken from a single user."""

_BY_ROLE = MappingProxyType(
    {
        Role.OWNER: MANAGE_ANY,
        Role.ADMIN: MANAGE_ANY,
        Role.EDITOR: frozenset(OWN.values()),
        Role.VIEWER: frozenset[str](),
    }
)


def permissions(user: User) -> frozenset[str]:
    """Return what a user holds: the role's permissions, those of a bot, plus granted, minus denied."""
    of_bots = {IMPERSONATE} if user.is_bot else set[str]()
    return (_BY_ROLE[user.role] | of_bots | {CREATE_TOKENS} | user.granted) - user.denied


def sees_roles(user: User) -> bool:
    """Tell whether a user is told who holds which role, and so who the admins are: worth knowing to an attacker."""
    return user.role.at_least(Role.ADMIN)


def may_call_everybody(user: User, *, owns_room: bool) -> bool:
    """Tell whether `@all` and `@here` of a user call everybody in a room: admins anywhere, owners in their rooms."""
    return owns_room or user.role.at_least(Role.ADMIN)


def sees_all(held: frozenset[str]) -> bool:
    """Tell whether every hook is in this user's list (`rocketchat.md` §4.2)."""
    return MANAGE_INCOMING in held and MANAGE_OUTGOING in held


def sight(held: frozenset[str], user_id: UserId) -> Sight:
    """Return which hooks are in this user's list (`rocketchat.md` §4.2).

    Whoever holds both own permissions sees own hooks only, even beside a single full one.
    """
    full = frozenset(way for way in Direction if FULL[way] in held)
    own = frozenset(way for way in Direction if OWN[way] in held)
    if own == frozenset(Direction) and not sees_all(held):
        full = frozenset()
    return Sight(user_id=user_id, all_of=full, own_of=own)


def visible(held: frozenset[str], user_id: UserId, hook: Hook) -> bool:
    """Tell whether a hook is in this user's list, as `sight` says."""
    seen, way = sight(held, user_id), direction(hook)
    return way in seen.all_of or (way in seen.own_of and hook.created_by[0] == user_id)


def may_manage(held: frozenset[str], user_id: UserId, hook: Hook) -> bool:
    """Tell whether a user may read and change this one hook (`rocketchat.md` §4.3, §4.5)."""
    way = direction(hook)
    return FULL[way] in held or (OWN[way] in held and hook.created_by[0] == user_id)
