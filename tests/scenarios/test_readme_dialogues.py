"""The README's sample dialogues, typed again: what stands there is what a server says."""

import asyncio
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final  # Any: messages are JSON

from aiohttp import web

from storage.records.workspace import WorkspaceKind
from tests import chats
from tests.connected import connect
from tests.scenarios.dialogues import Step, differs, filled, meant, page, steps
from tests.scenarios.receiver import Receiver, Sent, receiving
from tests.server import Server, serving

ROLES: Final = {"ann": "editor", "bob": "viewer", "mia": "admin", "cy": "admin"}
CAST: Final = (*ROLES, "tool")
PUBLIC: Final = "https://hooks.example.com"
CRM: Final = "https://crm.example.com"
"""What the page calls the receiver."""
DEADLINE_S: Final = 20.0


def refusing(_: Sent) -> web.Response:
    """Refuse for good, as a service does that misses something."""
    return web.Response(status=422)


@dataclass
class Stage:
    """A server with the page's people and its room, and how they type and read."""

    server: Server
    crm: Receiver
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    room: str = ""
    address: str = ""
    """Of the hook that was shown last."""
    values: dict[str, str] = field(default_factory=dict)
    """What the placeholders of what was said last stand for."""
    seen: set[str] = field(default_factory=set)
    """Messages of rooms that were compared, or typed."""
    typed: int = 0

    async def prepare(self) -> None:
        """Make the people, their room, and the Rocket.Chat server that is connected by a trigger word."""
        for name, role in ROLES.items():
            self.people[name] = await self.server.user(name, role)
        made = await self.server.post("channels.create", {"name": "ops", "members": list(ROLES)})
        self.room = made["channel"]["_id"]
        await connect(self.server, WorkspaceKind.ROCKETCHAT, team_id=chats.SITE, secret=chats.SECRET, name="chat")

    async def play(self, step: Step) -> None:
        """Type a line, and compare all that is said to it."""
        answered = await self._type(step)
        for said in step.said:
            heard = await self._heard(said.by) if said.by[:1] in ("#", "@") else answered
            assert not differs(said.text, heard), f"{step.who} types {step.typed}: {differs(said.text, heard)}"
            self.values |= meant(said.text, heard)
            if address := re.search(rf"{PUBLIC}(/hooks/\S+)", heard):
                self.address = f"{self.server.url}{address[1]}"
        if not any(said.by in ("", "room") for said in step.said):
            assert not answered, f"{step.who} types {step.typed}: the page leaves out\n{answered}"

    async def _type(self, step: Step) -> str:
        """Type a line where its person does; return what is answered there."""
        newest = (await self.server.get("channels.history", roomId=self.room))["messages"]
        link = f"{PUBLIC}/channel/ops?msg={newest[0]['_id']}" if newest else ""
        line = filled(step.typed, {**self.values, "LINK": link})
        if step.who == "tool":
            return await self._post(line)
        if line.startswith("!hook "):
            return await self._elsewhere(step.who, line.removeprefix("!hook "))
        if line.startswith("/hook "):
            params = line.removeprefix("/hook ").replace(CRM, f"http://127.0.0.1:{self.crm.port}")
            run = {"command": "hook", "roomId": self.room, "params": params}
            return self._named((await self.server.post("commands.run", run, who=self.people[step.who]))["result"])
        message = {"roomId": self.room, "text": line}
        sent = await self.server.post("chat.postMessage", message, who=self.people[step.who])
        self.seen.add(sent["message"]["_id"])
        return ""

    async def _post(self, body: str) -> str:
        """Post as a tool does, to the address that was shown last."""
        sender = {"User-Agent": "ci/3.1"}
        async with self.server.http.post(self.address, json=json.loads(body), headers=sender) as response:
            assert response.status == 200
        return ""

    async def _elsewhere(self, who: str, line: str) -> str:
        """Type in the other chat, which sends the message as its outgoing webhook does."""
        self.typed += 1
        request = chats.rocketchat_message(line, user_name=who, message_id=f"typed{self.typed}")
        url, headers = f"{self.server.url}/commands/rocketchat", dict(request.headers)
        async with self.server.http.post(url, data=request.body, headers=headers) as response:
            return self._named((await response.json())["text"])

    async def _heard(self, where: str) -> str:
        """Wait for the next message of a room, or of `rocket.cat` to somebody."""
        async with asyncio.timeout(DEADLINE_S):
            while not (new := [one for one in await self._messages(where) if one["_id"] not in self.seen]):
                pass  # every question is a request, which is wait enough
        self.seen.add(new[0]["_id"])
        return self._named(new[0]["msg"])

    async def left(self) -> list[str]:
        """Return what the room read and the page leaves out."""
        return [one["msg"] for one in await self._messages("#ops") if one["_id"] not in self.seen]

    async def _messages(self, where: str) -> list[dict[str, Any]]:
        """Return messages, oldest first."""
        if where.startswith("#"):
            found = await self.server.get("channels.history", roomId=self.room, count="100")
        else:
            who = self.people[where.removeprefix("@")]
            rooms = (await self.server.get("im.list", who=who))["ims"]
            found = await self.server.get("im.history", who=who, roomId=rooms[0]["_id"]) if rooms else {"messages": []}
        return [one for one in reversed(found["messages"]) if "t" not in one]

    def _named(self, text: str) -> str:
        """Write the receiver as the page does, without what is invisible: the mark that keeps `@cy` from calling."""
        visible = text.replace("\u2060", "").replace(f"http://127.0.0.1:{self.crm.port}", CRM)
        return visible.replace("127.0.0.1", CRM.partition("//")[2])


async def test_the_sample_dialogues_are_what_a_server_says(tmp_path: Path) -> None:
    """Every line of the page is typed by whom it names, and every answer and room note is the one that stands there."""
    async with receiving(refusing) as crm, serving(tmp_path / "data", base_url=PUBLIC) as server:
        stage = Stage(server, crm)
        await stage.prepare()
        for step in steps(page(), CAST):
            await stage.play(step)
        assert await stage.left() == []
