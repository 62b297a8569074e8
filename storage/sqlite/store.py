"""The SQLite store: every port, answered by the writer thread or by the readers beside it."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from storage.clock import Clock, Millis
from storage.condition import Condition
from storage.errors import Moved, Unavailable, Uncertain
from storage.ids import DeliveryId, EventSeq, IntegrationId, LaneId, MessageId, OrgId, RoomId, UserId, WorkspaceId
from storage.records.account import AccountLink
from storage.records.audit import AuditFilter, AuditRow
from storage.records.changes import NOTHING, Changes, Committed
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.event import Event
from storage.records.hook_request import HookRequest, Passed, Verdict
from storage.records.integration import (
    Hook,
    HookOutline,
    HookTally,
    IncomingHook,
    OutgoingHook,
    PreviousCalls,
    Sight,
    WantedHooks,
)
from storage.records.message import Message
from storage.records.outage import Outage
from storage.records.pending import Pending, PendingEnd, PendingKind
from storage.records.queue import Claimed, Counts, Settle, Settled
from storage.records.room import Member, Removed, Room, WantedRooms
from storage.records.sealing import Resealed
from storage.records.upload import Upload
from storage.records.user import Token, TokenKind, User
from storage.records.workspace import Workspace, WorkspaceKind
from storage.shares import CallShares
from storage.sqlite import audits, check_value, connected, history, listed_hooks, pendings, reads, sealed, upkeep
from storage.sqlite.apart import ProcessWriter
from storage.sqlite.apply import Scopes
from storage.sqlite.commit_health import CommitHealth
from storage.sqlite.connect import BUSY_TIMEOUT_S, connect, make_durable, translated
from storage.sqlite.engine import Engine, Opening, start
from storage.sqlite.files import OpenFiles, file_id
from storage.sqlite.line import Waiting
from storage.sqlite.migrating import migrate, pending_migrations
from storage.sqlite.queue import ClaimOrder
from storage.sqlite.rows import bare_hook_from
from storage.sqlite.tally import DayTotals, totals_of
from storage.sqlite.together import Together
from storage.sqlite.transactions import Job
from storage.sqlite.writer import ThreadWriter, Writer
from storage.vault import Vault

READERS = 3
P = ParamSpec("P")
T = TypeVar("T")
Listener = Callable[[Sequence[Event]], None]
Bell = Callable[[Sequence[LaneId]], None]


class SqliteStore:
    """Implements `storage.ports.Store` on one file; make it with `open_store`."""

    def __init__(self, opening: Opening, connection: sqlite3.Connection, *, apart: bool) -> None:
        self.condition = Condition()
        """Whoever finds that the file cannot be written reports it here; `/ready` shows it."""
        self._path = opening.path
        self._files = OpenFiles(opening.path, opening.file)
        self._vault = opening.vault
        self._clock = opening.clock
        self._listeners: list[Listener] = []
        self._bells: list[Bell] = []
        self._unheard: list[Callable[[], None]] = []
        self._health = CommitHealth(self.condition)
        self._closed = False
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="patchbay-reader")
        self._reading = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._passed: dict[int, Together[IntegrationId, Passed]] = {}
        self._stored = DayTotals(opening.clock)
        for payer, total in totals_of(connection, self._stored.today()):
            self._stored.put(payer, total)
        self._writer: Writer[Engine]
        if apart:
            self._writer = ProcessWriter(
                opening, heard=self._heard, condition=self.condition, unheard=self._tell_unheard
            )
            connection.close()
        else:
            transactions, end = start(connection, opening)
            self._writer = ThreadWriter(transactions, heard=self._heard, condition=self.condition, closed=end)

    # --- plumbing -----------------------------------------------------------------------------------

    async def _read(self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **_: P.kwargs) -> T:
        if self._closed:
            raise Unavailable("The database is closed.")
        return await asyncio.get_running_loop().run_in_executor(self._readers, partial(self._query, query, *args))

    def _query(self, query: Callable[..., T], *args: object) -> T:
        connection: sqlite3.Connection | None = getattr(self._reading, "connection", None)
        with translated(self._path):
            if connection is None:
                connection = self._connect()
                self._reading.connection = connection
                self._opened.append(connection)
            return query(connection, *args)

    def _connect(self) -> sqlite3.Connection:
        """Open a connection for reading; the file must be the one the store was opened on."""
        self._files.check_known()
        return connect(self._path, readonly=True)

    def _heard(self, jobs: Sequence[Waiting]) -> None:
        """Take what became of jobs: tell of what was written, and learn whether the file can be written."""
        written = list[Job]()
        is_heard = True
        for job in jobs:
            if job.error is None:
                written.append(job)
                is_heard = is_heard and job.future is not None and not job.future.done()
            elif isinstance(job.error, Uncertain):
                is_heard = False
        if self._health.failed_bytes or len(written) < len(jobs):
            self._health.take(jobs)
        self._publish(written)
        if not is_heard:
            self._tell_unheard()  # whoever caused it has stopped waiting, and follows it up no more

    def _tell_unheard(self) -> None:
        for listener in self._unheard:
            listener()

    def on_unheard(self, listener: Callable[[], None]) -> None:
        self._unheard.append(listener)

    def _publish(self, jobs: Sequence[Job]) -> None:
        """Tell of a commit: what was queued, then the events, in their order."""
        events: list[Event] = []
        queued: list[LaneId] = []
        for job in jobs:
            result = job.result
            if isinstance(result, Committed | Settled):
                queued += result.queued
                if result.payer is not None:
                    self._stored.add(result.payer, result.stored)
                if result.numbers:
                    events += _events(job.arguments[0], result.numbers)
        if queued:
            self._ring(queued)
        if events:
            events.sort(key=_number)
            for listener in self._listeners:
                listener(events)

    def _ring(self, lanes: Sequence[LaneId]) -> None:
        for bell in self._bells:
            bell(lanes)

    def stored_today(self, payer: str) -> int:
        return self._stored.get(payer) or 0

    def on_queued(self, ring: Bell) -> None:
        self._bells.append(ring)

    def subscribe(self, listener: Listener) -> None:
        """Call back in the event loop with the events of every commit."""
        self._listeners.append(listener)

    def hurry(self) -> None:
        self._writer.hurry()

    async def close(self) -> None:
        """Finish what is being written, then close the file."""
        self._closed = True
        await asyncio.to_thread(self._readers.shutdown)
        for connection in self._opened:
            connection.close()
        await self._writer.close()  # last: whoever closes last moves the log into the file

    def lookup(self, value: str) -> bytes:
        return self._vault.lookup(value)

    # --- writes -------------------------------------------------------------------------------------

    async def commit(self, changes: Changes) -> Committed:
        return await self._writer.run_many(Engine.commit, changes)

    async def make_organisation(self, org: OrgId, name: str, at: Millis) -> None:
        await self._execute("INSERT INTO organisation (id, name, created_at) VALUES (?, ?, ?)", (org, name, at))

    async def touch_token(self, key: bytes, at: Millis) -> None:
        await self._execute("UPDATE token SET last_used_at = ? WHERE hash = ?", (at, key))

    async def clear_attempts(self, hook_id: IntegrationId) -> None:
        await self._execute("DELETE FROM attempt WHERE integration_id = ?", (hook_id,))

    async def _execute(self, statement: str, values: Sequence[object]) -> None:
        await self._writer.run(Engine.execute, statement, values)

    async def claim(
        self,
        *,
        now: Millis,
        limit: int,
        busy: Mapping[LaneId, int],
        in_hand: Collection[DeliveryId] = (),
        lease_ms: int,
        lane_leases: int,
        lost: bool = False,
        shares: CallShares | None = None,
    ) -> Claimed:
        order = ClaimOrder(
            now=now,
            limit=limit,
            busy=busy,
            in_hand=in_hand,
            lease_ms=lease_ms,
            lane_leases=lane_leases,
            lost=lost,
            shares=shares,
        )
        return await self._writer.run(Engine.claim, order)

    async def settle(self, settle: Settle) -> Settled:
        return await self._writer.run_many(Engine.settle, settle)

    async def outages(self) -> Mapping[LaneId, Outage]:
        return await self._read(history.outages)

    async def replay_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes = NOTHING) -> int:
        replayed = await self._writer.run(Engine.replay_dead, delivery_ids, also)
        self._ring(())
        return replayed

    async def discard_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes = NOTHING) -> int:
        return await self._writer.run(Engine.discard_dead, delivery_ids, also)

    async def hasten(self, delivery_ids: Sequence[DeliveryId], also: Changes = NOTHING) -> int:
        hastened = await self._writer.run(Engine.hasten, delivery_ids, also)
        self._ring(())
        return hastened

    async def expire_held(self) -> int:
        return await self._writer.run(Engine.expire_held)

    async def purge(self, now: Millis) -> int:
        gone = await self._writer.run(Engine.purge, now)
        more = True
        # many events may still be needed: look on, in transactions of their own, until something goes
        while more:
            removed, more = await self._writer.run(Engine.purge_events, now)
            gone += removed
            more = more and not gone
        return gone + await self._writer.run(Engine.purge_messages, now)

    async def present(self) -> None:
        await self._writer.run(Engine.present)

    async def changed_elsewhere(self) -> bool:
        return await self._writer.run(Engine.changed_elsewhere)

    async def reseal(self, progress: Callable[[int, int], None] | None = None) -> Resealed:
        changed = 0
        # again, for what another process has sealed with the old key behind the first pass before it saw the new one
        while fresh := await self._reseal_all(progress):
            changed += fresh
        damaged, keys = await self._read(self._damaged), await self._read(sealed.keys_in_use)
        return Resealed(changed=changed, damaged=damaged, keys=keys)

    async def _reseal_all(self, progress: Callable[[int, int], None] | None) -> int:
        total, done, changed = await self._read(sealed.count), 0, 0
        place: sealed.Place | None = sealed.FIRST
        while place is not None:
            place, looked, fresh = await self._writer.run(Engine.reseal, place)
            done, changed = done + looked, changed + fresh
            if progress:
                progress(done, max(total, done))
        return changed

    def _damaged(self, connection: sqlite3.Connection) -> tuple[str, ...]:
        return tuple(sealed.damaged(connection, self._vault))

    async def follow_keys(self) -> None:
        await self._read(check_value.follow, self._vault)

    async def check(self) -> list[str]:
        return await self._read(upkeep.check)

    async def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        await asyncio.to_thread(upkeep.backup, self._path, target, progress)

    def troubles(self) -> Mapping[str, str]:
        return self.condition.causes

    async def probe(self) -> None:
        filler = bytes(self._health.failed_bytes)
        await self._writer.run(Engine.probe, self._clock.now(), filler)
        if filler:  # it was written: its pages are free for others again
            await self._writer.run(Engine.probe, self._clock.now(), b"")

    # --- reads --------------------------------------------------------------------------------------

    async def organisation(self) -> OrgId | None:
        found = await self._read(reads.organisation)
        return OrgId(found) if found else None

    async def user(self, user_id: UserId) -> User | None:
        return await self._read(reads.user, "id = ?", user_id)

    async def user_named(self, username: str) -> User | None:
        return await self._read(reads.user, "username = ?", username)

    async def user_with_email(self, email: str) -> User | None:
        return await self._read(reads.user, "id = (SELECT user_id FROM user_email WHERE email = ?)", email)

    async def users(self, org: OrgId) -> list[User]:
        return await self._read(reads.users, org)

    async def user_page(self, org: OrgId, *, offset: int = 0, count: int = 50) -> tuple[list[User], int]:
        return await self._read(reads.user_page, org, offset, count)

    async def member_page(self, room_id: RoomId, *, offset: int = 0, count: int = 50) -> tuple[list[User], int]:
        return await self._read(reads.member_page, room_id, offset, count)

    async def token(self, key: bytes) -> Token | None:
        return await self._read(reads.token, key)

    async def tokens_of(self, user_id: UserId, kind: TokenKind | None = None) -> list[Token]:
        return await self._read(reads.tokens_of, user_id, kind)

    async def room(self, room_id: RoomId) -> Room | None:
        return await self._read(reads.room, "id = ?", room_id)

    async def room_named(self, name: str) -> Room | None:
        return await self._read(reads.room, "name = ?", name)

    async def rooms(self, org: OrgId) -> list[Room]:
        return await self._read(reads.rooms, org)

    async def rooms_of(self, user_id: UserId) -> list[Room]:
        return await self._read(reads.rooms_of, user_id)

    async def room_page(self, wanted: WantedRooms, *, offset: int = 0, count: int = 50) -> tuple[list[Room], int]:
        return await self._read(reads.room_page, wanted, offset, count)

    async def members(self, room_id: RoomId) -> list[Member]:
        return await self._read(reads.members, room_id)

    async def member(self, room_id: RoomId, user_id: UserId) -> Member | None:
        return await self._read(reads.member, room_id, user_id)

    async def room_counts(self, room_ids: Sequence[RoomId]) -> Mapping[RoomId, tuple[int, int, Millis | None]]:
        found = await self._read(reads.room_counts, room_ids)
        return {
            RoomId(room): (members, messages, None if last is None else Millis(last))
            for room, (members, messages, last) in found.items()
        }

    async def room_removals(self, room_ids: Sequence[RoomId]) -> Mapping[RoomId, Removed]:
        found = await self._read(reads.room_removals, room_ids)
        return {RoomId(room): Removed(messages=count, until=Millis(until)) for room, count, until in found}

    async def message(self, message_id: MessageId) -> Message | None:
        return await self._read(reads.message, message_id)

    async def messages(
        self,
        room_id: RoomId,
        *,
        latest: Millis | None = None,
        oldest: Millis | None = None,
        inclusive: bool = False,
        offset: int = 0,
        count: int = 20,
        most_bytes: int | None = None,
    ) -> tuple[list[Message], int]:
        return await self._read(reads.messages, room_id, latest, oldest, inclusive, offset, count, most_bytes)

    async def hook(self, hook_id: IntegrationId) -> Hook | None:
        return await self._read(reads.hook, self._vault, hook_id)

    async def hook_page(self, wanted: WantedHooks, *, offset: int = 0, count: int = 50) -> tuple[list[Hook], int]:
        return await self._read(listed_hooks.page, self._vault, wanted, offset, count)

    async def hook_ids(self, wanted: WantedHooks) -> list[IntegrationId]:
        return [IntegrationId(each) for each in await self._read(listed_hooks.ids, wanted)]

    async def bare_hooks(self, hook_ids: Sequence[IntegrationId]) -> list[Hook]:
        # here and not beside the loop: where both work, each waits for the interpreter's lock, and with it the others
        return [bare_hook_from(body) for body in await self._read(listed_hooks.bodies, hook_ids)]

    async def hook_outlines(self, wanted: WantedHooks, *, offset: int = 0, count: int = 50) -> list[HookOutline]:
        return await self._read(listed_hooks.outlines, wanted, offset, count)

    async def hooks_failing(self, wanted: WantedHooks, *, count: int = 50) -> tuple[list[HookOutline], int]:
        return await self._read(listed_hooks.failing, wanted, count)

    async def hooks_of(self, hook_ids: Sequence[IntegrationId]) -> list[Hook]:
        return await self._read(listed_hooks.of_ids, self._vault, hook_ids)

    async def hook_tally(self, wanted: WantedHooks, now: Millis) -> HookTally:
        return await self._read(listed_hooks.tally, wanted, now)

    async def hooks_made_by(self, user_id: UserId) -> int:
        return await self._read(reads.hooks_made_by, user_id)

    async def hooks_calling(self, url: str) -> list[OutgoingHook]:
        return await self._read(reads.hooks_calling, self._vault, url)

    async def hooks_listening(self, event: str, scopes: Sequence[str]) -> list[OutgoingHook]:
        return await self._read(reads.hooks_listening, self._vault, event, scopes)

    async def hook_version(self, hook_id: IntegrationId, version: int) -> Hook | None:
        return await self._read(reads.hook_version, self._vault, hook_id, version)

    async def previous_calls(self, hooks: Sequence[IncomingHook]) -> Mapping[IntegrationId, PreviousCalls]:
        tokens = [(hook.id, hook.previous_token.hash) for hook in hooks if hook.previous_token is not None]
        found = await self._read(reads.previous_calls, tokens) if tokens else {}
        return {IntegrationId(hook_id): calls for hook_id, calls in found.items()}

    async def accepted(self, hook_id: IntegrationId, key: str) -> bool:
        return await self._read(history.accepted, hook_id, key)

    async def attempts(
        self,
        hook_ids: Sequence[IntegrationId],
        *,
        since: Millis | None = None,
        failed: bool | None = None,
        ascending: bool = False,
        offset: int = 0,
        count: int = 50,
    ) -> tuple[list[Attempt], int]:
        return await self._read(history.attempts, self._vault, hook_ids, since, failed, ascending, offset, count)

    async def attempt(self, attempt_id: str) -> Attempt | None:
        return await self._read(history.attempt, self._vault, attempt_id)

    async def attempts_of(self, delivery_ids: Sequence[DeliveryId]) -> list[Attempt]:
        return await self._read(history.attempts_of, self._vault, delivery_ids)

    async def stopped_of(self, seq: EventSeq) -> list[Attempt]:
        return await self._read(history.stopped_of, self._vault, seq)

    async def attempt_posting(self, message_id: MessageId) -> Attempt | None:
        return await self._read(history.attempt_posting, self._vault, message_id)

    async def requests(
        self,
        hook_id: IntegrationId,
        *,
        since: Millis | None = None,
        verdict: Verdict | None = None,
        offset: int = 0,
        count: int = 50,
    ) -> list[HookRequest]:
        return await self._read(history.requests, self._vault, hook_id, since, verdict, offset, count)

    async def requests_count(
        self, hook_id: IntegrationId, *, since: Millis | None = None, verdict: Verdict | None = None
    ) -> int:
        return await self._read(history.requests_count, hook_id, since, verdict)

    async def request_posting(self, hook_id: IntegrationId, message_id: MessageId) -> HookRequest | None:
        return await self._read(history.request_posting, self._vault, hook_id, message_id)

    async def request(self, request_id: str) -> HookRequest | None:
        return await self._read(history.request, self._vault, request_id)

    async def passed(self, hook_ids: Sequence[IntegrationId], last: int) -> Mapping[IntegrationId, Passed]:
        if last not in self._passed:
            self._passed[last] = Together(lambda hooks: self._read(history.passed, hooks, last))
        return await self._passed[last].of(hook_ids)

    async def event(self, seq: EventSeq) -> Event | None:
        return await self._read(reads.event, seq)

    async def event_posting(self, message_id: MessageId) -> EventSeq | None:
        found = await self._read(reads.event_posting, message_id)
        return None if found is None else EventSeq(found)

    async def events_after(self, seq: EventSeq, limit: int = 1000) -> list[Event]:
        return await self._read(reads.events_after, seq, limit)

    async def last_event(self) -> EventSeq:
        return EventSeq(await self._read(reads.last_event))

    async def upload(self, upload_id: str) -> Upload | None:
        return await self._read(reads.upload, upload_id)

    async def uploaded_bytes(self, user_id: UserId) -> int:
        return await self._read(reads.uploaded_bytes, user_id)

    async def unconfirmed_uploads(self, before: Millis) -> list[Upload]:
        return await self._read(reads.unconfirmed_uploads, before)

    async def deliveries(
        self,
        *,
        hook_id: IntegrationId | None = None,
        state: DeliveryState | None = None,
        since: Millis | None = None,
        offset: int = 0,
        count: int = 50,
        org: OrgId | None = None,
        sight: Sight | None = None,
        message_ids: Sequence[MessageId] | None = None,
        reason: str | None = None,
    ) -> tuple[list[Delivery], int]:
        wanted = history.Wanted(hook_id, state, since, org, sight, message_ids, reason)
        return await self._read(history.deliveries, wanted, offset, count)

    async def delivery(self, delivery_id: DeliveryId) -> Delivery | None:
        return await self._read(history.delivery, delivery_id)

    async def deliveries_of(self, seq: EventSeq) -> list[Delivery]:
        return await self._read(history.deliveries_of, seq)

    async def pending(self, kind: PendingKind, key: str) -> Pending | None:
        return await self._read(pendings.pending, self._vault, kind, key, self._clock.now())

    async def pending_of(self, kind: PendingKind, user_id: UserId, place: str) -> Pending | None:
        return await self._read(pendings.pending_of, self._vault, kind, user_id, place, self._clock.now())

    async def pending_end(self, kind: PendingKind, key: str) -> PendingEnd | None:
        return await self._read(pendings.pending_end, self._vault, kind, key, self._clock.now())

    async def audit_rows(self, wanted: AuditFilter, *, offset: int = 0, count: int = 20) -> tuple[list[AuditRow], int]:
        return await self._read(audits.audit_rows, wanted, offset, count)

    async def workspaces(self, org: OrgId) -> list[Workspace]:
        return await self._read(connected.workspaces, self._vault, org)

    async def workspace(self, org: OrgId, workspace_id: WorkspaceId) -> Workspace | None:
        return await self._read(connected.workspace, self._vault, org, workspace_id)

    async def teams(self, org: OrgId, kind: WorkspaceKind) -> list[str]:
        return await self._read(connected.teams, org, kind)

    async def workspace_of_team(self, org: OrgId, kind: WorkspaceKind, team_id: str) -> Workspace | None:
        return await self._read(connected.workspace_of_team, self._vault, org, kind, team_id)

    async def linked(self, org: OrgId, workspace_id: WorkspaceId, external_id: str) -> AccountLink | None:
        return await self._read(connected.linked, org, workspace_id, external_id)

    async def links_of(self, user_id: UserId) -> list[AccountLink]:
        return await self._read(connected.links_of, user_id)

    async def counts(self, hook_id: IntegrationId | None = None) -> Counts:
        return await self._read(history.counts, hook_id)


def _number(event: Event) -> EventSeq:
    return event.seq


def _events(item: Changes | Settle, numbers: Sequence[EventSeq | None]) -> Iterator[Event]:
    """Return the stored facts of a unit of work with their places in the stream."""
    changes = item.changes if isinstance(item, Settle) else item
    for fact, seq in zip(() if changes is None else changes.facts, numbers, strict=True):
        if seq is not None:
            new = fact.event
            yield Event(
                kind=new.kind, org_id=new.org_id, at=new.at, room_id=new.room_id, user_id=new.user_id,
                json=new.json, seq=seq,
            )  # fmt: skip


def open_store(
    path: Path,
    vault: Vault,
    clock: Clock,
    scopes: Scopes,
    *,
    serving: bool,
    before_migration: Callable[[], None] | None = None,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    apart: bool = False,
) -> SqliteStore:
    """Open, migrate and check the file; must run inside an event loop.

    `serving` marks the one process that owns the queue: leases found are void (decision 45). `apart` writes in a
    child process, which needs a clock and scopes that can be sent there.
    `before_migration` is called when an existing file is about to change (decision 28).
    Raises StorageError with one clear sentence when the file cannot be used.
    """
    existed = path.exists() and path.stat().st_size > 0
    connection = connect(path, new=True, busy_timeout_s=busy_timeout_s)
    try:
        pending = pending_migrations(connection, path)
        make_durable(connection, path)
        if pending:
            if existed and before_migration:
                before_migration()
            migrate(connection, path)
        with translated(path):
            vault = vault.with_lookup_key(check_value.made(connection, vault))
            found = file_id(path)
            if found is None:
                raise Moved(f"{path.name} was moved while it was opened. {Moved.__doc__}")
            opening = Opening(
                path=path.absolute(),
                file=found,
                vault=vault,
                clock=clock,
                scopes=scopes,
                busy_timeout_s=busy_timeout_s,
                serving=serving,
                recovering=serving,
            )
            return SqliteStore(opening, connection, apart=apart)
    except BaseException:
        connection.close()
        raise
