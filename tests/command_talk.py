"""Lines typed on a running server, through the flow that every door uses."""

from bot.flows.command import CommandFlow
from handlers.command import Answer, Door, Place, Unlinked
from storage.ids import GENERAL
from storage.records.audit import AuditFilter, AuditRow
from storage.records.user import User
from storage.records.workspace import Workspace
from tests.command_stage import code_of
from tests.server import Server

ROOMS = Door(name="rooms")
SLACK = Door(name="slack")
UNSIGNED = Door(name="mattermost", signed=False)


async def person(server: Server, username: str) -> User:
    """Return a user as it is now."""
    found = await server.services.directory.user_named(username)
    assert found is not None, username
    return found


async def typed(server: Server, username: str, line: str, door: Door = ROOMS) -> Answer:
    """Run a line of somebody in `#general`."""
    room = await server.services.directory.room(GENERAL)
    flow: CommandFlow = server.services.flow
    return await flow.run(await person(server, username), Place(channel=GENERAL, room=room), line, door)


async def typed_there(
    server: Server, chat: Workspace, external_id: str, line: str, door: Door = SLACK, name: str = ""
) -> Answer:
    """Run a line of somebody in another chat, whoever that is here."""
    who: User | Unlinked = await server.services.flow.who(chat, external_id, name)
    place = Place(channel="C1", workspace=chat.id)
    return await server.services.flow.run(who, place, line, door, sender=(chat.id, external_id))


async def confirmed(server: Server, username: str, line: str) -> Answer:
    """Run a line that asks, and say yes."""
    return await typed(server, username, f"confirm {code_of(await typed(server, username, line))}")


async def audited(server: Server) -> list[AuditRow]:
    """Return what was written down, newest first."""
    rows, _ = await server.services.store.audit_rows(AuditFilter(org_id=server.services.directory.org))
    return rows
