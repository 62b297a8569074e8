"""Flags that both directions of hooks take when they are made or changed, and how they are read."""

from dataclasses import replace
from typing import Any

from handlers.command import Call
from handlers.hooks.wish import CLEAR, NEVER, Wish
from handlers.line import Problem, ProblemKind
from handlers.slots import Argument, Flag
from handlers.values import ValueType, read_value
from storage.clock import Millis

NAME = "NAME"
NEW_NAME = Argument(name=NAME, summary="what it is to be called", type=ValueType.TEXT)
RENAME = Flag(name="name", summary="another name", type=ValueType.TEXT, metavar="NAME")
POST_AS = Flag(name="post-as", summary="who its messages come from", type=ValueType.USER, metavar="@USER")
ALIAS = Flag(name="alias", summary="name shown instead of the user's", type=ValueType.TEXT, metavar="TEXT")
AVATAR = Flag(name="avatar", summary="address of the picture shown", type=ValueType.TEXT, metavar="URL")
EMOJI = Flag(name="emoji", summary="emoji shown as picture, like :tada:", type=ValueType.TEXT, metavar=":EMOJI:")
EXPIRES = Flag(name="expires", summary="when it ends: 30d, or a date and time", type=ValueType.TEXT, metavar="30d")
LOOKS = (ALIAS, AVATAR, EMOJI)


def rooms(summary: str, *, required: bool = False) -> Flag:
    """Return the flag that names rooms."""
    return Flag(name="room", summary=summary, type=ValueType.LIST, metavar="#ROOM,…", required=required, offers="rooms")


def clearing(*choices: str) -> Flag:
    """Return the flag that takes values away."""
    return Flag(name=CLEAR, summary="takes values away", type=ValueType.LIST, metavar="FLAG,…", choices=choices)


def shared(call: Call) -> Wish | Problem:
    """Read what both directions have in common."""
    values = call.values
    expires = _expiry(call)
    if isinstance(expires, Problem):
        return expires
    poster = values.text(POST_AS.name)
    return Wish(
        name=values.text(RENAME.name) or values.text(NAME),
        rooms=tuple(dict.fromkeys(values.texts("room"))) or None,
        post_as=None if poster is None else poster.removeprefix("@"),
        alias=values.text(ALIAS.name),
        avatar=values.text(AVATAR.name),
        emoji=values.text(EMOJI.name),
        expires_at=expires,
    )


def cleared(call: Call, wish: Wish, empty: dict[str, tuple[str, Any]]) -> Wish | Problem:
    """Take away what `--clear` names; `empty` says by flag which field that is, and what it is without a value."""
    for flag in call.values.texts(CLEAR):
        name, nothing = empty[flag]
        if getattr(wish, name) is not None:
            return _both(call, flag)
        wish = replace(wish, **{name: nothing})
    return wish


EMPTY: dict[str, tuple[str, Any]] = {  # Any: the empty value of each field
    "alias": ("alias", ""),
    "avatar": ("avatar", ""),
    "emoji": ("emoji", ""),
    "expires": ("expires_at", NEVER),
}
"""What both directions can go without."""


def nothing_said(call: Call) -> Problem:
    """Refuse an edit that names no change."""
    flags = ", ".join(f"--{flag.name}" for flag in call.command.flags)
    text = f'"{call.command.words}" needs something to change.'
    return Problem(kind=ProblemKind.USAGE, text=text, allowed=flags, next=f"help {call.command.words}")


def _both(call: Call, flag: str) -> Problem:
    text = f"--{flag} is set and cleared at once."
    return Problem(kind=ProblemKind.USAGE, text=text, span=call.values.span(CLEAR), next=f"help {call.command.words}")


def _expiry(call: Call) -> Millis | Problem | None:
    """Read a length of time from now on, or a time."""
    text, context = call.values.text(EXPIRES.name), call.context
    if text is None:
        return None
    lasts = read_value(ValueType.DURATION, text, now=context.now, zone=context.zone)
    at = None if text.startswith("-") else read_value(ValueType.TIME, text, now=context.now, zone=context.zone)
    if isinstance(lasts, int):
        at = context.now + lasts
    if isinstance(at, int) and at > context.now:
        return Millis(at)
    return Problem(
        kind=ProblemKind.INVALID,
        text="--expires takes a time that is still to come.",
        span=call.values.span(EXPIRES.name),
        allowed="a duration such as 24h or 30d, or a date such as 2026-12-24 or 2026-12-24T18:00",
        next=f"help {call.command.words}",
    )
