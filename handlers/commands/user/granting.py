"""`user grant` and `user deny`: a single permission, whatever the role says (decision 7)."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from handlers.answers import done
from handlers.command import Answer, Call, Command, Confirm, Plan
from handlers.commands.user.changing import (
    WHOLE,
    difference,
    pointless,
    refused,
    stops_told,
    thing_of,
    version_of,
)
from handlers.commands.user.looking import USER
from handlers.line import Problem
from handlers.people import USERS, find_user
from handlers.permissions import KNOWN, permissions
from handlers.slots import Argument
from storage.records.changes import Changes
from storage.records.user import Role, User

_PERMISSION = Argument(
    name="PERMISSION", summary="one permission, by its name in Rocket.Chat", choices=tuple(sorted(KNOWN))
)


def _changing(*, granted: bool) -> Callable[[Call], Awaitable[Plan | Problem]]:
    verb, inverse = ("grant", "deny") if granted else ("deny", "grant")

    async def plan(call: Call) -> Plan | Problem:
        desk = call.services.of(USERS)
        user = await find_user(call, USER, whole=True)
        if isinstance(user, Problem):
            return user
        permission = call.values.text(_PERMISSION.name) or ""
        held = permission in permissions(user)
        if reason := await desk.refused_permissions(user):
            return refused(call, user, reason)
        if held == granted:
            state = f"holds {permission} already" if held else f"does not hold {permission} anyway"
            return pointless(call, user, f"@{user.username} {state}.", _PERMISSION.name)

        changed = _after(user, permission, granted=granted)
        stopped = await desk.stopped_by(changed)

        async def apply(also: Changes) -> Answer | Problem:
            if fault := await desk.set_permission(user, permission, granted=granted, also=also):
                return refused(call, user, fault)
            now = "holds" if granted else "does not hold"
            told = stops_told(stopped, call.context.root)
            text = f"@{user.username} {now} {permission} now, whatever the role says.{f' {told}' if told else ''}"
            return done(text, data={"username": user.username, "permission": permission, "granted": granted})

        return Plan(
            title=f"{verb.capitalize()} @{user.username} {permission}",
            effects=" ".join(filter(None, (difference(user, changed), stops_told(stopped)))),
            thing=thing_of(user, _version(user, held=held)),
            version_after=_version(user, held=granted),
            apply=apply,
            undo=f"user {inverse} @{user.username} {permission}",
        )

    return plan


def _after(user: User, permission: str, *, granted: bool) -> User:
    one = frozenset({permission})
    if granted:
        return replace(user, granted=user.granted | one, denied=user.denied - one)
    return replace(user, granted=user.granted - one, denied=user.denied | one)


def _version(user: User, *, held: bool) -> int:
    return version_of(user) * 2 + held


COMMANDS = tuple(
    Command(
        noun="user",
        verb=verb,
        summary=summary,
        role=Role.ADMIN,
        writes=True,
        confirm=Confirm.BUTTON,
        arguments=(WHOLE, _PERMISSION),
        examples=(f"user {verb} @bob message-impersonate",),
        run=_changing(granted=granted),
    )
    for verb, summary, granted in (
        ("grant", "gives somebody a single permission, whatever the role says", True),
        ("deny", "takes a single permission from somebody, whatever the role says", False),
    )
)
