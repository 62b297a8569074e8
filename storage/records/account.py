"""Accounts of other chats that are bound to users (decision 60)."""

from dataclasses import dataclass

from storage.clock import Millis
from storage.ids import UserId, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLink:
    """Binds one account of a workspace to a user: by the chat's own id, never by a name."""

    workspace_id: WorkspaceId
    external_id: str
    external_name: str = ""
    """As the account was called when it was linked, for people to read; nothing is found by it."""
    user_id: UserId
    linked_at: Millis
