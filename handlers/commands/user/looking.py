"""`user list` and `user show`: who there is, and what one of them may do."""

from handlers.answers import ROWS, moment, plural
from handlers.command import Answer, Call, Command
from handlers.line import Problem, one_line
from handlers.listing import NOUNS
from handlers.paging import Row, listed, offset_of
from handlers.people import (
    LINKS,
    USERS,
    UserDesk,
    account_in_words,
    find_user,
    rights_in_words,
    rooms_in_words,
)
from handlers.permissions import permissions
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.records.integration import direction
from storage.records.user import Role, User

USER = "USER"
USER_ARGUMENT = Argument(
    name=USER, summary="@name, id, or a row of `user list`", type=ValueType.REFERENCE, offers="users"
)
ROLES = tuple(role.value for role in Role)

_ROLE = Flag(name="role", summary="only those with one role", type=ValueType.TEXT, metavar="ROLE", choices=ROLES)
_DISABLED = Flag(name="disabled", summary="only those switched off")


async def _list(call: Call) -> Answer | Problem:
    desk, role = call.services.of(USERS), call.values.text(_ROLE.name)
    users = [
        user
        for user in await desk.users()
        if role in (None, user.role.value) and not (call.values.switch(_DISABLED.name) and user.active)
    ]
    part = users[offset_of(call) : offset_of(call) + ROWS]
    return listed(
        call, plural(len(users), "user"), [Row(user.id, _cells(call, desk, user)) for user in part], total=len(users)
    )


def _cells(call: Call, desk: UserDesk, user: User) -> dict[str, str]:
    context = call.context
    return {
        "state": state(desk, user),
        "name": f"@{user.username}",
        "id": user.id,
        "what": f"{user.role}{', bot' if user.is_bot or user.type == 'bot' else ''}",
        "full name": one_line(user.name),
        "made": moment(user.created_at, now=context.now, zone=context.zone),
    }


async def _show(call: Call) -> Answer | Problem:
    context = call.context
    user = await find_user(call, USER)
    if isinstance(user, Problem):
        return user
    desk = call.services.of(USERS)
    accounts = await call.services.of(LINKS).accounts(user.id)
    hooks = await desk.posting_as(user)
    shown = [f"{NOUNS[direction(hook)]} {one_line(hook.name)} ({hook.id})" for hook in hooks[:ROWS]]
    shown += [f"{len(hooks) - ROWS:,} more"] if len(hooks) > ROWS else []
    facts = {
        "id": user.id,
        "state": state(desk, user),
        "full name": one_line(user.name, 100),
        "e-mail": ", ".join(user.emails) or "none",
        "role": user.role.value,
        "may": "; ".join(rights_in_words(user.role, permissions(user))),
        "rooms": rooms_in_words(await desk.rooms(user)),
        "linked accounts": "; ".join(map(account_in_words, accounts)) or "none",
        "hooks that post as this user": ", ".join(shown) or "none",
        "made": moment(user.created_at, now=context.now, zone=context.zone),
    }
    lines = [f"{name}: {value}" for name, value in facts.items()]
    following = f"user role @{user.username} ROLE" if user.active else f"user enable @{user.username}"
    text = "\n".join([f"User @{user.username}", *lines, f"Next: {context.root} {following}"])
    return Answer(text, data={"username": user.username, **facts})


def state(desk: UserDesk, user: User) -> str:
    """Say in a word whether somebody can sign in."""
    if not user.active:
        return "off"
    return "invited" if desk.is_guest(user) else "on"


COMMANDS = (
    Command(
        noun="user",
        verb="list",
        summary="lists everybody, with their roles",
        role=Role.ADMIN,
        flags=(_ROLE, _DISABLED),
        pages=True,
        examples=("user list", "user list --role admin"),
        run=_list,
    ),
    Command(
        noun="user",
        verb="show",
        summary="shows one user: role, rights, rooms, linked accounts, hooks",
        role=Role.ADMIN,
        arguments=(USER_ARGUMENT,),
        examples=("user show @ann",),
        run=_show,
    ),
)
