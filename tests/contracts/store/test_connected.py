"""Connected chats and linked accounts: kept whole and sealed, found by team and by the chat's own ids."""

from dataclasses import replace
from typing import Any  # the changes are any fields of the record built

import pytest

from storage.clock import Millis
from storage.errors import Gone, Taken
from storage.ids import ROCKET_CAT, OrgId, WorkspaceId
from storage.ports import Store
from storage.records.account import AccountLink
from storage.records.changes import Changes
from storage.records.version import revised
from storage.records.workspace import Workspace, WorkspaceKind
from tests.contracts.store.engine import SqliteEngine
from tests.records import ANN, NOON, ORG

OTHER = OrgId("0b7e2c9a-0000-4000-8000-000000000002")


def workspace(**changes: Any) -> Workspace:
    """Build a Slack workspace."""
    plain = Workspace(
        id=WorkspaceId("w1"), org_id=ORG, kind=WorkspaceKind.SLACK, name="Acme", team_id="T1",
        secret="signing-c4n4ry", bot_token="xoxb-c4n4ry", base_url="https://slack.test/c4n4ry", unlinked_viewer=True,
        created_at=NOON,
    )  # fmt: skip
    return replace(plain, **changes)


def link(**changes: Any) -> AccountLink:
    """Link Ann's Slack account."""
    plain = AccountLink(
        workspace_id=WorkspaceId("w1"), external_id="U1", external_name="ann.s", user_id=ANN, linked_at=NOON
    )
    return replace(plain, **changes)


PLAIN = workspace(
    id=WorkspaceId("w2"), kind=WorkspaceKind.ROCKETCHAT_APP, name="Chat", bot_token=None, base_url=None,
    unlinked_viewer=False, created_at=NOON + 1,
)  # fmt: skip


async def test_a_workspace_comes_back_as_it_was_written(store: Store) -> None:
    """Every field survives making and changing; a request's team finds it, per kind."""
    await store.commit(Changes(new_workspaces=(workspace(), PLAIN)))
    assert await store.workspaces(ORG) == [workspace(), PLAIN]
    assert await store.workspace_of_team(ORG, WorkspaceKind.SLACK, "T1") == workspace()
    assert await store.workspace_of_team(ORG, WorkspaceKind.ROCKETCHAT_APP, "T1") == PLAIN
    assert await store.workspace_of_team(ORG, WorkspaceKind.MATTERMOST, "T1") is None
    assert await store.teams(ORG, WorkspaceKind.SLACK) == ["T1"]
    assert await store.teams(ORG, WorkspaceKind.MATTERMOST) == []
    changed = workspace(name="Acme 2", team_id="T2", secret="other", bot_token=None, unlinked_viewer=False, version=2)
    await store.commit(Changes(put_workspaces=(changed,)))
    assert await store.workspace(ORG, changed.id) == changed
    assert await store.workspace_of_team(ORG, WorkspaceKind.SLACK, "T1") is None


@pytest.mark.parametrize("twin", [{"name": "aCME", "team_id": "T2"}, {"name": "Acme 2"}], ids=["name", "team"])
async def test_names_and_teams_are_unique(store: Store, twin: dict[str, Any]) -> None:
    """Neither a name, whatever its case, nor a team of one kind can be used twice."""
    await store.commit(Changes(new_workspaces=(workspace(),)))
    with pytest.raises(Taken):
        await store.commit(Changes(new_workspaces=(workspace(id=WorkspaceId("w3"), **twin),)))
    assert await store.workspaces(ORG) == [workspace()]


async def test_a_change_brings_nothing_back(store: Store) -> None:
    """A workspace removed meanwhile cannot be changed, and nobody can be linked to it."""
    with pytest.raises(Gone):
        await store.commit(Changes(put_workspaces=(revised(workspace()),)))
    with pytest.raises(Gone):
        await store.commit(Changes(add_links=(link(),)))


async def test_links_are_found_by_the_chats_own_id(store: Store) -> None:
    """An account is bound to one user at a time; a user may have several; unlinking ends one."""
    second = link(workspace_id=PLAIN.id, linked_at=NOON + 1)
    await store.commit(Changes(new_workspaces=(workspace(), PLAIN), add_links=(link(), second)))
    assert await store.linked(ORG, workspace().id, "U1") == link()
    assert await store.linked(ORG, workspace().id, "u1") is None
    assert await store.linked(ORG, workspace().id, "ann.s") is None
    assert await store.links_of(ANN) == [link(), second]
    moved = link(user_id=ROCKET_CAT, external_name="cat", linked_at=Millis(NOON + 2))
    await store.commit(Changes(add_links=(moved,)))
    assert await store.linked(ORG, workspace().id, "U1") == moved
    assert await store.links_of(ANN) == [second]
    await store.commit(Changes(drop_links=((PLAIN.id, "U1"),)))
    assert await store.links_of(ANN) == []


async def test_removing_a_workspace_removes_its_links(store: Store) -> None:
    """Links go with their workspace; those of others stay."""
    second = link(workspace_id=PLAIN.id)
    await store.commit(Changes(new_workspaces=(workspace(), PLAIN), add_links=(link(), second)))
    await store.commit(Changes(drop_workspaces=(workspace().id,)))
    assert await store.workspaces(ORG) == [PLAIN]
    assert await store.links_of(ANN) == [second]


async def test_another_organisation_sees_nothing(store: Store) -> None:
    """Workspaces and links are there for their own organisation only, which may use the same names (decision 6)."""
    await store.make_organisation(OTHER, "Other", NOON)
    theirs = workspace(id=WorkspaceId("w9"), org_id=OTHER)
    await store.commit(Changes(new_workspaces=(workspace(), theirs), add_links=(link(), link(workspace_id=theirs.id))))
    assert await store.workspaces(OTHER) == [theirs]
    assert await store.workspace(ORG, theirs.id) is None
    assert await store.workspace_of_team(ORG, WorkspaceKind.SLACK, "T1") == workspace()
    assert await store.linked(ORG, theirs.id, "U1") is None
    assert await store.linked(OTHER, theirs.id, "U1") == link(workspace_id=theirs.id)


async def test_no_secret_stands_in_the_file(store: Store, engine: SqliteEngine) -> None:
    """Signing secret, bot token and base address are sealed, and the record's text does not show the secrets."""
    await store.commit(Changes(new_workspaces=(workspace(),)))
    written = engine.bytes_on_disk()
    assert b"Acme" in written
    assert b"c4n4ry" not in written
    assert "c4n4ry" not in repr(workspace())
