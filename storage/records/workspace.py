"""Connected chats: where commands of another system come from, with what proves it (decision 61)."""

from dataclasses import dataclass, field
from enum import StrEnum

from storage.clock import Millis
from storage.ids import OrgId, WorkspaceId


class WorkspaceKind(StrEnum):
    """The systems a workspace can be of."""

    SLACK = "slack"
    MATTERMOST = "mattermost"
    ROCKETCHAT = "rocketchat"
    """A server whose outgoing webhook calls us by trigger word."""
    ROCKETCHAT_APP = "rocketchat-app"
    """A server with our App installed (decision 63)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """One connected chat; secret, bot token and base address are sealed at rest."""

    id: WorkspaceId
    org_id: OrgId
    kind: WorkspaceKind
    name: str
    """Unique in its organisation, whatever the case."""
    team_id: str
    """The id requests carry; unique among the workspaces of a kind in an organisation."""
    secret: str = field(repr=False)
    """Signing secret or token, whichever the system has."""
    bot_token: str | None = field(default=None, repr=False)
    base_url: str | None = field(default=None, repr=False)
    """Where its own interface is called; None for the system's usual one."""
    unlinked_viewer: bool = False
    """Whether accounts that are not linked may do what viewers may (decision 60)."""
    created_at: Millis
    damaged: bool = False
    """What is sealed of it cannot be opened: its secret here is one that nobody knows."""
    version: int = 1
    """Grows with every change; a change of an older version is refused."""
