"""What `rocket.cat` tells people about their webhooks: an address that fails, an answer with no place to go."""

from datetime import UTC, datetime, tzinfo

from bot.workspace.posting import Posting
from handlers.answers import plural
from handlers.errors import Fault
from handlers.outages import Failing, Recovered
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.changes import NOTHING, Changes
from storage.records.integration import Hook


class Notices:
    """Builds notices as changes, so that one is written with what it tells of, or not at all.

    That a hook posts into an archived room is remembered in memory only: after a restart it is told once more.
    """

    def __init__(self, posting: Posting, zone: tzinfo = UTC) -> None:
        self._posting = posting
        self._zone = zone
        self._archived: set[tuple[IntegrationId, str]] = set()

    async def disabled(self, hook: Hook, host: str) -> Changes:
        """Say that a 410 disabled a hook, in the room that owns it (decision 42)."""
        return await self._to_owning_room(
            hook,
            f"The outgoing webhook {_named(hook)} was disabled: {host} answered 410 Gone."
            " What is queued for it is held for 24 hours; enable it when the address works again.",
        )

    async def failing(self, hook: Hook, host: str, why: str, news: Failing) -> Changes:
        """Say that deliveries to an address fail for good."""
        dead = "The delivery is a dead letter now."
        if news.failed > 1:
            dead = f"{news.failed:,} deliveries have become dead letters since {self._time(news.since)}."
        return await self._to_owning_room(
            hook,
            f"The outgoing webhook {_named(hook)} cannot deliver to {host}: {why} {dead}"
            f" When the receiver works again, `/hook dead retry {hook.id}` sends what failed once more;"
            f" `/hook out history {hook.id}` shows every call. It is told here when deliveries arrive again.",
        )

    async def recovered(self, hook: Hook, host: str, news: Recovered) -> Changes:
        """Say that an address that failed takes deliveries again."""
        return await self._to_owning_room(
            hook,
            f"The outgoing webhook {_named(hook)} delivers to {host} again."
            f" {plural(news.failed, 'delivery', 'deliveries')} failed between {self._time(news.since)} and"
            f" {self._time(news.until)}; what has not been sent since, `/hook dead retry {hook.id}` sends.",
        )

    async def archived(self, hook: Hook, place: str) -> Changes:
        """Tell the hook's creator once that it posts into an archived room (decision 25)."""
        if (hook.id, place) in self._archived:
            return NOTHING
        self._archived.add((hook.id, place))
        return await self._to_creator(
            hook, f"The webhook {_named(hook)} posts to {place}, which is archived; unarchive it or edit the webhook."
        )

    def _time(self, at: Millis) -> str:
        return datetime.fromtimestamp(at / 1000, self._zone).strftime("%Y-%m-%d %H:%M")

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
