"""Every door a line can come through, as one shape: requests as each system sends them, signed as it signs."""

import html
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final  # Any: answers of other chats are free-form JSON
from urllib.parse import urlencode

from handlers.chat import rocketchat_app
from handlers.chat_adapter import Request
from handlers.signing import v0
from storage.records.changes import Changes
from storage.records.workspace import Workspace, WorkspaceKind
from tests import chats
from tests.clock import ManualClock
from tests.connected import connect, link
from tests.doorway import DESK, AnyDoor, Rest, Said, Socket, Stage, Terminal
from tests.scenarios.receiver import receiving
from tests.server import serving

BOT_TOKEN: Final = "botId:canary-bot-token-5d21"


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

    async def other(self) -> AnyDoor:
        other = await super().other()
        assert isinstance(other, OtherChat)
        other.user = f"B{self.user[1:]}"
        await link(self.stage.server, self.workspace, other.user, "bob")
        return other

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
                "user": {"id": self.user, "username": self.person},
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
        form = {"response_url": late, "trigger_id": f"trigger{self.stage.number()}", "user_id": self.user}
        answer = await self.stage.sent(self._signed(chats.slack_command(escaped, **form)), "/commands/slack")
        answer = answer or (await self.stage.called(path)).json
        if "The form is open" not in answer["text"]:
            return _of_slack(answer)
        opened = await self.stage.called("/views.open", form["trigger_id"])
        return replace(_of_slack(answer), form=opened.json["view"], late=path)

    async def press(self, what: Any) -> Said:
        path, late = self.late()
        given: dict[str, Any] = {
            "trigger_id": f"press{self.stage.number()}",
            "response_url": late,
            "user": {"id": self.user, "username": "roadrunner", "team_id": self.team},
        }
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
        return _of_slack((await self.stage.called(said.late)).json)

    def _signed(self, request: Request) -> Request:
        return chats.slack_signed(request.body, now=self.stage.clock.now())


def _of_slack(answer: Mapping[str, Any]) -> Said:
    sections = [block["text"]["text"] for block in answer["blocks"] if block["type"] == "section"]
    text = html.unescape("\n".join(sections))
    pressed = [one for block in answer["blocks"] if block["type"] == "actions" for one in block["elements"]]
    buttons = {one["text"]["text"]: one["value"] for one in pressed}
    return Said(text, "" if answer["response_type"] == "ephemeral" else text, buttons)


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
        form = {"response_url": late, "trigger_id": f"trigger{self.stage.number()}", "user_id": self.user}
        answer = await self.stage.sent(chats.mattermost_command(line, **form), "/commands/mattermost")
        answer = answer or (await self.stage.called(path)).json
        if "The form is open" not in answer["text"]:
            return _of_mattermost(answer)
        opened = await self.stage.called("/api/v4/actions/dialogs/open", form["trigger_id"])
        return replace(_of_mattermost(answer), form=opened.body, late=path)

    async def press(self, what: Any) -> Said:
        given = {"trigger_id": f"press{self.stage.number()}", "user_id": self.user}
        pressed = chats.mattermost_press(what["url"], what["context"], **given)
        answer = await self.stage.sent(pressed, "/interactions/mattermost")
        whispered = answer.get("ephemeral_text", "")
        return Said("\n".join(filter(None, [answer.get("update", {}).get("message", ""), whispered])))

    async def fill(self, said: Said, values: Mapping[str, str]) -> Said:
        answer = await self.stage.sent(chats.mattermost_submission(said.form, values), "/interactions/mattermost")
        if error := answer.get("error"):
            return Said(error)
        return _of_mattermost((await self.stage.called(said.late)).json)


def _of_mattermost(answer: Mapping[str, Any]) -> Said:
    actions = [action for attachment in answer.get("attachments", ()) for action in attachment["actions"]]
    buttons = {action["name"]: action["integration"] for action in actions}
    text = str(answer["text"])
    return Said(text, "" if answer["response_type"] == "ephemeral" else text, buttons)


class TriggerWord(OtherChat):
    """Rocket.Chat's outgoing webhook: a token, no whispering; what is secret comes as a direct message."""

    name = "rocketchat"
    kind = WorkspaceKind.ROCKETCHAT
    team = chats.SITE
    user = "hW3pTq8mKz5sXvB2d"
    signed = False

    async def say(self, line: str) -> Said:
        ids = {"message_id": f"m{self.stage.number()}", "user_id": self.user}
        request = chats.rocketchat_message(line, user_name=self.person, **ids)
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


@asynccontextmanager
async def through(door: str, folder: Path, role: str = "admin", **settings: Any) -> AsyncIterator[AnyDoor]:
    """Start a server, and let Ann type through a door."""
    clock = ManualClock()
    async with receiving() as api, serving(folder, clock, **settings) as server:
        who = await server.user("ann", role)
        desk = (await server.post("channels.create", {"name": DESK}))["channel"]["_id"]
        await server.post("channels.invite", {"roomId": desk, "userId": who["X-User-Id"]})
        stage = Stage(server, clock, api, who, desk)
        api.answer = stage.accept
        opened = DOORS[door](stage)
        await opened.open()
        try:
            yield opened
        finally:
            await opened.close()
