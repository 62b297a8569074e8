"""The history of an outgoing hook: what is kept of an answer, and one entry rendered (`rocketchat.md` §8)."""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any  # bodies come back from the store as parsed JSON
from urllib.parse import unquote

from handlers.http import Answered
from handlers.masking import masked_text
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.payload import MASK, build_data
from handlers.rocketchat.views import JsonObject, integration_view
from handlers.targets import Target, parse_url
from storage.clock import iso
from storage.records.delivery import Attempt
from storage.records.event import EventKind
from storage.records.integration import OutgoingHook

EXCERPT_BYTES = 2048
SHORTEST_PATH_KEY, SHORTEST_QUERY_KEY = 12, 6
"""Characters from which a part of an address may be a key; shorter ones are words like `webhooks`."""


def answer_excerpt(hook: OutgoingHook, answer: Answered) -> str:
    """Return the beginning of an answer as history keeps it (`delivery.md` §6).

    Receivers that echo the request send our token and their address back, error pages often just its path and
    query; none of it may be stored in clear.
    """
    text = answer.body.decode(errors="replace")
    for secret in _secrets(hook.token or "", hook.urls) if text else ():
        text = text.replace(secret, MASK)
    return text.encode()[:EXCERPT_BYTES].decode(errors="ignore")


def shown_answer(attempt: Attempt) -> str | None:
    """Return what a receiver answered as anybody may read it: secrets of its own are masked by their names."""
    return masked_text(attempt.response) if attempt.response else None


def shown_error(attempt: Attempt) -> str | None:
    """Return why an attempt failed; it may quote the answer, and is masked like it."""
    return masked_text(attempt.error) if attempt.error else None


@lru_cache(maxsize=256)
def _secrets(token: str, urls: tuple[str, ...]) -> list[str]:
    """Return token, addresses and the parts of addresses that may be keys (decision 31), longest first.

    Each comes as it is and as JSON writes it.
    """
    found = {token, *urls}
    for target in map(parse_url, urls):
        if isinstance(target, Target):
            path, _, query = target.path.partition("?")
            keys = [part for part in path.split("/") if len(part) >= SHORTEST_PATH_KEY]
            values = [pair.partition("=")[2] for pair in query.split("&")]
            keys += [value for value in values if len(value) >= SHORTEST_QUERY_KEY]
            found.update(keys, map(unquote, keys))
    found |= {json.dumps(secret)[1:-1] for secret in found}
    found |= {secret.replace("/", "\\/") for secret in found}  # as PHP writes JSON
    return sorted(found - {""}, key=len, reverse=True)


def history_view(
    attempt: Attempt,
    *,
    hook: OutgoingHook,
    url: str | None,
    kind: EventKind,
    body: Mapping[str, Any] | None,
    site_url: str,
    posted: JsonObject | None = None,
) -> JsonObject:
    """Show one attempt: `hook` as it was then (the attempt's version), `url` the address that was called.

    `posted` is the message the answer became, as `{channel, message}`. The token is masked everywhere
    (decision 32); `data` is kept, unlike on real servers from 6.5 on (§8). Without a body the entry shows the call
    and nothing it told or was answered: for who may not enter the room. So do entries that tell of no event.
    """
    token = None if hook.token is None else MASK
    word = attempt.trigger_word
    data: JsonObject | None = None
    if body is not None and OutgoingEvent.of(kind) is not None:
        data = build_data(kind, body, trigger_word=word, site_url=site_url, token=token)
    integration = integration_view(hook)
    if hook.token is not None:
        integration["token"] = MASK
    entry: JsonObject = {
        "_id": attempt.id,
        "type": "outgoing-webhook",
        "step": attempt.step,
        "integration": integration,
        "event": hook.event,
        "_createdAt": iso(attempt.started_at),
        "_updatedAt": iso(attempt.updated_at),
        "data": {} if data is None else data,
        "triggerWord": word if body is not None else None,
        **(_call(attempt, url, data) if attempt.called else {}),
        "resultMessage": None if posted is None or data is None else [posted],
        "finished": attempt.finished or None,
        "error": (shown_error(attempt) or True) if attempt.failed else None,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _call(attempt: Attempt, url: str | None, data: JsonObject | None) -> JsonObject:
    """Show the call itself.

    `httpError` is what kept an answer from coming, or from being posted although the call succeeded.
    """
    no_answer, said = attempt.status is None, shown_answer(attempt)
    return {
        "ranPrepareScript": True,  # even without a script (§8)
        "url": url,
        "httpCallData": data,
        "httpError": shown_error(attempt) if no_answer or not attempt.failed else None,
        "httpResult": json.dumps(said, ensure_ascii=False) if said and data else None,
    }
