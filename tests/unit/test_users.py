"""Making and changing users."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.workspace.user_fields import Roles, read_roles
from bot.workspace.users import (
    INVALID_USER,
    LAST_OWNER,
    NO_NEW_OWNER,
    OWNER_STAYS,
    Changed,
    NewUser,
    UserUpdate,
)
from handlers.errors import UNAUTHORIZED, Fault
from handlers.permissions import IMPERSONATE, MANAGE_OWN_INCOMING, permissions
from storage.ids import GENERAL, ROCKET_CAT, IntegrationId, OrgId, RoomId, UserId
from storage.records.changes import Changes
from storage.records.event import EventKind
from storage.records.user import Role, User
from storage.records.version import revised
from tests.people import PASSWORD, People, people_at
from tests.records import ORG, incoming, outgoing, user


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[People]:
    """A workspace after its first start."""
    async with people_at(tmp_path / "patchbay.db") as found:
        yield found


def new(**changes: object) -> NewUser:
    """Ask for Ann, with whatever the test is about changed."""
    return replace(NewUser(username="ann", name="Ann", password=PASSWORD), **changes)  # type: ignore[arg-type] # any field


def text_of(result: object) -> str:
    """Return what a refusal says over REST."""
    assert isinstance(result, Fault), result
    return result.bracketed


async def test_a_new_user_stands_in_general(people: People) -> None:
    """Making a user is one commit: the user, the place in #general, and the facts hooks hear of."""
    made = await people.users.create(people.owner, new(email="ann@example.test", role=Role.EDITOR))
    assert isinstance(made, User)
    assert made == await people.directory.user_named("ANN") == await people.store.user_with_email("ANN@example.test")
    assert await people.directory.member(GENERAL, made.id)
    assert [event.kind for event in people.events] == [EventKind.USER_CREATED, EventKind.ROOM_JOINED]
    assert people.events[0].user_id == made.id
    assert len(made.id) == 17


async def test_an_archived_general_takes_nobody(people: People) -> None:
    """A new user is made all the same."""
    room = await people.store.room(GENERAL)
    assert room is not None
    await people.store.commit(Changes(put_rooms=(revised(room, archived=True),)))
    people.directory.clear()
    made = await people.add()
    assert await people.directory.member(RoomId("GENERAL"), made.id) is None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"username": ""}, "The field Username is required [error-the-field-is-required]"),
        (
            {"username": "a n"},
            "a n is not a valid username: use up to 64 letters, digits, . _ and - [error-input-is-not-a-valid-field]",
        ),
        (
            {"username": "x\n" + "a" * 100},
            "x?" + "a" * 62 + " is not a valid username: use up to 64 letters, digits, . _ and -"
            " [error-input-is-not-a-valid-field]",
        ),
        ({"username": "Here"}, "Here is blocked and can't be used! [error-blocked-username]"),
        ({"username": "OLGA"}, "OLGA is already in use :( [error-field-unavailable]"),
        ({"name": " "}, "The field Name is required [error-the-field-is-required]"),
        (
            {"name": "Ann\u202e"},
            "Ann? is not a valid name: use up to 254 visible characters [error-input-is-not-a-valid-field]",
        ),
        ({"email": "ann"}, "Invalid email ann [error-invalid-email]"),
        ({"email": "Olga@example.test"}, "Olga@example.test is already in use :( [error-field-unavailable]"),
        (
            {"password": "short"},
            "The password needs at least 12 characters [error-password-policy-not-met]",
        ),
        ({"role": Role.OWNER}, NO_NEW_OWNER.bracketed),
    ],
)
async def test_refused_users(people: People, changes: dict[str, object], text: str) -> None:
    """A refusal names what was wrong, and nothing is written."""
    assert text_of(await people.users.create(people.owner, new(**changes))) == text
    assert len(await people.directory.users()) == 2
    assert people.events == []


async def test_a_name_is_given_once(people: People) -> None:
    """Of two requests for one name at the same time one succeeds, the other is told."""
    results = await asyncio.gather(*(people.users.create(people.owner, new()) for _ in range(2)))
    assert [isinstance(result, User) for result in results].count(True) == 1
    [refused] = [result for result in results if not isinstance(result, User)]
    assert text_of(refused) == "ann is already in use :( [error-field-unavailable]"


@pytest.mark.parametrize(
    ("names", "current", "expected"),
    [
        ([], None, Roles(Role.VIEWER, False)),
        (["user"], None, Roles(Role.VIEWER, False)),
        (["bot"], None, Roles(Role.VIEWER, True)),
        (["user", "bot"], None, Roles(Role.VIEWER, True)),
        (["user", "admin"], None, Roles(Role.ADMIN, False)),
        (["editor"], None, Roles(Role.EDITOR, False)),
        (["owner"], None, Roles(Role.OWNER, False)),
        (["admin"], Role.OWNER, Roles(Role.OWNER, False)),
        (["user"], Role.EDITOR, Roles(Role.EDITOR, False)),
        (["user"], Role.ADMIN, Roles(Role.VIEWER, False)),
        (["viewer"], Role.EDITOR, Roles(Role.VIEWER, False)),
        (["admin"], Role.EDITOR, Roles(Role.ADMIN, False)),
        (["bot"], Role.EDITOR, Roles(Role.EDITOR, True)),
    ],
)
def test_role_names(names: Sequence[str], current: Role | None, expected: Roles) -> None:
    """Rocket.Chat's names and ours are read; sending back what was shown changes nothing."""
    assert read_roles(names, user(role=current) if current else None) == expected


def test_unknown_role_names() -> None:
    """An unknown role is named."""
    fault = read_roles(["admin", "guest"])
    assert text_of(fault) == "There is no role guest; use admin, editor, viewer, user or bot [error-invalid-role]"


@pytest.mark.parametrize(
    ("actor", "target", "allowed"),
    [
        (Role.OWNER, Role.ADMIN, True),
        (Role.ADMIN, Role.VIEWER, True),
        (Role.ADMIN, Role.ADMIN, True),
        (Role.ADMIN, Role.OWNER, False),
        (Role.EDITOR, Role.VIEWER, False),
        (Role.VIEWER, Role.VIEWER, False),
    ],
)
async def test_who_manages_whom(people: People, actor: Role, target: Role, *, allowed: bool) -> None:
    """Owners and admins manage users, admins never an owner."""
    boss, ann = await people.add("boss", actor), await people.add("ann", target)
    results = [
        await people.users.update(boss, ann.id, UserUpdate(name="Anna")),
        await people.users.set_permission(boss, ann.id, IMPERSONATE, granted=True),
        await people.users.set_active(boss, ann.id, active=True),
    ]
    assert [result == UNAUTHORIZED for result in results] == [not allowed] * 3
    made = await people.users.create(boss, new(username="new"))
    assert isinstance(made, User) == (actor in (Role.OWNER, Role.ADMIN))


async def test_an_admin_does_not_raise_their_own_rights(people: People) -> None:
    """What an owner took from an admin stays away; name and password an admin may change."""
    admin = await people.add("adam", Role.ADMIN)
    users = people.users
    await users.set_permission(people.owner, admin.id, MANAGE_OWN_INCOMING, granted=False)
    assert await users.set_permission(admin, admin.id, MANAGE_OWN_INCOMING, granted=True) == UNAUTHORIZED
    assert await users.update(admin, admin.id, UserUpdate(is_bot=True)) == UNAUTHORIZED
    assert await users.update(admin, admin.id, UserUpdate(role=Role.OWNER), by_operator=True) == UNAUTHORIZED
    assert isinstance(await users.update(admin, admin.id, UserUpdate(name="Adam A.", role=Role.ADMIN)), Changed)


async def test_users_of_nobody_and_of_others(people: People) -> None:
    """An id of nobody, or of another organisation, is an invalid user (decision 6)."""
    await people.store.make_organisation(OrgId(ORG), "Other", people.clock.now())
    await people.store.commit(Changes(new_users=(user(username="eve"),)))
    for user_id in (UserId("nobody"), user().id):
        assert await people.users.update(people.owner, user_id, UserUpdate(name="X")) == INVALID_USER
        assert await people.users.set_active(people.owner, user_id, active=False) == INVALID_USER


async def test_update_changes_what_is_named(people: People) -> None:
    """Fields not named stay, and the change is published."""
    ann = await people.add()
    update = UserUpdate(name="Anna", email="anna@example.test", role=Role.ADMIN, is_bot=True)
    changed = await people.users.update(people.owner, ann.id, update)
    expected = revised(ann, name="Anna", emails=("anna@example.test",), role=Role.ADMIN, is_bot=True)
    assert changed == Changed(expected)
    assert await people.directory.user(ann.id) == expected
    assert people.events[-1].kind is EventKind.USER_CHANGED
    assert people.events[-1].user_id == people.owner.id
    assert people.events[-1].body["sessions_ended"] is False
    assert await people.users.update(people.owner, ann.id, UserUpdate(email="anna@example.test")) == Changed(
        revised(expected)
    )


@pytest.mark.parametrize(
    ("update", "text"),
    [
        (UserUpdate(name=""), "The field Name is required [error-the-field-is-required]"),
        (UserUpdate(email="x"), "Invalid email x [error-invalid-email]"),
        (UserUpdate(email="olga@example.test"), "olga@example.test is already in use :( [error-field-unavailable]"),
        (UserUpdate(password="short"), "The password needs at least 12 characters [error-password-policy-not-met]"),
        (UserUpdate(role=Role.OWNER), NO_NEW_OWNER.bracketed),
    ],
)
async def test_refused_updates(people: People, update: UserUpdate, text: str) -> None:
    """A refused change leaves the user as it was."""
    ann = await people.add()
    assert text_of(await people.users.update(people.owner, ann.id, update)) == text
    assert await people.store.user(ann.id) == ann


async def test_a_new_password_ends_sessions_but_not_personal_tokens(people: People) -> None:
    """Sessions and sockets end at once, personal tokens survive (decision 22)."""
    ann = await people.add()
    session, personal = await people.session(), await people.accounts.generate(ann, "ci")
    assert isinstance(personal, str)
    other = await people.session("olga")
    changed = await people.users.update(people.owner, ann.id, UserUpdate(password="another long password"))
    assert isinstance(changed, Changed)
    assert people.ended == [ann.id]
    assert people.events[-1].body["sessions_ended"] is True
    assert await people.accounts.authenticate(ann.id, session.token) is None
    assert await people.accounts.authenticate(ann.id, personal) == changed.user
    assert await people.accounts.authenticate(people.owner.id, other.token) == people.owner
    assert await people.session("ann", "another long password")


async def test_a_lowered_role_counts_from_the_next_call(people: People) -> None:
    """The session goes on, with the new role (decision 22)."""
    ann = await people.add("ann", Role.ADMIN)
    session = await people.session()
    await people.users.update(people.owner, ann.id, UserUpdate(role=Role.VIEWER))
    found = await people.accounts.authenticate(ann.id, session.token)
    assert found is not None
    assert found.role is Role.VIEWER
    assert people.ended == []


async def test_deactivating_disables_the_hooks_that_post_as_the_user(people: People) -> None:
    """All hooks that post as the user are disabled and named; those only made by the user stay (decision 24)."""
    ann = await people.add()
    org = people.directory.org
    posts = incoming(org_id=org, user_id=ann.id, username="ann")
    fires = outgoing(org_id=org, user_id=ann.id, username="ann")
    made = replace(posts, id=IntegrationId("65e2f0b72dd9f928ada3e440"), user_id=ROCKET_CAT, created_by=(ann.id, "ann"))
    off = replace(posts, id=IntegrationId("65e2f0b72dd9f928ada3e441"), enabled=False)
    await people.store.commit(Changes(new_hooks=(posts, fires, made, off)))
    session, personal = await people.session(), await people.accounts.generate(ann, "ci")
    assert isinstance(personal, str)
    done = await people.users.set_active(people.owner, ann.id, active=False)
    assert isinstance(done, Changed)
    assert not done.user.active
    assert {hook.id for hook in done.disabled} == {posts.id, fires.id}
    for hook in (posts, fires):
        stored = await people.store.hook(hook.id)
        assert stored is not None
        assert (stored.enabled, stored.version) == (False, 2)
        assert stored.updated_by == (people.owner.id, "olga")
    assert await people.store.hook(made.id) == made
    assert await people.store.hook(off.id) == off
    assert people.ended == [ann.id]
    kinds = [event.kind for event in people.events[-3:]]
    assert kinds == [EventKind.USER_CHANGED, EventKind.INTEGRATION_CHANGED, EventKind.INTEGRATION_CHANGED]
    for token in (session.token, personal):
        assert await people.accounts.authenticate(ann.id, token) is None


async def test_activating_again_brings_back_nothing_but_the_login(people: People) -> None:
    """Old tokens and disabled hooks stay as they are."""
    ann = await people.add()
    session = await people.session()
    hook = incoming(org_id=people.directory.org, user_id=ann.id, username="ann")
    await people.store.commit(Changes(new_hooks=(hook,)))
    await people.users.set_active(people.owner, ann.id, active=False)
    back = replace(ann, version=3)
    assert await people.users.set_active(people.owner, ann.id, active=True) == Changed(back)
    assert await people.accounts.authenticate(ann.id, session.token) is None
    stored = await people.store.hook(hook.id)
    assert stored is not None
    assert not stored.enabled
    assert (await people.session()).user == back


async def test_owners(people: People) -> None:
    """Only the command line makes owners; the last one keeps the role; none can be deactivated."""
    ann = await people.add()
    users, owner = people.users, people.owner
    assert await users.set_active(owner, owner.id, active=False) == OWNER_STAYS
    assert await users.update(owner, owner.id, UserUpdate(role=Role.ADMIN)) == LAST_OWNER
    second = await users.update(owner, ann.id, UserUpdate(role=Role.OWNER), by_operator=True)
    assert isinstance(second, Changed)
    assert await users.set_active(owner, ann.id, active=False) == OWNER_STAYS
    assert isinstance(await users.update(second.user, owner.id, UserUpdate(role=Role.ADMIN)), Changed)
    assert await users.update(second.user, ann.id, UserUpdate(role=Role.ADMIN)) == LAST_OWNER


async def test_single_permissions(people: People) -> None:
    """A permission is granted or taken beside the role, and given back to the role's rule (decision 7)."""
    ann = await people.add("ann", Role.EDITOR)

    async def after(permission: str, *, granted: bool) -> User:
        changed = await people.users.set_permission(people.owner, ann.id, permission, granted=granted)
        assert isinstance(changed, Changed)
        assert (permission in permissions(changed.user)) is granted
        return changed.user

    assert (await after(MANAGE_OWN_INCOMING, granted=False)).denied == {MANAGE_OWN_INCOMING}
    assert await after(MANAGE_OWN_INCOMING, granted=True) == replace(ann, version=3)
    assert (await after(IMPERSONATE, granted=True)).granted == {IMPERSONATE}
    assert await after(IMPERSONATE, granted=False) == replace(ann, version=5)
    refused = await people.users.set_permission(people.owner, ann.id, "fly", granted=True)
    assert text_of(refused).startswith("There is no such permission; known are ")
