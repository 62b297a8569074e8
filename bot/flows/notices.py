"""What `rocket.cat` tells people about their webhooks: an address that died, an answer with no place to go."""

from collections.abc import Collection

from msgspec import structs

from bot.workspace.directory import Directory
from bot.workspace.posting import Posting, plain
from handlers.errors import Fault
from storage.ids import ROCKET_CAT, IntegrationId, LaneId
from storage.records.changes import NOTHING, Changes
from storage.records.integration import Hook


class Notices:
    """Builds notices as changes, so that one is written with what it tells of, or not at all.

    What was told already is remembered in memory only: after a restart an alert may come a second time,
    and the recovery of an address that died before it is not announced.
    """

    def __init__(self, directory: Directory, posting: Posting) -> None:
        self._directory = directory
        self._posting = posting
        self._dead: set[LaneId] = set()
        self._archived: set[tuple[IntegrationId, str]] = set()

    async def disabled(self, hook: Hook, host: str, *, hops: int) -> Changes:
        """Say that a 410 disabled a hook, in the room that owns it (decision 42)."""
        return await self._to_owning_room(
            hook,
            f"The outgoing webhook {_named(hook)} was disabled: {host} answered 410 Gone."
            " What is queued for it is held for 24 hours; enable it when the address works again.",
            hops,
        )

    async def died(self, hook: Hook, lane: LaneId, host: str, why: str, *, hops: int) -> Changes:
        """Say once, until the next success, that deliveries of a lane fail for good (delivery.md §6)."""
        if lane in self._dead:
            return NOTHING
        self._dead.add(lane)
        return await self._to_owning_room(
            hook,
            f"The outgoing webhook {_named(hook)} cannot deliver to {host}: {why}"
            " What failed stands in the dead letters and can be replayed.",
            hops,
        )

    async def recovered(self, hook: Hook, lane: LaneId, host: str, *, hops: int) -> Changes:
        """Say that a lane which had died delivers again."""
        if lane not in self._dead:
            return NOTHING
        self._dead.discard(lane)
        return await self._to_owning_room(hook, f"The outgoing webhook {_named(hook)} delivers to {host} again.", hops)

    async def archived(self, hook: Hook, place: str) -> Changes:
        """Tell the hook's creator once that it posts into an archived room (decision 25)."""
        if (hook.id, place) in self._archived:
            return NOTHING
        self._archived.add((hook.id, place))
        return await self._to_creator(
            hook, f"The webhook {_named(hook)} posts to {place}, which is archived; unarchive it or edit the webhook."
        )

    async def _to_owning_room(self, hook: Hook, text: str, hops: int) -> Changes:
        sender = await self._directory.user(ROCKET_CAT)
        first = next(iter(hook.channels), "")
        if sender is not None and first.startswith(("#", "@")):
            prepared = await self._posting.prepare(plain(text), sender, [first], hops=hops)
            if not isinstance(prepared, Fault):
                return unheard(prepared.changes, [hook.id])
        return await self._to_creator(hook, text)

    async def _to_creator(self, hook: Hook, text: str) -> Changes:
        sender = await self._directory.user(ROCKET_CAT)
        creator = await self._directory.user(hook.created_by[0])
        if sender is None or creator is None or not creator.active:
            return NOTHING
        prepared = await self._posting.direct(sender, creator, text)
        return NOTHING if isinstance(prepared, Fault) else unheard(prepared.changes, [hook.id])


def unheard(changes: Changes, hook_ids: Collection[str]) -> Changes:
    """Keep a notice from firing the very hooks it is about, which would only fail once more."""
    if not hook_ids:
        return changes
    facts = (
        structs.replace(
            fact,
            deliveries=tuple(one for one in fact.deliveries if one.integration_id not in hook_ids),
            stopped=tuple(one for one in fact.stopped if one.integration_id not in hook_ids),
        )
        for fact in changes.facts
    )
    return structs.replace(changes, facts=tuple(facts))


def _named(hook: Hook) -> str:
    return f"“{hook.name}” ({hook.id})" if hook.name else hook.id
