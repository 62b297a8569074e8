"""Nobody acts as somebody else: every role × whom a hook is to post as × every door that makes or changes one."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final  # answers are parsed JSON

import pytest

from bot.workspace.users import UserUpdate
from handlers.command import Answer
from handlers.permissions import (
    IMPERSONATE,
    MANAGE_INCOMING,
    MANAGE_OUTGOING,
    MANAGE_OWN_INCOMING,
    MANAGE_OWN_OUTGOING,
)
from storage.ids import IntegrationId
from storage.records.integration import OutgoingHook
from storage.records.user import Role
from tests.command_talk import person, typed
from tests.delivering import Receiver, answering, receiving, until
from tests.hook_door import OK, Door
from tests.hook_stage import INCOMING, OUTGOING
from tests.server import Server, serving

Who = dict[str, str]

MAKERS: Final = ("owner", "admin", "editor", "viewer", "steward")
"""A viewer holds the own permissions here; a steward is a viewer who was granted the full ones, too."""
TARGETS: Final = ("oneself", "rocket.cat", "robot", "a-viewer", "an-editor", "an-admin", "an-owner")
ALLOWED: Final[Mapping[str, frozenset[str]]] = {
    "owner": frozenset(TARGETS),
    "admin": frozenset(TARGETS) - {"an-owner"},
    "editor": frozenset({"oneself", "rocket.cat", "robot"}),
    "viewer": frozenset({"oneself", "rocket.cat", "robot"}),
    "steward": frozenset({"oneself", "rocket.cat", "robot", "a-viewer"}),
}
"""Whom what somebody makes may post as: oneself, a bot, or with the full permission who has no higher role."""


@dataclass
class Stage:
    """Somebody who makes hooks, among people of every role."""

    server: Server
    maker: str
    name: str
    """The maker's user name."""
    who: Who
    boss: Who

    async def rest(self, method: str, call: str, body: object) -> bool:
        """Tell whether a REST call of the maker went through."""
        status, _ = await self.server.api(method, call, body, who=self.who)
        return status == 200

    async def line(self, line: str) -> bool:
        """Tell whether a line of the maker went through; None of them asks anything."""
        return await self._ended(await typed(self.server, self.name, line))

    async def _ended(self, answer: Answer) -> bool:
        if answer.code == "confirm":
            assert isinstance(answer.data, dict)
            answer = await typed(self.server, self.name, str(answer.data["command"]))
        return answer.code == "ok"

    async def outgoing(self, target: str) -> str:
        """Make an outgoing hook that posts as another bot than the target, which everybody here may."""
        body = {**OUTGOING, "name": _name(), "username": "robot" if target == "rocket.cat" else "rocket.cat"}
        made = await self.server.post("integrations.create", body, who=self.who)
        return str(made["integration"]["_id"])

    async def somebody_elses(self, way: str) -> str:
        """Make a hook of the second owner's."""
        body = {**(INCOMING if way == "in" else OUTGOING), "name": _name()}
        return str((await self.server.post("integrations.create", body, who=self.boss))["integration"]["_id"])


def _name() -> str:
    return f"hook-{secrets.token_hex(6)}"


@asynccontextmanager
async def staged(folder: Path, maker: str) -> AsyncIterator[Stage]:
    async with serving(folder) as server:
        services = server.services
        owner = await person(server, "owner")
        for name, role in (("a-viewer", "viewer"), ("an-editor", "editor"), ("an-admin", "admin")):
            await server.user(name, role)
        session = await server.user("boss", "admin")
        await server.post(
            "users.create",
            {
                "username": "robot",
                "name": "Robot",
                "email": "robot@example.test",
                "password": "correct horse battery",
                "roles": ["bot"],
            },
        )
        # a second owner: made on the server, as owners are
        boss = await person(server, "boss")
        await services.users.update(owner, boss.id, UserUpdate(role=Role.OWNER), by_operator=True)
        who = server.owner if maker == "owner" else await server.user("maker", _role(maker))
        name = "owner" if maker == "owner" else "maker"
        if maker in ("viewer", "steward"):
            held = [MANAGE_OWN_INCOMING, MANAGE_OWN_OUTGOING]
            held += [MANAGE_INCOMING, MANAGE_OUTGOING] if maker == "steward" else []
            for permission in held:
                user = await person(server, name)
                await services.users.set_permission(owner, user.id, permission, granted=True)
        yield Stage(server, maker, name, who, session)


def _role(maker: str) -> str:
    return maker if maker in ("admin", "editor") else "viewer"


# --- every door -------------------------------------------------------------------------------------


async def _created_in(stage: Stage, target: str) -> bool:
    return await stage.rest("POST", "integrations.create", {**INCOMING, "name": _name(), "username": target})


async def _created_off(stage: Stage, target: str) -> bool:
    body = {**INCOMING, "name": _name(), "username": target, "enabled": False}
    return await stage.rest("POST", "integrations.create", body)


async def _created_out(stage: Stage, target: str) -> bool:
    return await stage.rest("POST", "integrations.create", {**OUTGOING, "name": _name(), "username": target})


async def _updated_out(stage: Stage, target: str) -> bool:
    hook_id = await stage.outgoing(target)
    body = {**OUTGOING, "integrationId": hook_id, "username": target, "token": "t"}
    return await stage.rest("PUT", "integrations.update", body)


async def _added_in(stage: Stage, target: str) -> bool:
    return await stage.line(f"in add {_name()} --room #general --post-as @{target}")


async def _added_out(stage: Stage, target: str) -> bool:
    line = f"out add {_name()} --event sendMessage --room #general --url https://x.example.test/ --post-as @{target}"
    return await stage.line(line)


async def _edited_out(stage: Stage, target: str) -> bool:
    return await stage.line(f"out edit {await stage.outgoing(target)} --post-as @{target}")


async def _imported_in(stage: Stage, target: str) -> bool:
    file = f"patchbay: 1\nincoming:\n- name: {_name()}\n  rooms: ['#general']\n  post_as: {target}\n"
    return await stage.line(f"import ```{file}```")


async def _imported_out(stage: Stage, target: str) -> bool:
    file = f"patchbay: 1\noutgoing:\n- name: {_name()}\n  event: sendMessage\n  urls: ['https://x.example.test/']\n"
    return await stage.line(f"import ```{file}  post_as: {target}\n```")


async def _imported_as_made_by(stage: Stage, target: str) -> bool:
    file = f"patchbay: 1\nincoming:\n- name: {_name()}\n  rooms: ['#general']\n  made_by: {target}\n"
    return await stage.line(f"import ```{file}```")


async def _adopted_in(stage: Stage, target: str) -> bool:
    return await stage.line(f"in adopt {await stage.somebody_elses('in')} --post-as @{target}")


async def _adopted_out(stage: Stage, target: str) -> bool:
    return await stage.line(f"out adopt {await stage.somebody_elses('out')} --post-as @{target}")


async def _given_away(stage: Stage, target: str) -> bool:
    hook_id = await stage.somebody_elses("in")
    return await stage.line(f"in adopt {hook_id} --for @{target}")


Tried = Callable[[Stage, str], Awaitable[bool]]

DOORS: Final[tuple[Tried, ...]] = (
    *(_created_in, _created_off, _created_out, _updated_out),
    *(_added_in, _added_out, _edited_out),
)
FOR_ADMINS: Final[tuple[Tried, ...]] = (
    *(_imported_in, _imported_out, _imported_as_made_by),
    *(_adopted_in, _adopted_out, _given_away),
)


@pytest.mark.parametrize("maker", MAKERS)
async def test_whom_a_hook_may_post_as(maker: str, tmp_path: Path) -> None:
    """Each cell is allowed or refused by the table, whichever door; nobody's roles are others afterwards."""
    wrong = []
    async with staged(tmp_path / "data", maker) as stage:
        before = await stage.server.services.store.users(stage.server.services.directory.org)
        for target in TARGETS:
            name = {"oneself": stage.name, "an-owner": "boss"}.get(target, target)
            for door in (*DOORS, *FOR_ADMINS):
                allowed = target in ALLOWED[maker] and (door in DOORS or maker in ("owner", "admin"))
                if door is _given_away and (maker, name) == ("owner", "boss"):
                    continue  # it is that owner's already
                done = await door(stage, name)
                if done is not allowed:
                    wrong.append(f"{maker} as {target} by {door.__name__}: {'allowed' if done else 'refused'}")
        assert await stage.server.services.store.users(stage.server.services.directory.org) == before
    assert wrong == []


# --- the moment of the act --------------------------------------------------------------------------


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def _made(server: Server, who: Who | None, **changes: object) -> Door:
    made = (await server.post("integrations.create", {**INCOMING, **changes}, who=who))["integration"]
    return Door(server, IntegrationId(made["_id"]), made["token"])


async def _role_of(server: Server, name: str, role: Role) -> Any:
    user = await person(server, name)
    data = {"roles": [role.value]}
    return await server.post("users.update", {"userId": user.id, "data": data})


async def _answers(server: Server, receiver: Receiver, hook_id: str) -> list[tuple[str, str]]:
    """Return who said what in `#general`, when everything a hook had to say is said."""

    async def quiet() -> bool:
        return (await server.services.store.counts()).queued == 0

    await until(quiet)
    found, _ = await server.services.store.messages((await server.services.directory.rooms())[0].id, count=100)
    return [(message.username, message.text) for message in found if message.integration_id == hook_id]


async def test_a_hook_is_judged_again_each_time_it_posts(server: Server) -> None:
    """A maker who lost the full permission, or somebody who was raised, is not posted as any more; then again is."""
    admin = await server.user("adam", "admin")
    await server.user("ann", "editor")
    hook = await _made(server, admin, username="ann")
    assert await hook.send({"text": "one"}) == (200, OK)
    refused = (400, {"success": False, "error": "error-not-allowed"})
    lowered = await _role_of(server, "adam", Role.EDITOR)
    assert [one["_id"] for one in lowered["stoppedIntegrations"]] == [hook.id]
    assert await hook.send({"text": "two"}) == refused
    await _role_of(server, "adam", Role.ADMIN)
    assert await hook.send({"text": "three"}) == (200, OK)
    await server.services.users.update(
        await person(server, "owner"), (await person(server, "ann")).id, UserUpdate(role=Role.OWNER), by_operator=True
    )
    assert await hook.send({"text": "four"}) == refused
    why = [request.error for request in await hook.requests() if request.error]
    assert why == ["The webhook's maker may not let it post as this user [error-not-allowed]"] * 2


async def test_a_replay_and_a_test_are_judged_as_the_hook_is(server: Server) -> None:
    """What a person lets a hook do again runs with its maker's rights, whoever the person is."""
    admin = await server.user("adam", "admin")
    await server.user("ann", "editor")
    hook = await _made(server, admin, username="ann")
    assert await hook.send({"text": "one"}) == (200, OK)
    (kept,) = await hook.requests()
    await _role_of(server, "adam", Role.EDITOR)
    for line in (f"in replay {hook.id} {kept.id}", f"in test {hook.id}"):
        answer = await typed(server, "owner", line)
        assert (answer.code, "may not let it post as this user" in answer.text) == ("invalid", True), answer.text


@pytest.mark.parametrize("verb", ["test", "replay", "rotate-token"])
async def test_nobody_lets_a_hook_act_as_somebody_of_a_higher_role(server: Server, verb: str) -> None:
    """An admin neither tries, repeats nor gets the new address of a hook that posts as the owner; the owner does."""
    await server.user("adam", "admin")
    hook = await _made(server, server.owner, username="owner")
    assert await hook.send({"text": "one"}) == (200, OK)
    (kept,) = await hook.requests()
    line = f"in {verb} {hook.id}" + {"replay": f" {kept.id}", "rotate-token": " --yes"}.get(verb, "")
    answer = await typed(server, "adam", line)
    assert "take it over first" in answer.text or "of no higher role" in answer.text, answer.text
    assert await hook.send({"text": "two"}) == (200, OK)
    assert [message["msg"] for message in await server.room_messages() if message["u"]["username"] == "owner"] == [
        "two",
        "one",
    ]
    assert (await typed(server, "owner", line)).code == "ok"


@pytest.mark.parametrize(
    ("maker", "speaker", "poster"),
    [("ed", "ed", "ed"), ("ed", "owner", "rocket.cat"), ("adam", "ed", "ed"), ("adam", "owner", "rocket.cat")],
)
async def test_an_answer_impersonates_whom_the_maker_may_act_as(
    server: Server, receiver: Receiver, maker: str, speaker: str, poster: str
) -> None:
    """With `impersonateUser` others are answered as the hook posts otherwise, and history says so."""
    people = {"ed": await server.user("ed", "editor"), "adam": await server.user("adam", "admin")}
    receiver.answer = answering(json={"text": "I confess"})
    body = {**OUTGOING, "urls": [receiver.url], "impersonateUser": True, "triggerWords": ["!say"]}
    hook_id = (await server.post("integrations.create", body, who=people[maker]))["integration"]["_id"]
    await server.post("chat.postMessage", {"channel": "#general", "text": "!say"}, who=people.get(speaker))
    assert await _answers(server, receiver, hook_id) == [(poster, "I confess")]
    (entry,) = (await server.get("integrations.history", id=hook_id))["history"]
    note = f"Posted as rocket.cat: the webhook may not post as {speaker}."
    assert entry.get("httpError") == (None if poster == speaker else note)


async def test_an_answer_goes_nowhere_its_hooks_maker_may_not_go(server: Server, receiver: Receiver) -> None:
    """Neither a private room nor somebody's direct room is opened by the `channel` of an answer."""
    editor = await server.user("ed", "editor")
    board = await server.post("groups.create", {"name": "board", "members": ["rocket.cat"]})
    body = {**OUTGOING, "urls": [receiver.url], "triggerWords": ["!say"]}
    hook_id = (await server.post("integrations.create", body, who=editor))["integration"]["_id"]
    for channel in ("#board", board["group"]["_id"], "@owner"):
        receiver.answer = answering(json={"text": "psst", "channel": channel})
        await server.post("chat.postMessage", {"channel": "#general", "text": "!say"}, who=editor)
        assert await _answers(server, receiver, hook_id) == []
    entries = (await server.get("integrations.history", id=hook_id))["history"]
    assert {entry["step"] for entry in entries} == {"after-http-call-send-message-failed"}
    assert (await server.get("groups.history", roomId=board["group"]["_id"]))["messages"] == []


# --- changing what somebody else made ---------------------------------------------------------------


async def test_who_may_not_post_as_somebody_changes_no_hook_that_does(server: Server) -> None:
    """An admin switches such a hook off and removes it, and neither redirects it nor switches it on again."""
    admin = await server.user("adam", "admin")
    hook = await _made(server, None, username="owner")
    body = {**INCOMING, "integrationId": hook.id, "channel": "#general", "alias": "Other"}
    status, answer = await server.api("PUT", "integrations.update", body, who=admin)
    assert (status, answer["errorType"]) == (400, "error-invalid-post-as-user")
    assert (await typed(server, "adam", f"in edit {hook.id} --allow-override")).code == "invalid"
    off = {**body, "alias": None, "enabled": False}
    assert (await server.api("PUT", "integrations.update", off, who=admin))[0] == 200
    assert (await typed(server, "adam", f"in enable {hook.id}")).code == "invalid"
    status, answer = await server.api("PUT", "integrations.update", {**off, "enabled": True}, who=admin)
    assert (status, answer["errorType"]) == (400, "error-invalid-post-as-user")
    gone = {"type": "webhook-incoming", "integrationId": hook.id}
    assert (await server.api("POST", "integrations.remove", gone, who=admin))[0] == 200


async def test_what_impersonates_with_an_owners_rights_is_not_redirected_by_an_admin(server: Server) -> None:
    """Neither while it is off nor by a line; one that was taken over is the admin's to change."""
    admin = await server.user("adam", "admin")
    made = (await server.post("integrations.create", OUTGOING))["integration"]["_id"]
    body = {**OUTGOING, "integrationId": made, "impersonateUser": True, "token": "t"}
    status, answer = await server.api("PUT", "integrations.update", body, who=admin)
    assert (status, answer["errorType"]) == (400, "error-invalid-user")
    assert (await server.api("PUT", "integrations.update", {**body, "enabled": False}, who=admin))[0] == 200
    assert (await typed(server, "adam", f"out enable {made}")).code == "invalid"
    plain = {**body, "impersonateUser": False}
    assert (await server.api("PUT", "integrations.update", plain, who=admin))[0] == 200
    assert (await typed(server, "adam", f"out adopt {made}")).code == "ok"
    assert (await server.api("PUT", "integrations.update", body, who=admin))[0] == 200


async def test_a_steward_of_others_hooks_opens_no_room_with_their_makers_rights(server: Server) -> None:
    """Who manages all incoming hooks and makes none is in rooms by membership, and so is what they change."""
    steward = await server.user("stew", "viewer")
    await _granted(server, "stew", MANAGE_INCOMING)
    hook = await _made(server, None)
    body = {**INCOMING, "integrationId": hook.id, "overrideDestinationChannelEnabled": True}
    status, answer = await server.api("PUT", "integrations.update", body, who=steward)
    assert (status, answer["errorType"]) == (400, "error-invalid-post-as-user")
    body["overrideDestinationChannelEnabled"] = False
    assert (await server.api("PUT", "integrations.update", body, who=steward))[0] == 200


@pytest.mark.parametrize("noun", ["in", "out"])
async def test_an_editors_hook_is_given_no_room_the_editor_may_not_enter(server: Server, noun: str) -> None:
    """Who manages all hooks is told that it would be silent there; rooms it has already stay, and theirs are added."""
    editor = await server.user("ed", "editor")
    for name, members in (("board", []), ("own", ["ed", "rocket.cat"])):
        await server.post("groups.create", {"name": name, "members": members})
    body = {**(INCOMING if noun == "in" else OUTGOING), "name": "theirs"}
    made = (await server.post("integrations.create", body, who=editor))["integration"]
    refused = await typed(server, "owner", f"{noun} edit {made['_id']} --room #general,#board")
    assert (refused.code, "maker may not enter one of these rooms" in refused.text) == ("invalid", True), refused.text
    assert (await typed(server, "owner", f"{noun} edit {made['_id']} --room #general,#own")).code == "ok"
    assert (await typed(server, "owner", f"{noun} adopt {made['_id']}")).code == "ok"
    assert (await typed(server, "owner", f"{noun} edit {made['_id']} --room #general,#board")).code == "ok"


# --- as it was found --------------------------------------------------------------------------------


async def test_an_editor_does_not_post_as_the_owner(server: Server) -> None:
    """The hook that would is not made; so it neither writes into private rooms nor opens the owner's direct rooms."""
    editor, viewer = await server.user("editor", "editor"), await server.user("viewer", "viewer")
    await server.post("groups.create", {"name": "board"})
    body = {**INCOMING, "username": "owner", "channel": "#general", "overrideDestinationChannelEnabled": True}
    status, answer = await server.api("POST", "integrations.create", body, who=editor)
    assert (status, answer["errorType"]) == (400, "error-invalid-user")
    answer = await typed(server, "editor", "in add spy --room #general --post-as @owner --allow-override")
    assert answer.code == "invalid", answer.text
    await _granted(server, "viewer", MANAGE_OWN_INCOMING)
    status, answer = await server.api("POST", "integrations.create", body, who=viewer)
    assert (status, answer["errorType"]) == (400, "error-invalid-user")
    assert "owner" not in [hook.username for hook in await server.services.directory.hooks()]


@pytest.mark.parametrize("poster", ["editor", "rocket.cat"])
async def test_an_editors_hook_enters_only_what_the_editor_may(server: Server, poster: str) -> None:
    """With the override a sender reaches public rooms and what the maker is in; nothing else, and nothing is made."""
    editor = await server.user("editor", "editor")
    await server.user("viewer", "viewer")
    await server.post("groups.create", {"name": "board", "members": ["rocket.cat"]})
    await server.post("groups.create", {"name": "own", "members": ["rocket.cat", "editor"]})
    await server.post("channels.create", {"name": "open"})
    hook = await _made(server, editor, username=poster, overrideDestinationChannelEnabled=True)
    refused = (400, {"success": False, "error": "error-not-allowed"})
    before = len(await server.services.directory.rooms())
    assert await hook.send({"text": "x", "channel": "#board"}) == refused
    if poster == "rocket.cat":
        assert await hook.send({"text": "x", "channel": "@viewer"}) == refused
        assert await hook.send({"text": "x", "channel": "@owner"}) == refused
        assert len(await server.services.directory.rooms()) == before
    for channel in ("#own", "#open", "@editor" if poster == "rocket.cat" else "@viewer"):
        assert await hook.send({"text": "x", "channel": channel}) == (200, OK), channel


async def test_a_hook_writes_into_no_read_only_room_its_maker_may_not_write_into(server: Server) -> None:
    """That a bot owns the room gives nobody its place who lets a hook post as it."""
    robot = await server.user("robot", "bot")
    await server.post("channels.create", {"name": "news", "readOnly": True}, who=robot)
    people = {"ed": await server.user("ed", "editor"), "adam": await server.user("adam", "admin")}
    read_only = (400, {"success": False, "error": "You can't send messages because the room is readonly."})
    for maker, answer in (("ed", read_only), ("adam", (200, OK))):
        hook = await _made(server, people[maker], username="robot", overrideDestinationChannelEnabled=True)
        assert await hook.send({"text": "x", "channel": "#news"}) == answer, maker


async def test_an_owner_who_holds_role_bot_is_not_posted_as_by_others(server: Server) -> None:
    """The role lets people use other names; it does not hand out their own."""
    editor, admin = await server.user("ed", "editor"), await server.user("adam", "admin")
    await server.post("users.update", {"userId": server.owner["X-User-Id"], "data": {"roles": ["admin", "bot"]}})
    assert (await person(server, "owner")).is_bot
    for who in (editor, admin):
        status, answer = await server.api("POST", "integrations.create", {**INCOMING, "username": "owner"}, who=who)
        assert (status, answer["errorType"]) == (400, "error-invalid-user")


ZAP: Final = {"name": "spy", "target_url": "https://zap.example.test/", "event": "newMessageOnChannel"}


async def test_a_hooks_address_makes_no_hook_that_hears_more_than_both_may(server: Server) -> None:
    """`/hooks/add` takes rooms by name that maker and posting user may both hear, and no words for many rooms."""
    admin = await server.user("adam", "admin")
    await server.user("ed", "editor")
    await server.post("groups.create", {"name": "board"})
    as_editor, as_admin = await _made(server, admin, username="ed"), await _made(server, admin, username="adam")

    async def adds(hook: Door, channels: str) -> tuple[int, str]:
        body = {**ZAP, "data": {"channel_name": channels}}
        url = f"{server.url}/hooks/add/{hook.id}/{hook.token}"
        async with server.http.post(url, json=body) as response:
            answer = await response.json()
            return response.status, answer.get("errorType", "")

    for hook in (as_editor, as_admin):
        for channels in (
            "all_private_groups,all_direct_messages,#general",
            "all_public_channels",
            "#general,all_private_groups",
        ):
            assert await adds(hook, channels) == (400, "error-invalid-room"), channels
    assert await adds(as_editor, "board") == (400, "error-invalid-channel")
    assert await adds(as_editor, "general") == (200, "")
    assert await adds(as_admin, "board, #general") == (200, "")
    made = [hook for hook in await server.services.directory.hooks() if isinstance(hook, OutgoingHook)]
    assert [(hook.created_by[1], hook.channels) for hook in made] == [
        ("ed", ("#general",)),
        ("adam", ("#board", "#general")),
    ]
    await _role_of(server, "adam", Role.EDITOR)
    assert await adds(as_editor, "general") == (400, "not_authorized")


async def test_removing_by_address_takes_both_rights(server: Server) -> None:
    """An editor's hook that posts as a bot with all permissions removes nothing of others."""
    editor = await server.user("ed", "editor")
    await server.user("robot", "bot")
    for permission in (MANAGE_OUTGOING, MANAGE_OWN_OUTGOING):
        await _granted(server, "robot", permission)
    url = "https://zap.example.test/"
    made = (await server.post("integrations.create", {**OUTGOING, "urls": [url]}))["integration"]
    hook = await _made(server, editor, username="robot")
    async with server.http.post(f"{server.url}/hooks/remove/{hook.id}/{hook.token}", json={"target_url": url}) as done:
        assert (done.status, (await done.json())["errorType"]) == (400, "error-invalid-integration")
    assert await server.services.store.hook(IntegrationId(made["_id"])) is not None


async def test_making_a_hook_gives_no_permission(server: Server) -> None:
    """Who makes a hook that posts as oneself still may not post under other names; the hook may."""
    editor = await server.user("editor", "editor")
    say = {"channel": "#general", "text": "x", "alias": "Owner"}
    assert (await server.api("POST", "chat.postMessage", say, who=editor))[0] == 400
    hook = await _made(server, editor, username="editor", alias="CI")
    assert (await server.api("POST", "chat.postMessage", say, who=editor))[0] == 400
    assert await hook.send({"text": "built", "icon_url": "https://example.test/a.png"}) == (200, OK)
    assert await hook.send({"text": "built", "username": "Bot"}) == (200, OK)
    user = (await server.get("users.info", username="editor"))["user"]
    assert "bot" not in user["roles"]
    assert not (await person(server, "editor")).granted & {IMPERSONATE}


async def _granted(server: Server, name: str, permission: str) -> None:
    user = await person(server, name)
    await server.services.users.set_permission(await person(server, "owner"), user.id, permission, granted=True)
