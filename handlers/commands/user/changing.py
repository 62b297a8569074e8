"""What the verbs that change a user share: states, refusals, and rights told as a difference."""

from dataclasses import replace

from handlers.command import Call, Thing
from handlers.commands.user.looking import USER, USER_ARGUMENT
from handlers.line import Problem, ProblemKind
from handlers.people import rights_in_words
from handlers.permissions import permissions
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
