"""The doors of Slack, Mattermost and Rocket.Chat's trigger word: real requests in, effects here, answers over there."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any  # answers of the other chats are free-form JSON
from urllib.parse import parse_qsl, urlencode

import pytest
from aiohttp import web

from bot.web import chat_doors
from bot.workspace.chats import NewChat
from handlers.chat_adapter import Request
from storage.records.changes import Changes
from storage.records.workspace import Workspace, WorkspaceKind
from tests import chats
from tests.connected import connect, link
from tests.scenarios.receiver import Receiver, Sent, receiving
from tests.server import Server, serving

UNAUTHENTICATED = (401, {"success": False, "error": "unauthenticated"})
SITE = "https://chat.example.test"
TEAMS = {"slack": "T1DC2JH3J", "mattermost": chats.MM_TEAM, "rocketchat": SITE}
USERS = {"slack": "U2CERLKJA", "mattermost": chats.MM_USER, "rocketchat": "hW3pTq8mKz5sXvB2d"}
DOORS = sorted(TEAMS)


def accepting(_: Sent) -> web.Response:
    """Play the other chat's interface: everything is fine."""
    return web.json_response({"ok": True, "success": True})


@dataclass
class Stage:
    """A server with the three chats connected, the owner linked in each; `api` is what it calls over there."""

    server: Server
    api: Receiver
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    triggers: int = 0

    @property
    def late(self) -> str:
        """Return a response address."""
        return f"http://127.0.0.1:{self.api.port}/late"

    def request(self, door: str, text: str, **fields: str) -> Request:
        """Type a line as the system sends it, each time with a trigger of its own."""
        self.triggers += 1
        trigger = f"trigger{self.triggers}"
        if door == "rocketchat":
            return chats.rocketchat_message(text, message_id=trigger, **fields)
        form = {"response_url": self.late, "trigger_id": trigger, **fields}
        if door == "mattermost":
            return chats.mattermost_command(text, **form)
        return self.resigned(chats.slack_command(text, **form))

    def resigned(self, request: Request, secret: str = chats.SECRET) -> Request:
        """Sign a request of Slack at the server's time."""
        return chats.slack_signed(request.body, secret=secret, now=self.server.services.clock.now())

    async def send(self, path: str, request: Request, method: str = "POST") -> tuple[int, bytes]:
        """Send a request as it is."""
        url = f"{self.server.url}{path}" + (f"?{request.query}" if request.query else "")
        async with self.server.http.request(method, url, data=request.body, headers=dict(request.headers)) as response:
            return response.status, await response.read()

    async def say(self, door: str, text: str, **fields: str) -> dict[str, Any]:
        """Type a line and return the answer."""
        status, body = await self.send(f"/commands/{door}", self.request(door, text, **fields))
        assert status == 200, body
        found: dict[str, Any] = json.loads(body)
        return found

    async def press(self, value: str, **changes: object) -> tuple[int, bytes]:
        """Press a button in Slack."""
        self.triggers += 1
        given: dict[str, Any] = {"trigger_id": f"press{self.triggers}", "response_url": self.late, **changes}
        return await self.send("/interactions/slack", self.resigned(chats.slack_press(value, **given)))

    async def hook_names(self) -> list[str]:
        return [one["name"] for one in (await self.server.get("integrations.list"))["integrations"]]

    @property
    def first(self) -> str:
        """Return the id of the hook the first start made."""
        first = self.server.running.first_start
        assert first is not None
        return first.hook_id


@asynccontextmanager
async def staged(folder: Path, *, bot_token: str | None = None, **settings: Any) -> AsyncIterator[Stage]:
    async with receiving(accepting) as api, serving(folder, **settings) as server:
        stage = Stage(server, api)
        for door, team in TEAMS.items():
            made = await connect(server, WorkspaceKind(door), team_id=team, secret=chats.SECRET)
            if bot_token:
                base = f"http://127.0.0.1:{api.port}"
                whole = replace(made, bot_token=bot_token, base_url=base)
                await server.services.store.commit(Changes(drop_workspaces=(made.id,)))
                await server.services.store.commit(Changes(new_workspaces=(whole,)))
                made = whole
            stage.workspaces[door] = made
            await link(server, made, USERS[door], "owner")
        yield stage


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path / "data") as found:
        yield found


@pytest.fixture
async def with_bot(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path / "data", bot_token="botId:bot-token-canary") as found:
        yield found


def text_of(answer: Mapping[str, Any]) -> str:
    """Return what people read."""
    return str(answer["text"])


def button(answer: Mapping[str, Any], label: str) -> str:
    """Return the line of a button in Slack."""
    buttons = answer["blocks"][-1]["elements"]
    return next(str(one["value"]) for one in buttons if one["text"]["text"] == label)


@pytest.mark.parametrize("door", DOORS)
async def test_a_linked_person_acts_as_their_user(stage: Stage, door: str) -> None:
    """The answer is the one the same person gets in a room here, apart from how the chat writes it."""
    run = {"command": "hook", "params": "in list", "roomId": "GENERAL"}
    here = (await stage.server.post("commands.run", run))["result"]
    assert here.splitlines()[0] in text_of(await stage.say(door, "in list"))


@pytest.mark.parametrize("door", DOORS)
async def test_nobody_learns_what_was_wrong_with_a_proof(stage: Stage, door: str) -> None:
    """An unknown team, a wrong secret, no proof, no body: one status and one text."""
    good = stage.request(door, "help")
    field_of_team = b"siteUrl" if door == "rocketchat" else b"team_id"
    unknown = replace(
        good, body=good.body.replace(TEAMS[door].encode(), b"Tunknown").replace(b"chat.example", b"c.example")
    )
    assert field_of_team in unknown.body
    if door == "slack":
        unknown = stage.resigned(unknown)
    wrong = replace(
        good,
        headers=tuple(
            (name, value.replace("v0=", "v0=0").replace(chats.SECRET, "x" * 26)) for name, value in good.headers
        ),
        body=good.body.replace(chats.SECRET.encode(), b"x" * 26),
    )
    for request in (unknown, wrong, replace(good, headers=(), body=b""), replace(good, headers=(), body=b"\xff{")):
        status, body = await stage.send(f"/commands/{door}", request)
        assert (status, json.loads(body)) == UNAUTHENTICATED
    assert (await stage.send(f"/commands/{door}", good))[0] == 200


@pytest.mark.parametrize("door", DOORS)
async def test_a_stranger_may_only_learn_how_to_link(stage: Stage, door: str) -> None:
    """A name proves nothing; with a code made here the account is the user's from the next line on."""
    stranger = {"user_id": "U9999" if door == "slack" else "s" * 26, "user_name": "owner"}
    assert "user link" in text_of(await stage.say(door, "in list", **stranger))
    owner = await stage.server.services.directory.user_named("owner")
    assert owner is not None
    code = (await stage.server.services.linking.make_code(owner)).code
    assert text_of(await stage.say(door, f"user link {code}", **stranger)).startswith("Done")
    assert "user link" not in text_of(await stage.say(door, "in list", **stranger))


async def test_the_certificate_probe_is_answered_with_nothing(stage: Stage) -> None:
    """Slack's `ssl_check` gets 200 without a text, although it proves nothing."""
    assert await stage.send("/commands/slack", Request((), b"ssl_check=1&token=x")) == (200, b"")


@pytest.mark.parametrize("door", DOORS)
async def test_a_repeated_request_does_nothing_again(stage: Stage, door: str) -> None:
    """The same trigger or message is answered as before, and one hook is made."""
    request = stage.request(door, "in add night --room #general")
    first = await stage.send(f"/commands/{door}", request)
    if door == "slack":
        request = stage.resigned(request)
    again = await stage.send(f"/commands/{door}", request)
    assert first[0] == again[0] == 200
    assert (await stage.hook_names()).count("night") == 1
    if door == "slack":
        assert json.loads(first[1])["text"] == json.loads(again[1])["text"]


@pytest.mark.parametrize("door", ["mattermost", "rocketchat"])
async def test_a_door_without_signature_manages_no_people(stage: Stage, door: str) -> None:
    """Whoever has the token can be anybody: `user`, `export` and `import` are refused there."""
    for line in ("user list", "export"):
        assert text_of(await stage.say(door, line)).startswith("Not done [forbidden]")
    assert not text_of(await stage.say("slack", "user list")).startswith("Not done")


async def test_slow_work_is_acknowledged_and_answered_later(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The response is empty and comes at once; the answer follows to the response address."""
    monkeypatch.setattr(chat_doors, "ACK_S", 0.0)
    assert await stage.send("/commands/slack", stage.request("slack", "in list")) == (200, b"")
    late = await stage.api.arrived()
    assert late.path == "/late"
    assert late.json["response_type"] == "ephemeral"
    assert "#1" in late.json["text"]
    assert await stage.send("/commands/mattermost", stage.request("mattermost", "in list")) == (200, b"{}")
    assert "#1" in (await stage.api.arrived()).json["text"]


async def test_answers_under_way_are_sent_before_the_server_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was acknowledged gets an answer, also when the server stops right then."""
    monkeypatch.setattr(chat_doors, "ACK_S", 0.0)
    async with receiving(accepting) as api:
        async with staged(tmp_path / "data") as stage:
            late = f"http://127.0.0.1:{api.port}/late"
            request = stage.request("slack", "in list", response_url=late)
            assert await stage.send("/commands/slack", request) == (200, b"")
        assert "#1" in (await api.arrived()).json["text"]


async def test_a_button_in_slack_confirms_for_who_asked_and_once(stage: Stage) -> None:
    """Another person's press is refused, the right one's replaces the message, a second finds nothing."""
    asked = await stage.say("slack", f"in rotate-token {stage.first}")
    line = button(asked, "Rotate")
    stranger = {"id": "U7777", "username": "owner", "team_id": TEAMS["slack"]}
    assert await stage.press(line, user=stranger) == (200, b"")
    assert "Done" not in (await stage.api.arrived()).json["text"]
    assert await stage.press(line) == (200, b"")
    done = (await stage.api.arrived()).json
    assert done["text"].startswith("Done")
    assert (done["response_type"], done["replace_original"]) == ("ephemeral", True)
    assert f"/hooks/{stage.first}/" in done["text"]
    assert await stage.press(line) == (200, b"")
    assert (await stage.api.arrived()).json["text"].startswith("Not done")


async def test_a_button_in_mattermost_confirms_in_place(stage: Stage) -> None:
    """The press proves itself by its ticket; the post it stands on becomes the answer, without buttons."""
    asked = await stage.say("mattermost", f"in rotate-token {stage.first}")
    rotate = next(one for one in asked["attachments"][0]["actions"] if one["name"] == "Rotate")["integration"]
    assert rotate["url"].startswith(f"{stage.server.services.base_url}/interactions/mattermost?team=")
    forged = chats.mattermost_press(rotate["url"], {"ticket": "A" * 200})
    status, body = await stage.send("/interactions/mattermost", forged)
    assert (status, json.loads(body)) == UNAUTHENTICATED
    status, body = await stage.send(
        "/interactions/mattermost", chats.mattermost_press(rotate["url"], rotate["context"])
    )
    update = json.loads(body)["update"]
    assert update["message"].startswith("Done")
    assert update["props"] == {"attachments": []}


async def test_a_confirmation_opens_a_dialog_in_mattermost(with_bot: Stage) -> None:
    """Something destructive asks in a dialog, too; cancelling it ends the proposal."""
    asked = await with_bot.say("mattermost", f"in rotate-token {with_bot.first}")
    opened = await with_bot.api.arrived()
    assert opened.path == "/api/v4/actions/dialogs/open"
    assert opened.json["dialog"]["elements"] == []
    request = chats.mattermost_submission(opened.body, {}, cancelled=True)
    assert (await with_bot.send("/interactions/mattermost", request))[0] == 200
    assert (await with_bot.api.arrived()).json["text"].startswith("Done")
    rotate = asked["attachments"][0]["actions"][0]["integration"]
    pressed = chats.mattermost_press(rotate["url"], rotate["context"])
    _, body = await with_bot.send("/interactions/mattermost", pressed)
    assert json.loads(body)["update"]["message"].startswith("Not done")


def slack_filled(stage: Stage, opened: Sent, secret: str) -> Request:
    """Fill in the modal that was opened in Slack."""
    view = opened.json["view"]
    block = view["blocks"][0]
    state = {"values": {block["block_id"]: {block["element"]["action_id"]: {"value": secret}}}}
    payload = {
        "type": "view_submission",
        "team": {"id": TEAMS["slack"]},
        "user": {"id": USERS["slack"], "username": "roadrunner"},
        "trigger_id": "submitted1",
        "view": {**view, "id": "V1", "hash": "1.a", "state": state},
    }
    return stage.resigned(Request((), urlencode({"payload": json.dumps(payload)}).encode()))


def mattermost_filled(_: Stage, opened: Sent, secret: str) -> Request:
    """Fill in the dialog that was opened in Mattermost."""
    return chats.mattermost_submission(opened.body, {opened.json["dialog"]["elements"][0]["name"]: secret})


@pytest.mark.parametrize(
    ("door", "path", "fill"),
    [
        ("slack", "/views.open", slack_filled),
        ("mattermost", "/api/v4/actions/dialogs/open", mattermost_filled),
    ],
)
async def test_a_secret_is_entered_in_a_form_of_the_chat(
    with_bot: Stage, door: str, path: str, fill: Callable[[Stage, Sent, str], Request]
) -> None:
    """`?` opens a form over there; what is typed into it is kept, and nobody is shown it again."""
    asked = await with_bot.say(door, f"in edit {with_bot.first} --verify ?")
    assert "The form is open" in text_of(asked)
    opened = await with_bot.api.arrived()
    assert opened.path == path
    assert opened.headers.get("Authorization") == ("Bearer botId:bot-token-canary" if door == "slack" else None)
    status, body = await with_bot.send(f"/interactions/{door}", fill(with_bot, opened, "typed-canary-77"))
    assert (status, body) == (200, b"" if door == "slack" else b"{}")
    late = await with_bot.api.arrived()
    assert late.path == "/late"
    assert late.json["text"].startswith("Done")
    assert b"typed-canary-77" not in late.body
    async with with_bot.server.http.post(with_bot.server.hook, json={"text": "unsigned"}) as refused:
        assert refused.status == 401


@pytest.mark.parametrize("door", DOORS)
async def test_short_words_stand_for_their_command(stage: Stage, door: str) -> None:
    """`/why` and `/deliveries` may be registered too (decision 59); what answers propose begins with the root."""
    for word, text, part in (("deliveries", "", "0 deliveries"), ("why", "x", 'There is no message "x"')):
        if door == "rocketchat":
            request = stage.request(door, "")
            changed = json.loads(request.body) | {"text": f"!{word} {text}", "trigger_word": f"!{word}"}
            request = chats.with_body(request, json.dumps(changed).encode())
        else:
            request = stage.request(door, text, command=f"/{word}")
        said = text_of(json.loads((await stage.send(f"/commands/{door}", request))[1]))
        assert part in said
        assert f"{'!' if door == 'rocketchat' else '/'}{word} " not in said


async def test_a_room_is_named_as_its_chat_writes_it(stage: Stage) -> None:
    """Mattermost's `~general` is the room of that name; a text in quotes stays as it is."""
    made = text_of(await stage.say("mattermost", 'in add builds --room ~general --alias "~ci ~bot"'))
    assert "posts to #general" in made
    hook = next(each for each in await stage.server.services.directory.hooks() if each.name == "builds")
    assert (hook.channels, hook.alias) == (("#general",), "~ci ~bot")


@pytest.mark.parametrize("forged", [False, True])
async def test_a_public_line_with_a_secret_is_deleted_where_we_may(with_bot: Stage, forged: bool) -> None:
    """The secret is refused and the line deleted, unless the message it is said to be says something else."""
    line = f"in edit {with_bot.first} --verify canary-of-a-secret"
    there = {
        "_id": "trigger1",
        "rid": "GENERAL",
        "msg": "a message of somebody" if forged else f"!hook {line}",
        "u": {"_id": USERS["rocketchat"]},
    }
    with_bot.api.answer = lambda _: web.json_response({"success": True, "message": there})
    said = text_of(await with_bot.say("rocketchat", line))
    paths = [await with_bot.api.arrived() for _ in range(2 if forged else 3)]
    assert paths[0].path == "/api/v1/chat.getMessage?msgId=trigger1"
    if not forged:
        assert (paths[1].path, paths[1].json) == ("/api/v1/chat.delete", {"roomId": "GENERAL", "msgId": "trigger1"})
    assert ("The line was deleted." in said) is not forged
    assert (paths[-1].path, "/forms/" in paths[-1].json["text"]) == ("/api/v1/chat.postMessage", True)
    assert said.startswith("Not done [forbidden].")
    assert "sent to you directly" in said
    assert "canary-of-a-secret" not in said + paths[-1].json["text"]


@pytest.mark.parametrize("door", DOORS)
async def test_where_no_form_opens_a_page_takes_the_secret(stage: Stage, door: str) -> None:
    """Without a bot over there the person gets a one-time address, and nobody else does."""
    asked = await stage.say(door, f"in edit {stage.first} --verify ?")
    if door == "rocketchat":
        assert "/forms/" not in text_of(asked)
        rooms = (await stage.server.get("im.list"))["ims"]
        said = (await stage.server.get("im.history", roomId=rooms[0]["_id"]))["messages"][0]["msg"]
    else:
        said = text_of(asked)
        assert asked["response_type"] == "ephemeral"
    address = next(word for word in said.split() if "/forms/" in word)
    async with stage.server.http.get(f"{stage.server.url}/forms/{address.rsplit('/', 1)[1]}") as page:
        assert page.status == 200


async def test_a_trigger_word_never_shows_a_secret_in_the_room(stage: Stage) -> None:
    """The room learns that an address was sent; the address comes directly, from rocket.cat here."""
    said = text_of(await stage.say("rocketchat", f"in rotate-token {stage.first} -y"))
    assert f"/hooks/{stage.first}/" not in said
    rooms = (await stage.server.get("im.list"))["ims"]
    direct = (await stage.server.get("im.history", roomId=rooms[0]["_id"]))["messages"][0]["msg"]
    assert f"/hooks/{stage.first}/" in direct


async def test_a_site_is_the_same_with_and_without_a_slash(stage: Stage) -> None:
    """Whoever connects a Rocket.Chat server may copy its address as its hooks send it."""
    services = stage.server.services
    owner = await services.directory.user_named("owner")
    assert owner is not None
    new = NewChat(
        kind=WorkspaceKind.ROCKETCHAT, name="second", team_id="https://second.example.test/", secret=chats.SECRET
    )
    assert isinstance(await services.chats.add(owner, new, door="cli"), Workspace)
    request = chats.rocketchat_message("help", siteUrl="https://second.example.test/")
    assert (await stage.send("/commands/rocketchat", request))[0] == 200


async def test_with_a_bot_over_there_the_secret_is_sent_in_that_chat(with_bot: Stage) -> None:
    """The direct message goes to the id of the linked person, whatever the name says."""
    said = text_of(await with_bot.say("rocketchat", f"in rotate-token {with_bot.first} -y", user_name="mallory"))
    sent = await with_bot.api.arrived()
    assert sent.path == "/api/v1/chat.postMessage"
    assert (sent.headers["X-User-Id"], sent.headers["X-Auth-Token"]) == ("botId", "bot-token-canary")
    assert sent.json["channel"] == f"@{USERS['rocketchat']}"
    assert f"/hooks/{with_bot.first}/" in sent.json["text"]
    assert f"/hooks/{with_bot.first}/" not in said


async def test_a_plugin_of_mattermost_gets_completion(stage: Stage) -> None:
    """What may follow is served with the token, and only with it."""
    fields = {
        "user_input": "/hook in li",
        "team_id": chats.MM_TEAM,
        "user_id": chats.MM_USER,
        "channel_id": chats.MM_CHANNEL,
    }
    request = Request((("Authorization", f"Token {chats.SECRET}"),), b"", urlencode(fields))
    status, body = await stage.send("/commands/mattermost/complete", request, "GET")
    assert status == 200
    assert [one["Item"] for one in json.loads(body)] == ["list"]
    unproven = await stage.send("/commands/mattermost/complete", replace(request, headers=()), "GET")
    assert (unproven[0], json.loads(unproven[1])) == UNAUTHENTICATED


async def test_too_many_commands_are_told_in_the_chat(tmp_path: Path) -> None:
    """A limit is an answer people can read: the chat would show an error's number otherwise."""
    async with staged(tmp_path / "data", api_rate_per_minute=20) as stage:
        answers = [text_of(await stage.say("slack", "help")) for _ in range(22)]
    assert not answers[0].startswith("Not done")
    assert answers[-1].startswith("Not done [limited]")


def test_requests_are_what_the_systems_send() -> None:
    """The samples themselves are forms with the fields of the contract (chat-dialects.md §1.1, §2.1)."""
    slack, mattermost = (dict(parse_qsl(chats.SAMPLES[name]("x").body.decode())) for name in ("slack", "mattermost"))
    assert {"command", "text", "user_id", "channel_id", "team_id", "response_url", "trigger_id"} <= set(slack)
    assert {"command", "text", "user_id", "channel_id", "team_id", "response_url", "trigger_id"} <= set(mattermost)
