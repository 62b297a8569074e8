"""The grep bar: no secret issued in a story stands in any output of it (`security.md` §3, decision 34)."""

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # answers are parsed JSON

import pytest
import structlog
from aiohttp import FormData, web
from aiohttp.test_utils import unused_port

from bot import log
from bot.workspace.hook_options import Options
from handlers.errors import Fault
from storage.ids import UserId
from storage.records.integration import Hook, OutgoingHook
from tests.delivering import until
from tests.scenarios.receiver import Sent, receiving
from tests.server import Server, serving

Headers = dict[str, str]

INCOMING = {
    "type": "webhook-incoming",
    "name": "ci",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general",
    "scriptEnabled": False,
}
OUTGOING = {**INCOMING, "type": "webhook-outgoing", "name": "bot", "event": "sendMessage", "triggerWords": ["!go"]}


@dataclass
class Story:
    """A server with the secrets it has issued or been told, and everything it has answered."""

    server: Server
    issued: dict[str, str]
    answers: list[tuple[str, str]] = field(default_factory=list)

    def secret(self, name: str) -> str:
        """Make up a secret; letters and digits only, so that no encoding can hide it from the search."""
        self.issued[name] = secrets.token_hex(20)
        return self.issued[name]

    async def ask(
        self, method: str, path: str, *, who: Headers | None = None, hands_out: bool = False, **sent: Any
    ) -> tuple[int, Any]:
        """Make a request and keep its answer, unless it is one that hands a secret to its owner."""
        headers = {**(self.server.owner if who is None else who), **sent.pop("headers", {})}
        async with self.server.http.request(method, f"{self.server.url}/{path}", headers=headers, **sent) as response:
            text = await response.text()
            if not hands_out:
                self.answers.append((f"{method} {path.partition('?')[0]}", f"{dict(response.headers)}\n{text}"))
            is_json = response.content_type == "application/json"
            return response.status, json.loads(text) if is_json else text

    async def call(self, name: str, body: object = None, *, who: Headers | None = None, hands_out: bool = False) -> Any:
        """Make a REST call that succeeds: with a body a POST, without one a GET."""
        method = "GET" if body is None else "POST"
        status, answer = await self.ask(method, f"api/v1/{name}", who=who, hands_out=hands_out, json=body)
        assert status == 200, answer
        return answer

    def found_in(self, where: str, text: str) -> list[tuple[str, str]]:
        """Return which secrets stand in a text."""
        return [(where, name) for name, secret in self.issued.items() if secret in text]


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Path]:
    """Everything the process logs, in one file."""
    path, root = tmp_path / "log.jsonl", logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with path.open("w", encoding="utf-8") as stream:
        log.configure("debug", stream)
        yield path
        structlog.reset_defaults()
        root.handlers, root.level = handlers, level


@pytest.fixture
async def story(tmp_path: Path, logs: Path) -> AsyncIterator[Story]:
    """A server whose owner's password is a secret of the story."""
    password = secrets.token_hex(20)
    async with serving(tmp_path / "data", owner_password=password, log_level="debug") as server:
        issued = {
            "owner's password": password,
            "owner's session": server.owner["X-Auth-Token"],
            "first hook's token": server.hook.rpartition("/")[2],
        }
        yield Story(server, issued)


async def test_no_secret_in_any_output(
    story: Story, tmp_path: Path, logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Passwords, tokens, keys and addresses are found nowhere but in the answers that hand them out."""
    await _people(story)
    await _incoming(story)
    await _outgoing(story)
    await _socket(story)
    await _mistakes(story)
    await _malformed(story)
    await _looking(story)

    files = [file for file in (tmp_path / "data").rglob("*") if file.is_file() and file.name != "patchbay.key"]
    outputs = [
        *story.answers,
        *((file.name, file.read_bytes().decode("latin-1")) for file in files),
        ("log", logs.read_text(encoding="utf-8")),
        ("standard output and error", "".join(capfd.readouterr())),
    ]
    assert len(story.issued) >= 30
    for where, known in {"GET metrics": "patchbay_", "patchbay.db-wal": "disk full", "log": "BadStatusLine"}.items():
        assert any(known in text for name, text in outputs if name == where), f"{where} was not searched"
    assert [hit for where, text in outputs for hit in story.found_in(where, text)] == []


async def _people(story: Story) -> None:
    """Make a user, change the password, log in both ways, make and replace personal tokens, send a file."""
    for name in ("first password", "ann's password"):
        story.secret(name)
        story.issued[f"digest of {name}"] = hashlib.sha256(story.issued[name].encode()).hexdigest()
    made = await story.call(
        "users.create",
        {
            "username": "ann",
            "name": "Ann",
            "email": "ann@example.test",
            "password": story.issued["first password"],
            "roles": ["admin"],
        },
    )
    change = {"userId": made["user"]["_id"], "data": {"password": story.issued["ann's password"]}}
    await story.call("users.update", change)
    for name, password in {
        "session": story.issued["ann's password"],
        "digest session": {"digest": story.issued["digest of ann's password"], "algorithm": "sha-256"},
    }.items():
        answer = await story.call("login", {"user": "ann", "password": password}, who={}, hands_out=True)
        story.issued[f"ann's {name}"] = answer["data"]["authToken"]
    ann = {"X-User-Id": made["user"]["_id"], "X-Auth-Token": story.issued["ann's session"]}
    for verb in ("generate", "regenerate"):
        answer = await story.call(f"users.{verb}PersonalAccessToken", {"tokenName": "ci"}, who=ann, hands_out=True)
        story.issued[f"{verb}d token"] = answer["token"]
    form = FormData({"msg": "see the log"})
    form.add_field("file", b"\x89PNG\r\n\x1a\n" + bytes(64), filename="graph.png", content_type="image/png")
    ann["X-Auth-Token"] = story.issued["regenerated token"]
    assert (await story.ask("POST", "api/v1/rooms.upload/GENERAL", who=ann, data=form))[0] == 200


async def _incoming(story: Story) -> None:
    """Make hooks with secrets; send what carries secrets of the sender's in headers and in keys nobody reads."""
    for secret in (story.secret("hook secret"), f"whsec_{story.secret('standard webhooks secret')}"):
        made = (await story.call("integrations.create", INCOMING, hands_out=True))["integration"]
        story.issued[f"token of {made['_id']}"] = made["token"]
        await _edit(story, made["_id"], Options(secret=secret))
        status, _ = await story.ask("POST", f"hooks/{made['_id']}/{made['token']}", who={}, json={"text": "unsigned"})
        assert status == 401
    hook = story.server.hook.partition("/hooks/")[2]
    sent = {
        "text": "disk full",
        "token": story.secret("sender's token"),
        "auth": {"password": story.secret("sender's password")},
    }
    headers = {
        "Authorization": f"Bearer {story.secret('bearer')}",
        "X-Api-Key": story.secret("sender's key"),
        "X-Hub-Signature-256": f"sha256={story.secret('signature')}",
    }
    assert (await story.ask("POST", f"hooks/{hook}", who={}, json=sent, headers=headers))[0] == 200
    assert (await story.ask("POST", f"hooks/{hook}?key={story.secret('query')}", who={}, data=b"{nonsense"))[0] == 400
    assert (await story.ask("GET", f"hooks/info/{hook}", who={}))[0] == 200
    assert (await story.ask("GET", f"hooks/{hook}/too/long", who={}))[0] == 404


def _echo(sent: Sent, **own: str) -> web.Response:
    """Refuse a call with everything it carried, as chatty error pages do, and with more than history keeps."""
    shown = {"error": f"Cannot POST {sent.path}", "got": sent.body.decode(), "headers": sent.headers, **own}
    return web.json_response(shown | {"trace": "x" * 4096}, status=500)


async def _outgoing(story: Story) -> None:
    """Call a receiver that answers with all it was sent, and one that is not there."""
    own = {name: story.secret(f"receiver's {name}") for name in ("db_password", "sessionToken")}
    async with receiving(lambda sent: _echo(sent, **own)) as receiver:
        base = f"http://127.0.0.1:{receiver.port}/services/{story.secret('part of the path')}"
        urls = [
            f"{base}?key={story.secret('key in the query')}",
            f"http://127.0.0.1:{unused_port()}/in?key={story.secret('key of nobody')}",
        ]
        body = {**OUTGOING, "urls": urls, "token": story.secret("outgoing token")}
        made = (await story.call("integrations.create", body, hands_out=True))["integration"]
        for number in (1, 2):
            edited = await _edit(story, made["_id"], Options(signing_key="new"))
            assert isinstance(edited, OutgoingHook)
            story.issued[f"signing key {number}"] = edited.signing_keys[0].key.removeprefix("whsec_")
        await story.call("chat.postMessage", {"channel": "#general", "text": "!go"})
        assert (await receiver.arrived()).json["token"] == story.issued["outgoing token"]

        async def both_failed() -> bool:
            history = await story.call(f"integrations.history?id={made['_id']}", hands_out=True)
            return [bool(entry.get("error")) for entry in history["history"]] == [True, True]

        await until(both_failed)
    _, history = await story.ask("GET", f"api/v1/integrations.history?id={made['_id']}", hands_out=True)
    shown = json.dumps(history)
    assert "Cannot POST" in shown
    for url in urls:  # whole addresses are shown to whoever manages the hook, as its record shows them
        shown = shown.replace(url, "")
    story.answers.append(("history", shown))


async def _socket(story: Story) -> None:
    """Log in over the socket in two ways, hear a message, and make mistakes there."""
    url = f"{story.server.url}/websocket"
    wrong = {"user": {"username": "ann"}, "password": story.secret("mistyped on the socket")}
    logins = [
        ({"resume": story.issued["regenerated token"]}, True),
        ({"user": {"username": "ann"}, "password": story.issued["ann's password"]}, True),
        (wrong, False),
    ]
    for credentials, right in logins:
        async with story.server.http.ws_connect(url) as socket:
            await socket.send_json({"msg": "connect", "version": "1", "support": ["1"]})
            story.answers.append(("socket", await socket.receive_str()))
            await socket.send_json({"msg": "method", "method": "login", "id": "1", "params": [credentials]})
            answer = await socket.receive_json()
            if not right:
                story.answers.append(("socket login refused", json.dumps(answer)))
                continue
            if answer["result"]["token"] not in story.issued.values():
                story.issued["socket session"] = answer["result"]["token"]
            await socket.send_json({"msg": "sub", "id": "2", "name": "stream-room-messages", "params": ["GENERAL"]})
            story.answers.append(("socket", await socket.receive_str()))
            await story.call("chat.postMessage", {"channel": "#general", "text": "heard?"})
            story.answers.append(("socket", await socket.receive_str()))
            unknown = {"msg": "method", "method": "nonsense", "id": "3", "params": [story.secret("parameter")]}
            await socket.send_json(unknown)
            story.answers.append(("socket", await socket.receive_str()))


async def _mistakes(story: Story) -> None:
    """Make the mistakes that carry a secret; each is refused, and no refusal repeats it."""
    hook = story.server.hook.split("/")[-2]
    owner = story.server.owner
    refused: list[tuple[str, dict[str, Any]]] = [
        ("api/v1/login", {"json": {"user": "ann", "password": story.secret("mistyped password")}}),
        ("api/v1/login", {"json": {"user": "ann", "password": [story.secret("password of a wrong type")]}}),
        ("api/v1/login", {"json": {"resume": story.secret("unknown session")}}),
        ("api/v1/logout", {"headers": {**owner, "X-Auth-Token": story.secret("wrong header")}}),
        (f"api/v1/no.such?token={story.secret('token in a query')}", {}),
        (f"hooks/{hook}/{story.secret('wrong hook token')}", {"json": {"text": "hello"}}),
        ("api/v1/chat.postMessage", {"data": f'{{"token": "{story.secret("broken off")}'}),
        ("api/v1/integrations.create", {"json": {**OUTGOING, "urls": [5], "token": [story.secret("token in a list")]}}),
        (
            "api/v1/integrations.create",
            {"json": {**OUTGOING, "urls": [f"http://127.0.0.2/in?key={story.secret('refused address')}"]}},
        ),
        (
            "api/v1/users.create",
            {"json": {"username": "an n", "name": "", "email": "-", "password": story.secret("password of nobody")}},
        ),
    ]
    for path, sent in refused:
        status, answer = await story.ask("POST", path, **sent)
        assert 400 <= status < 500, answer


async def _malformed(story: Story) -> None:
    """Send what is no HTTP; the answer may quote it to its sender, the log may not."""
    host, _, port = story.server.url.removeprefix("http://").partition(":")
    token = story.issued["first hook's token"]
    for request in (
        f"POST /hooks/x/{token} HTTP/9.9\r\nHost: x\r\n\r\n",
        f"GET /health HTTP/1.1\r\nHost: x\r\nX-Auth-Token: {token}\x01\r\n\r\n",
        f"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: {token}\r\n\r\n",
        f"GET /hooks/x/{token}{'a' * 10_000} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET http://[{token} HTTP/1.1\r\nHost: x\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request.encode())
        assert (await reader.readline()).split()[1] in {b"400", b"431"}
        writer.close()
        await writer.wait_closed()


async def _looking(story: Story) -> None:
    """Look at everything there is to see."""
    for path in ("metrics", "health", "ready", "api/info", "api/v1/integrations.get?integrationId=none"):
        await story.ask("GET", path)
    calls = ("me", "users.list", "users.info?username=ann", "users.getPersonalAccessTokens", "rooms.get")
    for name in (*calls, "channels.list", "channels.history?roomId=GENERAL", "channels.members?roomName=general"):
        await story.call(name)
    lines = ("in list", "out list", "in show ci", "out show bot", "status", "status bot", "help")
    for line in lines:
        await story.call("commands.run", {"command": "hook", "roomId": "GENERAL", "params": f" {line}"})
    for room in (await story.call("im.list"))["ims"]:
        await story.call(f"im.history?roomId={room['_id']}")
    for shown in (await story.call("channels.history?roomId=GENERAL"))["messages"]:
        await story.call(f"chat.getMessage?msgId={shown['_id']}")


async def _edit(story: Story, hook_id: str, options: Options) -> Hook:
    """Set what the REST schema does not know, as the owner."""
    services = story.server.services
    owner = await services.directory.user(UserId(story.server.owner["X-User-Id"]))
    assert owner is not None
    edited = await services.hooks.edit(owner, hook_id, options)
    assert not isinstance(edited, Fault), edited
    return edited
