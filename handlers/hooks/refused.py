"""Say why the workspace refuses a hook: its words and codes, with the flag they are about (commands.md §2.3, §2.4)."""

from types import MappingProxyType
from typing import Final

from handlers.command import Call
from handlers.errors import Fault
from handlers.line import Problem, ProblemKind, Span

_CHANGED: Final = "Somebody else changed"

_ABOUT: Final = MappingProxyType(
    {
        "error-invalid-name": "NAME",
        "error-invalid-channel": "room",
        "error-invalid-channel-start-with-chars": "room",
        "error-invalid-room": "room",
        "error-invalid-user": "post-as",
        "error-invalid-username": "post-as",
        "error-invalid-post-as-user": "post-as",
        "error-invalid-urls": "url",
        "error-invalid-targetRoom": "target-room",
        "error-invalid-triggerWords": "trigger",
        "error-invalid-event-type": "event",
    }
)
_FORBIDDEN: Final = frozenset({"not_authorized", "unauthorized", "error-invalid-permissions"})
_ALLOWED: Final = MappingProxyType(
    {
        "NAME": "any text that is not the first word of a command, such as help or list",
        "room": "#room of rooms you are in, or @name",
        "post-as": "yourself, a bot such as @rocket.cat, or who manages all hooks: somebody active of no higher role",
        "url": "http:// or https:// addresses; several with spaces between them",
    }
)


def refused(fault: Fault, call: Call, *, applying: bool = False) -> Problem:
    """Return a refusal as a problem of the line; `applying` when that line is no longer the one being read."""
    about = _ABOUT.get(fault.code or "")
    # a missing room and one the caller is not in read the same: who may not see it must not learn of it (§2.4)
    hidden = fault.code in ("error-invalid-channel", "error-invalid-room")
    text = "One of the rooms is not there, or you are not in it." if hidden else _text(fault)
    return Problem(
        kind=_kind(fault),
        text=text,
        span=None if applying else _span(call, about),
        allowed=_ALLOWED.get(about or "", ""),
        next=f"help {call.command.words}",
    )


def _kind(fault: Fault) -> ProblemKind:
    if fault.code in _FORBIDDEN or fault.status == 403:
        return ProblemKind.FORBIDDEN
    if (fault.reason or "").startswith(_CHANGED):
        return ProblemKind.CONFLICT
    return ProblemKind.INVALID


def _text(fault: Fault) -> str:
    """Say it in the words of REST; of an address that is refused its number and the setting that would allow it."""
    details = fault.details or {}
    message, number = details.get("message"), details.get("number")
    if isinstance(message, str):
        return f"{fault.bracketed}: address {number}. {message}"
    return fault.bracketed if fault.bracketed.endswith((".", "]")) else f"{fault.bracketed}."


def _span(call: Call, about: str | None) -> Span | None:
    return None if about is None else call.values.span(about) or call.values.span(about.lower())
