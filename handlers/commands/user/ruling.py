"""`user role`, `disable` and `enable`: what somebody may do, and whether they may at all (decisions 22, 24)."""

from collections.abc import Sequence
from dataclasses import replace

from handlers.acting import Stopped
from handlers.answers import ROWS, done, inert, plural
from handlers.command import Answer, Audience, Call, Command, Confirm, Plan
from handlers.commands.user.changing import (
    WHOLE,
    difference,
    pointless,
    reference,
    refused,
    stops_told,
    thing_of,
    version_of,
)
from handlers.commands.user.looking import ROLES, USER
from handlers.line import Problem
from handlers.listing import NOUNS, rooms_of
from handlers.people import USERS, find_user
from handlers.slots import Argument
from storage.records.changes import Changes
from storage.records.integration import Hook, direction
from storage.records.user import Role, User

_ROLE = Argument(name="ROLE", summary="viewer, editor, admin; owner is given on the server only", choices=ROLES)


async def _role(call: Call) -> Plan | Problem:
    desk = call.services.of(USERS)
    user = await find_user(call, USER, whole=True)
    if isinstance(user, Problem):
        return user
    role = Role(call.values.text(_ROLE.name) or Role.VIEWER)
    if role is user.role:
        return pointless(call, user, f"@{user.username} is {role} already.", _ROLE.name)
    if reason := await desk.refused_role(user, role):
        return refused(call, user, reason)
    changed = replace(user, role=role)
    stopped = await desk.stopped_by(changed)

    async def apply(also: Changes) -> Answer | Problem:
        if fault := await desk.give_role(user, role, also):
            return refused(call, user, fault)
        text = _joined(
            f"@{user.username} is {role} now, no longer {user.role}.", stops_told(stopped, call.context.root)
        )
        data = {"username": user.username, "role": role.value, "before": user.role.value, "stopped": _ids(stopped)}
        return done(text, data=data)

    return Plan(
        title=f"Make @{user.username} {role} instead of {user.role}",
        effects=_joined(difference(user, changed), stops_told(stopped)),
        thing=thing_of(user, version_of(user)),
        version_after=version_of(changed),
        apply=apply,
        # who has been owner gets that back on the server only
        undo=None if user.role is Role.OWNER else f"user role @{user.username} {user.role}",
    )


async def _disable(call: Call) -> Plan | Problem:
    user = await find_user(call, USER, whole=True)
    if isinstance(user, Problem):
        return user
    desk = call.services.of(USERS)
    if not user.active:
        return pointless(call, user, f"@{user.username} is switched off already.", USER)
    if reason := await desk.refused_activity(user, active=False):
        return refused(call, user, reason)
    hooks = [hook for hook in await desk.posting_as(user) if hook.enabled]
    posting = {hook.id for hook in hooks}
    stopped = [one for one in await desk.stopped_by(replace(user, active=False)) if one.hook.id not in posting]

    async def apply(also: Changes) -> Answer | Problem:
        off = await desk.set_active(user, active=False, also=also)
        if isinstance(off, str):
            return refused(call, user, off)
        first = f"@{user.username} is signed out everywhere and cannot sign in any more. {_switched_off(off)}"
        data = {"username": user.username, "disabled": [hook.id for hook in off], "stopped": _ids(stopped)}
        return done(_joined(first, stops_told(stopped, call.context.root)), data=data)

    itself = "That is you. " if user.id == call.actor.id else ""
    return Plan(
        title=f"Disable user @{user.username} ({user.role})",
        effects=_joined(
            f"{itself}Sessions end and personal tokens are gone for good. {_switched_off(hooks, will=True)}",
            stops_told(stopped),
        ),
        thing=thing_of(user, version_of(user)),
        version_after=version_of(replace(user, active=False)),
        apply=apply,
        undo=f"user enable @{user.username}",
        # a room reads of its own hooks, not which others there are
        note=f"{inert(call.actor.username)} disabled user {inert(user.username)}; hooks that post as that user are off."
        if hooks
        else None,
        channels=tuple(dict.fromkeys(channel for hook in hooks for channel in rooms_of(hook))),
    )


async def _enable(call: Call) -> Plan | Problem:
    user = await find_user(call, USER, whole=True)
    if isinstance(user, Problem):
        return user
    desk = call.services.of(USERS)
    if user.active:
        return pointless(call, user, f"@{user.username} is not switched off.", USER)
    if reason := await desk.refused_activity(user, active=True):
        return refused(call, user, reason)
    hooks = [hook for hook in await desk.posting_as(user) if not hook.enabled]

    async def apply(also: Changes) -> Answer | Problem:
        done_so = await desk.set_active(user, active=True, also=also)
        if isinstance(done_so, str):
            return refused(call, user, done_so)
        return done(f"@{user.username} can sign in again.{_still_off(call, user, hooks)}", data={"id": user.id})

    return Plan(
        title=f"Enable user @{user.username} ({user.role})",
        effects="Hooks that post as this user stay as they are.",
        thing=thing_of(user, version_of(user)),
        version_after=version_of(replace(user, active=True)),
        apply=apply,
        undo=f"user disable @{user.username}",
    )


def _switched_off(hooks: Sequence[Hook], *, will: bool = False) -> str:
    """Name the hooks that go off with their poster."""
    if not hooks:
        return "No hook posts as them."
    be = "will be" if will else "is" if len(hooks) == 1 else "are"
    return f"{plural(len(hooks), 'hook')} that post{'s' if len(hooks) == 1 else ''} as them {be} off: {_named(hooks)}."


def _still_off(call: Call, user: User, hooks: Sequence[Hook]) -> str:
    root = call.context.root
    if not hooks:
        return f"\nNext: {root} user show @{user.username}"
    first = hooks[0]
    return (
        f" Off as before: {_named(hooks)}.\nNext: {root} {NOUNS[direction(first)]} enable {first.id}"
        f" · {root} user show @{user.username}"
    )


def _joined(*sentences: str) -> str:
    return " ".join(filter(None, sentences))


def _ids(stopped: Sequence[Stopped]) -> list[str]:
    return [one.hook.id for one in stopped]


def _named(hooks: Sequence[Hook]) -> str:
    shown = [reference(hook) for hook in hooks[:ROWS]]
    return ", ".join(shown) + (f" and {len(hooks) - ROWS:,} more" if len(hooks) > ROWS else "")


COMMANDS = (
    Command(
        noun="user",
        verb="role",
        summary="gives somebody another role",
        role=Role.ADMIN,
        writes=True,
        confirm=Confirm.BUTTON,
        arguments=(WHOLE, _ROLE),
        examples=("user role @bob editor",),
        run=_role,
    ),
    Command(
        noun="user",
        verb="disable",
        summary="signs somebody out and keeps them out; hooks that post as them go off",
        role=Role.ADMIN,
        audience=Audience.CALLER_AND_NOTE,
        writes=True,
        confirm=Confirm.BUTTON,
        arguments=(WHOLE,),
        examples=("user disable @bob",),
        run=_disable,
    ),
    Command(
        noun="user",
        verb="enable",
        summary="lets somebody sign in again",
        role=Role.ADMIN,
        writes=True,
        arguments=(WHOLE,),
        examples=("user enable @bob",),
        run=_enable,
    ),
)
