"""Hooks of both directions for commands: seen, counted and removed with the caller's rights."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bot.flows.desks import Caller, Desk, Kit
from bot.workspace.stops import Stops
from handlers.errors import Fault
from handlers.permissions import permissions, visible
from handlers.references import Found
from handlers.services import HOOKS, HookDesk, HookFilter, Traffic
from storage.ids import IntegrationId
from storage.records.changes import Changes
from storage.records.integration import (
    BY_NAME,
    Direction,
    Hook,
    HookField,
    IncomingHook,
    WantedHooks,
    direction,
)
from storage.records.queue import Counts

RECENT = 10
"""How many of a hook's last calls or requests its failures are counted in."""


class Hooks:
    """Implements `handlers.services.HookDesk`."""

    def __init__(self, kit: Kit, caller: Caller) -> None:
        self._kit = kit
        self._user = caller.user

    async def page(self, wanted: HookFilter, *, offset: int, count: int) -> tuple[Sequence[Hook], int]:
        equal = list[tuple[HookField, str | bool]]()
        if wanted.way is not None:
            equal.append((HookField.DIRECTION, wanted.way))
        if wanted.mine:
            equal.append((HookField.MAKER, self._user.id))
        narrowed = replace(
            self._seen,
            equal=tuple(equal),
            channels=wanted.channels,
            silent_at=self._kit.clock.now() if wanted.silent else None,
        )
        return await self._kit.store.hook_page(narrowed, offset=offset, count=count)

    async def find(self, reference: str, way: Direction | None = None) -> Found[Hook]:
        return await self._kit.hooks.find(self._user, reference, way)

    async def near(self, word: str, way: Direction | None = None) -> Sequence[str]:
        return await self._kit.hooks.near(self._user, word, way)

    async def has_namesake(self, hook: Hook) -> bool:
        named = replace(self._seen, equal=((HookField.FOLDED, hook.name.casefold()),))
        return any(each.id != hook.id for each in await self._kit.store.hook_outlines(named, count=2))

    async def these(self, hook_ids: Collection[IntegrationId]) -> Sequence[Hook]:
        found = [await self._kit.directory.hook(hook_id) for hook_id in hook_ids]
        held = permissions(self._user)
        seen = [hook for hook in found if hook is not None and visible(held, self._user.id, hook)]
        return sorted(seen, key=lambda hook: (hook.name.casefold(), hook.id))

    @property
    def _seen(self) -> WantedHooks:
        return self._kit.hooks.seen(self._user, order=BY_NAME)

    async def traffic(self, hook_ids: Sequence[IntegrationId]) -> Mapping[IntegrationId, Traffic]:
        found = await self._kit.store.passed(hook_ids, RECENT)
        rotated = [
            hook
            for hook in [await self._kit.directory.hook(hook_id) for hook_id in hook_ids]
            if isinstance(hook, IncomingHook) and hook.previous_token
        ]
        old = await self._kit.store.previous_calls(rotated)
        traffic = {hook_id: Traffic(passed.last_at, passed.failures) for hook_id, passed in found.items()}
        for hook_id, calls in old.items():  # also where no requests are kept
            before = traffic.get(hook_id, Traffic(calls.last_at))
            traffic[hook_id] = Traffic(before.last_at, before.failures, calls.calls)
        return traffic

    async def remove_hook(self, hook: Hook, also: Changes) -> str | None:
        current = await self._kit.directory.hook(hook.id)
        if current is None or current.version != hook.version:
            return "Somebody else changed it meanwhile; look at it again and repeat."
        body = {"type": direction(hook).value, "integrationId": hook.id}
        removed = await self._kit.hooks.remove(self._user, body, also)
        return removed.bracketed if isinstance(removed, Fault) else None

    async def stops(self, hook: Hook) -> str | None:
        return await Stops(self._kit.directory, self._kit.fanout).why(hook)

    async def queue_counts(self, hook_id: IntegrationId | None = None) -> Counts:
        return await self._kit.store.counts(hook_id)


def _make(kit: Kit, caller: Caller) -> HookDesk:
    return Hooks(kit, caller)


DESK: Desk = Desk(HOOKS, _make)
