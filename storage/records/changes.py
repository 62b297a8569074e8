"""A unit of work: everything one request causes, as plain values, committed together or not at all.

Plain values (no callbacks) let the writer be a thread now and a process later (delivery.md §8).
"""

from typing import Any

from msgspec import Struct

from storage.clock import Millis
from storage.ids import EventSeq, IntegrationId, LaneId, MessageId, RoomId, UserId, WorkspaceId
from storage.records.account import AccountLink
from storage.records.audit import AuditRow
from storage.records.delivery import Attempt, NewDelivery
from storage.records.event import NewEvent
from storage.records.hook_request import HookRequest
from storage.records.integration import Hook
from storage.records.message import Message
from storage.records.pending import Pending, PendingKey, PendingOf
from storage.records.room import Member, Room
from storage.records.upload import Upload
from storage.records.user import Token, User
from storage.records.workspace import Workspace


class Fact(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """An event with the deliveries it causes; `stopped` are history entries of hooks that must not fire."""

    event: NewEvent
    deliveries: tuple[NewDelivery, ...] = ()
    stopped: tuple[Attempt, ...] = ()
    """Their `event_seq` is filled in when the event gets its number."""
    message_id: MessageId | None = None
    """The new message the event tells of, which is stored with the event's number."""


class Dedup(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """The id a sender gave its request; unique per hook for 8 days (delivery.md §1)."""

    integration_id: IntegrationId
    key: str
    proof: str | None = None
    """A second one, made of what the sender signed: either of them used before makes it a repetition."""
    body_hash: bytes
    at: Millis


class PreviousCall(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """A request that named the previous token of a hook (commands.md §2.6)."""

    integration_id: IntegrationId
    hash: bytes
    at: Millis


class Changes(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """What to write; every field is a list of records of one kind.

    `new_*` must not exist yet. `put_*` replace what is there, whole: each carries its version after the change, and
    fails as Stale unless the stored version is the one before, as Gone when nothing is there; so no change undoes
    another, and none brings back what was deleted. `add_*` are there afterwards, whether they were before or not.
    `drop_*` remove.
    """

    dedup: Dedup | None = None
    request: HookRequest | None = None
    new_messages: tuple[Message, ...] = ()
    chosen_ids: bool = False
    """A client chose the ids of the new messages, so one may be there already (decision 56)."""
    put_messages: tuple[Message, ...] = ()
    drop_messages: tuple[MessageId, ...] = ()
    new_users: tuple[User, ...] = ()
    put_users: tuple[User, ...] = ()
    new_rooms: tuple[Room, ...] = ()
    put_rooms: tuple[Room, ...] = ()
    add_rooms: tuple[Room, ...] = ()
    """One that is there stays as it is: two posts at once may both find that a direct room is missing."""
    add_members: tuple[Member, ...] = ()
    """A member may become an owner; the fact that somebody joined who was in already is left out."""
    drop_members: tuple[tuple[RoomId, UserId], ...] = ()
    new_hooks: tuple[Hook, ...] = ()
    put_hooks: tuple[Hook, ...] = ()
    """One that was removed is Stale, too."""
    drop_hooks: tuple[IntegrationId, ...] = ()
    new_tokens: tuple[Token, ...] = ()
    drop_tokens: tuple[bytes, ...] = ()
    new_uploads: tuple[Upload, ...] = ()
    put_uploads: tuple[Upload, ...] = ()
    drop_uploads: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    pending_clear: tuple[PendingOf, ...] = ()
    """Ends what waits for these users in these places, before anything is put: a new proposal replaces the old."""
    pending_take: tuple[PendingKey, ...] = ()
    """Uses these up; one that was taken, replaced, guessed or has expired fails the whole unit with Spent."""
    pending_put: tuple[Pending, ...] = ()
    """Must be new: Taken when the key is in use, so that of two equal requests one is first."""
    pending_fill: tuple[Pending, ...] = ()
    """Replace body and expiry of ones that are there, such as a request's answer; Spent when one is not."""
    pending_try: tuple[PendingKey, ...] = ()
    """Count a wrong try; the fifth ends it."""
    audit: tuple[AuditRow, ...] = ()
    new_workspaces: tuple[Workspace, ...] = ()
    put_workspaces: tuple[Workspace, ...] = ()
    """A name or team that is in use is Taken."""
    drop_workspaces: tuple[WorkspaceId, ...] = ()
    """Their links go with them."""
    add_links: tuple[AccountLink, ...] = ()
    """An account that is bound to somebody is bound anew."""
    drop_links: tuple[tuple[WorkspaceId, str], ...] = ()
    previous_call: PreviousCall | None = None


NOTHING = Changes()
"""A unit of work that writes nothing."""


class Committed(Struct, frozen=True, kw_only=True, gc=False, array_like=True, tag=True):
    """What became of a unit of work."""

    numbers: tuple[EventSeq | None, ...] = ()
    """The places of its facts in the stream; None for one that was left out."""
    queued: tuple[LaneId, ...] = ()
    """The lanes of the deliveries that were queued, one entry for each."""
    duplicate: bool = False
    """The dedup id was there already: nothing but the request's history line was written."""
    existed: bool = False
    """A new message's id was there already: nothing was written (decision 56)."""
    payer: str | None = None
    """The hook or user on whose account it was stored."""
    stored: int = 0
    """The bytes of messages, events and the kept request, as they lie in the file."""


def merge(*parts: Changes) -> Changes:
    """Return one unit of work that does what all the parts do, in order."""
    parts = tuple([part for part in parts if part is not NOTHING])
    if len(parts) <= 1:
        return parts[0] if parts else NOTHING
    merged: dict[str, Any] = {}  # Any: each field keeps the type it has in Changes
    for name, default in zip(Changes.__struct_fields__, Changes.__struct_defaults__, strict=True):
        values = [getattr(part, name) for part in parts]
        if isinstance(default, tuple):
            merged[name] = tuple(one for value in values for one in value)
        elif default is False:
            merged[name] = any(values)
        else:
            merged[name] = next((value for value in values if value is not None), None)
    return Changes(**merged)
