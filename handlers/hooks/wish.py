"""What somebody wants a hook to be, how that differs from what it is, and the line that takes it back.

Everything is said in the words of the flags (commands.md §2.2), so that a difference can be typed again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, tzinfo
from types import MappingProxyType
from typing import Final

from handlers.line import quote
from storage.clock import Millis
from storage.records.integration import Hook, IncomingHook, OutgoingHook

NEVER: Final = Millis(0)
"""As an expiry: there is none."""

CLEAR: Final = "clear"
"""The flag that takes values away: an empty text cannot be typed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A hook to be, or of an edit what should change: None leaves a value; an empty text, tuple or 0 takes it away."""

    name: str | None = None
    enabled: bool | None = None
    rooms: tuple[str, ...] | None = None
    post_as: str | None = None
    alias: str | None = None
    avatar: str | None = None
    emoji: str | None = None
    expires_at: Millis | None = None
    # of incoming hooks
    format: str | None = None
    allow_override: bool | None = None
    secret: str | None = field(default=None, repr=False)
    """Checks what senders sign (decision 36)."""
    dedup: str | None = None
    keep_requests: bool | None = None
    # of outgoing hooks
    event: str | None = None
    urls: tuple[str, ...] | None = field(default=None, repr=False)
    """Addresses count as secrets (decision 31)."""
    target_room: str | None = None
    triggers: tuple[str, ...] | None = None
    anywhere: bool | None = None
    on_edits: bool | None = None
    retries: int | None = None
    """0: a failed call is not tried again."""
    retry_delay: str | None = None
    token: str | None = field(default=None, repr=False)
    sign: bool | None = None
    """True makes a signing key."""
    ordered: bool | None = None


FLAGS: Final = MappingProxyType(
    {
        "name": "name",
        "rooms": "room",
        "post_as": "post-as",
        "alias": "alias",
        "avatar": "avatar",
        "emoji": "emoji",
        "expires_at": "expires",
        "format": "format",
        "allow_override": "allow-override",
        "secret": "verify",
        "dedup": "dedup",
        "keep_requests": "keep-requests",
        "event": "event",
        "urls": "url",
        "target_room": "target-room",
        "triggers": "trigger",
        "anywhere": "anywhere",
        "on_edits": "on-edits",
        "retries": "retries",
        "retry_delay": "retry-delay",
        "token": "token",
        "sign": "sign",
        "ordered": "ordered",
    }
)
"""The flag that says each field."""

SECRETS: Final = frozenset({"secret", "urls", "token"})
"""Fields that no line may hold, so that nothing can bring them back."""


def as_it_is(hook: Hook) -> Wish:
    """Return a hook as the wish that would make it."""
    shared = Wish(
        name=hook.name,
        enabled=hook.enabled,
        rooms=hook.channels,
        post_as=hook.username,
        alias=hook.alias or "",
        avatar=hook.avatar or "",
        emoji=hook.emoji or "",
        expires_at=hook.expires_at or NEVER,
    )
    return _incoming(hook, shared) if isinstance(hook, IncomingHook) else _outgoing(hook, shared)


def _incoming(hook: IncomingHook, shared: Wish) -> Wish:
    return replace(
        shared,
        format=hook.format,
        allow_override=hook.override_destination,
        secret=hook.secret or "",
        dedup=hook.dedup,
        keep_requests=hook.keep_requests,
    )


def _outgoing(hook: OutgoingHook, shared: Wish) -> Wish:
    return replace(
        shared,
        event=hook.event,
        urls=hook.urls,
        target_room=hook.target_room or "",
        triggers=hook.trigger_words,
        anywhere=hook.trigger_word_anywhere or False,
        on_edits=hook.run_on_edits or False,
        retries=int(hook.retry_count or 0) if hook.retry_failed_calls else 0,
        retry_delay=hook.retry_delay or "",
        token=hook.token or "",
        sign=bool(hook.signing_keys),
        ordered=hook.ordered,
    )


def different(hook: Hook, wish: Wish) -> Wish:
    """Return of a wish what a hook is not already."""
    now = as_it_is(hook)
    same = [each.name for each in fields(Wish) if getattr(wish, each.name) == getattr(now, each.name)]
    return replace(wish, **dict.fromkeys(same))


def wished(wish: Wish) -> tuple[str, ...]:
    """Return the names of the fields a wish says anything about."""
    return tuple(each.name for each in fields(Wish) if getattr(wish, each.name) is not None)


def said(wish: Wish, zone: tzinfo) -> str:
    """Say what a wish changes, in the words of its flags and without what is secret."""
    return ", ".join(_said(name, getattr(wish, name), zone) for name in wished(wish))


def _said(name: str, value: object, zone: tzinfo) -> str:
    flag = FLAGS.get(name, name)
    if name in SECRETS:
        return f"{flag} {'replaced' if value else 'taken away'}"
    if name == "retries" and not value:
        return "no retries"
    match value:
        case bool():
            return flag if value else f"no {flag}"
        case tuple():
            return f"{flag} {', '.join(map(str, value))}" if value else f"no {flag}"
        case 0 if name == "expires_at":
            return "no end"
        case "" | 0:
            return f"no {flag}"
        case int() if name == "expires_at":
            return f"{flag} {datetime.fromtimestamp(value / 1000, zone):%Y-%m-%d %H:%M}"
        case _:
            return f"{flag} {value}"


def taking_back(hook: Hook, wish: Wish) -> str | None:
    """Return the flags that make a hook what it is now again; None when all that changes is secret."""
    now = as_it_is(hook)
    words = [word for name in wished(wish) for word in _back(name, getattr(now, name))]
    empty = [FLAGS[name] for name in wished(wish) if _is_cleared(name, getattr(now, name))]
    if empty:
        words.append(f"--{CLEAR} {','.join(empty)}")
    return " ".join(words) or None


def cannot_come_back(hook: Hook, wish: Wish) -> bool:
    """Tell whether a change loses something secret that `undo` does not know."""
    lost = [name for name in wished(wish) if name in SECRETS or (name == "sign" and not wish.sign)]
    now = as_it_is(hook)
    return any(getattr(now, name) for name in lost)


def _is_cleared(name: str, value: object) -> bool:
    return name != "retries" and not isinstance(value, bool) and value in ("", (), 0)


def _back(name: str, value: object) -> Iterator[str]:
    flag = FLAGS.get(name, "")
    if not flag or name in SECRETS or _is_cleared(name, value):
        return
    match value:
        case bool() if name == "sign":
            if not value:  # a key that was dropped is gone; another one would be no undo
                yield "--no-sign"
        case bool():
            yield f"--{flag}" if value else f"--no-{flag}"
        case tuple():
            yield from (f"--{flag} {quote(str(each))}" for each in value)  # quotes keep a comma from splitting it
        case int() if name == "expires_at":
            yield f"--{flag} {datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec='milliseconds')}"
        case 0:
            yield "--no-retry"
        case str() if name == "post_as":
            yield f"--{flag} {quote('@' + value)}"
        case _:
            yield f"--{flag} {quote(str(value))}"
