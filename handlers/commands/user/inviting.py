"""`user invite` and `user accept`: a new user chooses a password at a one-time address (decision 66)."""

from dataclasses import replace

from handlers.answers import done
from handlers.command import Answer, Call, Command, Plan, Thing
from handlers.commands.user.looking import ROLES
from handlers.line import Problem, ProblemKind, one_line
from handlers.people import USERS, Invitation, NewGuest
from handlers.slots import Argument, Flag
from handlers.values import ValueType
from storage.records.changes import Changes
from storage.records.user import Role, User

_NAME = Argument(name="NAME", summary="the user name to be: letters, digits, . _ and -")
_ROLE = Flag(
    name="role",
    summary="what they may do; viewer unless given",
    type=ValueType.TEXT,
    metavar="ROLE",
    choices=ROLES,
)
_EMAIL = Flag(name="email", summary="with which they can sign in too", type=ValueType.TEXT, metavar="ADDRESS")
_FULL = Flag(name="full-name", summary="as people read it; the user name unless given", type=ValueType.TEXT)
_PASSWORD = Flag(
    name="password", summary="at least 12 characters", type=ValueType.TEXT, metavar="?", required=True, secret=True
)


async def _invite(call: Call) -> Plan | Problem:
    desk = call.services.of(USERS)
    username = (call.values.text(_NAME.name) or "").removeprefix("@")
    there = next((user for user in await desk.users() if user.username.casefold() == username.casefold()), None)
    if there is not None and there.active and desk.is_guest(there):
        return _again(call, there)
    guest = NewGuest(
        username=username,
        name=call.values.text(_FULL.name) or username,
        email=call.values.text(_EMAIL.name),
        role=Role(call.values.text(_ROLE.name) or Role.VIEWER),
    )
    if reason := await desk.refused_guest(guest):
        taken = there is not None
        return Problem(
            kind=ProblemKind.CONFLICT if taken else ProblemKind.INVALID,
            text=reason,
            span=call.values.span(_ROLE.name if guest.role is Role.OWNER else _NAME.name),
            allowed="a user name nobody has, of letters, digits, . _ and -; the roles admin, editor and viewer",
            next=f"user show @{there.username}" if there else "help user invite",
        )

    async def apply(also: Changes) -> Answer | Problem:
        made = await desk.invite(guest, also)
        if isinstance(made, str):
            return Problem(kind=ProblemKind.CONFLICT, text=made, next="user list")
        return _invited(call, username, f"User @{username} ({guest.role}) is invited.", made)

    return Plan(
        title=f"Invite user @{one_line(username)} ({guest.role})",
        effects="They choose a password at an address that works once, for 10 min.",
        thing=Thing(kind="user", id=username, name=username),
        apply=apply,
    )


def _again(call: Call, user: User) -> Plan | Problem:
    """Plan a new address for a guest who has not used the one before."""
    changed = next((flag.name for flag in (_ROLE, _EMAIL, _FULL) if call.values.text(flag.name) is not None), None)
    if changed is not None:
        return Problem(
            kind=ProblemKind.CONFLICT,
            text=f"@{user.username} is invited already; a new address changes nothing else.",
            span=call.values.span(changed),
            allowed=f"user invite {user.username}, for a new address",
            next=f"user role @{user.username} ROLE",
        )

    async def apply(also: Changes) -> Answer | Problem:
        made = await call.services.of(USERS).invite_again(user, also)
        return _invited(call, user.username, f"User @{user.username} ({user.role}) has a new address.", made)

    return Plan(
        title=f"Make a new address for @{user.username}, who is invited already",
        effects="The address made before stops working.",
        thing=_thing(user),
        apply=apply,
    )


def _invited(call: Call, username: str, outcome: str, made: Invitation) -> Answer:
    root = call.context.root
    text = (
        f"{outcome}\nAddress (shown once; works once, for 10 min): {made.address}\n"
        f"Send it to them and nobody else: whoever opens it chooses the password.\n"
        f"Next: {root} user show @{username} · for a new address: {root} user invite {username}"
    )
    answer = done(text, data={"username": username, "address": made.address})
    public = f"The address for @{username} was sent to @{call.actor.username} directly."
    return replace(answer, secret=True, public_text=public)


async def _accept(call: Call) -> Plan | Problem:
    desk, user = call.services.of(USERS), call.actor
    if call.context.unlinked or not desk.is_guest(user):
        return Problem(
            kind=ProblemKind.CONFLICT,
            text="You have a password already; this is for somebody who was invited and has none.",
            allowed="to sign in with the password you have",
            next="whoami",
        )

    async def apply(also: Changes) -> Answer | Problem:
        if reason := await desk.accept(call.values.secret(_PASSWORD.name) or "", also):
            text = f"{reason} Ask whoever invited you for a new address."
            return Problem(kind=ProblemKind.INVALID, text=text, next=f"user invite {user.username}")
        text = f"Your password is set. Sign in as {user.username} at {desk.site}\nNext: {call.context.root} help"
        return done(text, data={"username": user.username})

    return Plan(title="Set your first password", thing=_thing(user), apply=apply)


def _thing(user: User) -> Thing:
    return Thing(kind="user", id=user.id, name=user.username)


COMMANDS = (
    Command(
        noun="user",
        verb="invite",
        summary="makes a user, who chooses a password at a one-time address",
        role=Role.ADMIN,
        writes=True,
        shows_secret=True,
        arguments=(_NAME,),
        flags=(_ROLE, _EMAIL, _FULL),
        examples=("user invite bob --role editor", 'user invite bob --email bob@example.com --full-name "Bob Ng"'),
        run=_invite,
    ),
    Command(
        noun="user",
        verb="accept",
        summary="sets your first password, once you were invited",
        role=Role.VIEWER,
        writes=True,
        flags=(_PASSWORD,),
        examples=("user accept --password ?",),
        run=_accept,
    ),
)
