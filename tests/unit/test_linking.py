"""Accounts of other chats, bound by a code made here and typed there (decision 60)."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.workspace.linking import CODE_MS, NOBODY, TOO_MANY, WRONG_CODE, Linking, Sender
from storage.ids import OrgId, UserId, WorkspaceId
from storage.records.changes import Changes
from storage.records.user import User
from storage.records.workspace import Workspace, WorkspaceKind
from tests.people import People, people_at
from tests.records import user

HOUR = 60 * 60 * 1000


@dataclass
class Stage:
    people: People
    linking: Linking
    ann: User
    slack: Workspace

    async def person(self, external_id: str) -> UserId | None:
        """Return whose an account is."""
        link = await self.people.store.linked(self.people.owner.org_id, self.slack.id, external_id)
        return link.user_id if link else None

    @property
    def sender(self) -> Sender:
        return Sender(self.slack.id, "U1", "ann.over.there")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with people_at(tmp_path / "patchbay.db") as people:
        slack = Workspace(
            id=WorkspaceId("w1"),
            org_id=people.owner.org_id,
            kind=WorkspaceKind.SLACK,
            name="Slack",
            team_id="T1",
            secret="signing-secret",
            created_at=people.clock.now(),
        )
        await people.store.commit(Changes(new_workspaces=(slack,)))
        linking = Linking(people.store, people.directory, people.clock)
        yield Stage(people, linking, await people.add("ann"), slack)


async def test_a_code_binds_the_account_that_types_it(stage: Stage) -> None:
    """The code may be typed in small letters and with a hyphen; the account then acts as the user."""
    made = await stage.linking.make_code(stage.ann)
    assert len(made.code) == 8
    assert made.code not in repr(made)
    typed = f" {made.code[:4]}-{made.code[4:]} ".lower()
    assert await stage.linking.redeem(stage.sender, typed) == stage.ann
    assert await stage.person("U1") == stage.ann.id
    assert await stage.person("U2") is None
    found = await stage.linking.links_of(stage.ann)
    assert [(one.workspace.name, one.link.external_id, one.link.external_name) for one in found] == [
        ("Slack", "U1", "ann.over.there")
    ]


async def test_a_code_is_good_once(stage: Stage) -> None:
    """Whoever reads it afterwards cannot use it."""
    code = (await stage.linking.make_code(stage.ann)).code
    await stage.linking.redeem(stage.sender, code)
    assert await stage.linking.redeem(Sender(stage.slack.id, "U2"), code) == WRONG_CODE
    assert await stage.person("U2") is None


async def test_a_code_is_good_for_ten_minutes(stage: Stage) -> None:
    """At its end it is as wrong as any other."""
    code = (await stage.linking.make_code(stage.ann)).code
    stage.people.clock.advance(CODE_MS)
    assert await stage.linking.redeem(stage.sender, code) == WRONG_CODE


async def test_a_new_code_replaces_the_one_before(stage: Stage) -> None:
    """Somebody who asks twice leaves no code behind that still works."""
    first, second = [(await stage.linking.make_code(stage.ann)).code for _ in range(2)]
    assert await stage.linking.redeem(stage.sender, first) == WRONG_CODE
    assert await stage.linking.redeem(stage.sender, second) == stage.ann


async def test_five_wrong_codes_an_hour_are_all_a_sender_gets(stage: Stage) -> None:
    """The sixth is not looked at even when it is right; others and the next hour are not concerned."""
    code = (await stage.linking.make_code(stage.ann)).code
    for _ in range(5):
        assert await stage.linking.redeem(stage.sender, "AAAAAAAA") == WRONG_CODE
    assert await stage.linking.redeem(stage.sender, code) == TOO_MANY
    assert await stage.linking.redeem(Sender(stage.slack.id, "U2"), code) == stage.ann
    stage.people.clock.advance(HOUR)
    code = (await stage.linking.make_code(stage.ann)).code
    assert await stage.linking.redeem(stage.sender, code) == stage.ann


async def test_right_codes_count_no_tries(stage: Stage) -> None:
    """Linking many times is no guessing."""
    for _ in range(7):
        code = (await stage.linking.make_code(stage.ann)).code
        assert await stage.linking.redeem(stage.sender, code) == stage.ann


async def test_an_account_is_bound_anew_to_whoever_made_the_next_code(stage: Stage) -> None:
    """One account acts as one user."""
    ben = await stage.people.add("ben")
    for person in (stage.ann, ben):
        code = (await stage.linking.make_code(person)).code
        assert await stage.linking.redeem(stage.sender, code) == person
    assert await stage.person("U1") == ben.id
    assert await stage.linking.links_of(stage.ann) == []


async def test_a_code_of_somebody_deactivated_links_nobody(stage: Stage) -> None:
    """A code made before lets nobody in again."""
    code = (await stage.linking.make_code(stage.ann)).code
    await stage.people.users.set_active(stage.people.owner, stage.ann.id, active=False)
    assert await stage.linking.redeem(Sender(stage.slack.id, "U2"), code) == NOBODY
    assert await stage.person("U2") is None


async def test_a_link_is_taken_off_by_its_own_user_only(stage: Stage) -> None:
    """Others cannot, and afterwards the account is nobody's."""
    ben = await stage.people.add("ben")
    await stage.linking.redeem(stage.sender, (await stage.linking.make_code(stage.ann)).code)
    assert not await stage.linking.unlink(ben, stage.slack.id, "U1")
    assert await stage.linking.unlink(stage.ann, stage.slack.id, "U1")
    assert await stage.person("U1") is None


async def test_a_code_of_another_organisation_links_nobody(stage: Stage) -> None:
    """Organisations do not see each other (decision 6)."""
    org = OrgId("other")
    stranger = user(id=UserId("stranger"), org_id=org, username="stranger", emails=())
    await stage.people.store.make_organisation(org, "Other", stage.people.clock.now())
    await stage.people.store.commit(Changes(new_users=(stranger,)))
    code = (await stage.linking.make_code(stranger)).code
    assert await stage.linking.redeem(stage.sender, code) == NOBODY


async def test_a_chat_that_was_disconnected_links_nobody(stage: Stage) -> None:
    """Its accounts go with it, and a late code binds nothing."""
    await stage.linking.redeem(stage.sender, (await stage.linking.make_code(stage.ann)).code)
    await stage.people.store.commit(Changes(drop_workspaces=(stage.slack.id,)))
    assert await stage.linking.links_of(stage.ann) == []
    code = (await stage.linking.make_code(stage.ann)).code
    assert not isinstance(await stage.linking.redeem(stage.sender, code), User)
