"""A small workspace on a real store, for tests of the rules of integrations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.hooks import Hooks
from handlers.errors import Fault
from handlers.outgoing.scopes import hook_scopes
from handlers.targets import AllowList
from storage.ids import OrgId, RoomId, UserId, random_text
from storage.records.changes import Changes
from storage.records.event import Event, EventKind
from storage.records.integration import Hook, IncomingHook, OutgoingHook
from storage.records.room import Member, RoomKind
from storage.records.user import Role, User
from storage.sqlite.store import SqliteStore, open_store
from storage.vault import Vault
from tests.clock import ManualClock
from tests.records import NOON, ORG, room, user

ANN = user(role=Role.ADMIN)
CAT = user(id=UserId("rocket.cat"), username="rocket.cat", name="Rocket.Cat", is_bot=True, type="bot")
DAN = user(id=UserId("dAn4Deact1vated23"), username="dan", active=False)
OPS = room(id=RoomId("0psPr1vateR00mAb2"), kind=RoomKind.PRIVATE, name="ops")
OTHER_ORG = OrgId("0b7d3f0a-52f1-4d6c-9c55-0f2f9be2a7aa")
STRANGER = user(id=UserId("strAngerAbCdEf234"), org_id=OTHER_ORG, username="stranger")
FAR = room(id=RoomId("farR00mAbCdEfGh23"), org_id=OTHER_ORG, name="far")

Body = dict[str, object]

INCOMING: Body = {
    "type": "webhook-incoming",
    "name": "ci-alerts",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general",
    "scriptEnabled": False,
}
OUTGOING: Body = {
    "type": "webhook-outgoing",
    "name": "ops-bot",
    "enabled": True,
    "event": "sendMessage",
    "username": "rocket.cat",
    "channel": "#general",
    "urls": ["https://bot.example.test/in"],
    "scriptEnabled": False,
}


@dataclass
class Stage:
    """The rules under test, and the real parts around them."""

    store: SqliteStore
    directory: Directory
    hooks: Hooks
    clock: ManualClock
    events: list[Event]

    async def user(self, *granted: str, member_of: tuple[RoomId, ...] = (), denied: tuple[str, ...] = ()) -> User:
        """Make a viewer who holds just these permissions."""
        made = user(
            id=UserId(random_text(17)), username=random_text(8), granted=frozenset(granted), denied=frozenset(denied)
        )
        await self.put_user(made)
        places = tuple(Member(room_id=place, user_id=made.id, joined_at=NOON) for place in member_of)
        if places:
            await self.store.commit(Changes(add_members=places))
            self.directory.clear()
        return made

    async def put_user(self, changed: User) -> None:
        """Store a user without any event."""
        known = await self.store.user(changed.id)
        put = () if known is None else (replace(changed, version=known.version + 1),)
        await self.store.commit(Changes(put_users=put, new_users=() if known else (changed,)))
        self.directory.clear()

    async def incoming(self, actor: User = ANN, **changes: object) -> IncomingHook:
        """Make an incoming hook, which must succeed."""
        made = await self.hooks.create(actor, INCOMING | changes)
        assert isinstance(made, IncomingHook), made
        return made

    async def outgoing(self, actor: User = ANN, **changes: object) -> OutgoingHook:
        """Make an outgoing hook, which must succeed."""
        made = await self.hooks.create(actor, OUTGOING | changes)
        assert isinstance(made, OutgoingHook), made
        return made

    async def put_hook(self, hook: Hook) -> None:
        """Change a stored hook behind the rules' back, as another process would."""
        await self.store.commit(Changes(put_hooks=(replace(hook, version=hook.version + 1),)))

    def last(self) -> tuple[EventKind, object]:
        """Return the last event's kind and body."""
        return self.events[-1].kind, self.events[-1].body


@asynccontextmanager
async def staged(folder: Path, allow: str = "") -> AsyncIterator[Stage]:
    """Set the stage: Ann the admin, rocket.cat, a deactivated Dan, `#general`, private `#ops`, a second org."""
    clock = ManualClock()
    store = open_store(folder / "test.db", Vault([b"k" * 32]), clock, hook_scopes, serving=True)
    try:
        await store.make_organisation(ORG, "Ours", NOON)
        await store.make_organisation(OTHER_ORG, "Theirs", NOON)
        await store.commit(Changes(new_users=(ANN, CAT, DAN, STRANGER), new_rooms=(room(), OPS, FAR)))
        directory = Directory(store, ORG)
        fanout = Fanout(directory, store, store, clock)
        hooks = Hooks(directory, store, fanout, clock, AllowList.parse(allow))
        events: list[Event] = []
        store.subscribe(events.extend)
        yield Stage(store, directory, hooks, clock, events)
    finally:
        await store.close()


def fault(result: object) -> Fault:
    """Return the refusal, which it must be."""
    assert isinstance(result, Fault), result
    return result
