"""What another process changed a moment ago stands, whatever the server still remembers of it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from bot.compose import open_services
from bot.folder import Folder
from bot.services import Services
from bot.workspace.users import UserUpdate
from storage.clock import SystemClock
from storage.ids import RoomId, UserId
from storage.records.user import Role, User
from tests.hook_door import Door
from tests.hook_stage import INCOMING
from tests.server import Server, serving

Change = Callable[[Services, User, UserId], Awaitable[object]]


@asynccontextmanager
async def beside(server: Server) -> AsyncIterator[tuple[Services, User]]:
    """Open the folder of a running server once more, as a command does, with its owner."""
    folder = Folder(server.services.folder)
    opening = open_services(server.services.settings, folder, SystemClock(), base_url=server.url, serving=False)
    async with opening as (services, _):
        owner = await services.directory.user_named("owner")
        assert owner is not None
        yield services, owner


async def _deactivate(services: Services, owner: User, user_id: UserId) -> object:
    return await services.users.set_active(owner, user_id, active=False)


async def _lower(services: Services, owner: User, user_id: UserId) -> object:
    return await services.users.update(owner, user_id, UserUpdate(role=Role.VIEWER), by_operator=True)


async def _password(services: Services, owner: User, user_id: UserId) -> object:
    return await services.users.update(owner, user_id, UserUpdate(password="another long password"), by_operator=True)


@pytest.mark.parametrize("change", [_deactivate, _lower, _password], ids=["deactivated", "role", "password"])
async def test_nothing_undoes_a_change_of_a_user(tmp_path: Path, change: Change) -> None:
    """Hooks made to post as a remembered user, posts by and to them, a rename: none writes the remembered user back."""
    async with serving(tmp_path / "data") as server:
        cleo = await server.user("cleo", "admin")
        user_id = UserId(cleo["X-User-Id"])
        async with beside(server) as (services, owner):
            await server.get("users.info", username="cleo")  # from now on the server remembers them
            await change(services, owner, user_id)
            changed = await services.store.user(user_id)
            assert changed is not None
            # within the second in which commits of others are noticed
            _, made = await server.api("POST", "integrations.create", {**INCOMING, "username": "cleo"})
        if hook := made.get("integration"):
            await Door(server, hook["_id"], hook["token"]).send({"text": "by the hook"})
        await server.api("POST", "chat.postMessage", {"channel": "#general", "text": "hello"}, who=cleo)
        await server.api("POST", "chat.postMessage", {"channel": "@cleo", "text": "hello"})
        after = await server.services.store.user(user_id)
        assert after is not None
        kept = ("active", "role", "password_hash")
        assert [getattr(after, name) for name in kept] == [getattr(changed, name) for name in kept]
        await server.post("users.update", {"userId": user_id, "data": {"name": "Renamed"}})
        after = await server.services.store.user(user_id)
        assert after is not None
        assert after.name == "Renamed"
        assert [getattr(after, name) for name in kept] == [getattr(changed, name) for name in kept]


async def test_nothing_undoes_a_change_of_a_room(tmp_path: Path) -> None:
    """A room archived by a command and made read-only by the server that remembers it open is both."""
    async with serving(tmp_path / "data") as server:
        room_id = RoomId((await server.post("channels.create", {"name": "ops"}))["channel"]["_id"])
        async with beside(server) as (services, owner):
            room = await services.store.room(room_id)
            assert room is not None
            await server.get("channels.info", roomId=room_id)
            await services.rooms.archive(owner, room, archived=True)
            await server.post("channels.setReadOnly", {"roomId": room_id, "readOnly": True})
        stored = await server.services.store.room(room_id)
        assert stored is not None
        assert (stored.archived, stored.read_only) == (True, True)
