"""Rights end with their holder: what hooks hear and where they post once their maker may not, and who is told."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final  # answers are parsed JSON

import pytest

from bot.workspace.users import UserUpdate
from handlers.permissions import (
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
)
from storage.ids import IntegrationId
from storage.records.delivery import DeliveryState
from storage.records.user import Role
from tests.command_stage import code_of
from tests.command_talk import audited, confirmed, person, typed
from tests.delivering import Receiver, answering, receiving, until
from tests.hook_door import OK, Door, texts
from tests.hook_stage import INCOMING, OUTGOING
from tests.server import Server

Who = dict[str, str]
REFUSED: Final = (400, {"success": False, "error": "error-not-allowed"})
STOPPED: Final = "stopped-with-rights"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@dataclass
class Stage:
    """A private room `board` with an editor in it, who made a hook that hears it and one that posts there."""

    server: Server
    receiver: Receiver
    board: str
    ed: Who
    out: str
    door: Door

    async def say(self, text: str, room: str | None = None) -> None:
        await self.server.post("chat.postMessage", {"roomId": room or self.board, "text": text})
        await self.quiet()

    async def quiet(self) -> None:
        """Wait until nothing is queued any more."""

        async def empty() -> bool:
            return (await self.server.services.store.counts()).queued == 0

        await until(empty)

    async def history(self, who: Who | None = None) -> list[dict[str, Any]]:
        """Return what somebody is shown of the outgoing hook, newest first."""
        found: list[dict[str, Any]] = (await self.server.get("integrations.history", who=who, id=self.out))["history"]
        return found

    async def back(self) -> None:
        await self.server.post("groups.invite", {"roomId": self.board, "username": "ed"})

    async def user(self) -> str:
        return (await person(self.server, "ed")).id


@pytest.fixture
async def stage(server: Server, receiver: Receiver) -> Stage:
    ed = await server.user("ed", "editor")
    members = {"name": "board", "members": ["ed", "rocket.cat"]}
    board = (await server.post("groups.create", members))["group"]["_id"]
    body = {**OUTGOING, "name": "spy", "channel": "#board,#general", "urls": [receiver.url]}
    out = (await server.post("integrations.create", body, who=ed))["integration"]["_id"]
    given = {**INCOMING, "channel": "#board"}
    made = (await server.post("integrations.create", given, who=ed))["integration"]
    return Stage(server, receiver, board, ed, out, Door(server, IntegrationId(made["_id"]), made["token"]))


# --- the ways rights end ----------------------------------------------------------------------------

End = Callable[[Stage], Awaitable[Any]]


async def _kicked(stage: Stage) -> Any:
    return await stage.server.post("groups.kick", {"roomId": stage.board, "username": "ed"})


async def _left(stage: Stage) -> Any:
    return await stage.server.post("groups.leave", {"roomId": stage.board}, who=stage.ed)


async def _lowered(stage: Stage) -> Any:
    return await stage.server.post("users.update", {"userId": await stage.user(), "data": {"roles": ["viewer"]}})


async def _deactivated(stage: Stage) -> Any:
    return await stage.server.post("users.setActiveStatus", {"userId": await stage.user(), "activeStatus": False})


async def _updated_inactive(stage: Stage) -> Any:
    return await stage.server.post("users.update", {"userId": await stage.user(), "data": {"active": False}})


ENDS: Final[tuple[End, ...]] = (_kicked, _left, _lowered, _deactivated, _updated_inactive)


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_the_next_message_is_not_heard_and_the_answer_names_the_hooks(stage: Stage, end: End) -> None:
    """Of the private room nothing more is heard or posted; public rooms go on; the answer and the history say why."""
    await stage.say("before")
    assert await stage.door.send({"text": "posted"}) == (200, OK)
    await stage.quiet()
    answer = await end(stage)
    named = {one["_id"]: one["reason"] for one in answer["stoppedIntegrations"]}
    assert named == dict.fromkeys((stage.out, stage.door.id), "its maker ed may not enter #board")
    await stage.say("secret")
    await stage.say("open", "GENERAL")
    assert await stage.door.send({"text": "more"}) == REFUSED
    assert stage.receiver.texts == ["before", "posted", "open"]
    told = [entry for entry in await stage.history() if entry["step"] == STOPPED]
    assert [entry["error"] for entry in told] == [
        f"Stopped: its maker ed may not enter #board; an admin can take it over: out adopt {stage.out}"
    ]
    refused = [request.error for request in await stage.door.requests() if request.error]
    assert refused == ["The webhook's maker may not enter this room [error-not-allowed]"]


async def test_a_single_permission_that_is_taken_ends_it_too(stage: Stage) -> None:
    """`user deny`, `user role` and `user disable` tell before and after which hooks stop."""
    for line in (f"user deny @ed {MANAGE_OWN_OUTGOING}", "user role @ed viewer", "user disable @ed"):
        asked = await typed(stage.server, "owner", line)
        done = await typed(stage.server, "owner", f"confirm {code_of(asked)}")
        assert "its maker ed may not enter #board" in asked.text or "No hook" in asked.text, asked.text
        assert done.code == "ok", done.text
        if "deny" in line:
            assert f"1 hook stopped (out spy ({stage.out}): its maker ed may not enter #board)" in done.text
            assert f"Take over: /hook out adopt {stage.out}" in done.text
            await stage.say("secret")
    assert stage.receiver.texts == []


async def test_rights_that_come_back_are_heard_again(stage: Stage) -> None:
    """Nothing has to be switched on: whoever is in the room again hears it again, and no more than from then on."""
    await _kicked(stage)
    await stage.say("meanwhile")
    await stage.back()
    await stage.say("again")
    assert stage.receiver.texts == ["again"]
    assert await stage.door.send({"text": "posted"}) == (200, OK)


async def test_what_somebody_posts_as_is_named_when_it_leaves(stage: Stage) -> None:
    """A hook whose posting user is put out of its room stops, whoever made it."""
    answer = await stage.server.post("groups.kick", {"roomId": stage.board, "username": "rocket.cat"})
    assert [(one["_id"], one["reason"]) for one in answer["stoppedIntegrations"]] == [
        (stage.door.id, "rocket.cat, whom it posts as, is not in #board")
    ]
    assert await stage.door.send({"text": "x"}) == REFUSED


async def test_nothing_is_named_where_nothing_stops(stage: Stage) -> None:
    """Neither leaving a public room nor an owner's leaving stops any hook: they may hear every room."""
    await stage.server.user("adam", "admin")
    adam = await stage.server.login("adam")
    await stage.server.post("groups.invite", {"roomId": stage.board, "username": "adam"})
    body = {**OUTGOING, "name": "watch", "channel": "#board", "urls": [stage.receiver.url], "token": "adam"}
    await stage.server.post("integrations.create", body, who=adam)
    assert "stoppedIntegrations" not in await stage.server.post("groups.leave", {"roomId": stage.board}, who=adam)
    assert "stoppedIntegrations" not in await stage.server.post("channels.leave", {"roomId": "GENERAL"}, who=stage.ed)
    await stage.say("heard")
    assert stage.receiver.texts == ["heard", "heard"]
    lowered = {"userId": (await person(stage.server, "adam")).id, "data": {"roles": ["editor"]}}
    answer = await stage.server.post("users.update", lowered)
    assert [one["name"] for one in answer["stoppedIntegrations"]] == ["watch"]


async def test_words_for_many_rooms_stop_with_the_full_permission(stage: Stage) -> None:
    """Who was an admin is not told of private rooms, direct rooms and new users any more."""
    adam = await stage.server.user("adam", "admin")
    urls = {"urls": [stage.receiver.url]}
    wide = {**OUTGOING, **urls, "name": "wide", "channel": "all_private_groups,all_direct_messages"}
    born = {**OUTGOING, **urls, "name": "born", "event": "userCreated", "targetRoom": "#general", "channel": ""}
    for body in (wide, born):
        await stage.server.post("integrations.create", body, who=adam)
    direct = (await stage.server.post("im.create", {"username": "ed"}))["room"]["_id"]
    await stage.say("one", direct)
    await stage.server.user("first")
    await stage.quiet()
    assert len(stage.receiver.bodies) == 2
    lowered = {"userId": (await person(stage.server, "adam")).id, "data": {"roles": ["editor"]}}
    answer = await stage.server.post("users.update", lowered)
    assert {one["name"]: one["reason"] for one in answer["stoppedIntegrations"]} == {
        "wide": "its maker adam may not enter private rooms, direct rooms",
        "born": "its maker adam may not hear what happens everywhere",
    }
    await stage.say("two", direct)
    await stage.server.user("second")
    await stage.quiet()
    assert len(stage.receiver.bodies) == 2


# --- what was on its way ----------------------------------------------------------------------------


async def test_what_waited_is_not_sent_and_can_be_by_who_takes_the_hook_over(stage: Stage) -> None:
    """A call that was to be repeated after the kick becomes a dead letter; adopted and queued again it is sent."""
    services = stage.server.services
    stage.receiver.answer = answering(503)
    body = {"integrationId": stage.out, "retryFailedCalls": True, "retryCount": 6, "retryDelay": "powers-of-two"}
    whole = {**OUTGOING, "name": "spy", "channel": "#board", "urls": [stage.receiver.url], "token": "t", **body}
    await stage.server.api("PUT", "integrations.update", whole, who=stage.ed)
    await stage.server.post("chat.postMessage", {"roomId": stage.board, "text": "secret"})
    await stage.receiver.called()
    await _kicked(stage)
    (waiting,), _ = await services.store.deliveries(hook_id=IntegrationId(stage.out))
    await typed(stage.server, "owner", f"delivery retry dlv_{waiting.id}")

    async def dead() -> bool:
        return (await services.store.deliveries(state=DeliveryState.DEAD))[1] == 1

    await until(dead)
    assert len(stage.receiver.bodies) == 1
    (letter,), _ = await services.store.deliveries(state=DeliveryState.DEAD)
    assert "may not enter the room any more" in (letter.reason or "")
    stage.receiver.answer = answering(200)
    assert (await typed(stage.server, "owner", f"out adopt {stage.out}")).code == "ok"
    assert (await confirmed_or_done(stage.server, f"dead retry {stage.out}")) == "ok"
    await stage.receiver.called(2)


async def confirmed_or_done(server: Server, line: str) -> str:
    answer = await typed(server, "owner", line)
    return (await confirmed(server, "owner", line)).code if answer.code == "confirm" else answer.code


# --- history ----------------------------------------------------------------------------------------


async def test_history_of_a_room_is_for_who_may_enter_it(stage: Stage) -> None:
    """After the kick neither list nor replay nor delivery shows the maker what was said; who may enter sees all."""
    stage.receiver.answer = answering(json={"echo": "board meets at noon"})
    await stage.say("board meets at noon")
    (entry,) = await stage.history(stage.ed)
    assert entry["data"]["text"] == "board meets at noon"
    (sent,), _ = await stage.server.services.store.deliveries()
    shown = await typed(stage.server, "ed", f"delivery show dlv_{sent.id}")
    assert "meets" in shown.text
    await _kicked(stage)
    for who in (None, stage.ed):
        entries = await stage.history(who)
        assert [one["step"] for one in entries] == [STOPPED, "after-http-call"]
        assert ("meets" in str(entries)) is (who is None)
    hidden = (await stage.history(stage.ed))[1]
    assert (hidden["_id"], hidden["data"]) == (entry["_id"], {})
    filtered = await stage.server.get(
        "integrations.history", who=stage.ed, id=stage.out, query='{"data.user_name":"owner"}'
    )
    assert filtered["history"] == []
    for line in (f"delivery show dlv_{sent.id}", f"out history {stage.out}", "delivery list", f"out show {stage.out}"):
        for flag in ("", " --json"):
            answer = await typed(stage.server, "ed", line + flag)
            assert (answer.code, "meets" in f"{answer.text}{answer.data}") == ("ok", False), line
    assert "meets" in (await typed(stage.server, "owner", f"delivery show dlv_{sent.id}")).text
    again = {"integrationId": stage.out, "historyId": entry["_id"]}
    status, answer = await stage.server.api("POST", "integrations.replayOutgoing", again, who=stage.ed)
    assert (status, answer["errorType"]) == (400, "error-not-allowed")
    assert (await typed(stage.server, "ed", f"out replay {stage.out} {entry['_id']}")).code == "invalid"
    status, answer = await stage.server.api("POST", "integrations.replayOutgoing", again)
    assert (status, answer["error"]) == (400, "The webhook's maker may not enter this room [error-not-allowed]")
    await stage.quiet()
    assert len(stage.receiver.bodies) == 1
    await stage.back()
    assert "meets" in str(await stage.history(stage.ed))


async def test_a_hook_shows_what_keeps_it_from_its_rooms(stage: Stage) -> None:
    """`show` says so while it is so, `test` and `replay` say it in place of sending anything."""
    assert "stopped" not in (await typed(stage.server, "ed", f"out show {stage.out}")).text
    await _kicked(stage)
    why = "stopped: its maker ed may not enter #board; an admin can take it over by adopt"
    for noun, hook in (("out", stage.out), ("in", stage.door.id)):
        assert why in (await typed(stage.server, "ed", f"{noun} show {hook}")).text
        tried = await typed(stage.server, "ed", f"{noun} test {hook}")
        assert (tried.code, "may not enter this room" in tried.text) == ("invalid", True), tried.text
    assert stage.receiver.bodies == []
    assert await texts(stage.server, stage.board) == []


# --- taking over ------------------------------------------------------------------------------------


@pytest.mark.parametrize("noun", ["in", "out"])
async def test_an_admin_takes_a_hook_over(stage: Stage, noun: str) -> None:
    """It runs with the admin's rights then; it is audited, told in its room, undone by a word, and no editor may."""
    hook = IntegrationId(stage.out if noun == "out" else stage.door.id)
    await _kicked(stage)
    await stage.server.user("adam", "admin")
    assert (await typed(stage.server, "ed", f"{noun} adopt {hook}")).code == "forbidden"
    answer = await typed(stage.server, "adam", f"{noun} adopt {hook}")
    assert answer.code == "ok", answer.text
    assert "runs with the rights of adam now, not of ed." in answer.text
    stored = await stage.server.services.store.hook(hook)
    assert stored is not None
    assert (stored.created_by[1], stored.username) == ("adam", "rocket.cat")
    assert (await audited(stage.server))[0].line == f"{noun} adopt {hook}"
    way = "outgoing" if noun == "out" else "incoming"
    assert (await texts(stage.server, stage.board))[-1] == f"adam took over {way} hook {stored.name}."
    await stage.say("after")
    assert await stage.door.send({"text": "x"}) == ((200, OK) if noun == "in" else REFUSED)
    await stage.quiet()
    assert stage.receiver.texts == (["after"] if noun == "out" else [])
    assert (await typed(stage.server, "adam", f"{noun} adopt {hook}")).code == "conflict"
    assert (await typed(stage.server, "adam", "undo")).code in ("ok", "confirm")
    restored = await stage.server.services.store.hook(hook)
    assert restored is not None
    assert restored.created_by[1] == "ed"
    await stage.say("undone")
    assert "undone" not in stage.receiver.texts


async def test_an_adopted_hook_may_post_as_somebody_else(stage: Stage) -> None:
    """What posts as its former maker is given another poster with it; without, the answer says what is still wrong."""
    given = {**INCOMING, "channel": "#board", "username": "ed"}
    made = (await stage.server.post("integrations.create", given, who=stage.ed))["integration"]
    door = Door(stage.server, IntegrationId(made["_id"]), made["token"])
    await _kicked(stage)
    still = await typed(stage.server, "owner", f"in adopt {door.id}")
    assert "It still does not work everywhere: ed, whom it posts as, is not in #board." in still.text
    assert await door.send({"text": "x"}) == REFUSED
    changed = await typed(stage.server, "owner", f"in adopt {door.id} --post-as @rocket.cat")
    assert (changed.code, "still" in changed.text) == ("ok", False), changed.text
    assert await door.send({"text": "x"}) == (200, OK)
    assert (await typed(stage.server, "owner", "undo")).code == "ok"
    stored = await stage.server.services.store.hook(door.id)
    assert stored is not None
    assert (stored.created_by[1], stored.username) == ("owner", "ed")


async def test_what_an_owner_made_is_taken_over_but_not_given_back(stage: Stage) -> None:
    """Nobody lets a hook run with the rights of a higher role: an admin's undo cannot either."""
    made = (await stage.server.post("integrations.create", INCOMING))["integration"]["_id"]
    as_owner = (await stage.server.post("integrations.create", {**INCOMING, "username": "owner"}))["integration"]["_id"]
    await stage.server.user("adam", "admin")
    answer = await typed(stage.server, "adam", f"in adopt {made}")
    assert (answer.code, "Undo" in answer.text) == ("ok", False), answer.text
    refused = await typed(stage.server, "adam", f"in adopt {made} --for @owner")
    assert (refused.code, "higher role" in refused.text) == ("invalid", True)
    assert (await typed(stage.server, "adam", f"in adopt {as_owner}")).code == "invalid"
    assert (await typed(stage.server, "adam", f"in adopt {as_owner} --post-as @rocket.cat")).code == "ok"


# --- roles × rooms × doors --------------------------------------------------------------------------

MAKERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "owner": ("owner", ()),
    "admin": ("admin", ()),
    "editor": ("editor", ()),
    "viewer": ("viewer", ()),
    "own": ("viewer", (MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING)),
    "steward": (
        "viewer",
        (MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING, MANAGE_INCOMING, MANAGE_OUTGOING),
    ),
}


def _works(maker: str, *, inside: bool, active: bool) -> bool:
    """Say whether a hook of somebody works in a private room."""
    if not active:
        return False
    if maker in ("owner", "admin", "steward"):
        return True
    return inside and maker != "viewer"


@pytest.mark.parametrize("maker", MAKERS)
async def test_who_reaches_a_private_room(server: Server, receiver: Receiver, maker: str) -> None:
    """Every role, in the room and not, active and not, hearing, posting by name and by override, and replayed."""
    role, granted = MAKERS[maker]
    owner = await person(server, "owner")
    name = "boss" if role == "owner" else "maker"
    await server.user(name, "admin")
    members = {"name": "board", "members": ["rocket.cat", name]}
    board = (await server.post("groups.create", members))["group"]["_id"]
    who = await server.login(name)
    out_body = {**OUTGOING, "channel": "#board", "urls": [receiver.url]}
    out = (await server.post("integrations.create", out_body, who=who))["integration"]["_id"]
    doors = []
    for changes in ({"channel": "#board"}, {"overrideDestinationChannelEnabled": True}):
        made = (await server.post("integrations.create", {**INCOMING, **changes}, who=who))["integration"]
        doors.append(Door(server, IntegrationId(made["_id"]), made["token"]))
    user = await person(server, name)
    users = server.services.users
    await users.update(owner, user.id, UserUpdate(role=Role(role)), by_operator=True)
    for permission in granted:
        await users.set_permission(owner, user.id, permission, granted=True)
    sent = 0

    async def tried() -> tuple[bool, bool, bool]:
        nonlocal sent
        sent += 1
        before = len(receiver.bodies)
        await server.post("chat.postMessage", {"roomId": board, "text": f"message {sent}"})

        async def empty() -> bool:
            return (await server.services.store.counts()).queued == 0

        await until(empty)
        heard = len(receiver.bodies) > before
        posted = (await doors[0].send({"text": "x"}))[0] == 200
        override = (await doors[1].send({"text": "x", "channel": "#board"}))[0] == 200
        await until(empty)
        return heard, posted, override

    cells = {}
    cells[True, True] = await tried()
    await server.post("groups.kick", {"roomId": board, "username": name})
    cells[False, True] = await tried()
    if role != "owner":
        await server.post("users.setActiveStatus", {"userId": user.id, "activeStatus": False})
        cells[False, False] = await tried()
    expected = {(inside, active): (_works(maker, inside=inside, active=active),) * 3 for inside, active in cells}
    assert cells == expected
    assert await server.services.store.hook(IntegrationId(out)) is not None
