"""Connected chats and the accounts linked there, in their tables (decisions 60, 61)."""

import secrets
import sqlite3
from dataclasses import fields

from storage.clock import Millis
from storage.errors import VaultError
from storage.ids import OrgId, UserId, WorkspaceId
from storage.plain_json import read, write_bytes
from storage.records.account import AccountLink
from storage.records.changes import Changes
from storage.records.workspace import Workspace, WorkspaceKind
from storage.sqlite.rows import Row, columns
from storage.sqlite.single import insert, put
from storage.vault import Vault

Connection = sqlite3.Connection

_WORKSPACE = "id, org_id, kind, name, team_id, unlinked_viewer, created_at, version, sealed"
_LINK = columns(fields(AccountLink))


def write(connection: Connection, vault: Vault, unit: Changes) -> None:
    """Write what a unit says of workspaces and links; raise Stale or Gone as `put` does."""
    for workspace in unit.new_workspaces:
        connection.execute(insert("workspace", _WORKSPACE), _row(workspace, vault))
    for workspace in unit.put_workspaces:
        put(connection, "workspace", _WORKSPACE, _row(workspace, vault), workspace)
    for workspace_id in unit.drop_workspaces:
        connection.execute("DELETE FROM workspace WHERE id = ?", (workspace_id,))
    for pair in unit.drop_links:
        connection.execute("DELETE FROM account_link WHERE workspace_id = ? AND external_id = ?", pair)
    for link in unit.add_links:
        connection.execute(
            f"INSERT INTO account_link ({_LINK}) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " external_name = excluded.external_name, user_id = excluded.user_id, linked_at = excluded.linked_at",
            (link.workspace_id, link.external_id, link.external_name, link.user_id, link.linked_at),
        )


def workspaces(connection: Connection, vault: Vault, org: str) -> list[Workspace]:
    found = connection.execute(f"SELECT {_WORKSPACE} FROM workspace WHERE org_id = ? ORDER BY created_at, id", (org,))
    return [_from(row, vault) for row in found]


def workspace(connection: Connection, vault: Vault, org: str, workspace_id: str) -> Workspace | None:
    row = connection.execute(
        f"SELECT {_WORKSPACE} FROM workspace WHERE id = ? AND org_id = ?", (workspace_id, org)
    ).fetchone()
    return _from(row, vault) if row else None


def teams(connection: Connection, org: str, kind: str) -> list[str]:
    found = connection.execute(
        "SELECT team_id FROM workspace WHERE org_id = ? AND kind = ? ORDER BY team_id", (org, kind)
    )
    return [team_id for (team_id,) in found]


def workspace_of_team(connection: Connection, vault: Vault, org: str, kind: str, team_id: str) -> Workspace | None:
    row = connection.execute(
        f"SELECT {_WORKSPACE} FROM workspace WHERE org_id = ? AND kind = ? AND team_id = ?", (org, kind, team_id)
    ).fetchone()
    found = _from(row, vault) if row else None
    if found is not None and found.damaged:  # its requests can be proved by nothing
        raise VaultError(f"The stored secret of {_identity(found.id)} is damaged; remove it and add it anew.")
    return found


def linked(connection: Connection, org: str, workspace_id: str, external_id: str) -> AccountLink | None:
    row = connection.execute(
        f"SELECT {_LINK} FROM account_link WHERE workspace_id = ? AND external_id = ?"
        " AND EXISTS (SELECT 1 FROM workspace WHERE id = workspace_id AND org_id = ?)",
        (workspace_id, external_id, org),
    ).fetchone()
    return _link(row) if row else None


def links_of(connection: Connection, user_id: str) -> list[AccountLink]:
    found = connection.execute(f"SELECT {_LINK} FROM account_link WHERE user_id = ? ORDER BY linked_at", (user_id,))
    return [_link(row) for row in found]


def _identity(workspace_id: str) -> str:
    return f"workspace:{workspace_id}"


def _row(one: Workspace, vault: Vault) -> Row:
    secret = write_bytes([one.secret, one.bot_token, one.base_url])
    return (
        one.id, one.org_id, one.kind.value, one.name, one.team_id, one.unlinked_viewer, one.created_at,
        one.version, vault.seal(secret, _identity(one.id)),
    )  # fmt: skip


def _from(row: sqlite3.Row, vault: Vault) -> Workspace:
    damaged = False
    try:
        secret, bot_token, base_url = read(vault.open(row["sealed"], _identity(row["id"])))
    except VaultError:  # one damaged row must not hide the others of its list
        secret, bot_token, base_url, damaged = secrets.token_hex(32), None, None, True
    return Workspace(
        damaged=damaged,
        id=WorkspaceId(row["id"]), org_id=OrgId(row["org_id"]), kind=WorkspaceKind(row["kind"]), name=row["name"],
        team_id=row["team_id"], secret=secret, bot_token=bot_token, base_url=base_url,
        unlinked_viewer=bool(row["unlinked_viewer"]), created_at=Millis(row["created_at"]),
        version=row["version"],
    )  # fmt: skip


def _link(row: sqlite3.Row) -> AccountLink:
    return AccountLink(
        workspace_id=WorkspaceId(row["workspace_id"]), external_id=row["external_id"],
        external_name=row["external_name"], user_id=UserId(row["user_id"]), linked_at=Millis(row["linked_at"]),
    )  # fmt: skip
