"""What `rocket.cat` tells people about their webhooks: an address that died, an answer with no place to go."""

from bot.workspace.directory import Directory
from bot.workspace.posting import Posting
from handlers.errors import Fault
from storage.ids import IntegrationId, LaneId
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

    async def disabled(self, hook: Hook, host: str) -> Changes:
        """Say that a 410 disabled a hook, in the room that owns it (decision 42)."""
        return await self._to_owning_room(
            hook,
            f"The outgoing webhook {_named(hook)} was disabled: {host} answered 410 Gone."
            " What is queued for it is held for 24 hours; enable it when the address works again.",
        )

    async def died(self, hook: Hook, lane: LaneId, host: str, why: str) -> Changes:
        """Say once, until the next success, that deliveries of a lane fail for good (delivery.md §6)."""
        if lane in self._dead:
            return NOTHING
        self._dead.add(lane)
        return await self._to_owning_room(
            hook,
            f"The outgoing webhook {_named(hook)} cannot deliver to {host}: {why}"
            " What failed stands in the dead letters and can be replayed.",
        )

    async def recovered(self, hook: Hook, lane: LaneId, host: str) -> Changes:
        """Say that a lane which had died delivers again."""
        if lane not in self._dead:
            return NOTHING
        self._dead.discard(lane)
        return await self._to_owning_room(hook, f"The outgoing webhook {_named(hook)} delivers to {host} again.")

    async def archived(self, hook: Hook, place: str) -> Changes:
        """Tell the hook's creator once that it posts into an archived room (decision 25)."""
        if (hook.id, place) in self._archived:
            return NOTHING
        self._archived.add((hook.id, place))
        return await self._to_creator(
            hook, f"The webhook {_named(hook)} posts to {place}, which is archived; unarchive it or edit the webhook."
        )

    async def _to_owning_room(self, hook: Hook, text: str) -> Changes:
        first = next(iter(hook.channels), "")
        if first.startswith(("#", "@")):
            prepared = await self._posting.notice(text, first)
            if not isinstance(prepared, Fault):
                return prepared.changes
        return await self._to_creator(hook, text)

    async def _to_creator(self, hook: Hook, text: str) -> Changes:
        prepared = await self._posting.notice(text, f"@{hook.created_by[0]}")
        return NOTHING if isinstance(prepared, Fault) else prepared.changes


def _named(hook: Hook) -> str:
    return f"“{hook.name}” ({hook.id})" if hook.name else hook.id
