"""Deliveries for commands: those of the hooks the caller sees, looked at, hurried, queued again and given up."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from msgspec import structs

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.deliveries import PAGE, SLICE
from handlers.deliveries import DELIVERIES, DeliveryDesk, Shown, Wanted
from handlers.permissions import MANAGE_OUTGOING, may_manage, permissions, sees_all, sight, visible
from storage.clock import Millis
from storage.ids import DeliveryId, IntegrationId, MessageId
from storage.records.changes import NOTHING, Changes
from storage.records.delivery import Delivery
from storage.records.integration import Hook

KEPT_REQUESTS = 200
"""Requests of an incoming hook that are kept, and so can be followed to what they caused (decision 33)."""


class CallersDeliveries:
    """Implements `handlers.deliveries.DeliveryDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user
        self._held = frozenset[str]() if caller.unlinked else permissions(caller.user)

    async def page(self, wanted: Wanted, *, offset: int, count: int) -> tuple[Sequence[Shown], int]:
        found, total = await self._found(wanted, offset, count)
        return await self._shown(found), total

    async def one(self, delivery_id: DeliveryId) -> Shown | None:
        found = await self._kit.store.delivery(delivery_id)
        if found is None:
            return None
        hook = await self._kit.directory.hook(found.integration_id)
        if hook is None:
            # of a removed hook; one of another organisation still stands in the store
            seen = sees_all(self._held) and await self._kit.store.hook(found.integration_id) is None
        else:
            seen = visible(self._held, self._user.id, hook)
        return (await self._shown([found]))[0] if seen else None

    async def changeable(self, wanted: Wanted) -> Mapping[DeliveryId, IntegrationId]:
        ids, looked, total = list[tuple[DeliveryId, IntegrationId]](), 0, 1
        while looked < total:
            found, total = await self._found(wanted, looked, PAGE)
            looked += len(found) or PAGE
            ids += [
                (one.id, one.integration_id)
                for one in found
                if self._manages(await self._kit.directory.hook(one.integration_id))
            ]
        return dict(ids[::-1])

    def may_change(self, shown: Shown) -> bool:
        return self._manages(shown.hook)

    def _manages(self, hook: Hook | None) -> bool:
        """Tell whether the caller may change a hook; what a removed one left belongs to who may change all."""
        return MANAGE_OUTGOING in self._held if hook is None else may_manage(self._held, self._user.id, hook)

    async def retry_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes) -> int:
        return await self._in_slices(self._kit.store.replay_dead, delivery_ids, also)

    async def discard_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes) -> int:
        return await self._in_slices(self._kit.store.discard_dead, delivery_ids, also)

    async def hasten(self, delivery_id: DeliveryId, also: Changes) -> bool:
        return bool(await self._kit.store.hasten([delivery_id], also))

    async def _in_slices(
        self,
        change: Callable[[Sequence[DeliveryId], Changes], Awaitable[int]],
        delivery_ids: Sequence[DeliveryId],
        also: Changes,
    ) -> int:
        """Change many in transactions of a bearable size; `also` goes with the first that changes any."""
        count = 0
        for start in range(0, len(delivery_ids), SLICE):
            count += await change(delivery_ids[start : start + SLICE], NOTHING if count else also)
        return count

    # --- looking ------------------------------------------------------------------------------------

    async def _found(self, wanted: Wanted, offset: int, count: int) -> tuple[list[Delivery], int]:
        since = wanted.since
        return await self._kit.store.deliveries(
            hook_id=wanted.hook_id,
            state=wanted.state,
            since=None if since is None else Millis(since - self._ahead()),
            offset=offset,
            count=count,
            org=self._kit.directory.org,
            sight=None if sees_all(self._held) else sight(self._held, self._user.id),
            message_ids=None if wanted.made_by is None else await self._made_by(wanted.made_by),
            reason=wanted.reason,
        )

    async def _made_by(self, hook_id: IntegrationId) -> list[MessageId]:
        requests = await self._kit.store.requests(hook_id, count=KEPT_REQUESTS)
        return [MessageId(message_id) for request in requests for message_id in request.message_ids]

    async def _shown(self, deliveries: Sequence[Delivery]) -> list[Shown]:
        ahead = self._ahead()
        return [
            replace(
                shown,
                delivery=structs.replace(
                    shown.delivery,
                    created_at=Millis(shown.delivery.created_at + ahead),
                    available_at=Millis(shown.delivery.available_at + ahead),
                ),
            )
            for shown in await self._kit.deliveries.shown(self._user, deliveries)
        ]

    def _ahead(self) -> int:
        """Return how far the wall clock has stepped ahead of the queue's (decision 29)."""
        return self._kit.clock.now() - self._kit.clock.steady()


def _make(kit: Kit, caller: Caller) -> DeliveryDesk:
    return CallersDeliveries(kit, caller)


DESK: Desk = Desk(DELIVERIES, _make)
