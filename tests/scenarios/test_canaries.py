"""Secrets planted everywhere, the whole story and a pile of mistakes: nothing of them is found afterwards (§2.9, 5)."""

import itertools
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import structlog
from aiohttp import web

from bot import log
from storage.records.audit import AuditFilter
from storage.records.room import RoomKind
from tests import chats
from tests.command_talk import typed
from tests.doors import BOT_TOKEN, DOORS, through
from tests.doorway import Terminal
from tests.scenarios.receiver import Sent, receiving
from tests.server import PASSWORD
from tests.story import Story, told

MISTAKES = (
    "in edit ci-alerts --verify {} --bogus",
    "in edit ci-alerts --verify={} --room",
    "in edit no-such-hook --verify {}",
    "in edit ci-alerts --verify {} --verify {}",
    "in edit ci-alerts --verify {} stray words",
    "in edit ci-alerts --verify {} --expires never",
    "in edit ci-alerts --VERIFY {} --dry-run",
    "in edit ci-alerts —verify {} —bogus",
    "in edit ci-alerts --verify `{}` --bogus",
    'in edit ci-alerts --verify "{}',
    "in edit ci-alerts --verify '{} and more' --bogus",
    "in edit ci-alerts --clear verify --verify {}",
    "in edit ci-alerts --verify {}",
    "in edit ci-alerts --verfy {}",
    "in edit ci-alerts --verfy={}",
    "out edit watcher --tokne {} --retries 3",
    "user accept --pasword {}",
    "in add --verify {}",
    "in add x --room #no-such-room --verify {}",
    "in show ci-alerts --verify {}",
    "in lst --verify {}",
    "in --verify {}",
    "in edit ci-alerts verify={}",
    "in edit ci-alerts secret={}",
    "frobnicate --token {}",
    "--token {}",
    "out add x --event nonsense --url https://tool.example.test/{}",
    "out add x --event sendMessage --room #no-such-room --url https://tool.example.test/in?key={}",
    "out add x --event sendMessage --url not-an-address-{}",
    "out add x --event sendMessage --room #ops --url http://127.0.0.2:1/in?key={}",
    "out edit watcher --url https://user:{}@tool.example.test/ --retries many",
    "out edit watcher --url https://tool.example.test/{} --dry-run",
    "out edit watcher --token {} --retry-delay sometimes",
    "out edit watcher --token {} --token",
    "out edit watcher --token {}",
    "user accept --password {}",
    "user accept --password {} --bogus",
    "import --document {}",
    "help in edit --verify {}",
    "undo --token {}",
    "confirm ZZZZZZ --token {}",
    "why https://chat.example.test/x?token={}&msg=no.such",
)
"""Lines that hold a secret behind a flag or key that says so, nearly all of them refused; `{}` is one each."""


ANSWERED = "canary7password7in7an7answer"
"""A secret of the receiver's own, which nobody told us."""


def echoing(sent: Sent) -> web.Response:
    """Refuse a call with everything it carried, as chatty error pages do."""
    own = {"db": {"password": ANSWERED}, "got": sent.body.decode(), "at": sent.path, "headers": sent.headers}
    return web.json_response(own, status=400)


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


async def _mistaken(story: Story) -> None:
    """Type every mistake, each with canaries of its own."""
    for number, line in enumerate(MISTAKES):
        names = [f"canary7mistake{number}x{part}" for part in range(line.count("{}"))]
        story.issued |= {f"{line} ({name})": name for name in names}
        await story.say(line.format(*names))


async def _exported(story: Story) -> str:
    """Return the file an export makes."""
    server = story.door.stage.server
    answer = await typed(server, "owner", "export -y")
    address = re.search(r"http\S+", answer.text)
    assert address is not None, answer.text
    code = address[0].rpartition("/")[2]
    story.issued["address of the export"] = code
    async with server.http.post(address[0]) as response:
        text = await response.text()
    assert "ci-alerts" in text
    return text


@pytest.mark.parametrize("door", DOORS)
async def test_no_secret_is_found_anywhere(
    door: str, tmp_path: Path, logs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Rooms, notes, logs, audit, history, errors, the database and an export hold none of what was told in private."""
    found: dict[str, str] = {}
    handed: list[
        str
    ] = []  # direct messages: what hands a secret to its owner, and stands in the database (decision 34)
    owner = "canary7password7of7the7owner"
    data = tmp_path / "data"
    async with receiving(echoing) as tool, through(door, data, owner_password=owner, log_level="debug") as opened:
        server = opened.stage.server
        ops = (await server.post("channels.create", {"name": "ops"}))["channel"]["_id"]
        await server.post("channels.invite", {"roomId": ops, "userId": opened.stage.who["X-User-Id"]})
        story = Story(opened, tool)
        story.issued |= {
            "owner's password": owner,
            "ann's password": PASSWORD,
            "owner's session": server.owner["X-Auth-Token"],
            "ann's session": opened.stage.who["X-Auth-Token"],
            "first hook's token": server.hook.rpartition("/")[2],
            "secret of the chat": chats.SECRET,
            "bot token of the chat": BOT_TOKEN,
            "receiver's password": ANSWERED,
        }
        if isinstance(opened, Terminal):
            story.issued["personal token"] = opened.token
        code = await typed(server, "owner", "user link")
        if code.code == "ok" and isinstance(code.data, dict):
            story.issued["link code"] = str(code.data["code"])

        async def between(story: Story) -> None:
            await _mistaken(story)
            for line in ("in list", "out list", "in show ci-alerts", "out show watcher", "in history ci-alerts"):
                await story.say(line)
            await story.say("out history watcher")
            found["export"] = await _exported(story)

        await told(story, between)
        for room in await server.services.directory.rooms():
            messages, _ = await server.services.store.messages(room.id, count=500)
            if room.kind is RoomKind.DIRECT:
                handed += map(repr, messages)
            else:
                found[f"room {room.name}"] = "\n".join(map(repr, messages))
        rows, _ = await server.services.store.audit_rows(AuditFilter(org_id=server.services.directory.org), count=500)
        found["audit"] = json.dumps([asdict(row) for row in rows], default=str)
        found |= {f"answer {number}": said.text for number, said in enumerate(story.answers)}
        found |= {f"what others read of {number}": said.room for number, said in enumerate(story.whispers)}
        found["metrics"] = await (await server.http.get(f"{server.url}/metrics")).text()
        found |= _files(data)
    found |= {f"{name}, closed": text for name, text in _files(data).items()}
    found["log"] = logs.read_text(encoding="utf-8")
    found["standard output and error"] = "".join(capfd.readouterr())
    for where, known in {"log": "request", "audit": "in add", "room ops": "ci-alerts", "export": "watcher"}.items():
        assert known in found[where], f"{where} was not searched"
    assert len(story.issued) > 45
    hits = [
        (where, name)
        for (where, text), (name, secret) in itertools.product(found.items(), story.issued.items())
        if secret in text and not (where.startswith("file patchbay.db") and secret in "".join(handed))
    ]
    assert hits == []


def _files(data: Path) -> dict[str, str]:
    """Return what stands in the files of the data folder, but for the key itself."""
    files = [file for file in data.rglob("*") if file.is_file() and file.name != "patchbay.key"]
    return {f"file {file.name}": file.read_bytes().decode("latin-1") for file in files}
