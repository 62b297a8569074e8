"""Deliveries as people see them: where each stands, every attempt at it, dead letters queued again (delivery.md §6)."""

from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import structs

from bot.workspace.directory import Directory
from handlers.deliveries import Shown, written_id
from handlers.errors import Fault
from handlers.permissions import MANAGE_OUTGOING, may_manage, permissions
from storage.clock import Millis
from storage.ids import DeliveryId, IntegrationId
from storage.ports import Events, History, Queue, Secrets
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.integration import Hook, OutgoingHook
from storage.records.user import User

PAGE = 1_000
SLICE = 500
"""Dead letters queued again in one transaction."""

NOT_ALLOWED = Fault("Deliveries of all hooks are for those who may manage every outgoing hook; name one of yours.")


class DeliveryStore(Queue, History, Events, Secrets, Protocol):
    """Where deliveries and what became of them are kept."""


class Deliveries:
    """Each method judges by the caller's permissions first; None as hook means all of them."""

    def __init__(self, store: DeliveryStore, directory: Directory) -> None:
        self._store = store
        self._directory = directory

    async def page(
        self,
        actor: User,
        hook_id: IntegrationId | None,
        *,
        state: DeliveryState | None = None,
        since: Millis | None = None,
        offset: int = 0,
        count: int = 50,
    ) -> tuple[list[Shown], int] | Fault:
        """Return a page of deliveries, newest first, and how many there are."""
        fault = await self._fault(actor, hook_id)
        if fault is not None:
            return fault
        found, total = await self._store.deliveries(
            hook_id=hook_id, state=state, since=since, offset=offset, count=count
        )
        return await self.shown(actor, found), total

    async def dead_letters(self, actor: User, hook_id: IntegrationId | None) -> list[DeliveryId] | Fault:
        """Return all dead letters, oldest first: the order to queue them again in."""
        fault = await self._fault(actor, hook_id)
        if fault is not None:
            return fault
        ids: list[DeliveryId] = []
        while True:
            found, total = await self._store.deliveries(
                hook_id=hook_id, state=DeliveryState.DEAD, offset=len(ids), count=PAGE
            )
            ids += [delivery.id for delivery in found]
            if not found or len(ids) >= total:
                return ids[::-1]

    async def dead_letter(self, actor: User, delivery_id: DeliveryId) -> Shown | Fault:
        """Return one dead letter."""
        found = await self._store.delivery(delivery_id)
        if found is None or await self._fault(actor, found.integration_id) is not None:
            return Fault(f"There is no delivery {written_id(delivery_id)}.")
        if found.state is not DeliveryState.DEAD:
            return Fault(f"{written_id(delivery_id)} is no dead letter; it is {found.state}.")
        return (await self.shown(actor, [found]))[0]

    async def retry(
        self, actor: User, ids: Sequence[DeliveryId], progress: Callable[[int, int], None] | None = None
    ) -> int | Fault:
        """Queue dead letters again with a fresh budget; returns how many still have their hook and address."""
        if MANAGE_OUTGOING not in permissions(actor):
            for delivery_id in ids:
                letter = await self.dead_letter(actor, delivery_id)
                if isinstance(letter, Fault):
                    return letter
        queued = 0
        for start in range(0, len(ids), SLICE):
            queued += await self._store.replay_dead(ids[start : start + SLICE])
            if progress:
                progress(min(start + SLICE, len(ids)), len(ids))
        return queued

    async def _fault(self, actor: User, hook_id: IntegrationId | None) -> Fault | None:
        held = permissions(actor)
        if MANAGE_OUTGOING in held:
            return None
        if hook_id is None:
            return NOT_ALLOWED
        hook = await self._directory.hook(hook_id)
        if hook is None or not may_manage(held, actor.id, hook):
            return Fault(f"There is no hook {hook_id!r}.")
        return None

    # --- what is shown ------------------------------------------------------------------------------

    async def shown(self, viewer: User, deliveries: Sequence[Delivery]) -> list[Shown]:
        """Return deliveries with what a person wants to know of them.

        Whether they may see the deliveries is judged before; what receivers answered is left out for who may not
        enter the room it was about, because answers repeat what they were told.
        """
        attempts = await self._attempts(deliveries)
        shown = []
        for delivery in deliveries:
            hook = await self._directory.hook(delivery.integration_id)
            event = await self._store.event(delivery.event_seq)
            tried: Sequence[Attempt] = attempts.get(delivery.id, ())
            if not await self._directory.may_see(viewer, event):
                tried = [structs.replace(attempt, response=None) for attempt in tried]
            shown.append(
                Shown(
                    delivery=delivery,
                    hook=hook,
                    url=self._url(hook, delivery),
                    event=None if event is None else event.kind,
                    attempts=tuple(tried),
                )
            )
        return shown

    def _url(self, hook: Hook | None, delivery: Delivery) -> str | None:
        urls = hook.urls if isinstance(hook, OutgoingHook) else ()
        return next((url for url in urls if self._store.lookup(url) == delivery.url_hash), None)

    async def _attempts(self, deliveries: Sequence[Delivery]) -> dict[DeliveryId, list[Attempt]]:
        found: dict[DeliveryId, list[Attempt]] = {one.id: [] for one in deliveries}
        for attempt in await self._store.attempts_of(list(found)):
            if attempt.delivery_id is not None:
                found[attempt.delivery_id].append(attempt)
        return found
