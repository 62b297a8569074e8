"""Deliveries, rooms and mutes for commands, held in memory; for `command_stage`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from msgspec import structs

from handlers.deliveries import DELIVERIES, Shown, Wanted
from handlers.errors import Fault
from handlers.muting import MUTES
from handlers.permissions import may_manage, permissions, visible
from handlers.rooms import ROOMS, NewRoom, Retention, RoomFacts
from handlers.services import Provided, provide
from storage.clock import Millis
from storage.ids import DeliveryId, EventSeq, IntegrationId, LaneId, RoomId
from storage.records.changes import Changes, Committed
from storage.records.delivery import Delivery, DeliveryState
from storage.records.event import EventKind
from storage.records.integration import Hook, OutgoingHook
from storage.records.room import Room
from storage.records.user import User
from storage.records.version import revised
from tests.records import NOON, room


class Writes(Protocol):
    """Where `also` is written."""

    async def commit(self, changes: Changes) -> Committed: ...


def delivery(number: int, hook: OutgoingHook, state: DeliveryState = DeliveryState.DEAD, **more: object) -> Shown:
    """Build a delivery of a hook, a dead one of two hours ago unless changed."""
    plain = Delivery(
        id=DeliveryId(number),
        lane_id=LaneId(1),
        integration_id=hook.id,
        url_hash=b"u",
        event_seq=EventSeq(number),
        state=state,
        trigger_word=None,
        tries=5,
        receives=0,
        available_at=Millis(NOON + 600_000),
        created_at=Millis(NOON - 7_200_000),
        reason="The receiver answered 400." if state is DeliveryState.DEAD else None,
        webhook_id=f"3Btk9hiJySAvZ2{number:03}",
    )
    return Shown(structs.replace(plain, **more), hook, hook.urls[0], EventKind.MESSAGE_POSTED, ())


@dataclass
class Yard:
    """What one actor's commands ask about queue and rooms; `hooks` are those of the stage itself."""

    actor: User
    hooks: list[Hook]
    memory: Writes
    deliveries: list[Shown] = field(default_factory=list)
    named: list[Room] = field(default_factory=lambda: [room(), room(id=RoomId("ops"), name="ops")])

    def provided(self) -> tuple[Provided, ...]:
        return provide(DELIVERIES, self), provide(ROOMS, self), provide(MUTES, self)

    # --- deliveries ---------------------------------------------------------------------------------

    def _meant(self, wanted: Wanted) -> list[Shown]:
        held = permissions(self.actor)
        return [
            each
            for each in sorted(self.deliveries, key=lambda one: -one.delivery.id)
            if each.hook
            and visible(held, self.actor.id, each.hook)
            and wanted.hook_id in (None, each.hook.id)
            and wanted.state in (None, each.delivery.state)
            and (wanted.since or 0) <= each.delivery.created_at
            and (wanted.reason or "").lower() in (each.delivery.reason or "").lower()
            and wanted.made_by is None
        ]

    async def page(self, wanted: Wanted, *, offset: int, count: int) -> tuple[Sequence[Shown], int]:
        found = self._meant(wanted)
        return found[offset : offset + count], len(found)

    async def one(self, delivery_id: DeliveryId) -> Shown | None:
        return next((each for each in self._meant(Wanted()) if each.delivery.id == delivery_id), None)

    async def changeable(self, wanted: Wanted) -> Mapping[DeliveryId, IntegrationId]:
        mine = [each.delivery for each in self._meant(wanted) if self.may_change(each)]
        return {one.id: one.integration_id for one in mine[::-1]}

    def may_change(self, shown: Shown) -> bool:
        return shown.hook is not None and may_manage(permissions(self.actor), self.actor.id, shown.hook)

    async def retry_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes) -> int:
        return await self._moved(delivery_ids, DeliveryState.QUEUED, also)

    async def discard_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes) -> int:
        return await self._moved(delivery_ids, DeliveryState.DISCARDED, also)

    async def hasten(self, delivery_id: DeliveryId, also: Changes) -> bool:
        await self.memory.commit(also)
        return True

    async def _moved(self, ids: Sequence[DeliveryId], state: DeliveryState, also: Changes) -> int:
        dead = [
            each for each in self.deliveries if each.delivery.id in ids and each.delivery.state is DeliveryState.DEAD
        ]
        if dead:
            await self.memory.commit(also)
        for each in dead:
            moved = replace(each, delivery=structs.replace(each.delivery, state=state))
            self.deliveries[self.deliveries.index(each)] = moved
        return len(dead)

    # --- rooms and mutes ----------------------------------------------------------------------------

    async def rooms(self) -> Sequence[Room]:
        return self.named

    async def facts(self, room_ids: Sequence[RoomId]) -> Mapping[RoomId, RoomFacts]:
        return {room_id: RoomFacts(3, 12, Millis(NOON - 60_000)) for room_id in room_ids}

    async def owners(self, room: Room) -> Sequence[str]:
        return ["ann"]

    async def judge(self, new: NewRoom) -> Fault | None:
        if any(each.name == new.name for each in self.named):
            return Fault(f"A channel with name '{new.name}' exists", "error-duplicate-channel-name")
        return None

    async def create(self, new: NewRoom, also: Changes) -> Room | Fault:
        await self.memory.commit(also)
        made = room(id=RoomId(new.name), name=new.name)
        self.named.append(made)
        return made

    async def archive(self, room: Room, *, archived: bool, note: str, also: Changes) -> Fault | None:
        await self.memory.commit(also)
        self.named[self.named.index(room)] = replace(room, archived=archived)
        return None

    async def beyond(self, room: Room, retention: Retention) -> int:
        return 0 if retention.keep_last is None else max(0, 12 - retention.keep_last)

    async def removed(self, room: Room) -> int:
        return 0

    async def retain(self, room: Room, retention: Retention, also: Changes) -> Fault | None:
        await self.memory.commit(also)
        kept = revised(room, keep_ms=retention.keep_ms, keep_last=retention.keep_last)
        self.named[self.named.index(room)] = kept
        return None

    async def mute(self, hooks: Sequence[Hook], until: Millis | None, also: Changes) -> Fault | None:
        await self.memory.commit(also)
        for hook in hooks:
            self.hooks[self.hooks.index(hook)] = replace(hook, muted_until=until, version=hook.version + 1)
        return None
