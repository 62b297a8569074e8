"""What the verbs that change a user share: states, refusals, and rights told as a difference."""

from collections.abc import Sequence
from dataclasses import replace

from handlers.acting import Stopped
from handlers.answers import ROWS, plural
from handlers.command import Call, Thing
from handlers.commands.user.looking import USER, USER_ARGUMENT
from handlers.line import Problem, ProblemKind, one_line
from handlers.listing import NOUNS
from handlers.people import rights_in_words
from handlers.permissions import permissions
from storage.records.integration import Hook, direction
from storage.records.user import User

WHOLE = replace(USER_ARGUMENT, summary="@name, id, or a row of `user list`; not the beginning of a name")


def difference(user: User, changed: User) -> str:
    """Say what another role gives and takes."""
    before = rights_in_words(user.role, permissions(user))
    after = rights_in_words(changed.role, permissions(changed))
    gains = [right for right in after if right not in before]
    losses = [right for right in before if right not in after]
    parts = [
        f"They may then {'; '.join(gains)}." if gains else "",
        f"No longer: {'; '.join(losses)}." if losses else "",
    ]
    return " ".join(filter(None, parts))


def thing_of(user: User, version: int) -> Thing:
    """Return what a plan about a user is about."""
    return Thing(kind="user", id=user.id, name=user.username, version=version)


def version_of(user: User) -> int:
    """Number the states of a user that these commands change: a question holds for the one it was asked in."""
    return user.role.rank * 2 + user.active


def pointless(call: Call, user: User, text: str, slot: str) -> Problem:
    """Say that there is nothing to do."""
    return Problem(
        kind=ProblemKind.CONFLICT, text=text, span=call.values.span(slot), next=f"user show @{user.username}"
    )


def refused(call: Call, user: User, text: str) -> Problem:
    """Say which rule of the workspace stands against it."""
    return Problem(
        kind=ProblemKind.FORBIDDEN, text=text, span=call.values.span(USER), next=f"user show @{user.username}"
    )


def stops_told(stopped: Sequence[Stopped], root: str | None = None) -> str:
    """Say which hooks lose rights of their maker; with a root, as done and with what helps."""
    if not stopped:
        return ""
    shown = [f"{reference(one.hook)}: {one.why}" for one in stopped[:ROWS]]
    more = f"; and {len(stopped) - ROWS:,} more" if len(stopped) > ROWS else ""
    first = stopped[0].hook
    verb = "stop" if root is None else "stopped"
    text = f"{plural(len(stopped), 'hook')} {verb if len(stopped) > 1 or root else 'stops'} ({'; '.join(shown)}{more})."
    following = "" if root is None else f"\nTake over: {root} {NOUNS[direction(first)]} adopt {first.id}"
    return f"{text}{following}"


def reference(hook: Hook) -> str:
    """Name a hook so that it can be typed."""
    return f"{NOUNS[direction(hook)]} {one_line(hook.name)} ({hook.id})"
