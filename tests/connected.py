"""Another chat connected to a test's server, and people of it linked to users here."""

import secrets

from bot.workspace.linking import Sender
from storage.ids import WorkspaceId
from storage.records.changes import Changes
from storage.records.user import User
from storage.records.workspace import Workspace, WorkspaceKind
from tests.server import Server

SECRET = "canary-shared-secret-1f0e"


async def connect(
    server: Server, kind: WorkspaceKind, *, team_id: str | None = None, secret: str = SECRET, name: str = ""
) -> Workspace:
    """Connect a chat; its team is a new one unless it is named."""
    own = secrets.token_hex(8)
    workspace = Workspace(
        id=WorkspaceId(own),
        org_id=server.services.directory.org,
        kind=kind,
        name=name or own,
        team_id=team_id or own,
        secret=secret,
        created_at=server.services.clock.now(),
    )
    await server.services.store.commit(Changes(new_workspaces=(workspace,)))
    return workspace


async def disconnect(server: Server, workspace: Workspace) -> None:
    """Remove a chat."""
    await server.services.store.commit(Changes(drop_workspaces=(workspace.id,)))


async def link(server: Server, workspace: Workspace, external_id: str, username: str) -> None:
    """Let a person type the code in the other chat that they made here."""
    user = await server.services.directory.user_named(username)
    assert user is not None
    code = (await server.services.linking.make_code(user)).code
    redeemed = await server.services.linking.redeem(Sender(workspace.id, external_id), code)
    assert isinstance(redeemed, User), redeemed
