"""The history of outgoing hooks: show it, clear it, and run an entry again (`rocketchat.md` §8)."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from handlers.acting import NOT_REACHING
from handlers.errors import Fault
from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.history import history_view
from handlers.outgoing.replayed import unwrap, wrap
from handlers.permissions import MANAGE_OUTGOING, MANAGE_OWN_OUTGOING, permissions
from handlers.rocketchat.views import JsonObject, message_view
from storage.clock import Clock, parse_iso
from storage.ids import IntegrationId, MessageId, RoomId, UserId
from storage.plain_json import write
from storage.ports import Events, History, Integrations, Ledger, Messages, Secrets
from storage.records.changes import NOTHING, Changes, Fact, merge
from storage.records.delivery import Attempt, NewDelivery
from storage.records.event import Event, EventKind, NewEvent
from storage.records.integration import Direction, Hook, OutgoingHook
from storage.records.room import Room
from storage.records.user import User

MOST_FILTERED = 1_000
"""Entries looked through when a caller filters or sorts a history, the newest ones."""

UNAUTHORIZED = Fault("Unauthorized", "not_authorized")
INVALID_INTEGRATION = Fault("Invalid integration", "error-invalid-integration")
INVALID_HISTORY = Fault("Invalid Integration History", "error-invalid-integration-history")
NOT_OUTGOING = Fault("The integration type to replay must be an outgoing webhook.", "integration-type-must-be-outgoing")
NO_DATA = Fault("The history data must be defined to replay an integration.", "history-data-must-be-defined")
NOT_SHOWN = Fault("You may not enter the room this call told of", "error-not-allowed")
ADDRESS_REMOVED = Fault(
    "The webhook does not call this address any more; add it again before you replay.", "error-invalid-urls"
)


class ReplayStore(Ledger, Integrations, History, Events, Messages, Secrets, Protocol):
    """What history is read from and replays are written to."""


class Replay:
    """Each method checks the caller's right first; the texts are those of the realtime methods."""

    def __init__(
        self, store: ReplayStore, directory: Directory, fanout: Fanout, clock: Clock, *, site_url: str
    ) -> None:
        self._store = store
        self._directory = directory
        self._fanout = fanout
        self._clock = clock
        self._site_url = site_url

    async def replay(self, actor: User, hook_id: str, entry_id: str, also: Changes = NOTHING) -> Fault | None:
        """Run an entry again: its event and address, with message, room and user as they are now.

        `also` is written with it or not at all.
        """
        hook = await self._hook(actor, hook_id)
        if isinstance(hook, Fault):
            return hook
        attempt = await self._store.attempt(entry_id)
        if attempt is None or attempt.integration_id != hook.id:
            return INVALID_HISTORY
        if not isinstance(hook, OutgoingHook):
            return NOT_OUTGOING
        event = await self._store.event(attempt.event_seq)
        if event is not None and not await self._directory.may_see(actor, event):
            return NOT_SHOWN
        if event is not None and not await self._directory.reaches(hook, await self._room(event.room_id)):
            return NOT_REACHING
        fresh = None if event is None else await self._fresh(event)
        if event is None or fresh is None or attempt.url_hash is None:
            return NO_DATA
        if attempt.url_hash not in map(self._store.lookup, hook.urls):
            return ADDRESS_REMOVED
        again = Changes(facts=(self._fact(actor, hook, attempt, event, fresh),))
        await self._store.commit(merge(again, also))
        return None

    async def clear(self, actor: User, hook_id: str) -> Fault | None:
        """Forget a hook's history."""
        hook = await self._hook(actor, hook_id)
        if isinstance(hook, Fault):
            return hook
        await self._store.clear_attempts(hook.id)
        return None

    # --- entries ------------------------------------------------------------------------------------

    async def page(
        self, hook_ids: Sequence[IntegrationId], *, offset: int = 0, count: int = 50, ascending: bool = False
    ) -> tuple[list[Attempt], int]:
        """Return a page of attempts by last change, newest first, and the total; rights are the caller's to check."""
        if not hook_ids:
            return [], 0
        return await self._store.attempts(hook_ids, ascending=ascending, offset=offset, count=count)

    async def newest(self, hook_ids: Sequence[IntegrationId]) -> list[Attempt]:
        """Return the newest attempts, as many as a filter may look through."""
        return (await self.page(hook_ids, count=MOST_FILTERED))[0]

    async def entries(self, viewer: User, attempts: Sequence[Attempt]) -> AsyncIterator[tuple[Attempt, JsonObject]]:
        """Show attempts as entries, one by one: the event of each may be a megabyte.

        Which hooks the viewer may ask about is the caller's to check; of what a hook heard in a room that they may
        not enter, an entry shows that there was a call and no more.
        """
        hooks: dict[tuple[IntegrationId, int], Hook | None] = {}
        for attempt in attempts:
            key = (attempt.integration_id, attempt.version)
            if key not in hooks:
                hooks[key] = await self._store.hook_version(*key)
            entry = await self._entry(viewer, attempt, hooks[key])
            if entry is not None:
                yield attempt, entry

    async def _entry(self, viewer: User, attempt: Attempt, hook: Hook | None) -> JsonObject | None:
        event = await self._store.event(attempt.event_seq)
        if event is None or not isinstance(hook, OutgoingHook):
            return None  # the event of a call that was never made leaves the stream before its entry
        kind, body = unwrap(event)
        seen = await self._directory.may_see(viewer, event)
        return history_view(
            attempt,
            hook=hook,
            url=next((url for url in hook.urls if self._store.lookup(url) == attempt.url_hash), None),
            kind=kind,
            body=body if seen else None,
            site_url=self._site_url,
            posted=await self._posted(viewer, attempt),
        )

    async def _posted(self, viewer: User, attempt: Attempt) -> JsonObject | None:
        message = await self._store.message(MessageId(attempt.message_id)) if attempt.message_id else None
        room = await self._directory.room(message.room_id) if message else None
        if message is None or room is None or not await self._directory.may_reach(viewer, Direction.OUTGOING, room):
            return None
        channel = f"#{room.name}" if room.name else room.id
        return {"channel": channel, "message": message_view(message)}

    # --- replay -------------------------------------------------------------------------------------

    async def _hook(self, actor: User, hook_id: str) -> Hook | Fault:
        held = permissions(actor)
        if not held & {MANAGE_OUTGOING, MANAGE_OWN_OUTGOING}:
            return UNAUTHORIZED
        hook = await self._directory.hook(IntegrationId(hook_id))
        if hook is None or (MANAGE_OUTGOING not in held and hook.created_by[0] != actor.id):
            return INVALID_INTEGRATION
        return hook

    async def _room(self, room_id: RoomId | None) -> Room | None:
        return None if room_id is None else await self._directory.room(room_id)

    async def _fresh(self, event: Event) -> tuple[EventKind, JsonObject] | None:
        """Return an event's kind and its facts as they are now; None when what it was about is gone."""
        kind, body = unwrap(event)
        fact: Fact | None = None
        match OutgoingEvent.of(kind):
            case OutgoingEvent.SEND_MESSAGE | OutgoingEvent.FILE_UPLOADED:
                message = await self._store.message(MessageId(body["message"]["_id"]))
                room = await self._directory.room(message.room_id) if message else None
                author = await self._directory.user(message.user_id) if message else None
                if message and room and author and kind is EventKind.FILE_UPLOADED:
                    fact = await self._fanout.file(message, room, author)
                elif message and room and author:
                    edited = kind is EventKind.MESSAGE_EDITED
                    fact = await self._fanout.message(message, room, author, edited=edited)
            case OutgoingEvent.USER_CREATED:
                user = await self._directory.user(UserId(body["user"]["_id"]))
                fact = await self._fanout.user_created(user) if user else None
            case _:
                room = await self._directory.room(RoomId(body["room"]["_id"]))
                user = await self._directory.user(UserId(body["user"]["_id"]))
                at = parse_iso(body["timestamp"])
                if room and user and at is not None:
                    fact = await self._fanout.room(kind, room, user, at=at)
        return None if fact is None else (kind, fact.event.body)

    def _fact(
        self, actor: User, hook: OutgoingHook, attempt: Attempt, event: Event, fresh: tuple[EventKind, JsonObject]
    ) -> Fact:
        kind, facts = fresh
        replayed = NewEvent(
            kind=EventKind.DELIVERY_REPLAYED,
            org_id=event.org_id,
            at=self._clock.now(),
            room_id=event.room_id,
            user_id=actor.id,
            json=write(wrap(kind, facts)),
        )
        delivery = NewDelivery(
            integration_id=hook.id,
            url_hash=attempt.url_hash or b"",
            trigger_word=attempt.trigger_word,
        )
        return Fact(event=replayed, deliveries=(delivery,))
