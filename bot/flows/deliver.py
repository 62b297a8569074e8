"""One attempt at a delivery: pure decisions around one call, ending in what to settle (delivery.md §3)."""

import logging
from collections.abc import Mapping
from typing import Any, Protocol  # Any: bodies come back from the store as parsed JSON

import structlog
from msgspec import Struct, structs

from bot.flows.notices import Notices
from bot.flows.outages import Outages
from bot.flows.respond import Respond
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from handlers.http import Answered, End, Failed, OutboundRequest, Refused, Unsent
from handlers.outgoing import steps
from handlers.outgoing.answer import Delivered, Outcome, Rejected, Retry, judge
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.history import answer_excerpt
from handlers.outgoing.payload import build_data, hops_of, text_of
from handlers.outgoing.replayed import unwrap
from handlers.outgoing.request import build_request
from handlers.targets import Target, parse_url
from handlers.triggers import Fire, fires
from storage.clock import Clock, Millis
from storage.ids import ROCKET_CAT, timed_id
from storage.ports import Secrets
from storage.records.changes import NOTHING, Changes, merge
from storage.records.delivery import Attempt, DeliveryState
from storage.records.event import EventKind
from storage.records.integration import OutgoingHook, is_expired
from storage.records.outage import Outage
from storage.records.queue import Leased, Settle
from storage.records.version import revised

HELD_LOOK_MS = 60_000
"""How soon an expired hook's deliveries are looked at again; somebody may prolong it."""
UNSENT_MS = 1_000
"""When a call is tried again that this process had no slot for."""
HELD_FOR_MS = 24 * 60 * 60 * 1000
"""How long they are held, like those of a disabled one (decision 43)."""
DAMAGED = "what is sealed of the webhook is damaged"

RIGHTS_ENDED = "The webhook's maker may not enter the room any more, so nothing was sent; an admin can take it over."


class Sender(Protocol):
    """Makes one call and says how it ended."""

    async def send(self, request: OutboundRequest) -> End: ...


class AttemptMeter(Protocol):
    """Counts attempts."""

    def attempt(self, outcome: str, seconds: float) -> None: ...


class _Call(Struct, frozen=True, kw_only=True, gc=False):
    """What one attempt is about."""

    leased: Leased
    url: str
    host: str
    kind: EventKind
    body: Mapping[str, Any]
    trigger_word: str | None
    started_at: Millis

    @property
    def hook(self) -> OutgoingHook:
        return self.leased.hook

    @property
    def hops_after(self) -> int:
        """Return the hops of whatever this call makes us post (decision 46)."""
        return hops_of(self.body) + 1


class Deliver:
    """Attempts deliveries; what a verdict causes is part of the settle, so that both happen or neither."""

    def __init__(
        self,
        *,
        sender: Sender,
        directory: Directory,
        fanout: Fanout,
        respond: Respond,
        notices: Notices,
        outages: Outages,
        secrets: Secrets,
        clock: Clock,
        meter: AttemptMeter,
        site_url: str,
        deadline_s: float,
    ) -> None:
        self._sender = sender
        self._directory = directory
        self._fanout = fanout
        self._respond = respond
        self._notices = notices
        self._outages = outages
        self._secrets = secrets
        self._clock = clock
        self._meter = meter
        self._site_url = site_url
        self._deadline_s = deadline_s
        self._log = structlog.get_logger().bind()

    async def attempt(self, leased: Leased) -> Settle:
        """Attempt a delivery with its hook as it is now (decision 43); the caller settles the result."""
        await self._outages.read()
        if not self._is_live(leased.hook):
            return self._held(leased)
        kind, body = unwrap(leased.event)
        if leased.hook.damaged:  # a dead letter: it can be sent again once the key or the row is restored
            return self._settle(leased, DeliveryState.DEAD, reason=DAMAGED)
        url = self._address(leased)
        if url is None:
            return self._discarded(leased, "address removed")
        fire = _fires(leased.hook, kind, body)
        if fire is None:
            return self._discarded(leased, "the webhook no longer listens to this event")
        reaches = await self._reaches(leased)
        call = _Call(
            leased=leased,
            url=url,
            host=_host(url),
            kind=kind,
            body=body,
            trigger_word=fire.trigger_word,
            started_at=self._clock.now(),
        )
        if not reaches:
            return self._stopped(call)
        try:
            request = self._request(call)
        except Exception as error:  # noqa: BLE001 # whatever a builder does wrong is shown as a failed attempt
            return self._broken(call, error)
        end = await self._sender.send(request)
        if isinstance(end, Unsent):
            self._log.info("unsent", hook=call.hook.id, delivery=leased.delivery.id, host=call.host)
            return self.release(leased, after_ms=UNSENT_MS)
        outcome = judge(call.hook, end, tries=leased.delivery.tries, now=self._clock.now())
        self._report(call, type(outcome).__name__.lower(), end)
        return await self._settled(call, end, outcome)

    def release(self, leased: Leased, *, after_ms: int = 0) -> Settle:
        """Give a delivery back untried: a shutdown, or a fault of our own, is not an attempt."""
        retry_at = Millis(self._clock.steady() + after_ms) if after_ms else None
        return self._settle(leased, DeliveryState.QUEUED, retry_at=retry_at)

    # --- before the call ----------------------------------------------------------------------------

    def _is_live(self, hook: OutgoingHook) -> bool:
        return hook.enabled and not is_expired(hook, self._clock.now())

    def _held(self, leased: Leased) -> Settle:
        """Hold what a disabled or expired hook has queued (decisions 14, 43, 65)."""
        if self._clock.steady() - leased.delivery.created_at > HELD_FOR_MS:
            return self._settle(leased, DeliveryState.DEAD, reason="expired")
        return self.release(leased, after_ms=HELD_LOOK_MS)

    def _discarded(self, leased: Leased, reason: str) -> Settle:
        return self._settle(leased, DeliveryState.DISCARDED, reason=reason)

    def _address(self, leased: Leased) -> str | None:
        wanted = leased.delivery.url_hash
        return next((url for url in leased.hook.urls if self._secrets.lookup(url) == wanted), None)

    async def _reaches(self, leased: Leased) -> bool:
        """Tell whether the hook may still hear what it was queued for: its maker may have left the room since."""
        room_id = leased.event.room_id
        room = None if room_id is None else await self._directory.room(room_id)
        return await self._directory.reaches(leased.hook, room)

    def _stopped(self, call: _Call) -> Settle:
        """End without a call and with a dead letter: who takes the hook over can queue it again."""
        self._report(call, "stopped", None)
        attempt = self._attempt(call, None, step=steps.STOPPED_WITH_RIGHTS, failed=True, error=RIGHTS_ENDED)
        return self._settle(
            call.leased, DeliveryState.DEAD, attempt=structs.replace(attempt, called=False), reason=RIGHTS_ENDED
        )

    def _request(self, call: _Call) -> OutboundRequest:
        data = build_data(
            call.kind, call.body, trigger_word=call.trigger_word, site_url=self._site_url, token=call.hook.token
        )
        return build_request(
            call.hook,
            call.url,
            data,
            webhook_id=call.leased.delivery.webhook_id,
            now=self._clock.now(),
            hops=hops_of(call.body),
            deadline_s=self._deadline_s,
        )

    def _broken(self, call: _Call, error: Exception) -> Settle:
        """End with a visible failed attempt and a dead letter: replaying it starts with a whole budget."""
        why = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} while building it"
        error_text = f"The call could not be built, so nothing was sent: {why}"
        self._meter.attempt("broken", 0.0)
        self._log.error(
            "attempt",
            hook=call.hook.id,
            delivery=call.leased.delivery.id,
            host=call.host,
            outcome="broken",
            fault=type(error).__name__,
        )
        attempt = self._attempt(call, None, step=steps.AFTER_HTTP_CALL, failed=True, error=error_text)
        return self._settle(
            call.leased, DeliveryState.DEAD, attempt=structs.replace(attempt, called=False), reason=error_text
        )

    # --- after the call -----------------------------------------------------------------------------

    async def _settled(self, call: _Call, end: Answered | Failed | Refused, outcome: Outcome) -> Settle:
        match outcome:
            case Delivered():
                return await self._delivered(call, end, outcome)
            case Retry():
                return self._settle(
                    call.leased,
                    DeliveryState.QUEUED,
                    attempt=self._attempt(call, end, step=outcome.step, failed=True, error=outcome.why),
                    retry_at=Millis(self._clock.steady() + outcome.after_ms),
                    reason=outcome.why,
                    outage=self._outages.faltered(call.leased.delivery.lane_id),
                )
            case Rejected():
                return await self._rejected(call, end, outcome)

    async def _delivered(self, call: _Call, end: Answered | Failed | Refused, outcome: Delivered) -> Settle:
        hook = call.hook
        attempt = self._attempt(call, end, step=outcome.step, failed=False, error=outcome.note)
        outage, news = self._outages.delivered(call.leased.delivery.lane_id)
        changes = await self._notices.recovered(hook, call.host, news) if news else NOTHING
        if outcome.post is not None:
            response = await self._respond.prepare(
                hook,
                outcome.post,
                room_id=call.leased.event.room_id,
                username=_username(call.body),
                hops=call.hops_after,
            )
            attempt = structs.replace(
                attempt,
                step=response.step,
                finished=steps.finishes(response.step),
                error=response.error,
                message_id=response.message_id,
            )
            changes = merge(changes, response.changes)
        return self._settle(call.leased, DeliveryState.DELIVERED, attempt=attempt, changes=changes, outage=outage)

    async def _rejected(self, call: _Call, end: Answered | Failed | Refused, outcome: Rejected) -> Settle:
        outage: Outage | None = None
        if outcome.disable:
            changes = await self._disabling(call.hook, call.host)
        else:
            outage, news = self._outages.failed(call.leased.delivery.lane_id)
            changes = await self._notices.failing(call.hook, call.host, outcome.why, news) if news else NOTHING
        return self._settle(
            call.leased,
            DeliveryState.DEAD,
            attempt=self._attempt(call, end, step=outcome.step, failed=True, error=outcome.why),
            reason=outcome.why,
            changes=changes,
            outage=outage,
        )

    async def revised(self, leased: Leased, settle: Settle) -> Settle:
        """Build anew what an end causes, after its hook changed meanwhile: a 410 still disables it."""
        if settle.attempt is None or settle.attempt.step != steps.GONE:
            return structs.replace(settle, changes=None)
        self._directory.clear()  # it has not noticed the change, else there were no conflict
        host = _host(self._address(leased) or "")
        return structs.replace(settle, changes=await self._disabling(leased.hook, host))

    async def _disabling(self, hook: OutgoingHook, host: str) -> Changes:
        """Return what disables a hook as it is now, and tells so in the room that owns it (decision 42)."""
        current = await self._directory.hook(hook.id)
        cat = await self._directory.user(ROCKET_CAT)
        if not isinstance(current, OutgoingHook) or not current.enabled or cat is None:
            return NOTHING  # another attempt was first
        disabled = revised(current, enabled=False, updated_at=self._clock.now(), updated_by=(cat.id, cat.username))
        fact = self._fanout.plain(EventKind.INTEGRATION_CHANGED, cat, {"id": hook.id, "name": hook.name})
        told = await self._notices.disabled(disabled, host)
        return merge(Changes(put_hooks=(disabled,), facts=(fact,)), told)

    def _attempt(
        self, call: _Call, end: Answered | Failed | Refused | None, *, step: str, failed: bool, error: str | None
    ) -> Attempt:
        now = self._clock.now()
        delivery = call.leased.delivery
        return Attempt(
            id=timed_id(now),
            integration_id=call.hook.id,
            version=call.hook.version,
            event_seq=delivery.event_seq,
            delivery_id=delivery.id,
            url_hash=delivery.url_hash,
            trigger_word=call.trigger_word,
            step=step,
            finished=steps.finishes(step),
            failed=failed,
            started_at=call.started_at,
            updated_at=now,
            duration_ms=_took_ms(end),
            status=end.status if isinstance(end, Answered) else None,
            response=answer_excerpt(call.hook, end) if isinstance(end, Answered) else None,
            error=error,
        )

    def _settle(
        self,
        leased: Leased,
        state: DeliveryState,
        *,
        attempt: Attempt | None = None,
        retry_at: Millis | None = None,
        reason: str | None = None,
        changes: Changes | None = None,
        outage: Outage | None = None,
    ) -> Settle:
        return Settle(
            delivery_id=leased.delivery.id,
            lane_id=leased.delivery.lane_id,
            lease=leased.lease,
            state=state,
            attempt=attempt,
            now=self._clock.steady(),
            retry_at=retry_at,
            reason=reason,
            changes=None if changes is NOTHING else changes,
            outage=outage,
        )

    def _report(self, call: _Call, outcome: str, end: Answered | Failed | Refused | None) -> None:
        self._meter.attempt(outcome, _took_ms(end) / 1000)
        if not self._log.is_enabled_for(logging.INFO):
            return
        self._log.info(
            "attempt",
            hook=call.hook.id,
            delivery=call.leased.delivery.id,
            host=call.host,
            outcome=outcome,
            status=end.status if isinstance(end, Answered) else None,
            fault=end.kind if isinstance(end, Failed) else "refused" if isinstance(end, Refused) else None,
            duration_ms=_took_ms(end),
            tries=call.leased.delivery.tries + 1,
        )


def _fires(hook: OutgoingHook, kind: EventKind, body: Mapping[str, Any]) -> Fire | None:
    """Check again what was true when the event happened: the hook may have changed (§7.2)."""
    event = OutgoingEvent.of(kind)
    if event is None or event.value != hook.event:
        return None
    if event.uses_trigger_words:
        return fires(hook, text_of(body), is_edit=kind is EventKind.MESSAGE_EDITED)
    return Fire()


def _host(url: str) -> str:
    target = parse_url(url)
    return target.host if isinstance(target, Target) else "an invalid address"


def _username(body: Mapping[str, Any]) -> str:
    return str(body["message"]["u"]["username"] if "message" in body else body["user"]["username"])


def _took_ms(end: Answered | Failed | Refused | None) -> int:
    return 0 if end is None or isinstance(end, Refused) else end.duration_ms
