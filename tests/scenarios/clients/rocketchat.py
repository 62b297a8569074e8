"""The PyPI client `rocketchat-API`, usable from an event loop that also runs the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any  # the client publishes no types

from rocketchat_API.rocketchat import RocketChat

from tests.server import PASSWORD


class Rocket:
    """Makes each call of the client in a thread; pages it walks through come back as one list."""

    def __init__(self, client: RocketChat) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        def call(*values: object, **named: object) -> Any:
            answer = getattr(self.client, name)(*values, **named)
            return list(answer) if isinstance(answer, Iterator) else answer

        return lambda *values, **named: asyncio.to_thread(call, *values, **named)


@asynccontextmanager
async def connected(url: str, user: str = "owner", password: str = PASSWORD) -> AsyncIterator[Rocket]:
    """Log a client in with a password."""
    client = await asyncio.to_thread(RocketChat, user, password, server_url=url)
    try:
        yield Rocket(client)
    finally:
        client.session.close()


@asynccontextmanager
async def with_token(url: str, user_id: str, token: str) -> AsyncIterator[Rocket]:
    """Give a client a token, which needs no login."""
    client = RocketChat(user_id=user_id, auth_token=token, server_url=url)
    try:
        yield Rocket(client)
    finally:
        client.session.close()
