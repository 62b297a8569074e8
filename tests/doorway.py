"""What every door of the tests has in common, and the doors of this server itself."""

import asyncio
import html
import json
import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, Final  # Any: answers of other chats are free-form JSON

import aiohttp
from aiohttp import web

from handlers.chat_adapter import Request
from tests.clock import ManualClock
from tests.scenarios.receiver import Receiver, Sent
from tests.server import Server

DESK: Final = "desk"
"""The room in which lines are typed where the door has rooms of this server."""

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
    late: str = ""
    """The path of the response address of the line, where there is one."""

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
    calls: defaultdict[str, asyncio.Queue[Sent]] = field(default_factory=lambda: defaultdict(asyncio.Queue))
    """What the server called over there, by path, and by trigger where it opens something."""
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

    async def called(self, path: str, trigger: str = "") -> Sent:
        """Wait for a call to the other chat."""
        async with asyncio.timeout(20):
            return await self.calls[path + trigger].get()

    def accept(self, sent: Sent) -> web.Response:
        """Play the other chat's interface: everything is fine."""
        self.calls[sent.path + str(sent.json.get("trigger_id", ""))].put_nowait(sent)
        return web.json_response({"ok": True, "success": True})

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
    person = "ann"
    signed: bool = True
    stands_here: bool = False
    """It is of this server: answers for the room are posted in the room the line was typed in."""
    has_buttons: bool = False

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    async def open(self) -> None:  # noqa: B027 # some doors need nothing
        """Prepare the door: connect the chat, make the token."""

    async def close(self) -> None:  # noqa: B027 # most doors hold nothing open
        """Leave."""

    async def other(self) -> "AnyDoor":
        """Return the same door for somebody else, an admin, too."""
        who = await self.stage.server.user("bob", "admin")
        await self.stage.server.post("channels.invite", {"roomId": self.stage.desk, "userId": who["X-User-Id"]})
        other = copy(self)
        other.stage = replace(self.stage, who=who, directs=0)
        other.person = "bob"
        return other

    @abstractmethod
    async def say(self, line: str) -> Said:
        """Type a line."""

    async def press(self, what: Any) -> Said:
        """Press a button, where the door shows any."""
        raise AssertionError(f"{type(self).__name__} shows no buttons")

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
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._socket: aiohttp.ClientWebSocketResponse = await self.stage.server.http.ws_connect(
            f"{self.stage.server.url}/websocket"
        )
        await self._socket.send_json({"msg": "connect", "version": "1", "support": ["1"]})
        self._reading = asyncio.create_task(self._read())
        await self._call("login", {"resume": self.stage.who["X-Auth-Token"]})

    async def other(self) -> AnyDoor:
        other = await super().other()
        await other.open()
        return other

    async def close(self) -> None:
        await self._socket.close()
        await self._reading

    async def say(self, line: str) -> Said:
        given = {"cmd": "hook", "params": line, "msg": {"rid": self.stage.desk}, "triggerId": f"t{self.stage.number()}"}
        return Said(str(await self._call("slashCommand", given)))

    async def _call(self, method: str, given: object) -> Any:
        number = f"m{self.stage.number()}"
        self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"msg": "method", "method": method, "id": number, "params": [given]})
        async with asyncio.timeout(20):
            frame = await self._answers[number]
        assert "error" not in frame, frame
        return frame["result"]

    async def _read(self) -> None:
        async for message in self._socket:
            frame = message.json()
            if frame["msg"] == "result":
                self._answers[frame["id"]].set_result(frame)


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

    async def other(self) -> AnyDoor:
        other = await super().other()
        await other.open()
        return other

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
