"""A workspace after its first start, for tests of accounts and users: real store, real rules, a manual clock."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # settings are given as the environment would

from bot.settings import Settings
from bot.workspace.accounts import Accounts, Session
from bot.workspace.allotment import Allotment
from bot.workspace.credentials import LoginFailure, read_credentials
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.first_start import FirstStart, first_start, organisation
from bot.workspace.posting import Posting
from bot.workspace.users import NewUser, Users
from handlers.outgoing.scopes import hook_scopes
from storage.ids import UserId
from storage.records.event import Event
from storage.records.user import Role, User
from storage.sqlite.store import SqliteStore, open_store
from storage.vault import Vault
from tests.cheap import cheap_passwords
from tests.clock import ManualClock

PASSWORD = "correct horse battery"
HOME = "192.0.2.7"
OLGA = {"owner_username": "olga", "owner_email": "olga@example.test", "owner_password": PASSWORD}
"""The owner of these tests."""


def settings_of(**values: Any) -> Settings:
    """Build settings, the defaults unless changed."""
    return Settings(**values)


@dataclass
class People:
    """The parts, and what the outside saw of them."""

    clock: ManualClock
    store: SqliteStore
    directory: Directory
    accounts: Accounts
    users: Users
    owner: User
    started: FirstStart
    pauses: list[float] = field(default_factory=list)
    """How long logins were made to wait."""
    pause: Callable[[float], Awaitable[None]] | None = None
    """What a wait is meanwhile; nothing at all unless a test says so."""
    ended: list[UserId] = field(default_factory=list)
    """Whose sockets were told to close."""
    events: list[Event] = field(default_factory=list)

    async def add(self, username: str = "ann", role: Role = Role.VIEWER) -> User:
        """Make a user with the usual password."""
        new = NewUser(username=username, name=username.title(), password=PASSWORD, role=role)
        made = await self.users.create(self.owner, new, by_operator=True)
        assert isinstance(made, User), made
        return made

    async def log_in(
        self, username: str = "ann", password: str = PASSWORD, address: str = HOME
    ) -> Session | LoginFailure:
        """Log in as a client does."""
        credentials = read_credentials({"user": username, "password": password})
        assert not isinstance(credentials, LoginFailure)
        return await self.accounts.login(credentials, address)

    async def session(self, username: str = "ann", password: str = PASSWORD) -> Session:
        """Log in, which must succeed."""
        found = await self.log_in(username, password)
        assert isinstance(found, Session), found
        return found


@asynccontextmanager
async def store_at(path: Path, clock: ManualClock) -> AsyncIterator[SqliteStore]:
    """Open a store on a file and close it at the end."""
    store = open_store(path, Vault([b"k" * 32]), clock, hook_scopes, serving=True)
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def people_at(path: Path) -> AsyncIterator[People]:
    """Start a workspace on a fresh file."""
    clock = ManualClock()
    async with store_at(path, clock) as store:
        passwords = cheap_passwords()
        org = await organisation(store, clock)
        started = await first_start(store, org, settings_of(**OLGA), passwords, clock)
        assert isinstance(started, FirstStart)
        directory = Directory(store, org)
        fanout = Fanout(directory, store, store, clock)
        posting = Posting(directory, store, fanout, clock, Allotment(store, clock, 0))

        async def pause(seconds: float) -> None:
            people.pauses.append(seconds)
            if people.pause is not None:
                await people.pause(seconds)

        accounts = Accounts(store, directory, passwords, clock, pause=pause)
        users = Users(store, directory, fanout, posting, accounts, passwords, clock)
        owner = await directory.user_named("olga")
        assert owner is not None
        people = People(clock, store, directory, accounts, users, owner, started)
        accounts.on_end.append(people.ended.append)
        store.subscribe(people.events.extend)
        yield people
        await accounts.close()
