"""Builders of what the storage suite writes beside the shared records: facts, requests, attempts, settles."""

from collections.abc import Mapping, Sequence
from typing import Any  # the changes are any fields of the record built

from msgspec import structs

from storage.clock import Millis
from storage.ids import GENERAL, DeliveryId, EventSeq, IntegrationId, LaneId, random_text
from storage.plain_json import write
from storage.ports import Store
from storage.records.changes import Changes, Dedup, Fact
from storage.records.delivery import Attempt, DeliveryState, NewDelivery
from storage.records.event import Event, EventKind, NewEvent
from storage.records.hook_request import HookRequest, Verdict
from storage.records.integration import OutgoingHook
from storage.records.outage import Outage
from storage.records.queue import Claimed, Leased, Settle, Settled
from tests.records import NOON, ORG, incoming

LEASE_MS = 60_000


def event(*, body: object = None, **changes: Any) -> NewEvent:
    """Build an event; `body` is plain JSON."""
    json = write(body or {"text": "hi"})
    plain = NewEvent(kind=EventKind.MESSAGE_POSTED, org_id=ORG, at=NOON, room_id=GENERAL, json=json)
    return structs.replace(plain, **changes)


def fact(**changes: Any) -> Fact:
    """Build a fact that fires nothing."""
    return Fact(event=event(**changes))


def request(**changes: Any) -> HookRequest:
    plain = HookRequest(
        id=random_text(17),
        integration_id=incoming().id,
        at=NOON,
        method="POST",
        headers=(("Content-Type", "application/json"),),
        body=b'{"text":"hi"}',
        verdict=Verdict.POSTED,
        status=200,
    )
    return structs.replace(plain, **changes)


def dedup(key: str = "id-1", body_hash: bytes = b"same", at: int = NOON) -> Dedup:
    return Dedup(integration_id=incoming().id, key=key, body_hash=body_hash, at=Millis(at))


def attempt(**changes: Any) -> Attempt:
    plain = Attempt(
        id=random_text(17),
        integration_id=IntegrationId("65e2f0b72dd9f928ada3e43e"),
        version=1,
        event_seq=EventSeq(1),
        delivery_id=DeliveryId(1),
        url_hash=b"u",
        trigger_word=None,
        step="after-http-call",
        finished=True,
        failed=False,
        started_at=NOON,
        updated_at=NOON,
        duration_ms=12,
    )
    return structs.replace(plain, **changes)


async def queue_up(store: Store, hook: OutgoingHook, texts: Sequence[str], urls: Sequence[str] | None = None) -> None:
    """Queue one event per text for the hook's addresses, each in a commit of its own."""
    for text in texts:
        deliveries = tuple(NewDelivery(integration_id=hook.id, url_hash=store.lookup(url)) for url in urls or hook.urls)
        await store.commit(Changes(facts=(Fact(event=event(body={"text": text}), deliveries=deliveries),)))


async def claim(
    store: Store, now: int, *, limit: int = 100, busy: Mapping[LaneId, int] | None = None, lane_leases: int = 16
) -> Claimed:
    return await store.claim(now=Millis(now), limit=limit, busy=busy or {}, lease_ms=LEASE_MS, lane_leases=lane_leases)


def texts(events: Sequence[Leased] | Sequence[Event]) -> list[object]:
    """Return the texts of claimed deliveries or of events, in order."""
    return [(one.event if isinstance(one, Leased) else one).body["text"] for one in events]


def ending(
    leased: Leased,
    now: int,
    *,
    state: DeliveryState = DeliveryState.DELIVERED,
    retry_at: int | None = None,
    tried: bool = True,
    reason: str | None = None,
    changes: Changes | None = None,
    outage: Outage | None = None,
) -> Settle:
    """Return the end of a claimed delivery; `tried` False means our own fault ended it."""
    made = attempt(
        integration_id=leased.hook.id,
        version=leased.hook.version,
        event_seq=leased.event.seq,
        delivery_id=leased.delivery.id,
        url_hash=leased.delivery.url_hash,
    )
    return Settle(
        delivery_id=leased.delivery.id,
        lane_id=leased.delivery.lane_id,
        lease=leased.lease,
        state=state,
        attempt=made if tried else None,
        now=Millis(now),
        retry_at=None if retry_at is None else Millis(retry_at),
        reason=reason,
        changes=changes,
        outage=outage,
    )


async def settle(store: Store, leased: Leased, now: int, **more: Any) -> Settled:
    """End a claimed delivery, as `ending` says it."""
    return await store.settle(ending(leased, now, **more))
