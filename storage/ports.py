"""What the code above asks of storage: small interfaces; each consumer takes only those it needs.

A second engine implements these and nothing else (decision 5). All methods raise StorageError when the
state cannot be read or written; what is written is durable when the call returns.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from storage.clock import Millis
from storage.condition import Condition
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


class Ledger(Protocol):
    """Where units of work are written."""

    async def commit(self, changes: Changes) -> Committed:
        """Write everything or nothing.

        Raises Taken when a unique name or an expected version is not free, Gone when something the changes
        refer to (a message to edit, a room to post in, the hook of a request) was removed meanwhile, Spent when
        something pending it takes was used before or has expired.
        Deliveries to a hook or address removed meanwhile are left out: deleting discards (delivery.md §1).
        """
        ...

    def stored_today(self, payer: str) -> int:
        """Return the bytes that were stored today (UTC) on the account of a hook or user.

        Counts units with messages or a kept request. A crash may forget a mebibyte of each account.
        """
        ...

    async def accepted(self, hook_id: IntegrationId, key: str) -> bool:
        """Tell whether a request with this id of its sender was accepted before (decision 37)."""
        ...


class Users(Protocol):
    """People and bots."""

    async def organisation(self) -> OrgId | None: ...
    async def make_organisation(self, org: OrgId, name: str, at: Millis) -> None: ...
    async def user(self, user_id: UserId) -> User | None: ...
    async def user_named(self, username: str) -> User | None:
        """Find by user name, whatever its case."""
        ...

    async def user_with_email(self, email: str) -> User | None: ...
    async def users(self, org: OrgId) -> list[User]: ...
    async def user_page(self, org: OrgId, *, offset: int = 0, count: int = 50) -> tuple[list[User], int]:
        """Return a page of all users, oldest first, and how many there are in all."""
        ...

    async def member_page(self, room_id: RoomId, *, offset: int = 0, count: int = 50) -> tuple[list[User], int]:
        """Return a page of the users in a room, by user name, and how many there are in all."""
        ...


class Tokens(Protocol):
    """Login sessions and personal access tokens."""

    async def token(self, key: bytes) -> Token | None: ...
    async def tokens_of(self, user_id: UserId, kind: TokenKind | None = None) -> list[Token]: ...
    async def touch_token(self, key: bytes, at: Millis) -> None: ...


class Rooms(Protocol):
    """Rooms and memberships."""

    async def room(self, room_id: RoomId) -> Room | None: ...
    async def room_named(self, name: str) -> Room | None:
        """Find a public or private room by name, whatever its case."""
        ...

    async def rooms(self, org: OrgId) -> list[Room]: ...
    async def rooms_of(self, user_id: UserId) -> list[Room]: ...
    async def room_page(self, wanted: WantedRooms, *, offset: int = 0, count: int = 50) -> tuple[list[Room], int]:
        """Return a page of rooms, by name, and how many match in all."""
        ...

    async def members(self, room_id: RoomId) -> list[Member]: ...
    async def member(self, room_id: RoomId, user_id: UserId) -> Member | None: ...
    async def room_counts(self, room_ids: Sequence[RoomId]) -> Mapping[RoomId, tuple[int, int, Millis | None]]:
        """Return members, messages and the time of the last message of each room."""
        ...

    async def room_removals(self, room_ids: Sequence[RoomId]) -> Mapping[RoomId, Removed]:
        """Return what the retention of rooms has removed; rooms where it was nothing are left out."""
        ...


class Messages(Protocol):
    """What stands in rooms."""

    async def message(self, message_id: MessageId) -> Message | None: ...
    async def event_posting(self, message_id: MessageId) -> EventSeq | None:
        """Return the number a message's posting got in the stream; the event itself may have left it."""
        ...

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
        """Return a page of a room, newest first, and how many match in all.

        The page ends early where its messages hold `most_bytes` together; the first one always stands in it.
        """
        ...


class Integrations(Protocol):
    """Configured webhooks."""

    async def hook(self, hook_id: IntegrationId) -> Hook | None: ...
    async def hook_page(self, wanted: WantedHooks, *, offset: int = 0, count: int = 50) -> tuple[list[Hook], int]:
        """Return a page of hooks and how many match in all; only those on the page are opened."""
        ...

    async def hook_ids(self, wanted: WantedHooks) -> list[IntegrationId]:
        """Return the ids of all hooks that are meant, for what looks at each of them, a few at a time."""
        ...

    async def bare_hooks(self, hook_ids: Sequence[IntegrationId]) -> list[Hook]:
        """Return hooks without what is sealed: token, addresses, secrets and keys are not there."""
        ...

    async def hook_outlines(self, wanted: WantedHooks, *, offset: int = 0, count: int = 50) -> list[HookOutline]:
        """Return the names of a page of hooks."""
        ...

    async def hooks_failing(self, wanted: WantedHooks, *, count: int = 50) -> tuple[list[HookOutline], int]:
        """Return the first of those hooks whose last request or attempt failed, and how many they are."""
        ...

    async def hooks_of(self, hook_ids: Sequence[IntegrationId]) -> list[Hook]:
        """Return the hooks with these ids that are there, in this order."""
        ...

    async def hook_tally(self, wanted: WantedHooks, now: Millis) -> HookTally: ...
    async def hooks_made_by(self, user_id: UserId) -> int:
        """Return how many hooks a user has made, or taken over, that are still there."""
        ...

    async def hooks_calling(self, url: str) -> list[OutgoingHook]:
        """Find outgoing hooks by one of their addresses."""
        ...

    async def hooks_listening(self, event: str, scopes: Sequence[str]) -> list[OutgoingHook]:
        """Find the enabled outgoing hooks of an event that listen to any of the scopes, each once."""
        ...

    async def hook_version(self, hook_id: IntegrationId, version: int) -> Hook | None:
        """Return an outgoing hook as it was at a version, for its history."""
        ...

    async def previous_calls(self, hooks: Sequence[IncomingHook]) -> Mapping[IntegrationId, PreviousCalls]:
        """Return how much each hook's previous token is used; none for hooks nobody called by it."""
        ...


class History(Protocol):
    """What happened to hooks: attempts of outgoing ones, requests to incoming ones."""

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
        """Return a page ordered by last change, and the total."""
        ...

    async def attempt(self, attempt_id: str) -> Attempt | None: ...
    async def attempts_of(self, delivery_ids: Sequence[DeliveryId]) -> list[Attempt]:
        """Return every attempt at these deliveries, oldest first."""
        ...

    async def stopped_of(self, seq: EventSeq) -> list[Attempt]:
        """Return the entries of hooks that heard an event and were not called: muted, or at the hop limit."""
        ...

    async def attempt_posting(self, message_id: MessageId) -> Attempt | None:
        """Return the outgoing call whose answer was posted as this message."""
        ...

    async def clear_attempts(self, hook_id: IntegrationId) -> None: ...
    async def requests(
        self,
        hook_id: IntegrationId,
        *,
        since: Millis | None = None,
        verdict: Verdict | None = None,
        offset: int = 0,
        count: int = 50,
    ) -> list[HookRequest]:
        """Return requests to an incoming hook, newest first."""
        ...

    async def requests_count(
        self, hook_id: IntegrationId, *, since: Millis | None = None, verdict: Verdict | None = None
    ) -> int:
        """Return how many requests `requests` would page through."""
        ...

    async def request(self, request_id: str) -> HookRequest | None: ...
    async def request_posting(self, hook_id: IntegrationId, message_id: MessageId) -> HookRequest | None:
        """Return the request to a hook that made a message; None once it is no longer kept."""
        ...

    async def passed(self, hook_ids: Sequence[IntegrationId], last: int) -> Mapping[IntegrationId, Passed]:
        """Return what became of the last requests or attempts of each hook; none for hooks without any."""
        ...


class Events(Protocol):
    """The numbered stream of facts."""

    async def event(self, seq: EventSeq) -> Event | None: ...
    async def events_after(self, seq: EventSeq, limit: int = 1000) -> list[Event]:
        """Return the events behind a number in their order, at most `limit`; fewer where they are large."""
        ...

    async def last_event(self) -> EventSeq: ...


class Uploads(Protocol):
    """Records of uploaded files."""

    async def upload(self, upload_id: str) -> Upload | None: ...
    async def uploaded_bytes(self, user_id: UserId) -> int: ...
    async def unconfirmed_uploads(self, before: Millis) -> list[Upload]: ...


class Queue(Protocol):
    """Deliveries on their way (delivery.md §3)."""

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
        """Lease due deliveries, no more of a lane than `lane_leases` with what the caller holds of it (`busy`).

        `shares` are a copy of the caller's slots: what would get one is leased, and what waits for one of its own lane.
        A lease that ran out is renewed when its delivery is still `in_hand`, and given anew when it is not. With
        `lost`, since the answer to an earlier claim was, every lease that is not `in_hand` is given anew at once.
        Fewer are leased at once where events are large.
        """
        ...

    async def settle(self, settle: Settle) -> Settled: ...
    async def outages(self) -> Mapping[LaneId, Outage]:
        """Return the outages of lanes, as settles have stored them."""
        ...

    def on_queued(self, ring: Callable[[Sequence[LaneId]], None]) -> None:
        """Ring after every commit that queued deliveries, with their lanes; nothing may depend on it."""
        ...

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
        """Return a page of deliveries, newest first, and how many match in all.

        `since` is judged by the queue's clock, which a step of the wall clock does not move. `org` leaves out what
        other organisations' hooks have; removed hooks belong to everybody. `sight` asks for what hooks have that
        somebody sees, which removed ones are not part of. `message_ids` asks for what the posting
        of these messages caused, `reason` for a part of why it stands as it does, whatever its case.
        """
        ...

    async def delivery(self, delivery_id: DeliveryId) -> Delivery | None: ...
    async def deliveries_of(self, seq: EventSeq) -> list[Delivery]:
        """Return what an event caused, in the order it was queued."""
        ...

    async def replay_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes = NOTHING) -> int:
        """Queue dead letters again whose hook still has their address; returns how many.

        `also`, which tells no facts, is written in the same transaction, unless it was none; Spent as in `commit`.
        """
        ...

    async def discard_dead(self, delivery_ids: Sequence[DeliveryId], also: Changes = NOTHING) -> int:
        """Give dead letters up for good; returns how many were dead. `also` as in `replay_dead`."""
        ...

    async def hasten(self, delivery_ids: Sequence[DeliveryId], also: Changes = NOTHING) -> int:
        """Let waiting deliveries be tried now; returns how many waited and are in nobody's hand.

        In an ordered lane its head goes first all the same. `also` as in `replay_dead`.
        """
        ...

    async def counts(self, hook_id: IntegrationId | None = None) -> Counts: ...


class Pendings(Protocol):
    """What waits for a person; whatever has ended or expired is not there any more."""

    async def pending(self, kind: PendingKind, key: str) -> Pending | None: ...
    async def pending_of(self, kind: PendingKind, user_id: UserId, place: str) -> Pending | None:
        """Return the newest of a kind that waits for a user in a place."""
        ...

    async def pending_end(self, kind: PendingKind, key: str) -> PendingEnd | None:
        """Tell why something is not there any more; None when it is there, never was, or expired a day ago."""
        ...


class Audits(Protocol):
    """Who did what by command."""

    async def audit_rows(self, wanted: AuditFilter, *, offset: int = 0, count: int = 20) -> tuple[list[AuditRow], int]:
        """Return a page of an organisation's rows, newest first, and how many match in all."""
        ...


class Workspaces(Protocol):
    """Connected chats."""

    async def workspaces(self, org: OrgId) -> list[Workspace]: ...
    async def workspace(self, org: OrgId, workspace_id: WorkspaceId) -> Workspace | None: ...
    async def teams(self, org: OrgId, kind: WorkspaceKind) -> list[str]:
        """Return the teams of all workspaces of a kind; no secret is opened for it."""
        ...

    async def workspace_of_team(self, org: OrgId, kind: WorkspaceKind, team_id: str) -> Workspace | None:
        """Find where a request says it comes from; what proves it is the caller's to check."""
        ...


class Accounts(Protocol):
    """Accounts of other chats that are bound to users."""

    async def linked(self, org: OrgId, workspace_id: WorkspaceId, external_id: str) -> AccountLink | None: ...
    async def links_of(self, user_id: UserId) -> list[AccountLink]:
        """Return a user's links, oldest first."""
        ...


class Upkeep(Protocol):
    """What keeps the store healthy; long work is done in slices beside normal traffic."""

    async def purge(self, now: Millis) -> int:
        """Remove one slice of what is past its age, of a removed hook, or of what rooms keep no longer.

        Returns how many rows were removed or changed; 0 when nothing is left to do.
        """
        ...

    async def expire_held(self) -> int:
        """Let one slice of what disabled hooks hold for over 24 h die (decision 43); returns how many."""
        ...

    async def check(self) -> list[str]:
        """Return what is wrong with the file; empty when it is sound."""
        ...

    async def backup(self, target: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the database while it is written; `progress` gets pages done and all pages."""
        ...

    async def reseal(self, progress: Callable[[int, int], None] | None = None) -> Resealed:
        """Encrypt every secret again with the first key (decision 8)."""
        ...

    async def follow_keys(self) -> None:
        """Take the encryption keys as another process has left them; raise VaultError when none is right."""
        ...

    async def probe(self) -> None:
        """Write something small; raise StorageError when the store cannot be written."""
        ...

    def troubles(self) -> Mapping[str, str]:
        """Return what is known to keep the store from being written, a sentence for each cause; nothing is asked."""
        ...

    async def present(self) -> None:
        """Raise Moved when what is stored no longer lies where it was opened."""
        ...

    async def changed_elsewhere(self) -> bool:
        """Tell whether another process has written since the last time this was asked (decision 28)."""
        ...


class Secrets(Protocol):
    """Keyed hashes for looking up what must not be stored in clear (decision 9)."""

    def lookup(self, value: str) -> bytes: ...


class Store(
    Ledger,
    Users,
    Tokens,
    Rooms,
    Messages,
    Integrations,
    History,
    Events,
    Uploads,
    Queue,
    Pendings,
    Audits,
    Workspaces,
    Accounts,
    Upkeep,
    Secrets,
    Protocol,
):
    """Everything a driver offers; only the composition root asks for all of it."""

    condition: Condition
    """Where whoever finds a trouble reports it."""

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> None:
        """Call back with the events of every commit, in order, after they are durable."""
        ...

    def on_unheard(self, listener: Callable[[], None]) -> None:
        """Call back when more may be stored than callers and listeners were told of: forget what is remembered.

        That is so when the writer has ended before it answered, or answered whom nobody waits for any more.
        """
        ...

    def hurry(self) -> None:
        """Say that the end is near: a writer that hangs holds nothing up any more."""
        ...

    async def close(self) -> None: ...
