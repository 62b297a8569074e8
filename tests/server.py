"""A running server for tests: real sockets, a real file, in the test's own event loop."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from bot.serve import Running, running
from bot.services import Services
from bot.settings import Settings
from storage.clock import Clock
from tests.cheap import cheap_passwords

PASSWORD = "correct horse battery"


@dataclass
class Server:
    """A server and an HTTP session to it; `owner` are the login headers of its owner."""

    running: Running
    http: aiohttp.ClientSession
    owner: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def services(self) -> Services:
        return self.running.services

    @property
    def hook(self) -> str:
        """Return the address of the hook the first start made."""
        first = self.running.first_start
        assert first is not None
        return f"{self.url}/hooks/{first.hook_id}/{first.hook_token}"

    async def api(
        self, method: str, call: str, body: object = None, *, who: dict[str, str] | None = None, **query: str
    ) -> tuple[int, Any]:
        """Make a REST call, as the owner unless told otherwise; returns status and parsed answer."""
        headers = self.owner if who is None else who
        async with self.http.request(
            method, f"{self.url}/api/v1/{call}", json=body, params=query, headers=headers
        ) as response:
            return response.status, await response.json()

    async def get(self, call: str, *, who: dict[str, str] | None = None, **query: str) -> Any:
        """Make a GET call that succeeds."""
        status, answer = await self.api("GET", call, who=who, **query)
        assert status == 200, answer
        return answer

    async def post(self, call: str, body: object = None, *, who: dict[str, str] | None = None) -> Any:
        """Make a POST call that succeeds."""
        status, answer = await self.api("POST", call, body, who=who)
        assert status == 200, answer
        return answer

    async def login(self, username: str, password: str = PASSWORD) -> dict[str, str]:
        """Log in and return the headers of the session."""
        answer = await self.post("login", {"user": username, "password": password}, who={})
        return {"X-User-Id": answer["data"]["userId"], "X-Auth-Token": answer["data"]["authToken"]}

    async def user(self, username: str, role: str = "user") -> dict[str, str]:
        """Make a user and return the headers of a session."""
        await self.post(
            "users.create",
            {
                "username": username,
                "name": username.title(),
                "email": f"{username}@example.test",
                "password": PASSWORD,
                "roles": [role],
            },
        )
        return await self.login(username)

    async def room_messages(self, room_id: str = "GENERAL") -> list[dict[str, Any]]:
        """Return the newest messages of a public room, newest first."""
        messages: list[dict[str, Any]] = (await self.get("channels.history", roomId=room_id))["messages"]
        return messages


@asynccontextmanager
async def serving(
    folder: Path, clock: Clock | None = None, *, apart: bool = False, **settings: Any
) -> AsyncIterator[Server]:
    """Run a server on a free port of the loopback, rate limits off, owner `owner`; `apart` as a server writes."""
    values: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "data": folder,
        "owner_password": PASSWORD,
        "hook_rate_per_minute": 0,
        "api_rate_per_minute": 0,
        "allow_targets": "127.0.0.1",
        **settings,
    }
    async with (
        running(Settings(**values), clock, apart=apart, passwords=cheap_passwords()) as started,
        aiohttp.ClientSession() as http,
    ):
        server = Server(started, http)
        server.owner = await server.login("owner", str(values["owner_password"]))
        yield server
