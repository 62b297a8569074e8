"""What the fault tests do with a running server: outgoing hooks of any kind, posts, and how deliveries ended."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any  # the changes are any fields of a hook

from storage.ids import IntegrationId, integration_id
from storage.records.changes import Changes
from storage.records.delivery import Attempt, Delivery, DeliveryState
from storage.records.event import EventKind
from storage.records.user import User
from tests.records import outgoing
from tests.server import Server

WAIT_S = 20.0


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Look again and again, letting the server work in between, until the condition holds."""
    async with asyncio.timeout(WAIT_S):
        while not await condition():  # noqa: ASYNC110 # what is waited for is a row, which signals nobody
            await asyncio.sleep(0.005)


async def owner_of(server: Server) -> User:
    found = await server.services.store.user(server.owner["X-User-Id"])  # type: ignore[arg-type] # as the wire has it
    assert found is not None
    return found


async def hook_calling(server: Server, *urls: str, **changes: Any) -> IntegrationId:
    """Make an outgoing hook that hears `#general`, past the check of addresses that REST makes."""
    owner = await owner_of(server)
    hook = outgoing(
        **{
            "id": integration_id(),
            "org_id": owner.org_id,
            "urls": urls,
            "channels": ("#general",),
            "created_by": (owner.id, owner.username),
            "retry_failed_calls": True,
            "retry_count": 6,
            "retry_delay": "powers-of-ten",
        }
        | changes
    )
    fact = server.services.fanout.plain(EventKind.INTEGRATION_CHANGED, owner, {"id": hook.id})
    await server.services.store.commit(Changes(new_hooks=(hook,), facts=(fact,)))
    return hook.id


async def post(server: Server, text: str, **headers: str) -> tuple[int, Any]:
    """Post to the first hook; return status and answer."""
    async with server.http.post(server.hook, json={"text": text}, headers=headers) as response:
        return response.status, await response.json()


async def say(server: Server, text: str) -> None:
    """Post, and be acknowledged."""
    assert await post(server, text) == (200, {"success": True})


async def attempts(server: Server, hook: IntegrationId, count: int = 1) -> list[Attempt]:
    """Wait for so many settled attempts; return them oldest first."""

    async def enough() -> bool:
        return (await server.services.store.attempts([hook]))[1] >= count

    await until(enough)
    return (await server.services.store.attempts([hook], ascending=True, count=1000))[0]


async def ended(server: Server, hook: IntegrationId, state: DeliveryState, count: int = 1) -> list[Delivery]:
    """Wait until so many deliveries of a hook stand in a state."""

    async def enough() -> bool:
        return (await server.services.store.deliveries(hook_id=hook, state=state))[1] >= count

    await until(enough)
    return (await server.services.store.deliveries(hook_id=hook, state=state, count=1000))[0]
