"""Fills a data folder in bulk through the storage ports, while no server runs on it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import structs

from bot.folder import Folder
from handlers.outgoing.scopes import hook_scopes
from storage.clock import SystemClock
from storage.ids import GENERAL, ROCKET_CAT, MessageId, OrgId, RoomId, hook_token, integration_id, timed_id
from storage.ports import Store
from storage.records.changes import Changes, Fact
from storage.records.delivery import NewDelivery
from storage.records.event import EventKind, NewEvent
from storage.records.integration import IncomingHook, OutgoingHook
from storage.records.message import Message
from storage.records.room import Member, Room, RoomKind
from storage.sqlite.store import open_store
from storage.vault import Vault, new_key, read_key_file, write_key_file
from tests.scenarios.stored import rows

SLICE = 5_000
"""Records in one commit."""


@asynccontextmanager
async def opened(data: Path) -> AsyncIterator[Store]:
    """Open the store of a data folder as its server would."""
    folder = Folder(data)
    if not folder.key_file.exists():
        write_key_file(folder.key_file, [new_key()])
    vault = Vault(read_key_file(folder.key_file))
    store = open_store(folder.database, vault, SystemClock(), hook_scopes, serving=True, apart=True)
    try:
        yield store
    finally:
        await store.close()


def posted_event(data: Path) -> NewEvent:
    """Return the event of the first start's message: what every queued delivery is about."""
    [(org, at, room, user, body)] = rows(
        data, "SELECT org_id, at, room_id, user_id, body FROM event WHERE kind = 'message.posted' ORDER BY seq LIMIT 1"
    )
    return NewEvent(kind=EventKind.MESSAGE_POSTED, org_id=OrgId(org), at=at, room_id=room, user_id=user, json=body)


def outgoing_hooks(org: OrgId, count: int, url: str, channel: str = "#general") -> list[OutgoingHook]:
    """Build outgoing hooks with an address each; `{}` in address and channel becomes the hook's number."""
    now = SystemClock().now()
    return [
        OutgoingHook(
            id=integration_id(),
            org_id=org,
            name=f"bench {number}",
            enabled=True,
            username=ROCKET_CAT,
            user_id=ROCKET_CAT,
            channels=(channel.format(number),),
            token="bench",
            created_at=now,
            created_by=(ROCKET_CAT, ROCKET_CAT),
            updated_at=now,
            event="sendMessage",
            urls=(url.format(number),),
        )
        for number in range(count)
    ]


def incoming_hooks(org: OrgId, count: int, *, override_destination: bool = False) -> list[IncomingHook]:
    """Build incoming hooks that post to `#general`, or to any room."""
    now = SystemClock().now()
    return [
        IncomingHook(
            id=integration_id(),
            org_id=org,
            name=f"bench {number}",
            enabled=True,
            username=ROCKET_CAT,
            user_id=ROCKET_CAT,
            channels=("#general",),
            token=hook_token(),
            override_destination=override_destination,
            created_at=now,
            created_by=(ROCKET_CAT, ROCKET_CAT),
            updated_at=now,
        )
        for number in range(count)
    ]


async def add_hooks(store: Store, hooks: Sequence[OutgoingHook | IncomingHook]) -> None:
    """Write hooks."""
    for start in range(0, len(hooks), SLICE):
        await store.commit(Changes(new_hooks=tuple(hooks[start : start + SLICE])))


async def add_rooms(store: Store, org: OrgId, names: Sequence[str]) -> None:
    """Write public rooms with the bot as their member."""
    now = SystemClock().now()
    rooms = [
        Room(
            id=RoomId(name), org_id=org, kind=RoomKind.PUBLIC, name=name, owner_id=None, created_at=now, updated_at=now
        )
        for name in names
    ]
    members = [Member(room_id=room.id, user_id=ROCKET_CAT, joined_at=now) for room in rooms]
    await store.commit(Changes(new_rooms=tuple(rooms), add_members=tuple(members)))


def facts(store: Store, event: NewEvent, hooks: Sequence[OutgoingHook], count: int) -> tuple[Fact, ...]:
    """Build facts with one delivery each, for the hooks in turn."""
    hashes = [store.lookup(hook.urls[0]) for hook in hooks[:count]]
    return tuple(
        Fact(
            event=event,
            deliveries=(NewDelivery(integration_id=hooks[place % len(hooks)].id, url_hash=hashes[place % len(hooks)]),),
        )
        for place in range(count)
    )


async def queue_up(store: Store, event: NewEvent, hooks: Sequence[OutgoingHook], count: int) -> None:
    """Queue deliveries, each of an event of its own, spread evenly over the hooks."""
    for start in range(0, count, SLICE):
        await store.commit(Changes(facts=facts(store, event, hooks, min(SLICE, count - start))))


async def add_messages(store: Store, org: OrgId, count: int) -> None:
    """Write messages into `#general`."""
    now = SystemClock().now()
    plain = Message(
        id=MessageId(""),
        org_id=org,
        room_id=GENERAL,
        at=now,
        user_id=ROCKET_CAT,
        username=ROCKET_CAT,
        name=ROCKET_CAT,
        text="a message among very many, about as long as most of them are",
        updated_at=now,
    )
    for start in range(0, count, SLICE):
        made = tuple(structs.replace(plain, id=MessageId(timed_id(now))) for _ in range(min(SLICE, count - start)))
        await store.commit(Changes(new_messages=made))
