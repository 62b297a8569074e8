"""`in add` and `in edit`: what an incoming hook can be told, and what its maker learns once (commands.md §2.2)."""

from dataclasses import replace
from typing import Any, Final

from handlers.answers import plural
from handlers.command import Audience, Call, Command, Plan
from handlers.formatter import available
from handlers.hooks.given import (
    EMPTY,
    EXPIRES,
    LOOKS,
    NEW_NAME,
    POST_AS,
    RENAME,
    cleared,
    clearing,
    rooms,
    shared,
)
from handlers.hooks.making import Told, adding, editing
from handlers.hooks.naming import typable
from handlers.hooks.wish import Wish
from handlers.hooks.work import HOOK_WORK
from handlers.line import Problem, ProblemKind
from handlers.listing import REFERENCE_ARGUMENT, Wording
from handlers.permissions import FULL, OWN
from handlers.signing.standard_webhooks import new_key
from handlers.slots import Flag
from handlers.values import ValueType
from storage.ids import ROCKET_CAT
from storage.records.integration import Direction, Hook, IncomingHook
from storage.records.user import Role

_LATER: Final = ("events", "exclude", "branch")
"""Flags that pick events of one service; they come with the service formats (decision 69)."""

FORMAT = Flag(
    name="format", summary="what its senders speak", type=ValueType.TEXT, metavar="FORMAT", choices=tuple(available())
)
OVERRIDE = Flag(name="allow-override", summary="lets senders choose other rooms")
VERIFY = Flag(name="verify", summary="the secret senders sign with", type=ValueType.TEXT, metavar="?", secret=True)
SIGNED = Flag(name="signed", summary="asks for signatures; the secret is made and shown once")
DEDUP = Flag(name="dedup", summary="header of the sender's id, standard or off", type=ValueType.TEXT, metavar="HEADER")
KEEP = Flag(name="keep-requests", summary="keeps requests for history and replay")
_CLEARED: dict[str, tuple[str, Any]] = {**EMPTY, "verify": ("secret", "")}  # Any: the empty value of each field


def _later() -> tuple[Flag, ...]:
    return tuple(
        Flag(name=name, summary="comes with service formats", type=ValueType.LIST, metavar="PATTERN,…")
        for name in _LATER
    )


def made_and_changed(wording: Wording) -> tuple[Command, ...]:
    """Return both commands."""

    async def add(call: Call) -> Plan | Problem:
        wish = _wish(call)
        if isinstance(wish, Problem):
            return wish
        kind = f" ({wish.format})" if wish.format else ""
        wish = replace(wish, post_as=wish.post_as or ROCKET_CAT)
        return await adding(call, wording, wish, _told_of_new, does=_does, kind=kind)

    async def edit(call: Call) -> Plan | Problem:
        wish = _wish(call)
        wish = wish if isinstance(wish, Problem) else cleared(call, wish, _CLEARED)
        return wish if isinstance(wish, Problem) else await editing(call, wording, wish, _told_of_change)

    permissions = frozenset({FULL[Direction.INCOMING], OWN[Direction.INCOMING]})
    return (
        Command(
            noun=wording.noun,
            verb="add",
            summary="makes an incoming hook; its address is shown once",
            role=Role.EDITOR,
            permissions=permissions,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            shows_secret=True,
            arguments=(NEW_NAME,),
            flags=(
                rooms("where it posts: #room or @name", required=True),
                FORMAT,
                POST_AS,
                EXPIRES,
                OVERRIDE,
                VERIFY,
                SIGNED,
                DEDUP,
                KEEP,
                *LOOKS,
                *_later(),
            ),
            examples=("in add ci-alerts --room #ops", "in add grafana --room #ops,@ann --format slack --expires 30d"),
            run=add,
        ),
        Command(
            noun=wording.noun,
            verb="edit",
            summary="changes an incoming hook; what is not named stays",
            role=Role.EDITOR,
            permissions=permissions,
            audience=Audience.CALLER_AND_NOTE,
            writes=True,
            shows_secret=True,
            arguments=(REFERENCE_ARGUMENT,),
            flags=(
                rooms("where it posts from now on"),
                RENAME,
                FORMAT,
                EXPIRES,
                OVERRIDE,
                VERIFY,
                SIGNED,
                DEDUP,
                KEEP,
                *LOOKS,
                clearing(*_CLEARED),
                *_later(),
            ),
            examples=("in edit ci-alerts --room #dev", "in edit ci-alerts --alias CI --clear emoji,expires"),
            run=edit,
        ),
    )


def _wish(call: Call) -> Wish | Problem:
    values = call.values
    for name in _LATER:
        if values.texts(name):
            return Problem(
                kind=ProblemKind.UNAVAILABLE,
                text=f"--{name} comes with the formats of single services, which are not there yet.",
                span=values.span(name),
                allowed=f"--format {'|'.join(FORMAT.choices)}",
                next=f"help {call.command.words}",
            )
    wish, secret = shared(call), values.secret(VERIFY.name)
    if isinstance(wish, Problem):
        return wish
    if values.switch(SIGNED.name):
        if secret is not None:
            text = "--signed makes a secret, and --verify brings one; say one of the two."
            return Problem(kind=ProblemKind.USAGE, text=text, span=values.span(SIGNED.name))
        secret = new_key()
    return replace(
        wish,
        format=values.text(FORMAT.name),
        allow_override=values.switched(OVERRIDE.name),
        secret=secret,
        dedup=values.text(DEDUP.name),
        keep_requests=values.switched(KEEP.name),
    )


def _does(hook: Hook) -> str:
    return f"posts to {', '.join(hook.channels)} as {hook.username}"


async def _told_of_new(call: Call, hook: Hook, wish: Wish) -> Told:
    """Show the address once, and say what to tell the sender."""
    root, name = call.context.root, await typable(call, hook)
    lines = [*address_once(call, hook), *_secret_once(call, wish), _guide(hook, wish)]
    lines.append(f"Next: {root} in test {name}   ·   Change: {root} in edit {name} --room #other")
    public = f"Address of {hook.name} sent to @{call.actor.username} directly."
    return Told(tuple(lines), secret=True, public=public)


async def _told_of_change(call: Call, hook: Hook, wish: Wish) -> Told:
    lines = _secret_once(call, wish)
    public = f"Changed {hook.name}; its new secret was sent to @{call.actor.username} directly." if lines else None
    return Told(lines, secret=bool(lines), public=public)


def address_once(call: Call, hook: Hook) -> tuple[str, ...]:
    """Write the address of an incoming hook, the only time it is shown."""
    if not isinstance(hook, IncomingHook):
        return ()
    return (f"Address (shown once): {call.services.of(HOOK_WORK).address(hook)}",)


def _secret_once(call: Call, wish: Wish) -> tuple[str, ...]:
    """Write a secret that was made here; one the caller brought is never repeated."""
    return (f"Secret (shown once): {wish.secret}",) if wish.secret and call.values.switch(SIGNED.name) else ()


def _guide(hook: Hook, wish: Wish) -> str:
    """Say what the sender has to do."""
    speaks = "as its Slack webhook" if wish.format == "slack" else 'JSON such as {"text":"Hello"}'
    ways = [f"Sender: POST {speaks}, content type application/json"]
    if wish.secret:
        ways.append("signed with the secret as Standard Webhooks or X-Hub-Signature-256")
    if hook.expires_at and wish.expires_at:
        days = max(1, -(-(hook.expires_at - hook.created_at) // 86_400_000))
        ways.append(f"for {plural(days, 'day')}")
    return "; ".join(ways)
