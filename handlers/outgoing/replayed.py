"""The event of a replay: an old event's kind and its facts as they are now, in one body (`rocketchat.md` §8)."""

from collections.abc import Mapping
from typing import Any  # bodies come back from the store as parsed JSON

from handlers.rocketchat.views import JsonObject
from storage.records.event import Event, EventKind


def wrap(kind: EventKind, facts: Mapping[str, object]) -> JsonObject:
    """Return the body of a `delivery.replayed` event that runs an event of this kind again."""
    return {"kind": kind.value, "facts": facts}


def unwrap(event: Event) -> tuple[EventKind, Mapping[str, Any]]:
    """Return what an event tells a webhook: its own kind and body, or those it replays."""
    body: Mapping[str, Any] = event.body
    if event.kind is EventKind.DELIVERY_REPLAYED:
        return EventKind(body["kind"]), body["facts"]
    return event.kind, body
