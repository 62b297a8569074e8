"""`user link`, `user unlink` and `whoami` on a real server (decision 60)."""

from handlers.command import Answer, Door
from storage.records.workspace import WorkspaceKind
from tests.command_talk import audited, typed, typed_there
from tests.connected import connect, link
from tests.server import Server

BLIND = Door(name="rocketchat", signed=False, whispers=False, public_lines=True)


def _code(answer: Answer) -> str:
    assert isinstance(answer.data, dict), answer.text
    return str(answer.data["code"])


async def test_a_code_made_here_links_the_account_that_types_it(server: Server) -> None:
    """Both need no role; the answer is the caller's alone; nothing written down holds the code."""
    chat = await connect(server, WorkspaceKind.SLACK)
    await server.user("ann")
    before = await typed_there(server, chat, "U1", "whoami", name="Ann Slack")
    assert f"You are Ann Slack (U1) of {chat.name} (slack); nobody here is linked" in before.text
    assert "type /hook user link; it gives you a code" in before.text
    made = await typed(server, "ann", "user link")
    code = _code(made)
    assert (made.secret, code in (made.public_text or "")) == (True, False)
    done = await typed_there(server, chat, "U1", f"user link {code.lower()}", name="Ann Slack")
    assert "here you are @ann (viewer)" in done.text
    assert (await typed_there(server, chat, "U1", "whoami")).text.startswith("You are @ann\n")
    shown = (await typed(server, "ann", "whoami")).text
    assert f"#1 {chat.name} (slack): Ann Slack (U1)" in shown
    rows = await audited(server)
    assert [(row.line, row.actor_name) for row in rows] == [("user link ***", "Ann Slack"), ("user link", "ann")]
    assert not any(code in repr(row) for row in rows)


async def test_a_code_works_once_and_wrong_ones_run_out(server: Server) -> None:
    """Used, made-up, and more than five within an hour, each refused with its own text."""
    chat = await connect(server, WorkspaceKind.SLACK)
    code = _code(await typed(server, "owner", "user link"))
    assert (await typed_there(server, chat, "U1", f"user link {code}")).code == "ok"
    used = await typed_there(server, chat, "U2", f"user link {code}")
    assert (used.code, "was used" in used.text) == ("invalid", True)
    for _ in range(4):
        assert (await typed_there(server, chat, "U2", "user link WRONG234")).code == "invalid"
    assert (await typed_there(server, chat, "U2", "user link WRONG234")).code == "limited"
    assert [row.command for row in await audited(server)] == ["user link", "user link"]


async def test_a_door_without_proof_takes_codes_and_makes_none(server: Server) -> None:
    """A trigger word may link, since the code proves who it is for; it never hands a code out."""
    chat = await connect(server, WorkspaceKind.ROCKETCHAT)
    code = _code(await typed(server, "owner", "user link"))
    assert (await typed_there(server, chat, "u9", f"user link {code}", BLIND)).code == "ok"
    assert (await typed_there(server, chat, "u9", "user link", BLIND)).code == "forbidden"
    assert (await typed_there(server, chat, "u9", "user unlink", BLIND)).code == "forbidden"


async def test_what_cannot_be_linked_is_explained(server: Server) -> None:
    """No other chat, a code typed here, no code there."""
    alone = await typed(server, "owner", "user link")
    assert (alone.code, "patchbay workspace add" in alone.text) == ("unavailable", True)
    here = await typed(server, "owner", "user link ABCD2345")
    assert (here.code, "typed in the other chat" in here.text, "ABCD2345" in here.text) == (
        "usage",
        True,
        False,
    )
    chat = await connect(server, WorkspaceKind.SLACK)
    assert (await typed_there(server, chat, "U1", "user link")).code == "usage"
    assert (await typed(server, "owner", "user link --public")).code == "forbidden"
    assert await audited(server) == []


async def test_an_account_is_taken_off_where_it_types_or_by_name(server: Server) -> None:
    """The account typed from, a row of `whoami`, a chat's name; several must be told apart."""
    slack, other = await connect(server, WorkspaceKind.SLACK), await connect(server, WorkspaceKind.MATTERMOST)
    for chat, account in ((slack, "U1"), (slack, "U2"), (other, "m1")):
        await link(server, chat, account, "owner")
    several = await typed(server, "owner", "user unlink")
    assert (several.code, f"{slack.id}:U2" in several.text) == ("ambiguous", True)
    assert (await typed(server, "owner", f"user unlink {slack.name}")).code == "ambiguous"
    assert "U1" in (await typed_there(server, slack, "U1", "user unlink")).text
    assert (await typed_there(server, slack, "U1", "in list")).code == "forbidden"
    assert (await typed(server, "owner", f"user unlink {other.name}")).code == "ok"
    await typed(server, "owner", "whoami")
    assert (await typed(server, "owner", "user unlink #1")).code == "ok"
    assert "linked accounts: none" in (await typed(server, "owner", "whoami")).text
    assert (await typed(server, "owner", "user unlink")).code == "unknown"


async def test_an_admin_takes_off_an_account_of_others(server: Server) -> None:
    """Of a lost phone, say; nobody else can, and the user is named in the audit."""
    chat = await connect(server, WorkspaceKind.SLACK)
    await server.user("ann")
    await server.user("bob", "editor")
    await link(server, chat, "U1", "ann")
    assert (await typed(server, "bob", "user unlink U1 --user @ann")).code == "forbidden"
    assert (await typed(server, "bob", "user unlink U1")).code == "unknown"
    assert (await typed(server, "owner", "user unlink U1 --user @ann")).code == "ok"
    assert (await typed_there(server, chat, "U1", "in list")).code == "forbidden"


async def test_whoami_tells_role_rights_and_rooms(server: Server) -> None:
    """In words, for each role; of rooms the caller's own."""
    await server.user("ann", "editor")
    text = (await typed(server, "ann", "whoami")).text
    for line in ("You are @ann", "role: editor", "rooms: #general", "linked accounts: none"):
        assert line in text.splitlines()
    assert "may: look; make hooks and manage own ones; make personal access tokens" in text
    assert (
        "manage every hook; manage people and rooms, and read the audit"
        in (await typed(server, "owner", "whoami")).text
    )
