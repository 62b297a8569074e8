"""What a fresh data folder holds after the first start."""

from pathlib import Path
from uuid import UUID

from bot.settings import Settings
from bot.workspace.first_start import FirstStart, first_start, organisation
from bot.workspace.passwords import Passwords, digest_of
from storage.ids import GENERAL, ROCKET_CAT
from storage.records.integration import IncomingHook
from storage.records.room import RoomKind
from storage.records.user import Role
from storage.sqlite.store import SqliteStore
from tests.clock import ManualClock
from tests.people import OLGA, PASSWORD, settings_of, store_at
from tests.records import hooks_in

NAMED = settings_of(**OLGA)


async def start(store: SqliteStore, settings: Settings = NAMED) -> FirstStart | None:
    """Start as the server does."""
    clock = ManualClock()
    return await first_start(store, await organisation(store, clock), settings, Passwords(), clock)


async def test_everything_is_there(tmp_path: Path) -> None:
    """Organisation, owner, bot, room and hook stand ready, with their fixed ids (decision 18)."""
    async with store_at(tmp_path / "patchbay.db", ManualClock()) as store:
        started = await start(store)
        assert isinstance(started, FirstStart)
        assert (started.username, started.password) == ("olga", None)
        org = await store.organisation()
        assert org is not None
        assert str(UUID(org)) == org
        owner, cat = await store.user_named("olga"), await store.user(ROCKET_CAT)
        assert owner is not None
        assert cat is not None
        assert (owner.role, owner.emails) == (Role.OWNER, ("olga@example.test",))
        assert await Passwords().matches(digest_of(PASSWORD), owner.password_hash)
        assert (cat.username, cat.type, cat.is_bot, cat.role) == ("rocket.cat", "bot", True, Role.VIEWER)
        assert cat.password_hash is None
        general = await store.room(GENERAL)
        assert general is not None
        assert (general.name, general.kind, general.owner_id) == ("general", RoomKind.PUBLIC, owner.id)
        members = {member.user_id: member.is_owner for member in await store.members(GENERAL)}
        assert members == {owner.id: True, ROCKET_CAT: False}
        hook = await store.hook(started.hook_id)
        assert isinstance(hook, IncomingHook)
        assert (hook.name, hook.channels, hook.user_id) == ("first-hook", ("#general",), ROCKET_CAT)
        assert hook.token == started.hook_token
        assert len(started.hook_token) == 48


async def test_a_password_is_made_when_none_is_set(tmp_path: Path) -> None:
    """It works for logging in, and is returned this one time."""
    async with store_at(tmp_path / "patchbay.db", ManualClock()) as store:
        started = await start(store, settings_of())
        assert isinstance(started, FirstStart)
        assert started.password is not None
        owner = await store.user_named("owner")
        assert owner is not None
        assert await Passwords().matches(digest_of(started.password), owner.password_hash)


async def test_the_second_start_makes_nothing(tmp_path: Path) -> None:
    """Starting again leaves organisation, users and hooks as they are, whatever the settings say."""
    for number in range(2):
        async with store_at(tmp_path / "patchbay.db", ManualClock()) as store:
            started = await start(store, NAMED if number == 0 else settings_of())
            assert isinstance(started, FirstStart) == (number == 0)
            org = await store.organisation()
            assert org is not None
            assert len(await store.users(org)) == 2
            assert len(await hooks_in(store, org)) == 1


async def test_a_start_killed_half_way_is_completed(tmp_path: Path) -> None:
    """An organisation without users gets them; there is no second organisation."""
    async with store_at(tmp_path / "patchbay.db", ManualClock()) as store:
        org = await organisation(store, ManualClock())
    async with store_at(tmp_path / "patchbay.db", ManualClock()) as store:
        assert isinstance(await start(store), FirstStart)
        assert await store.organisation() == org
        assert len(await store.users(org)) == 2


async def test_no_secret_stands_in_the_file(tmp_path: Path) -> None:
    """Neither the made password nor the hook's token is in the database file or its log."""
    async with store_at(tmp_path / "patchbay.db", ManualClock()) as store:
        started = await start(store, settings_of())
        assert isinstance(started, FirstStart)
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert started.password is not None
    assert started.password.encode() not in stored
    assert started.hook_token.encode() not in stored
