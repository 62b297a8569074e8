"""What a hook can do beyond Rocket.Chat's schema, set by CLI and chat and kept through REST updates (decision 35)."""

import re
from dataclasses import dataclass, replace

from handlers.errors import Fault
from handlers.formatter import available
from handlers.outgoing.retries import DAY_MS
from handlers.signing.standard_webhooks import KEY_PREFIX, KeyFault, new_key, parse_key
from storage.clock import Millis
from storage.records.integration import Hook, IncomingHook, OutgoingHook, SigningKey

NEVER = Millis(0)
"""As an expiry or the end of a mute: there is none any more."""

NEW_KEY = "new"
"""As a signing key: make a fresh one."""

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to change; None leaves a value as it is, an empty secret or key takes it away."""

    enabled: bool | None = None
    expires_at: Millis | None = None
    muted_until: Millis | None = None
    """Until then the hook is quiet (commands.md §2.2: `room mute HOOK --for 1h`)."""
    secret: str | None = None
    dedup: str | None = None
    """`standard`, `off`, or the name of the header that carries the sender's id (decision 37)."""
    keep_requests: bool | None = None
    format: str | None = None
    """The dialect its senders speak; `auto` finds out."""
    signing_key: str | None = None
    """`new`, or a key `whsec_…`; the one in use stays valid for 24 h beside it (delivery.md §5)."""
    ordered: bool | None = None


def apply_options(hook: Hook, options: Options, now: Millis) -> Hook | Fault:
    """Return the hook with the options set, or what is wrong with them."""
    if options.expires_at not in (None, NEVER) and (options.expires_at or 0) <= now:
        return Fault("The expiry lies in the past; name a later time, or disable the hook to stop it now.")
    if options.muted_until not in (None, NEVER) and (options.muted_until or 0) <= now:
        return Fault("The end of the mute lies in the past; name a later time.")
    changed: Hook | Fault
    if isinstance(hook, IncomingHook):
        changed = _incoming(hook, options)
    else:
        changed = _outgoing(hook, options, now)
    if isinstance(changed, Fault):
        return changed
    if options.enabled is not None:
        changed = replace(changed, enabled=options.enabled)
    if options.muted_until is not None:
        changed = replace(changed, muted_until=None if options.muted_until == NEVER else options.muted_until)
    if options.expires_at is not None:
        changed = replace(changed, expires_at=None if options.expires_at == NEVER else options.expires_at)
    return changed


def _incoming(hook: IncomingHook, options: Options) -> IncomingHook | Fault:
    if options.signing_key is not None or options.ordered is not None:
        return Fault(
            "Signing keys and order belong to outgoing hooks; an incoming one has a secret and a dedup header."
        )
    if options.secret is not None:
        fault = _secret_fault(options.secret)
        if fault is not None:
            return fault
        hook = replace(hook, secret=options.secret or None)
    if options.dedup is not None:
        if not _HEADER.fullmatch(options.dedup):
            return Fault("The dedup header must be `standard`, `off`, or a header name of letters, digits and hyphens.")
        word = options.dedup.lower()
        hook = replace(hook, dedup=word if word in ("standard", "off") else options.dedup)
    if options.keep_requests is not None:
        hook = replace(hook, keep_requests=options.keep_requests)
    if options.format is not None:
        known = available()
        if options.format not in known:
            return Fault(f"There is no format of that name; there are {', '.join(known)}.")
        hook = replace(hook, format=options.format)
    return hook


def _outgoing(hook: OutgoingHook, options: Options, now: Millis) -> OutgoingHook | Fault:
    if any(value is not None for value in (options.secret, options.dedup, options.keep_requests, options.format)):
        return Fault(
            "Secret, dedup header, kept requests and format belong to incoming hooks; "
            "an outgoing one has signing keys and order."
        )
    if options.ordered is not None:
        hook = replace(hook, ordered=options.ordered)
    if options.signing_key is None:
        return hook
    if not options.signing_key:
        return replace(hook, signing_keys=())
    key = new_key() if options.signing_key == NEW_KEY else options.signing_key
    parsed = parse_key(key)
    if isinstance(parsed, KeyFault):
        return Fault(f"{parsed.text} Or say `{NEW_KEY}` to have one made.")
    return replace(hook, signing_keys=(SigningKey(key=key), *_still_valid(hook, key, now)))


def _still_valid(hook: OutgoingHook, besides: str, now: Millis) -> tuple[SigningKey, ...]:
    """Return the keys receivers may still check with; the one in use so far ends in 24 h."""
    return tuple(
        replace(old, expires_at=Millis(now + DAY_MS)) if old.expires_at is None else old
        for old in hook.signing_keys
        if old.key != besides and (old.expires_at is None or old.expires_at > now)
    )


def _secret_fault(secret: str) -> Fault | None:
    if secret != secret.strip():
        return Fault("The secret begins or ends with a blank; copy it once more without.")
    if secret.startswith(KEY_PREFIX):
        parsed = parse_key(secret)
        if isinstance(parsed, KeyFault):
            return Fault(parsed.text)
    return None
