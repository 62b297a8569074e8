"""The flow behind every door, on a real server: who is who, what is written with an effect, what happens once."""

import asyncio
from dataclasses import replace

import pytest

from bot.flows.desks import check, load_desks
from bot.flows.repeats import Repeats
from handlers.command import (
    Answer,
    Button,
    Commands,
    Dialect,
    Door,
    Form,
    FormField,
    Place,
    Unlinked,
    load_commands,
)
from handlers.services import Need
from storage.clock import Millis
from storage.ids import UserId, WorkspaceId
from storage.records.account import AccountLink
from storage.records.audit import AuditFilter, AuditRow
from storage.records.changes import Changes
from storage.records.user import User
from storage.records.workspace import Workspace, WorkspaceKind
from tests.server import Server

SLACK = Door(name="slack", dialect=Dialect.SLACK)
INCOMING = {
    "type": "webhook-incoming",
    "name": "ci",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general",
    "scriptEnabled": False,
}
CHANNEL = Place(channel="C1", workspace="w1")


async def _owner(server: Server) -> User:
    user = await server.services.directory.user(UserId(server.owner["X-User-Id"]))
    assert user is not None
    return user


async def _run(server: Server, line: str, who: User | Unlinked, request_id: str | None = None) -> Answer:
    return await server.services.flow.run(who, CHANNEL, line, SLACK, request_id=request_id, sender=("w1", "U1"))


async def _audit(server: Server) -> list[AuditRow]:
    rows, _ = await server.services.store.audit_rows(AuditFilter(org_id=server.services.directory.org))
    return rows


def _confirm(asked: Answer) -> str:
    assert isinstance(asked.data, dict), asked.text
    return str(asked.data["command"])


async def _connected(server: Server) -> Workspace:
    workspace = Workspace(
        id=WorkspaceId("w1"),
        org_id=server.services.directory.org,
        kind=WorkspaceKind.SLACK,
        name="chat",
        team_id="T1",
        secret="s" * 32,
        created_at=Millis(0),
    )
    await server.services.store.commit(Changes(new_workspaces=(workspace,)))
    return workspace


async def test_a_removal_is_confirmed_audited_and_told(server: Server) -> None:
    """From another chat: the question, its answer, one audit row, one note in the room, and no second time."""
    await server.post("integrations.create", INCOMING)
    owner = await _owner(server)
    asked = await _run(server, "in remove ci", owner)
    assert await _audit(server) == []
    assert (await _run(server, _confirm(asked), owner)).code == "ok"
    row = (await _audit(server))[0]
    assert (row.command, row.door, row.place, row.actor_name) == ("in remove", "slack", "w1:C1", "owner")
    assert (row.object_name, row.outcome) == ("ci", "done")
    assert (await server.room_messages())[0]["msg"] == "owner removed incoming hook ci."
    assert (await _run(server, _confirm(asked), owner)).code == "expired"
    assert len(await _audit(server)) == 1


async def test_two_presses_at_once_do_it_once(server: Server) -> None:
    """The effect and the used-up question are one unit of work, so one of two presses wins."""
    await server.post("integrations.create", INCOMING)
    owner = await _owner(server)
    command = _confirm(await _run(server, "in remove ci", owner))
    answers = await asyncio.gather(*(_run(server, command, owner) for _ in range(5)))
    assert sorted(answer.code == "ok" for answer in answers) == [False] * 4 + [True]
    assert len(await _audit(server)) == 1


async def test_five_wrong_tries_are_counted_on_disk(server: Server) -> None:
    """Wrong codes and wrong names end the question; the right answer comes too late (decision 65)."""
    await server.post("integrations.create", INCOMING)
    owner = await _owner(server)
    command = _confirm(await _run(server, "in remove ci", owner))
    for line in ("confirm ZZZZZZ", f"{command}x", "confirm ZZZZZZ", "confirm ZZZZZZ", f"{command}x"):
        assert (await _run(server, line, owner)).code in ("unknown", "invalid", "expired")
    late = await _run(server, command, owner)
    assert (late.code, "five wrong tries" in late.text) == ("expired", True)
    assert await _audit(server) == []


async def test_a_change_over_rest_meanwhile_is_asked_about_again(server: Server) -> None:
    """The question holds for one version of the hook."""
    hook = (await server.post("integrations.create", INCOMING))["integration"]
    owner = await _owner(server)
    asked = await _run(server, "in remove ci", owner)
    changed = {**INCOMING, "name": "ci2", "integrationId": hook["_id"]}
    await server.api("PUT", "integrations.update", changed)
    again = await _run(server, _confirm(asked), owner)
    assert (again.code, "It changed since you were asked" in again.text) == ("confirm", True)
    assert (await _run(server, _confirm(again), owner)).code == "ok"


async def test_a_repeated_request_is_answered_as_before(server: Server) -> None:
    """The same request id does nothing again, also when both come at once; another id is another request."""
    await server.post("integrations.create", INCOMING)
    owner = await _owner(server)
    asked = await _run(server, "in remove ci", owner, "t1")
    assert await _run(server, "in remove ci", owner, "t1") == asked
    both = await asyncio.gather(*(_run(server, _confirm(asked), owner, "t2") for _ in range(2)))
    assert (both[0].code, both[0] == both[1]) == ("ok", True)
    assert await _run(server, _confirm(asked), owner, "t2") == both[0]
    assert (await _run(server, _confirm(asked), owner, "t3")).code == "expired"
    assert len(await _audit(server)) == 1
    assert len(await server.room_messages()) == 1


async def test_who_somebody_is_says_the_link(server: Server) -> None:
    """An account is a user by the link of its id; without one it is nobody, whatever its name."""
    workspace, owner, flow = await _connected(server), await _owner(server), server.services.flow
    nobody = await flow.who(workspace, "U1", "owner")
    assert isinstance(nobody, Unlinked)
    assert (await _run(server, "in list", nobody)).code == "forbidden"
    assert (await _run(server, "help", nobody)).code == "ok"
    link = AccountLink(workspace_id=workspace.id, external_id="U1", user_id=owner.id, linked_at=Millis(0))
    await server.services.store.commit(Changes(add_links=(link,)))
    assert await flow.who(workspace, "U1") == owner
    assert "Connected chats: 1" in (await _run(server, "status", owner)).text


async def test_rows_of_the_last_list_are_the_callers_in_this_place(server: Server) -> None:
    """`#1` means the row for who listed, where they listed."""
    await server.post("integrations.create", INCOMING)
    owner, flow = await _owner(server), server.services.flow
    await _run(server, "in list", owner)
    assert (await _run(server, "in show #1", owner)).text.startswith("Incoming hook ci")
    elsewhere = await flow.run(owner, Place(channel="C2", workspace="w1"), "in show #1", SLACK)
    assert elsewhere.code == "unknown"


@pytest.mark.parametrize(("line", "inserts"), [("in list --room #g", ["#general"]), ("in show c", ["ci"])])
async def test_completion_knows_the_names(server: Server, line: str, inserts: list[str]) -> None:
    """Rooms and hooks of the caller are offered at any door."""
    await server.post("integrations.create", INCOMING)
    owner = await _owner(server)
    found = await server.services.flow.complete(owner, CHANNEL, line, len(line), SLACK)
    assert [each.insert for each in found] == inserts


@pytest.mark.parametrize("name", ["in", "Out", "why", "undo"])
async def test_a_word_of_the_language_names_no_hook(server: Server, name: str) -> None:
    """Neither a new hook nor a renamed one is called so; a name that stands already is kept (decision 58)."""
    error = "Invalid name: it is a word of the commands [error-invalid-name]"
    status, refused = await server.api("POST", "integrations.create", {**INCOMING, "name": name})
    assert (status, refused["error"]) == (400, error)
    hook = (await server.post("integrations.create", INCOMING))["integration"]
    changed = {**INCOMING, "name": name, "integrationId": hook["_id"]}
    status, refused = await server.api("PUT", "integrations.update", changed)
    assert (status, refused["error"]) == (400, error)


async def test_an_answer_is_kept_whole(server: Server) -> None:
    """Form, buttons and rows of an answer come again as they were, and nothing runs for it."""
    repeats = Repeats(server.services.store, server.services.clock)
    form = Form("title", "in edit ci --secret ?", (FormField("secret", "Secret", secret=True),))
    answer = Answer("Done.", buttons=(Button("Go", "undo"),), form=form, rows=("a", "b"), data={"x": [1]})

    async def first(_: Changes) -> Answer:
        return answer

    async def never(_: Changes) -> Answer:
        raise AssertionError

    assert await repeats.once("k", None, first) == answer
    assert await repeats.once("k", None, never) == answer


async def test_an_effect_whose_answer_got_lost_is_not_repeated(server: Server) -> None:
    """The mark that a request was carried out is written with its effect: a crash behind it changes nothing."""
    repeats = Repeats(server.services.store, server.services.clock)

    async def crash(also: Changes) -> Answer:
        await server.services.store.commit(also)
        raise ConnectionResetError

    async def never(_: Changes) -> Answer:
        raise AssertionError

    with pytest.raises(ConnectionResetError):
        await repeats.once("k", None, crash)
    assert "done already" in (await repeats.once("k", None, never)).text


def test_an_unserved_need_stops_the_start() -> None:
    """A noun that asks for what nothing provides is a mistake of whoever wrote it."""
    first, *others = load_commands().nouns
    nothing: Need[object] = Need("nothing")
    needy = replace(first, needs=(nothing,))
    with pytest.raises(ValueError, match="needs 'nothing'"):
        check(Commands([needy, *others]), load_desks())


async def test_an_empty_list_leaves_no_rows(server: Server) -> None:
    """`#1` after a list of nothing means nothing: the row of a list before it would be another thing."""
    who = await _owner(server)
    assert (await _run(server, "in list", who)).rows
    assert (await _run(server, "dead list", who)).rows == ()
    shown = await _run(server, "in show #1", who)
    assert (shown.code, "none is fresh" in shown.text) == ("unknown", True)


async def test_a_double_press_of_a_change_is_told_as_one(server: Server) -> None:
    """Who presses second did not meet somebody else: the change they would run into is their own."""
    who = await _owner(server)
    line = _confirm(await _run(server, "in rotate-token first-hook", who))
    pressed = await asyncio.gather(*(_run(server, line, who) for _ in range(3)))
    assert sorted(answer.code for answer in pressed) == ["expired", "expired", "ok"]
    assert all("it is done once" in a.text or "used already" in a.text for a in pressed if a.code == "expired")
    assert [row.command for row in await _audit(server)] == ["in rotate-token"]


async def test_undo_and_confirm_tell_first_what_they_would_do(server: Server) -> None:
    """`--dry-run` is taken by everything that writes, also by what runs another line; it uses nothing up."""
    who = await _owner(server)
    await _run(server, "in edit first-hook --alias Robot", who)
    told = await _run(server, "undo --dry-run", who)
    assert (told.code, "no alias" in told.text) == ("dry-run", True)
    line = _confirm(await _run(server, "in remove first-hook", who))
    told = await _run(server, f"{line} --dry-run", who)
    assert (told.code, "Remove incoming hook first-hook" in told.text) == ("dry-run", True)
    assert len(await _audit(server)) == 1
    assert (await _run(server, "undo", who)).code == "ok"
    assert (await _run(server, line, who)).code == "confirm"  # it changed since
