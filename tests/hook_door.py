"""Incoming hooks of a running server, and what a sender gets from them."""

import json
from dataclasses import dataclass
from io import BytesIO
from typing import Any  # answers are parsed JSON

from bot.workspace.hook_options import Options
from storage.ids import IntegrationId, UserId
from storage.records.hook_request import HookRequest
from storage.records.integration import IncomingHook
from storage.records.user import User
from tests.hook_stage import INCOMING
from tests.server import Server

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
OK = {"success": True}
UNKNOWN = {"success": False, "error": "Invalid integration id or token provided."}
NOT_LOGGED_IN = {"status": "error", "message": "You must be logged in to do this."}

Answer = tuple[int, Any]


def failed(error: str) -> Answer:
    """Return the answer to a refused body."""
    return 400, {"success": False, "error": error}


@dataclass(frozen=True)
class Door:
    """One incoming hook of a server."""

    server: Server
    id: IntegrationId
    token: str

    @property
    def url(self) -> str:
        return f"{self.server.url}/hooks/{self.id}/{self.token}"

    async def send(self, body: object, headers: dict[str, str] | None = None) -> Answer:
        """Post a JSON body."""
        return await self.send_raw(json.dumps(body).encode(), JSON, headers)

    async def send_raw(self, data: bytes, content_type: str, headers: dict[str, str] | None = None) -> Answer:
        """Post bytes as they are."""
        sent = {"Content-Type": content_type, **(headers or {})}
        async with self.server.http.post(self.url, data=BytesIO(data), headers=sent) as response:
            return response.status, await response.json()

    async def edit(self, options: Options) -> None:
        """Set what the REST schema does not know."""
        done = await self.server.services.hooks.edit(await owner(self.server), self.id, options)
        assert isinstance(done, IncomingHook), done

    async def requests(self) -> list[HookRequest]:
        """Return the hook's history, newest first."""
        return await self.server.services.store.requests(self.id, count=200)

    async def verdicts(self) -> list[str]:
        """Return the history's verdicts, oldest first."""
        return [request.verdict.value for request in reversed(await self.requests())]


async def owner(server: Server) -> User:
    """Return the server's owner."""
    found = await server.services.directory.user(UserId(server.owner["X-User-Id"]))
    assert found is not None
    return found


async def door(server: Server, **changes: object) -> Door:
    """Make a hook that posts into `#general` as `rocket.cat` unless changed."""
    made = (await server.post("integrations.create", {**INCOMING, **changes}))["integration"]
    return Door(server, IntegrationId(made["_id"]), made["token"])


async def open_door(server: Server, **changes: object) -> Door:
    """Make a hook whose senders may name the destination."""
    return await door(server, overrideDestinationChannelEnabled=True, **changes)


async def texts(server: Server, room_id: str = "GENERAL") -> list[str]:
    """Return what stands in a room, oldest first."""
    found, _ = await server.services.store.messages((await room(server, room_id)).id, count=100)
    return [message.text for message in reversed(found)]


async def room(server: Server, name: str) -> Any:
    """Return a room by id or name."""
    found = await server.services.posting.find(name)
    assert found is not None
    return found
