"""Every door a line can come through, as one shape: requests as each system sends them, signed as it signs."""

import html
import json
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final  # Any: answers of other chats are free-form JSON
from urllib.parse import urlencode

import aiohttp
from aiohttp import web

from handlers.chat import rocketchat_app
from handlers.chat_adapter import Request
from handlers.signing import v0
from storage.records.changes import Changes
from storage.records.workspace import Workspace, WorkspaceKind
from tests import chats
from tests.clock import ManualClock
from tests.connected import connect, link
from tests.scenarios.receiver import Receiver, Sent, receiving
from tests.server import Server, serving

DESK: Final = "desk"
"""The room in which lines are typed where the door has rooms of this server."""
BOT_TOKEN: Final = "botId:canary-bot-token-5d21"

_CODE = re.compile(r"confirm ([A-Z0-9]{6})")
PAGE = re.compile(r"/forms/([\w-]+)")


@dataclass(frozen=True, slots=True)
class Said:
    """What came back: `text` is what the caller reads, `room` what everybody else reads, too."""

    text: str
    room: str = ""
    buttons: Mapping[str, Any] = field(default_factory=dict)
    """What a press sends, by label."""
    form: Any = None
    """What opened for private input, where the chat has that."""

    @property
    def code(self) -> str:
        """Return the code a confirmation asks for."""
        found = _CODE.search(self.text)
        assert found is not None, self.text
        return found[1]


@dataclass
class Stage:
    """A server, the other chats as one receiver of calls, and the person who types."""

    server: Server
    clock: ManualClock
    api: Receiver
    who: dict[str, str]
    desk: str
    """Id of the room lines are typed in."""
    requests: int = 0
    directs: int = 0
    """Direct messages of `rocket.cat` that were read already."""

    def number(self) -> int:
        self.requests += 1
        return self.requests

    async def send(self, path: str, request: Request) -> tuple[int, bytes]:
        """Send a request as it is."""
        url = f"{self.server.url}{path}" + (f"?{request.query}" if request.query else "")
        async with self.server.http.post(url, data=request.body, headers=dict(request.headers)) as response:
            return response.status, await response.read()

    async def sent(self, request: Request, path: str) -> Any:
        """Send a request that is understood, and return what it answers with."""
        status, body = await self.send(path, request)
        assert status == 200, body
        return json.loads(body or b"{}")

    async def called(self, path: str, trigger: str | None = None) -> Sent:
        """Wait for a call to the other chat, for one trigger where it is a dialog; those before it are left aside."""
        while True:
            found = await self.api.arrived()
            if found.path == path and trigger in (None, found.json.get("trigger_id")):
                return found

    async def directly(self) -> list[str]:
        """Return what `rocket.cat` wrote to the person since the last look, oldest first."""
        found: list[str] = []
        for room in (await self.server.get("im.list", who=self.who))["ims"]:
            history = await self.server.get("im.history", who=self.who, roomId=room["_id"], count="100")
            found += [message["msg"] for message in reversed(history["messages"])]
        new, self.directs = found[self.directs :], len(found)
        return new

    async def fill_page(self, said: Said, values: Mapping[str, str]) -> Said:
        """Fill in the one-time page whose address an answer holds; what is secret comes directly."""
        code = PAGE.search(said.text)
        assert code is not None, said.text
        async with self.server.http.post(f"{self.server.url}/forms/{code[1]}", data=dict(values)) as response:
            page = html.unescape(re.sub(r"<[^>]*>", " ", await response.text()))
            assert response.status == 200, page
        written = await self.directly()
        return Said(written[-1]) if written else Said(page[page.index(_outcome(page)) :])


def _outcome(page: str) -> str:
    found = re.search(r"(Done|Warning|Not done)( \[[a-z-]+\])?\. ", page)
    assert found is not None, page
    return found[0]


class AnyDoor(ABC):
    """One way in; `name` is what the audit calls it."""

    name: str
    signed: bool = True
    stands_here: bool = False
    """It is of this server: answers for the room are posted in the room the line was typed in."""
    has_buttons: bool = False

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def open(self) -> None:
        """Prepare the door: connect the chat, make the token."""

    async def close(self) -> None:
        """Leave."""

    @abstractmethod
    async def say(self, line: str) -> Said:
        """Type a line."""

    async def press(self, what: Any) -> Said:
        """Press a button."""
        raise NotImplementedError

    async def fill(self, said: Said, values: Mapping[str, str]) -> Said:
        """Give private input by the way this door has for it."""
        return await self.stage.fill_page(said, values)

    async def confirm(self, said: Said, name: str = "") -> Said:
        """Say yes: by the button where the door has one, else by the code."""
        if self.has_buttons and not name:
            return await self.press(next(iter(said.buttons.values())))
        return await self.say(f"confirm {said.code} {name}".rstrip())


# --- this server's own --------------------------------------------------------------------------------


class Rest(AnyDoor):
    """`commands.run`."""

    name = "rooms"
    stands_here = True

    async def say(self, line: str) -> Said:
        stage = self.stage
        body = {"command": "hook", "roomId": stage.desk, "params": line, "triggerId": f"t{stage.number()}"}
        return Said((await stage.server.post("commands.run", body, who=stage.who))["result"])


class Socket(AnyDoor):
    """`slashCommand`, over one connection."""

    name = "rooms"
    stands_here = True

    async def open(self) -> None:
        self._socket: aiohttp.ClientWebSocketResponse = await self.stage.server.http.ws_connect(
            f"{self.stage.server.url}/websocket"
        )
        await self._socket.send_json({"msg": "connect", "version": "1", "support": ["1"]})
        await self._call("login", {"resume": self.stage.who["X-Auth-Token"]})

    async def close(self) -> None:
        await self._socket.close()

    async def say(self, line: str) -> Said:
        given = {"cmd": "hook", "params": line, "msg": {"rid": self.stage.desk}, "triggerId": f"t{self.stage.number()}"}
        return Said(str(await self._call("slashCommand", given)))

    async def _call(self, method: str, given: object) -> Any:
        number = f"m{self.stage.number()}"
        await self._socket.send_json({"msg": "method", "method": method, "id": number, "params": [given]})
        while True:
            frame = await self._socket.receive_json(timeout=20)
            if frame["msg"] == "result" and frame["id"] == number:
                assert "error" not in frame, frame
                return frame["result"]


class Terminal(AnyDoor):
    """`/commands/terminal`, whose buttons are lines and whose forms are asked for line by line."""

    name = "terminal"
    stands_here = True
    has_buttons = True

    async def open(self) -> None:
        made = await self.stage.server.post(
            "users.generatePersonalAccessToken", {"tokenName": "terminal"}, who=self.stage.who
        )
        self.token = str(made["token"])

    async def say(self, line: str) -> Said:
        return await self._run({"line": line})

    async def press(self, what: Any) -> Said:
        return await self.say(what)

    async def fill(self, said: Said, values: Mapping[str, str]) -> Said:
        assert {one["name"] for one in said.form["fields"]} == set(values)
        return await self._run({"line": said.form["line"], "values": dict(values)})

    async def _run(self, body: dict[str, object]) -> Said:
        stage = self.stage
        sent = {**body, "room": f"#{DESK}", "id": f"r{stage.number()}"}
        headers = {"Authorization": f"Bearer {self.token}"}
        async with stage.server.http.post(
            f"{stage.server.url}/commands/terminal", json=sent, headers=headers
        ) as response:
            answer = await response.json()
            assert response.status == 200, answer
        return Said(
            answer["text"],
            buttons={button["label"]: button["line"] for button in answer["buttons"]},
            form=answer["form"],
        )


# --- other chats --------------------------------------------------------------------------------------


class OtherChat(AnyDoor):
    """A chat that is connected, in which the person is linked by id."""

    kind: WorkspaceKind
    team: str
    user: str
    bot_token: str | None = None

    async def open(self) -> None:
        server = self.stage.server
        made = await connect(server, self.kind, team_id=self.team, secret=chats.SECRET)
        if self.bot_token:
            whole = replace(made, bot_token=self.bot_token, base_url=f"http://127.0.0.1:{self.stage.api.port}")
            await server.services.store.commit(Changes(drop_workspaces=(made.id,)))
            await server.services.store.commit(Changes(new_workspaces=(whole,)))
            made = whole
        self.workspace: Workspace = made
        await link(server, made, self.user, "ann")

    def late(self) -> tuple[str, str]:
        """Return a response address of its own, and its path."""
        path = f"/late/{self.stage.number()}"
        return path, f"http://127.0.0.1:{self.stage.api.port}{path}"


class App(OtherChat):
    """Our own Rocket.Chat App: signed, answers for the caller or the room, no buttons."""

    name = "rocketchat-app"
    kind = WorkspaceKind.ROCKETCHAT_APP
    team = "site-of-the-app"
    user = "hW3pTq8mKz5sXvB2d"

    async def say(self, line: str) -> Said:
        body = json.dumps(
            {
                "version": 1,
                "kind": "command",
                "workspace": self.team,
                "request_id": f"{self.stage.number():032x}",
                "command": "hook",
                "text": line,
                "user": {"id": self.user, "username": "ann"},
                "room": {"id": "rOps"},
                "thread_id": None,
            }
        ).encode()
        at = self.stage.clock.now() // 1000
        signed = v0.sign(chats.SECRET.encode(), timestamp=at, body=body, headers=rocketchat_app.HEADERS)
        answers = (await self.stage.sent(Request(tuple(signed.items()), body), "/commands/rocketchat-app"))["answers"]
        room = "\n".join(one["text"] for one in answers if one["to"] == "room")
        return Said("\n".join(one["text"] for one in answers), room)


class Slack(OtherChat):
    """Slack: signed, ephemeral answers, buttons, modals."""

    name = "slack"
    kind = WorkspaceKind.SLACK
    team = "T1DC2JH3J"
    user = "U2CERLKJA"
    bot_token = BOT_TOKEN
    has_buttons = True

    async def say(self, line: str) -> Said:
        path, late = self.late()
        escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        form = {"response_url": late, "trigger_id": f"trigger{self.stage.number()}"}
        answer = await self.stage.sent(self._signed(chats.slack_command(escaped, **form)), "/commands/slack")
        answer = answer or (await self.stage.called(path)).json
        opened = await self.stage.called("/views.open") if "The form is open" in answer["text"] else None
        return _of_slack(answer, opened and opened.json["view"])

    async def press(self, what: Any) -> Said:
        path, late = self.late()
        given: dict[str, Any] = {"trigger_id": f"press{self.stage.number()}", "response_url": late}
        assert await self.stage.sent(self._signed(chats.slack_press(what, **given)), "/interactions/slack") == {}
        return _of_slack((await self.stage.called(path)).json)

    async def fill(self, said: Said, values: Mapping[str, str]) -> Said:
        inputs = {block["block_id"]: block["element"]["action_id"] for block in said.form["blocks"]}
        given = dict(zip(inputs, values.values(), strict=True))
        state = {"values": {block: {inputs[block]: {"value": value}} for block, value in given.items()}}
        payload = {
            "type": "view_submission",
            "team": {"id": self.team},
            "user": {"id": self.user, "username": "ann"},
            "trigger_id": f"submitted{self.stage.number()}",
            "view": {**said.form, "id": f"V{self.stage.number()}", "hash": "1.a", "state": state},
        }
        body = urlencode({"payload": json.dumps(payload)}).encode()
        answer = await self.stage.sent(self._signed(Request((), body)), "/interactions/slack")
        if errors := answer.get("errors"):
            return Said(next(iter(errors.values())))
        while not (late := await self.stage.api.arrived()).path.startswith("/late/"):
            pass
        return _of_slack(late.json)

    def _signed(self, request: Request) -> Request:
        return chats.slack_signed(request.body, now=self.stage.clock.now())


def _of_slack(answer: Mapping[str, Any], form: object = None) -> Said:
    sections = [block["text"]["text"] for block in answer["blocks"] if block["type"] == "section"]
    text = html.unescape("\n".join(sections))
    pressed = [one for block in answer["blocks"] if block["type"] == "actions" for one in block["elements"]]
    buttons = {one["text"]["text"]: one["value"] for one in pressed}
    return Said(text, "" if answer["response_type"] == "ephemeral" else text, buttons, form)


class Mattermost(OtherChat):
    """Mattermost: a token and no signature, ephemeral answers, buttons, dialogs."""

    name = "mattermost"
    kind = WorkspaceKind.MATTERMOST
    team = chats.MM_TEAM
    user = chats.MM_USER
    bot_token = BOT_TOKEN
    signed = False
    has_buttons = True

    async def say(self, line: str) -> Said:
        path, late = self.late()
        form = {"response_url": late, "trigger_id": f"trigger{self.stage.number()}"}
        answer = await self.stage.sent(chats.mattermost_command(line, **form), "/commands/mattermost")
        answer = answer or (await self.stage.called(path)).json
        is_form = "The form is open" in answer["text"]
        # a question opens a dialog, too
        path = "/api/v4/actions/dialogs/open"
        opened = await self.stage.called(path, form["trigger_id"]) if is_form else None
        return _of_mattermost(answer, opened)

    async def press(self, what: Any) -> Said:
        given = {"trigger_id": f"press{self.stage.number()}"}
        pressed = chats.mattermost_press(what["url"], what["context"], **given)
        answer = await self.stage.sent(pressed, "/interactions/mattermost")
        whispered = answer.get("ephemeral_text", "")
        return Said("\n".join(filter(None, [answer.get("update", {}).get("message", ""), whispered])))

    async def fill(self, said: Said, values: Mapping[str, str]) -> Said:
        answer = await self.stage.sent(chats.mattermost_submission(said.form, values), "/interactions/mattermost")
        if error := answer.get("error"):
            return Said(error)
        while not (late := await self.stage.api.arrived()).path.startswith("/late/"):
            pass
        return _of_mattermost(late.json, None)


def _of_mattermost(answer: Mapping[str, Any], opened: Sent | None) -> Said:
    actions = [action for attachment in answer.get("attachments", ()) for action in attachment["actions"]]
    buttons = {action["name"]: action["integration"] for action in actions}
    text = str(answer["text"])
    return Said(text, "" if answer["response_type"] == "ephemeral" else text, buttons, opened and opened.body)


class TriggerWord(OtherChat):
    """Rocket.Chat's outgoing webhook: a token, no whispering; what is secret comes as a direct message."""

    name = "rocketchat"
    kind = WorkspaceKind.ROCKETCHAT
    team = chats.SITE
    user = "hW3pTq8mKz5sXvB2d"
    signed = False

    async def say(self, line: str) -> Said:
        request = chats.rocketchat_message(line, message_id=f"m{self.stage.number()}", user_name="ann")
        room = str((await self.stage.sent(request, "/commands/rocketchat")).get("text", ""))
        return Said("\n".join(await self.stage.directly()) or room, room)


DOORS: Final[Mapping[str, type[AnyDoor]]] = {
    "commands.run": Rest,
    "slashCommand": Socket,
    "terminal": Terminal,
    "rocketchat-app": App,
    "slack": Slack,
    "mattermost": Mattermost,
    "trigger-word": TriggerWord,
}


def accepting(_: Sent) -> web.Response:
    """Play the other chat's interface: everything is fine."""
    return web.json_response({"ok": True, "success": True})


@asynccontextmanager
async def through(door: str, folder: Path, role: str = "admin", **settings: Any) -> AsyncIterator[AnyDoor]:
    """Start a server, and let Ann type through a door."""
    clock = ManualClock()
    async with receiving(accepting) as api, serving(folder, clock, **settings) as server:
        who = await server.user("ann", role)
        desk = (await server.post("channels.create", {"name": DESK}))["channel"]["_id"]
        await server.post("channels.invite", {"roomId": desk, "userId": who["X-User-Id"]})
        opened = DOORS[door](Stage(server, clock, api, who, desk))
        await opened.open()
        try:
            yield opened
        finally:
            await opened.close()
