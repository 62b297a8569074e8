"""Builders of stored records for tests: a plain one, with whatever the test is about changed."""

from dataclasses import replace
from typing import Any  # the changes are any fields of the record built

from msgspec import structs

from storage.clock import Millis
from storage.ids import GENERAL, IntegrationId, MessageId, OrgId, RoomId, UserId
from storage.ports import Integrations
from storage.records.integration import Hook, IncomingHook, OutgoingHook, WantedHooks
from storage.records.message import Message
from storage.records.room import Room, RoomKind
from storage.records.user import User

NOON = Millis(1_772_442_847_739)
"""2026-03-02T09:14:07.739Z, the moment of the contract's samples."""

ORG = OrgId("5f0c7f0e-4a56-4a9e-9d5e-0c8a6f5b7e11")
ANN = UserId("hW3pTq8mKz5sXvB2d")


def user(**changes: Any) -> User:
    """Build a user, Ann unless changed."""
    return replace(User(id=ANN, org_id=ORG, username="ann", name="Ann", created_at=NOON), **changes)


def room(**changes: Any) -> Room:
    """Build a room, the public `#general` unless changed."""
    plain = Room(
        id=GENERAL,
        org_id=ORG,
        kind=RoomKind.PUBLIC,
        name="general",
        owner_id=ANN,
        created_at=NOON,
        updated_at=NOON,
    )
    return replace(plain, **changes)


def direct_room(*users: User) -> Room:
    """Build the direct room of these users."""
    ids = tuple(each.id for each in users)
    return room(id=RoomId("".join(sorted(ids))), kind=RoomKind.DIRECT, name=None, owner_id=None, direct_users=ids)


def message(**changes: Any) -> Message:
    """Build a message, one of Ann's in `#general` unless changed."""
    plain = Message(
        id=MessageId("q8sXvB2dhW3pTmKz5"),
        org_id=ORG,
        room_id=GENERAL,
        at=NOON,
        user_id=ANN,
        username="ann",
        name="Ann",
        text="!deploy api v2",
        updated_at=NOON,
    )
    return structs.replace(plain, **changes)


def incoming(**changes: Any) -> IncomingHook:
    """Build an incoming hook that posts into `#general`."""
    plain = IncomingHook(
        id=IntegrationId("65e2f0b72dd9f928ada3e43d"),
        org_id=ORG,
        name="ci",
        enabled=True,
        username="rocket.cat",
        user_id=UserId("rocket.cat"),
        channels=("#general",),
        token="2jzBZXgqVgH6TaLDo5SmKwPRxYf3ehcN4Wt8uQbArE79sdMk",
        created_at=NOON,
        created_by=(ANN, "ann"),
        updated_at=NOON,
    )
    return replace(plain, **changes)


def outgoing(**changes: Any) -> OutgoingHook:
    """Build an outgoing hook on messages of every public room, without retries."""
    plain = OutgoingHook(
        id=IntegrationId("65e2f0b72dd9f928ada3e43e"),
        org_id=ORG,
        name="ops-bot",
        enabled=True,
        username="rocket.cat",
        user_id=UserId("rocket.cat"),
        channels=(),
        token="s3cret",
        created_at=NOON,
        created_by=(ANN, "ann"),
        updated_at=NOON,
        event="sendMessage",
        urls=("https://bot.example.test/in",),
    )
    return replace(plain, **changes)


async def hooks_in(store: Integrations, org: OrgId = ORG) -> list[Hook]:
    """Return all hooks of an organisation, oldest first."""
    return (await store.hook_page(WantedHooks(org_id=org), count=1_000))[0]
