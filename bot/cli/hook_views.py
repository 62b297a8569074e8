"""How commands show a hook and the requests that reached it, secrets masked (decisions 31, 33)."""

from bot.cli.output import masked, moment
from handlers.deliveries import Shown, written_id
from handlers.listing import masked_address
from handlers.masking import masked_body, masked_headers
from handlers.outgoing.history import shown_answer, shown_error
from handlers.outgoing.payload import MASK
from storage.records.delivery import Attempt
from storage.records.hook_request import HookRequest
from storage.records.integration import Hook, IncomingHook, OutgoingHook

Facts = dict[str, object]


def address(hook: Hook, base: str, *, reveal: bool = True) -> str:
    """Return where tools post to."""
    return f"{base}/hooks/{hook.id}/{hook.token if reveal else MASK}"


def calls(hook: Hook, *, reveal: bool = False) -> list[str]:
    """Return which addresses an outgoing hook calls."""
    urls = hook.urls if isinstance(hook, OutgoingHook) else ()
    return list(urls) if reveal else [masked_address(url) for url in urls]


def row(hook: Hook) -> Facts:
    """Show a hook in a list."""
    return {
        "id": hook.id,
        "way": "in" if isinstance(hook, IncomingHook) else "out",
        "name": hook.name,
        "enabled": hook.enabled,
        "rooms": list(hook.channels),
        "user": hook.username,
        "event": hook.event if isinstance(hook, OutgoingHook) else None,
        "calls": calls(hook),
        "damaged": hook.damaged,
    }


def facts(hook: Hook, base: str, *, reveal: bool) -> Facts:
    """Show all of a hook; `reveal` also what is secret."""
    common: Facts = {
        **row(hook),
        "alias": hook.alias,
        "avatar": hook.avatar,
        "emoji": hook.emoji,
        "created": moment(hook.created_at),
        "created_by": hook.created_by[1],
        "changed": moment(hook.updated_at),
        "expires": moment(hook.expires_at),
    }
    return common | (_incoming(hook, base, reveal) if isinstance(hook, IncomingHook) else _outgoing(hook, reveal))


def _incoming(hook: IncomingHook, base: str, reveal: bool) -> Facts:
    return {
        "address": None if hook.damaged else address(hook, base, reveal=reveal),
        "secret": hook.secret if reveal else masked(hook.secret),
        "dedup": hook.dedup,
        "keep_requests": hook.keep_requests,
        "allow_override": hook.override_destination,
    }


def _outgoing(hook: OutgoingHook, reveal: bool) -> Facts:
    keys = [key.key for key in hook.signing_keys]
    return {
        "calls": calls(hook, reveal=reveal),
        "token": hook.token if reveal else masked(hook.token),
        "triggers": list(hook.trigger_words),
        "target_room": hook.target_room,
        "retries": hook.retry_count if hook.retry_failed_calls else 0,
        "retry_delay": hook.retry_delay if hook.retry_failed_calls else None,
        "ordered": hook.ordered,
        "signing_keys": keys if reveal else [MASK for _ in keys],
    }


def request(found: HookRequest, hook: IncomingHook) -> Facts:
    """Show a request as it came, without its secrets."""
    content_type = next((value for name, value in found.headers if name.lower() == "content-type"), None)
    known = [secret for secret in (hook.token, hook.secret) if secret]
    return {
        "id": found.id,
        "at": moment(found.at),
        "method": found.method,
        "verdict": found.verdict.value,
        "status": found.status,
        "error": found.error,
        "messages": list(found.message_ids),
        "dedup_key": found.dedup_key,
        "body_differed": found.body_differed,
        "headers": [list(pair) for pair in masked_headers(found.headers)],
        "body": masked_body(content_type, found.body, known),
        "damaged": found.damaged,
    }


def delivery(shown: Shown) -> Facts:
    """Show a delivery with all its attempts; of the address only the host (decision 31)."""
    one = shown.delivery
    return {
        "id": written_id(one.id),
        "state": one.state.value,
        "at": moment(one.created_at),
        "hook": shown.hook.name if shown.hook is not None else one.integration_id,
        "hook_id": one.integration_id,
        "event": shown.event.value if shown.event is not None else None,
        "calls": masked_address(shown.url) if shown.url is not None else None,
        "tries": one.tries,
        "reason": one.reason,
        "attempts": [_attempt(each) for each in shown.attempts],
    }


def _attempt(one: Attempt) -> Facts:
    return {
        "at": moment(one.started_at),
        "duration_ms": one.duration_ms,
        "status": one.status,
        "answer": shown_answer(one),
        "error": shown_error(one),
    }
