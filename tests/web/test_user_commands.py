"""`user` on a real server: who there is, invited, given roles, switched off and on (decisions 7, 22, 24, 66)."""

import re

import pytest

from storage.records.user import Role
from tests.command_stage import code_of
from tests.command_talk import UNSIGNED, audited, confirmed, person, typed
from tests.hook_door import door
from tests.server import PASSWORD, Server

CHOSEN = "canary chosen password"


async def _submit(server: Server, address: str, **fields: str) -> tuple[int, str]:
    async with server.http.post(address, data=fields) as response:
        return response.status, await response.text()


def _address(text: str) -> str:
    found = re.search(r"http\S+/forms/\S+", text)
    assert found is not None, text
    return found[0]


async def _invited(server: Server, line: str) -> str:
    answer = await typed(server, "owner", line)
    assert (answer.code, answer.secret) == ("ok", True), answer.text
    return _address(answer.text)


# --- looking ----------------------------------------------------------------------------------------


async def test_the_list_names_everybody_and_its_rows_go_on(server: Server) -> None:
    """State, name, id and role of each; a row stands for the person afterwards."""
    await server.user("ann")
    text = (await typed(server, "owner", "user list")).text
    ann = await person(server, "ann")
    assert text.splitlines()[0] == "3 users"
    assert f"#1 on · @ann · {ann.id} · viewer · Ann · just now" in text
    shown = (await typed(server, "owner", "user show #1")).text
    assert shown.startswith("User @ann\n")
    for fact in ("role: viewer", "rooms: #general", "linked accounts: none", "e-mail: ann@example.test"):
        assert fact in shown
    assert (await typed(server, "owner", "user list --role owner")).text.startswith("1 user\n")


async def test_a_user_is_named_in_every_way(server: Server) -> None:
    """With `@`, without it, by id, by a beginning; of what is not there, the nearest name."""
    await server.user("ann")
    ann = await person(server, "ann")
    for reference in ("@ann", "ann", "ANN", ann.id, '"#1"'):
        if reference == '"#1"':
            await typed(server, "owner", "user list")
        assert (await typed(server, "owner", f"user show {reference}")).text.startswith("User @ann"), reference
    assert (await typed(server, "owner", "user show @own")).text.startswith("User @owner")
    missing = await typed(server, "owner", "user show @anm")
    assert (missing.code, "Did you mean ann?" in missing.text) == ("unknown", True)
    whole = await typed(server, "owner", "user disable own")
    assert (whole.code, "only the beginning" in whole.text) == ("ambiguous", True)


@pytest.mark.parametrize(
    "line",
    [
        "user list",
        "user show @ann",
        "user invite eve",
        "user role @ann admin",
        "user disable @owner",
        "user enable @ann",
        "user grant @ann message-impersonate",
        "user unlink x --user @owner",
        "audit",
    ],
)
async def test_managing_people_needs_admin(server: Server, line: str) -> None:
    """An editor is told the role needed and who has it; nothing is done."""
    await server.user("ann", "editor")
    refused = await typed(server, "ann", line)
    assert (refused.code, "needs admin; you are editor" in refused.text) == ("forbidden", True)
    assert await audited(server) == []


async def test_doors_without_proof_manage_nobody(server: Server) -> None:
    """Whoever has such a door's token can be anybody (decision 62)."""
    for line in ("user list", "user invite eve", "user link", "user unlink"):
        assert (await typed(server, "owner", line, UNSIGNED)).code == "forbidden", line


# --- inviting ---------------------------------------------------------------------------------------


async def test_an_invited_user_chooses_a_password_once(server: Server) -> None:
    """No login before; the address works once; role and name are as invited; the audit holds no address."""
    address = await _invited(server, 'user invite bob --role editor --email b@example.test --full-name "Bob Ng"')
    bob = await person(server, "bob")
    assert (bob.role, bob.name, bob.emails, bob.password_hash) == (Role.EDITOR, "Bob Ng", ("b@example.test",), None)
    assert "#1 invited · @bob" in (await typed(server, "owner", "user list")).text
    status, _ = await server.api("POST", "login", {"user": "bob", "password": ""}, who={})
    assert status in (400, 401)
    status, page = await _submit(server, address, password="too short")
    assert (status, "at least 12 characters" in page) == (422, True)
    status, page = await _submit(server, address, password=CHOSEN)
    assert (status, "Sign in as bob" in page, CHOSEN in page) == (200, True, False)
    await server.login("bob", CHOSEN)
    assert (await _submit(server, address, password=PASSWORD))[0] == 410
    rows = await audited(server)
    assert [(row.command, row.actor_name, row.door) for row in rows] == [
        ("user accept", "bob", "form"),
        ("user invite", "owner", "rooms"),
    ]
    assert not any(address.rpartition("/")[2] in repr(row) or CHOSEN in repr(row) for row in rows)


async def test_a_second_invitation_replaces_the_first(server: Server) -> None:
    """The address before stops working; what the guest is stays; a name in use is refused."""
    first = await _invited(server, "user invite bob")
    second = await _invited(server, "user invite @bob")
    assert (await _submit(server, first, password=CHOSEN))[0] == 410
    assert (await typed(server, "owner", "user invite bob --role admin")).code == "conflict"
    assert (await _submit(server, second, password=CHOSEN))[0] == 200
    again = await typed(server, "owner", "user invite bob")
    assert (again.code, "already in use" in again.text) == ("conflict", True)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('user invite "a b"', "not a valid username"),
        ("user invite eve --role owner", "patchbay user role NAME owner"),
        ("user invite eve --email nobody", "Invalid email"),
        ("user invite all", "blocked"),
    ],
)
async def test_what_nobody_can_be_is_said_before_anything_is_made(server: Server, line: str, told: str) -> None:
    """Also a dry run tells it."""
    for each in (line, f"{line} --dry-run"):
        refused = await typed(server, "owner", each)
        assert (refused.code, told in refused.text) == ("invalid", True), refused.text
    assert await audited(server) == []


async def test_a_dry_run_invites_nobody(server: Server) -> None:
    """It tells what would be and makes no user."""
    told = await typed(server, "owner", "user invite bob --dry-run")
    assert (told.code, "http" in told.text) == ("dry-run", False)
    assert await server.services.directory.user_named("bob") is None


async def test_accepting_is_for_guests_only(server: Server) -> None:
    """Whoever has a password cannot set another one without proving the old one."""
    await server.user("ann")
    refused = await typed(server, "ann", "user accept --password abcdefghijklmnop")
    assert (refused.code, "abcdefgh" in refused.text) == ("conflict", False)
    await server.login("ann")


async def test_a_disabled_guest_cannot_accept(server: Server) -> None:
    """Taking an invitation back is disabling the user."""
    address = await _invited(server, "user invite bob")
    assert (await confirmed(server, "owner", "user disable @bob")).code == "ok"
    assert (await _submit(server, address, password=CHOSEN))[0] == 404


# --- roles ------------------------------------------------------------------------------------------


async def test_a_role_is_asked_for_and_taken_back(server: Server) -> None:
    """The question counts what is gained; the change counts at once; undo brings the old role back."""
    await server.user("ann")
    asked = await typed(server, "owner", "user role @ann editor")
    assert "Make @ann editor instead of viewer? They may then make hooks and manage own ones." in asked.text
    assert (await typed(server, "owner", f"confirm {code_of(asked)}")).text.startswith("Done. @ann is editor now")
    assert (await person(server, "ann")).role is Role.EDITOR
    assert (await typed(server, "owner", "undo")).code == "ok"
    assert (await person(server, "ann")).role is Role.VIEWER
    newest, *_ = await audited(server)
    assert newest.line == f"user role {(await person(server, 'ann')).id} viewer"


async def test_undo_is_refused_once_the_role_changed_again(server: Server) -> None:
    """What somebody else decided meanwhile stands (decision 65)."""
    await server.user("ann")
    await typed(server, "owner", "user role @ann editor -y")
    await server.post("users.update", {"userId": (await person(server, "ann")).id, "data": {"roles": ["admin"]}})
    assert (await typed(server, "owner", "undo")).code == "conflict"
    assert (await person(server, "ann")).role is Role.ADMIN


async def test_a_question_about_a_changed_user_is_asked_again(server: Server) -> None:
    """The confirmation holds for the role it was asked in (§2.5)."""
    await server.user("ann")
    asked = await typed(server, "owner", "user role @ann editor")
    await server.post("users.update", {"userId": (await person(server, "ann")).id, "data": {"roles": ["admin"]}})
    again = await typed(server, "owner", f"confirm {code_of(asked)}")
    assert (again.code, "It changed since" in again.text, "instead of admin" in again.text) == ("confirm", True, True)


@pytest.mark.parametrize(
    ("who", "line", "told"),
    [
        ("owner", "user role @owner admin", "The last owner keeps the role"),
        ("owner", "user disable @owner", "An owner cannot be deactivated"),
        ("owner", "user role @ann owner", "patchbay user role NAME owner"),
        ("owner", "user disable @rocket.cat", "it keeps its role and stays"),
        ("owner", "user role @rocket.cat admin", "it keeps its role and stays"),
        ("ann", "user role @owner viewer", "only somebody with that role may change it"),
        ("ann", "user disable @owner", "only somebody with that role may change it"),
        ("ann", "user role @ann viewer", "Nobody changes their own rights"),
        ("ann", "user grant @ann message-impersonate", "Nobody changes their own rights"),
        ("ann", "user deny @owner message-impersonate", "only somebody with that role may change it"),
    ],
)
async def test_who_rules_whom(server: Server, who: str, line: str, told: str) -> None:
    """The rules of the workspace are told before anything is asked, also to a dry run."""
    await server.user("ann", "admin")
    for each in (line, f"{line} -y", f"{line} --dry-run"):
        refused = await typed(server, who, each)
        assert (refused.code, told in refused.text) == ("forbidden", True), refused.text
    assert await audited(server) == []


async def test_a_single_permission_is_granted_and_taken_back(server: Server) -> None:
    """Whatever the role says (decision 7); the question names the right in words; undo takes it back."""
    await server.user("ann")
    asked = await typed(server, "owner", "user grant @ann manage-incoming-integrations")
    assert "They may then manage every incoming hook." in asked.text
    assert (await typed(server, "owner", f"confirm {code_of(asked)}")).code == "ok"
    assert "manage every incoming hook" in (await typed(server, "ann", "whoami")).text
    assert (await typed(server, "owner", "user grant @ann manage-incoming-integrations")).code == "conflict"
    assert (await typed(server, "owner", "undo")).code == "ok"
    assert "manage every incoming hook" not in (await typed(server, "ann", "whoami")).text
    await confirmed(server, "owner", "user deny @ann create-personal-access-tokens")
    assert "personal access tokens" not in (await typed(server, "ann", "whoami")).text
    near = await typed(server, "owner", "user grant @ann manage-incoming-integration")
    assert "Did you mean manage-incoming-integrations" in near.text


# --- switching off ----------------------------------------------------------------------------------


async def test_disabling_names_the_hooks_it_switches_off(server: Server) -> None:
    """Question, answer and room say so; sessions end; undo lets the user in again, hooks stay off (decision 24)."""
    session = await server.user("ann", "editor")
    hook = await door(server, name="ci", username="ann")
    asked = await typed(server, "owner", "user disable @ann")
    assert f"1 hook that posts as them will be off: in ci ({hook.id})." in asked.text
    assert [button.label for button in asked.buttons] == ["Disable", "Cancel"]
    done = await typed(server, "owner", f"confirm {code_of(asked)}")
    assert f"in ci ({hook.id})" in done.text
    assert (await server.api("GET", "me", who=session))[0] == 401
    note = (await server.room_messages())[0]["msg"]
    assert note == "owner disabled user ann; hooks that post as that user are off."
    back = await typed(server, "owner", "undo")
    assert (back.code, f"in enable {hook.id}" in back.text) == ("ok", True)
    await server.login("ann")
    assert (await hook.send({"text": "x"}))[0] == 503


async def test_nothing_to_do_is_said(server: Server) -> None:
    """Enabling who is on, disabling who is off, giving the role somebody has."""
    await server.user("ann")
    assert (await typed(server, "owner", "user enable @ann")).code == "conflict"
    assert (await typed(server, "owner", "user role @ann viewer")).code == "conflict"
    await confirmed(server, "owner", "user disable @ann")
    assert (await typed(server, "owner", "user disable @ann")).code == "conflict"
    assert "#1 off · @ann" in (await typed(server, "owner", "user list --disabled")).text
