"""The realtime socket over a real connection: frames in, frames out (`rocketchat.md` §11.2, decisions 54–57)."""

import asyncio
import hashlib
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any  # frames are parsed JSON

import aiohttp
import pytest
from aiohttp import web

from bot.api.realtime.door import Realtime
from bot.api.realtime.session import Limits
from bot.compose import open_services
from bot.folder import Folder
from bot.web.bodies import RUNNER_OPTIONS
from bot.workspace.users import UserUpdate
from handlers.errors import Fault
from storage.ids import UserId
from tests.server import PASSWORD, Server, serving

Headers = dict[str, str]
NOT_ALLOWED = "Not allowed [error-not-allowed]"


class Bot:
    """A DDP client; events that arrive while it waits for an answer are kept for later."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws
        self._id = 0
        self._events: deque[dict[str, Any]] = deque()

    async def send(self, **frame: object) -> None:
        await self.ws.send_json(frame)

    async def frame(self) -> dict[str, Any]:
        """Return the next frame that is no ping."""
        async with asyncio.timeout(10):
            while True:
                parsed: dict[str, Any] = json.loads(await self.ws.receive_str())
                if parsed["msg"] != "ping":
                    return parsed

    async def answer(self, frame_id: str) -> dict[str, Any]:
        """Return the frame that answers a call or subscription."""
        while True:
            frame = await self.frame()
            if frame["msg"] == "changed":
                self._events.append(frame)
            if frame.get("id") == frame_id or frame_id in frame.get("subs", ()):
                return frame

    async def ask(self, method: str, *params: object) -> dict[str, Any]:
        """Call a method and return the whole answer."""
        self._id += 1
        await self.send(msg="method", method=method, id=f"m{self._id}", params=list(params))
        return await self.answer(f"m{self._id}")

    async def call(self, method: str, *params: object) -> Any:
        """Call a method that succeeds and return its result."""
        answer = await self.ask(method, *params)
        assert "error" not in answer, answer
        return answer.get("result")

    async def fault(self, method: str, *params: object) -> str:
        """Call a method that is refused and return the text."""
        return str((await self.ask(method, *params))["error"]["message"])

    async def hear(self, stream: str, event: str) -> dict[str, Any]:
        """Subscribe and return the answer."""
        self._id += 1
        options = {"useCollection": False, "args": []}
        await self.send(msg="sub", id=f"s{self._id}", name=stream, params=[event, options])
        return await self.answer(f"s{self._id}")

    async def event(self) -> tuple[str, str, list[Any]]:
        """Return stream, event name and arguments of the next event."""
        frame = self._events.popleft() if self._events else await self.frame()
        assert frame["msg"] == "changed", frame
        return frame["collection"], frame["fields"]["eventName"], frame["fields"]["args"]

    async def text(self) -> str:
        """Return the text of the next message heard."""
        return str((await self.event())[2][0]["msg"])

    async def closed(self) -> int | None:
        """Wait until the server closes, and return its code."""
        async with asyncio.timeout(10):
            async for _ in self.ws:
                pass
        return self.ws.close_code


@asynccontextmanager
async def connecting(server: Server, who: Headers | None = None, url: str | None = None) -> AsyncIterator[Bot]:
    """Connect; with the headers of a session, log in with its token."""
    async with server.http.ws_connect(f"{url or server.url}/websocket") as ws:
        bot = Bot(ws)
        await bot.send(msg="connect", version="1", support=["1"])
        assert (await bot.frame())["msg"] == "connected"
        if who is not None:
            assert (await bot.call("login", {"resume": who["X-Auth-Token"]}))["id"] == who["X-User-Id"]
        yield bot


@asynccontextmanager
async def door(server: Server, limits: Limits) -> AsyncIterator[str]:
    """Serve a second socket to the same workspace, with limits of the test's own."""
    app = web.Application()
    Realtime(server.services, limits).add_to(app)
    runner = web.AppRunner(app, access_log=None, **RUNNER_OPTIONS)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def post(server: Server, text: str, room: str = "GENERAL", who: Headers | None = None) -> dict[str, Any]:
    """Post over REST and return the message."""
    answer = await server.post("chat.postMessage", {"roomId": room, "text": text}, who=who)
    message: dict[str, Any] = answer["message"]
    return message


async def group(server: Server, name: str, *members: str) -> str:
    """Make a private room of the owner and others, and return its id."""
    answer = await server.post("groups.create", {"name": name, "members": list(members)})
    return str(answer["group"]["_id"])


# --- connecting and logging in ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        ({"msg": "ping"}, {"msg": "pong"}),
        ({"msg": "ping", "id": "7"}, {"msg": "pong", "id": "7"}),
        ({"msg": "connect", "version": "pre1"}, {"msg": "failed", "version": "1"}),
        (
            {"msg": "method", "method": "login", "id": "1", "params": []},
            {"msg": "error", "reason": "Must connect first"},
        ),
        ([], {"msg": "error", "reason": "Bad request: a frame is a JSON object."}),
    ],
)
async def test_frames_before_connect(server: Server, sent: object, answered: object) -> None:
    """A client must connect before it calls; pings are answered at any time."""
    async with server.http.ws_connect(f"{server.url}/websocket") as ws:
        await ws.send_json(sent)
        assert await Bot(ws).frame() == answered


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "x" * 300,
        '{"msg":"what"}',
        '{"msg":"unsub","id":"%s"}' % ("x" * 201),
        '{"msg":"method","id":"1"}',
        '{"msg":"sub","id":1,"name":"x"}',
        '{"msg":"ping","id":NaN}',
    ],
)
async def test_malformed_frames(server: Server, text: str) -> None:
    """A frame that makes no sense is named so, and the connection goes on."""
    async with connecting(server) as bot:
        await bot.ws.send_str(text)
        frame = await bot.frame()
        assert frame["msg"] == "error"
        assert frame["reason"].startswith("Bad request: ")
        await bot.send(msg="ping")
        assert await bot.frame() == {"msg": "pong"}


DIGEST = hashlib.sha256(PASSWORD.encode()).hexdigest()


@pytest.mark.parametrize(
    "password",
    [PASSWORD, {"digest": DIGEST, "algorithm": "sha-256"}, {"digest": DIGEST.upper(), "algorithm": "sha-256"}],
)
async def test_login_with_password(server: Server, password: object) -> None:
    """Plain and digest passwords log in; the token works at once, here and over REST."""
    async with connecting(server) as bot:
        result = await bot.call("login", {"user": {"username": "owner"}, "password": password})
        assert result.keys() == {"id", "token", "tokenExpires", "type"}
        assert result["type"] == "password"
        assert result["tokenExpires"]["$date"] > server.services.clock.now()
    who = {"X-User-Id": result["id"], "X-Auth-Token": result["token"]}
    assert (await server.get("me", who=who))["username"] == "owner"
    async with connecting(server) as bot:
        assert (await bot.call("login", {"resume": result["token"]}))["type"] == "resume"


@pytest.mark.parametrize(
    ("credentials", "code", "message"),
    [
        ({"user": {"username": "owner"}, "password": "wrong"}, 403, "Unauthorized [403]"),
        ({"user": {"username": "nobody"}, "password": "wrong"}, 403, "Unauthorized [403]"),
        (
            {"resume": "no-such-token"},
            403,
            "You've been logged out by the server. Please log in again. [403]",
        ),
        ("owner", 400, 'Send "user" and "password", or "resume" with a token. [400]'),
    ],
)
async def test_login_failures(server: Server, credentials: object, code: int, message: str) -> None:
    """A failed login says why in Meteor's shape, with a reason clients show."""
    async with connecting(server) as bot:
        error = (await bot.ask("login", credentials))["error"]
        assert error["error"] == code
        assert error["message"] == message
        assert error["reason"] == message.removesuffix(f" [{code}]")
        assert error["errorType"] == "Meteor.Error"


async def test_nothing_without_login(server: Server) -> None:
    """Calls and subscriptions need a login; headers and cookies of the request are none (decision 54)."""
    cookies = {"rc_uid": server.owner["X-User-Id"], "rc_token": server.owner["X-Auth-Token"]}
    headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
    async with server.http.ws_connect(f"{server.url}/websocket", headers=headers) as ws:
        bot = Bot(ws)
        await bot.send(msg="connect", version="1")
        await bot.frame()
        needed = "You must be logged in to do this. [error-invalid-user]"
        assert await bot.fault("rooms/get") == needed
        refused = await bot.hear("stream-room-messages", "GENERAL")
        assert (refused["msg"], refused["error"]["message"]) == ("nosub", needed)


async def test_logout(server: Server) -> None:
    """After `logout` the token is void, nothing more is heard, and the connection may log in again."""
    who = await server.user("ann")
    async with connecting(server, who) as bot:
        await bot.hear("stream-room-messages", "GENERAL")
        await bot.call("logout")
        assert (await server.api("GET", "me", who=who))[0] == 401
        await post(server, "unheard")
        await bot.call("login", {"user": {"username": "ann"}, "password": PASSWORD})
        await bot.hear("stream-room-messages", "GENERAL")
        await post(server, "heard")
        assert await bot.text() == "heard"


# --- messages ---------------------------------------------------------------------------------------


async def test_message_of_a_hook(server: Server) -> None:
    """What a hook posts arrives as the wire object, its times as EJSON dates."""
    async with connecting(server, server.owner) as bot:
        assert (await bot.hear("stream-room-messages", "GENERAL"))["msg"] == "ready"
        async with server.http.post(server.hook, json={"text": "build done", "alias": "ci"}) as response:
            assert response.status == 200
        frame = await bot.frame()
    stored = (await server.room_messages())[0]
    [message] = frame.pop("fields").pop("args")
    assert frame == {"msg": "changed", "collection": "stream-room-messages", "id": "id"}
    assert message["ts"] == message["_updatedAt"] == {"$date": message["ts"]["$date"]}
    assert (message["msg"], message["alias"], message["u"]["username"]) == ("build done", "ci", "rocket.cat")
    assert {**message, "ts": stored["ts"], "_updatedAt": stored["_updatedAt"]} == stored


async def test_changes_of_a_message(server: Server) -> None:
    """Edits and reactions come as the message as it is now, a deletion as its id."""
    message = await post(server, "first")
    async with connecting(server, server.owner) as bot:
        await bot.hear("stream-room-messages", "GENERAL")
        await bot.hear("stream-notify-room", "GENERAL/deleteMessage")
        edit = {"roomId": "GENERAL", "msgId": message["_id"], "text": "second"}
        await server.post("chat.update", edit)
        [edited] = (await bot.event())[2]
        assert edited["msg"] == "second"
        assert edited["editedAt"]["$date"] >= edited["ts"]["$date"]
        for _ in range(2):
            assert await bot.call("setReaction", ":rocket:", message["_id"], True) is None
            [reacted] = (await bot.event())[2]
            assert reacted["reactions"] == {":rocket:": {"usernames": ["owner"]}}
        await server.post("chat.delete", {"roomId": "GENERAL", "msgId": message["_id"]})
        assert await bot.event() == ("stream-notify-room", "GENERAL/deleteMessage", [{"_id": message["_id"]}])


async def test_my_messages(server: Server) -> None:
    """`__my_messages__` hears every room its reader may enter, says how they stand to it, and no other room."""
    ann = await server.user("ann")
    secret, shared_room = await group(server, "secret"), await group(server, "team", "ann")
    await server.post("channels.create", {"name": "open"})
    public = (await server.get("channels.info", roomName="open"))["channel"]["_id"]
    direct = (await server.post("im.create", {"username": "ann"}))["room"]["_id"]
    async with connecting(server, ann) as bot:
        await bot.hear("stream-room-messages", "__my_messages__")
        for room in (secret, shared_room, public, direct):
            await post(server, "hello", room)
        heard = [await bot.event() for _ in range(3)]
    assert [(event, args[0]["rid"], args[1]) for _, event, args in heard] == [
        ("__my_messages__", shared_room, {"roomParticipant": True, "roomType": "p", "roomName": "team"}),
        ("__my_messages__", public, {"roomParticipant": False, "roomType": "c", "roomName": "open"}),
        ("__my_messages__", direct, {"roomParticipant": True, "roomType": "d"}),
    ]


async def test_send_message_once(server: Server) -> None:
    """A message with a chosen id is posted once, however often it is sent (decision 56)."""
    wanted = {"_id": "0a1b2c3d4e5f", "rid": "GENERAL", "msg": "ping"}
    async with connecting(server, server.owner) as bot:
        first = await bot.call("sendMessage", wanted)
        again = await bot.call("sendMessage", {**wanted, "msg": "changed"})
        assert first == again
        assert (first["_id"], first["msg"], list(first["ts"])) == ("0a1b2c3d4e5f", "ping", ["$date"])
        reply = await bot.call("sendMessage", {"rid": "GENERAL", "msg": "pong", "tmid": first["_id"]})
        assert reply["tmid"] == first["_id"]
        history = await bot.call("loadHistory", "GENERAL", None, 2)
        assert [message["msg"] for message in history["messages"]] == ["pong", "ping"]


# --- rights, judged for every event -----------------------------------------------------------------


async def test_removed_member_hears_nothing_more(server: Server) -> None:
    """Who is put out of a private room hears nothing of it from then on, though still subscribed."""
    ann = await server.user("ann")
    room = await group(server, "team", "ann")
    async with connecting(server, ann) as bot:
        for event in (room, "__my_messages__", "GENERAL"):
            await bot.hear("stream-room-messages", event)
        await bot.hear("stream-notify-room", f"{room}/deleteMessage")
        await post(server, "before", room)
        assert [await bot.text(), await bot.text()] == ["before", "before"]
        await server.post("groups.kick", {"roomId": room, "userId": ann["X-User-Id"]})
        last = await post(server, "secret", room)
        await server.post("chat.delete", {"roomId": room, "msgId": last["_id"]})
        await post(server, "in public")
        assert [await bot.text(), await bot.text()] == ["in public", "in public"]
        assert await bot.fault("getRoomNameById", room) == NOT_ALLOWED


@pytest.mark.parametrize(
    ("stream", "event"),
    [
        ("stream-room-messages", "{room}"),
        ("stream-room-messages", "no-such-room"),
        ("stream-room-messages", ""),
        ("stream-notify-room", "{room}/typing"),
        ("stream-notify-user", "{owner}/message"),
        ("stream-notify-user", "{owner}/rooms-changed"),
    ],
)
async def test_refused_subscriptions(server: Server, stream: str, event: str) -> None:
    """Rooms one is not in, rooms that do not exist, and other people's events are refused alike."""
    ann, room = await server.user("ann"), await group(server, "team")
    async with connecting(server, ann) as bot:
        refused = await bot.hear(stream, event.format(room=room, owner=server.owner["X-User-Id"]))
    assert (refused["msg"], refused["error"]["message"]) == ("nosub", NOT_ALLOWED)


async def test_unknown_names(server: Server) -> None:
    """A method or stream that does not exist is refused with 404, a hostile name with a text."""
    async with connecting(server, server.owner) as bot:
        error = (await bot.ask("no/such"))["error"]
        assert (error["error"], error["message"]) == (404, "Method 'no/such' not found [404]")
        refused = await bot.hear("stream-notify-user", f"{server.owner['X-User-Id']}/{'x' * 200}")
        assert refused["error"]["reason"] == "The first parameter must be the name of an event, up to 200 characters."
        refused = await bot.hear("stream-nothing", "x")
        assert (refused["msg"], refused["error"]["message"]) == (
            "nosub",
            "Subscription 'stream-nothing' not found [404]",
        )


@pytest.mark.parametrize(
    ("call", "change"),
    [
        ("users.update", {"data": {"password": "another long password"}}),
        ("users.setActiveStatus", {"activeStatus": False}),
    ],
)
async def test_sockets_end_with_sessions(server: Server, call: str, change: dict[str, object]) -> None:
    """A new password or a deactivation ends the user's sockets at once, and nobody else's (decision 22)."""
    ann = await server.user("ann")
    async with connecting(server, ann) as bot, connecting(server, server.owner) as other:
        await server.post(call, {"userId": ann["X-User-Id"], **change})
        assert await bot.closed() == 1008
        assert await other.call("getRoomIdByNameOrId", "general") == "GENERAL"


async def test_another_process_ends_sessions(server: Server) -> None:
    """A password changed by the command line, beside the running server, ends the sockets too (decision 28)."""
    ann = await server.user("ann")
    here = server.services
    folder = Folder(here.settings.data)
    async with (
        connecting(server, ann) as bot,
        open_services(here.settings, folder, here.clock, base_url="", serving=False) as (elsewhere, _),
    ):
        owner = await elsewhere.directory.user_named("owner")
        assert owner is not None
        update = UserUpdate(password="another long password")
        changed = await elsewhere.users.update(owner, UserId(ann["X-User-Id"]), update)
        assert not isinstance(changed, Fault)
        assert await bot.closed() == 1008


async def test_logout_over_rest_ends_the_socket(server: Server) -> None:
    """A token that was given back over REST hears nothing more on the socket."""
    ann = await server.user("ann")
    async with connecting(server, ann) as bot:
        await bot.hear("stream-room-messages", "GENERAL")
        await server.post("logout", who=ann)
        await post(server, "unheard")
        assert await bot.closed() == 1008


async def test_lowered_role_counts_from_the_next_frame(server: Server) -> None:
    """Each call is judged with the role its user has then (decision 22)."""
    ann = await server.user("ann", "admin")
    async with connecting(server, ann) as bot:
        assert await bot.fault("clearIntegrationHistory", "x") == "Invalid integration [error-invalid-integration]"
        await server.post("users.update", {"userId": ann["X-User-Id"], "data": {"roles": ["user"]}})
        assert await bot.fault("clearIntegrationHistory", "x") == "Unauthorized [not_authorized]"


# --- the other methods and streams ------------------------------------------------------------------


async def test_rooms(server: Server) -> None:
    """Rooms are listed bare, or since a date in an object; found by id or name; joined and opened."""
    ann = await server.user("ann")
    open_room = (await server.post("channels.create", {"name": "open"}))["channel"]["_id"]
    async with connecting(server, ann) as bot:
        [general] = await bot.call("rooms/get")
        assert (general["_id"], general["t"], list(general["_updatedAt"])) == ("GENERAL", "c", ["$date"])
        later = {"$date": server.services.clock.now() + 60_000}
        assert await bot.call("rooms/get", later) == {"update": [], "remove": []}
        since_ever = await bot.call("rooms/get", {"$date": 0})
        assert [room["_id"] for room in since_ever["update"]] == ["GENERAL"]
        for name in ("open", open_room):
            assert await bot.call("getRoomIdByNameOrId", name) == open_room
        assert await bot.call("getRoomNameById", open_room) == "open"
        assert await bot.call("joinRoom", open_room) is True
        assert await bot.call("joinRoom", open_room) is True
        assert len(await bot.call("rooms/get")) == 2
        direct = await bot.call("createDirectMessage", "owner")
        assert (direct["t"], sorted(direct["usernames"])) == ("d", ["ann", "owner"])
        assert (await bot.call("sendMessage", {"rid": direct["rid"], "msg": "hi"}))["rid"] == direct["rid"]
        assert await bot.fault("createDirectMessage", "nobody") == "Invalid user [error-invalid-user]"


async def test_rooms_changed(server: Server) -> None:
    """`rooms-changed` tells of rooms one comes into, that change, and that one leaves."""
    ann = await server.user("ann")
    async with connecting(server, ann) as bot:
        await bot.hear("stream-notify-user", f"{ann['X-User-Id']}/rooms-changed")
        room = await group(server, "team", "ann")
        await server.post("groups.rename", {"roomId": room, "name": "crew"})
        await server.post("groups.kick", {"roomId": room, "userId": ann["X-User-Id"]})
        await server.post("groups.rename", {"roomId": room, "name": "hidden"})
        await server.post("im.create", {"username": "ann"})
        heard = [(await bot.event())[2] for _ in range(4)]
    assert [(what, shown.get("name")) for what, shown in heard] == [
        ("inserted", "team"),
        ("updated", "crew"),
        ("removed", None),
        ("inserted", None),
    ]
    assert heard[3][1]["t"] == "d"


async def test_typing(server: Server) -> None:
    """Typing is told to the others in the room, in one's own name only, and not to oneself."""
    ann, bob = await server.user("ann"), await server.user("bob")
    room = await group(server, "team", "ann")
    async with connecting(server, ann) as typist, connecting(server, server.owner) as reader:
        for bot in (typist, reader):
            await bot.hear("stream-notify-room", f"{room}/user-activity")
            await bot.hear("stream-room-messages", room)
        await typist.call("stream-notify-room", f"{room}/user-activity", "ann", ["user-typing"], {})
        assert await reader.event() == (
            "stream-notify-room",
            f"{room}/user-activity",
            ["ann", ["user-typing"], {}],
        )
        await post(server, "next", room)
        assert await typist.text() == "next"
        assert await typist.fault("stream-notify-room", f"{room}/typing", "owner", True) == NOT_ALLOWED
        assert await typist.fault("stream-notify-room", f"{room}/deleteMessage", "ann") == NOT_ALLOWED
    async with connecting(server, bob) as stranger:
        assert await stranger.fault("stream-notify-room", f"{room}/typing", "bob", True) == NOT_ALLOWED


async def test_slash_command(server: Server) -> None:
    """A command answers its caller with the text, and on all the caller's sockets with a private message."""
    async with connecting(server, server.owner) as bot, connecting(server, server.owner) as elsewhere:
        for one in (bot, elsewhere):
            await one.hear("stream-notify-user", f"{server.owner['X-User-Id']}/message")
        call = {"cmd": "hook", "params": " help", "msg": {"_id": "1", "rid": "GENERAL", "msg": "/hook help"}}
        result = await bot.call("slashCommand", {**call, "triggerId": "t"})
        [notice] = (await elsewhere.event())[2]
        assert (notice["msg"], notice["rid"], notice["private"]) == (result, "GENERAL", True)
        assert list(notice["ts"]) == ["$date"]
        unknown = "The command provided does not exist (or is disabled). [400]"
        assert await bot.fault("slashCommand", {**call, "cmd": "nothing"}) == unknown
    assert await server.room_messages() == []


async def test_history_of_outgoing_hooks(server: Server) -> None:
    """History is cleared and entries are replayed under the texts of §8."""
    hook = await server.post(
        "integrations.create",
        {
            "type": "webhook-outgoing",
            "name": "outward",
            "event": "sendMessage",
            "enabled": True,
            "username": "rocket.cat",
            "urls": ["http://127.0.0.1:9/"],
            "scriptEnabled": False,
            "channel": "#general",
        },
    )
    hook_id = hook["integration"]["_id"]
    ann = await server.user("ann")
    async with connecting(server, server.owner) as bot, connecting(server, ann) as other:
        assert await bot.call("clearIntegrationHistory", hook_id) is True
        replay = {"integrationId": hook_id, "historyId": "none"}
        missing = "Invalid Integration History [error-invalid-integration-history]"
        assert await bot.fault("replayOutgoingIntegration", replay) == missing
        assert await bot.fault("replayOutgoingIntegration") == "Invalid integration [error-invalid-integration]"
        assert await other.fault("replayOutgoingIntegration", replay) == "Unauthorized [not_authorized]"


# --- limits -----------------------------------------------------------------------------------------


async def test_login_deadline(server: Server) -> None:
    """Whoever does not log in in time is disconnected; whoever has stays."""
    async with (
        door(server, Limits(login_s=0.3)) as url,
        connecting(server, server.owner, url) as member,
        connecting(server, url=url) as stranger,
    ):
        assert await stranger.closed() == 1008
        assert await member.call("getRoomIdByNameOrId", "general") == "GENERAL"
        await member.call("logout")
        assert await member.closed() == 1008


async def test_silent_clients_are_pinged(server: Server) -> None:
    """The server pings too, for clients that hang up on a silent one."""
    async with door(server, Limits(ping_s=0.01)) as url, connecting(server, server.owner, url) as bot:
        assert json.loads(await bot.ws.receive_str()) == {"msg": "ping"}
        await bot.send(msg="pong")
        assert await bot.call("getRoomIdByNameOrId", "general") == "GENERAL"


@pytest.mark.parametrize(("length", "code"), [(64 * 1024, None), (64 * 1024 + 1, 1009)])
async def test_frame_size(server: Server, length: int, code: int | None) -> None:
    """Frames up to 64 KiB are read; a longer one ends the connection."""
    async with connecting(server, server.owner) as bot:
        frame = '{"msg":"ping","id":"1","fill":"%s"}'
        await bot.ws.send_str(frame % ("x" * (length - len(frame) + 2)))
        if code is None:
            assert await bot.frame() == {"msg": "pong", "id": "1"}
        else:
            assert await bot.closed() == code


async def test_binary_frames(server: Server) -> None:
    """Frames are text; a binary one ends the connection."""
    async with connecting(server) as bot:
        await bot.ws.send_bytes(b"{}")
        assert await bot.closed() == 1003


async def test_most_subscriptions(server: Server) -> None:
    """The 101st subscription is refused until one of the others ends."""
    async with connecting(server, server.owner) as bot:
        for _ in range(100):
            assert (await bot.hear("stream-room-messages", "GENERAL"))["msg"] == "ready"
        refused = await bot.hear("stream-room-messages", "GENERAL")
        assert (refused["msg"], refused["error"]["error"]) == ("nosub", "error-too-many-subscriptions")
        await bot.send(msg="unsub", id="s50")
        assert await bot.answer("s50") == {"msg": "nosub", "id": "s50"}
        assert (await bot.hear("stream-room-messages", "GENERAL"))["msg"] == "ready"


async def test_each_connection_hears_an_event_once(server: Server) -> None:
    """However often a connection has subscribed to a topic, a message costs it one frame, until the last one ends."""
    async with connecting(server, server.owner) as bot:
        for _ in range(3):
            assert (await bot.hear("stream-room-messages", "GENERAL"))["msg"] == "ready"
        for number in range(2):
            await server.post("chat.postMessage", {"channel": "#general", "text": f"once {number}"})
            assert await bot.text() == f"once {number}"
            await bot.send(msg="unsub", id=f"s{number + 2}")
            assert (await bot.answer(f"s{number + 2}"))["msg"] == "nosub"
        await server.post("chat.postMessage", {"channel": "#general", "text": "last"})
        assert await bot.text() == "last"


async def test_most_connections_of_a_user(server: Server) -> None:
    """One user is logged in on so many connections at most; one that closes or logs out lets another in."""
    other = await server.user("other")
    async with (
        door(server, Limits(connections=2)) as url,
        connecting(server, other, url),
        connecting(server, server.owner, url),
        connecting(server, None, url) as third,
    ):
        async with connecting(server, server.owner, url):
            fault = await third.fault("login", {"resume": server.owner["X-Auth-Token"]})
            assert fault.endswith("[error-too-many-connections]")
        await _admitted(third, server.owner)
        await third.call("logout")
        async with connecting(server, await server.login("owner"), url):
            pass


async def _admitted(bot: Bot, who: Headers) -> None:
    """Log in as soon as the server has noticed that another connection is closed."""
    async with asyncio.timeout(10):
        while "error" in await bot.ask("login", {"resume": who["X-Auth-Token"]}):
            pass


async def test_rate_limit(tmp_path: Path) -> None:
    """Calls and subscriptions count against the limit of REST, for each user; pings do not."""
    async with serving(tmp_path, api_rate_per_minute=3) as server, connecting(server, server.owner) as bot:
        for _ in range(3):
            assert await bot.call("getRoomIdByNameOrId", "general") == "GENERAL"
        error = (await bot.ask("getRoomIdByNameOrId", "general"))["error"]
        assert error["error"] == "error-too-many-requests"
        assert error["details"]["timeToReset"] > 0
        assert (await bot.hear("stream-room-messages", "GENERAL"))["error"]["error"] == "error-too-many-requests"
        await bot.send(msg="ping")
        assert await bot.frame() == {"msg": "pong"}


async def test_slow_readers_are_cut_off(server: Server) -> None:
    """A client that does not read is cut off, and the others hear everything."""
    text = "x" * 40_000
    async with (
        door(server, Limits(pending_bytes=256 * 1024)) as url,
        connecting(server, server.owner, url) as slow,
        connecting(server, server.owner, url) as quick,
    ):
        await quick.hear("stream-room-messages", "GENERAL")
        await post(server, text)
        assert await quick.text() == text

        async def ask_and_never_read() -> None:
            for number in range(2_000):
                await slow.send(msg="method", method="loadHistory", id=str(number), params=["GENERAL"])
                assert await quick.call("getRoomIdByNameOrId", "general") == "GENERAL"

        # answers of 80 KB overflow every buffer on the way, until the connection is gone
        with pytest.raises(ConnectionError):
            await ask_and_never_read()


async def test_shutdown(tmp_path: Path) -> None:
    """A server that stops says so to every socket."""
    async with aiohttp.ClientSession() as http:
        async with serving(tmp_path) as server:
            ws = await http.ws_connect(f"{server.url}/websocket")
            await ws.send_json({"msg": "connect", "version": "1"})
            await ws.receive()
            closing = asyncio.create_task(Bot(ws).closed())
        assert await closing == 1001


# --- floods -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    ["pong", "ping", "empty", "broken", "unknown", "unsub", "websocket ping", "websocket pong", "long"],
)
async def test_a_flood_of_frames_is_ended_with_a_reason(server: Server, kind: str) -> None:
    """Whatever a frame is, it counts, before login too; who sends too many is told so."""
    texts = {
        "pong": '{"msg":"pong"}',
        "ping": '{"msg":"ping"}',
        "empty": "",
        "broken": "{",
        "unknown": '{"msg":"what"}',
        "unsub": '{"msg":"unsub","id":"1"}',
        "long": "[" + "1," * 30_000 + "1]",
    }
    async with connecting(server) as bot:
        with suppress(ConnectionError):
            for _ in range(400):
                if kind in texts:
                    await bot.ws.send_str(texts[kind])
                elif kind == "websocket ping":
                    await bot.ws.ping(b"x")
                else:
                    await bot.ws.pong(b"x")
        message = await closing(bot)
        assert (message.data, message.extra) == (1008, "You send too many frames.")


async def test_a_logged_in_client_may_send_what_clients_send(server: Server) -> None:
    """A reconnecting client's burst of several hundred frames is handled whole."""
    async with connecting(server, server.owner) as bot:
        for _ in range(600):
            await bot.send(msg="ping", id="x")
        for _ in range(600):
            assert (await bot.frame())["msg"] == "pong"


async def test_a_client_that_hangs_up_in_the_middle_of_a_ping_is_no_fault(
    server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    """Pings whose answer nobody takes any more end the connection, without a trace."""
    for _ in range(20):
        async with server.http.ws_connect(f"{server.url}/websocket") as ws:
            for _ in range(50):
                await ws.ping(b"x")
            transport = ws._response.connection.transport  # type: ignore[union-attr] # aiohttp hides how to hang up
            assert transport is not None
            transport.abort()
    async with connecting(server) as bot:
        await bot.send(msg="ping")
        assert (await bot.frame())["msg"] == "pong"
    assert "unexpected fault" not in capfd.readouterr().out


async def test_others_get_in_while_many_connect_without_logging_in(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of those that do not log in the one that has waited longest makes room; who has logged in stays."""
    monkeypatch.setattr("bot.api.realtime.door.MOST_STRANGERS", 3)
    async with connecting(server, server.owner) as known, AsyncExitStack() as stack:
        strangers = [await stack.enter_async_context(connecting(server)) for _ in range(5)]
        for bot in strangers[:2]:
            assert (await closing(bot)).extra == "Too many connect without logging in; try again."
        for bot in (known, *strangers[2:]):
            await bot.send(msg="ping", id="x")
            assert await bot.frame() == {"msg": "pong", "id": "x"}


async def closing(bot: Bot) -> aiohttp.WSMessage:
    """Return the frame that ends a connection, whatever comes before it."""
    async with asyncio.timeout(10):
        while (message := await bot.ws.receive()).type is not aiohttp.WSMsgType.CLOSE:
            assert message.type is aiohttp.WSMsgType.TEXT, message
        return message
