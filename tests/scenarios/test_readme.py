"""The README's commands, run as they stand there: what a newcomer pastes has to work."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import ROOT, ServerProcess
from tests.scenarios.test_cli import ask, eventually, login, texts

README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8084"
TOOL = "127.0.0.1:9000"
VENV = Path(sys.prefix)

pytestmark = pytest.mark.skipif(
    shutil.which("curl") is None or not (VENV / "bin" / "patchbay").exists(),
    reason="the README's commands need curl, and patchbay installed in a virtual environment",
)


def blocks(heading: str) -> list[str]:
    """Return the code blocks under a heading, up to the next one of its level."""
    section = re.split(r"^## ", README, flags=re.MULTILINE)
    [found] = [part for part in section if part.startswith(heading + "\n")]
    return re.findall(r"^```\w*\n(.*?)^```", found, re.MULTILINE | re.DOTALL)


class Newcomer:
    """Types blocks of the README in a folder like a fresh clone, with what they leave open filled in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.filled: dict[str, str] = {}
        self.exported: dict[str, str] = {}
        (folder / ".venv").symlink_to(VENV, target_is_directory=True)

    def fill(self, text: str) -> str:
        for placeholder, value in self.filled.items():
            text = text.replace(placeholder, value)
        return text

    def export(self, block: str) -> None:
        name, value = self.fill(block).strip().removeprefix("export ").split("=", 1)
        self.exported[name] = value

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")}
        return {**kept, **self.exported}

    def type(self, block: str) -> str:
        """Run a block in a shell, as far as its last line; it must succeed."""
        ended = subprocess.run(
            ["bash", "-e", "-c", self.fill(block)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, f"{block}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def read_first_start(self, server: ServerProcess) -> None:
        """Fill in what the first start printed."""
        [printed] = [line.strip() for line in server.first_start_lines if "curl " in line]
        *_, hook_id, token = printed.rsplit("/", 2)
        [password] = [line.split()[1] for line in server.first_start_lines if line.split()[:1] == ["Password"]]
        self.filled |= {ADDRESS: server.url, "ID/TOKEN": f"{hook_id}/{token}", '"PASSWORD"': f'"{password}"'}


@pytest.fixture
def newcomer(tmp_path: Path) -> Newcomer:
    folder = tmp_path / "patchbay"
    folder.mkdir()
    return Newcomer(folder)


@pytest.fixture
def free_port() -> Iterator[int]:
    """Reserve a port: it stays bound, and whoever sets SO_REUSEADDR may listen there."""
    with socket.socket() as reserved:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]


def test_the_two_commands_are_what_the_makefile_has() -> None:
    """`make run` ends in the very command these tests start, so they need not install again."""
    [start] = blocks("Start")
    assert [line.split("#")[0].strip() for line in start.splitlines()] == ["make run", "make test"]
    # the suite itself is run by make, which would tell this one that it is its child
    alone = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    planned = subprocess.run(["make", "-n", "run"], cwd=ROOT, env=alone, capture_output=True, text=True, check=True)
    assert planned.stdout.splitlines()[-1] == ".venv/bin/patchbay serve"


def test_the_first_minute(newcomer: Newcomer, free_port: int) -> None:
    """From the printed curl line to an answer of one's own tool in the room, block by block."""
    first_post, look, export, make_hook, tool, say = blocks("A first webhook in one minute")
    with ServerProcess(newcomer.folder / "data") as server:
        newcomer.read_first_start(server)
        [printed] = [line.strip() for line in server.first_start_lines if "curl " in line]
        assert newcomer.fill(first_post).strip() == printed
        assert json.loads(newcomer.type(first_post)) == {"success": True}
        log_in, history = look.splitlines()
        logged_in = json.loads(newcomer.type(log_in))["data"]
        newcomer.filled |= {"USER_ID": logged_in["userId"], "AUTH_TOKEN": logged_in["authToken"]}
        assert json.loads(newcomer.type(history))["messages"][0]["msg"] == "Hello from curl"
        assert server.stop() == 0

    newcomer.filled |= {TOOL: f"127.0.0.1:{free_port}", "9000": str(free_port)}
    newcomer.export(export)
    with ServerProcess(newcomer.folder / "data", newcomer.exported) as server:
        newcomer.filled[ADDRESS] = server.url
        newcomer.type(make_hook)
        quiet = subprocess.DEVNULL  # the tool prints what it gets, with the hook's token
        with subprocess.Popen(["bash", "-c", "exec " + newcomer.fill(tool)], stdout=quiet, stderr=quiet) as running:
            try:
                headers = {"X-User-Id": logged_in["userId"], "X-Auth-Token": logged_in["authToken"]}
                assert eventually(lambda: _listens(free_port) and _knows("deploys", server.url, headers))
                newcomer.type(say)
                assert eventually(lambda: texts(server.url, headers)[0] == "deploying")
                assert texts(server.url, headers)[1] == "!deploy api v2"
            finally:
                running.send_signal(signal.SIGKILL)


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


def _knows(hook: str, url: str, headers: dict[str, str]) -> bool:
    """Tell whether the server has noticed a hook made beside it, which takes up to a second (decision 28)."""
    _, listed = ask(f"{url}/api/v1/integrations.list", headers=headers)
    return hook in [each["name"] for each in listed["integrations"]]


def test_managing_it(newcomer: Newcomer) -> None:
    """Each line of the command line and the client's example do what they say."""
    commands, example, as_file = blocks("Manage it")
    _, _, export, make_hook, *_ = blocks("A first webhook in one minute")
    newcomer.export(export)
    with ServerProcess(newcomer.folder / "data", newcomer.exported) as server:
        newcomer.read_first_start(server)
        newcomer.type(make_hook)
        for line in commands.splitlines():
            newcomer.type(line)
        printed = newcomer.type(f"{sys.executable} - <<'END'\n{example}\nEND")
        listed = json.loads(newcomer.type(".venv/bin/patchbay hook list --json"))
        assert [each["name"] for each in listed] == ["first-hook", "deploys", "ci", "ask-the-tool"]
        assert listed[-1]["id"] == printed.strip()
        shown = json.loads(newcomer.type(".venv/bin/patchbay hook show ask-the-tool --json"))
        assert (shown["retries"], shown["triggers"]) == (6, ["!ask"])
        users = json.loads(newcomer.type(".venv/bin/patchbay user list --json"))
        assert {each["username"]: each["role"] for each in users}["ann"] == "editor"
        assert "4 unchanged" in newcomer.type(as_file)


def test_commands_in_one_minute(newcomer: Newcomer) -> None:
    """Every line is done, by the token of the first block, and the answer over REST lists what was made."""
    conversation, lines, over_rest = blocks("Commands in one minute")
    take_token, chat = conversation.splitlines()
    assert chat == ".venv/bin/patchbay chat"  # a conversation takes a terminal: see test_terminal.py
    with ServerProcess(newcomer.folder / "data") as server:
        newcomer.read_first_start(server)
        *_, made_again = newcomer.type(f"{take_token}\n{lines}").splitlines()
        assert made_again.startswith("Next: patchbay hook in test ci-alerts")
        headers = login(server.url, password=newcomer.filled['"PASSWORD"'].strip('"'))
        newcomer.filled |= {"USER_ID": headers["X-User-Id"], "AUTH_TOKEN": headers["X-Auth-Token"]}
        assert " · ci-alerts · " in json.loads(newcomer.type(over_rest))["result"]


def test_connecting_chats(newcomer: Newcomer) -> None:
    """The commands that connect other chats are taken as they stand there, and the App is packed."""
    [section] = [part for part in re.split(r"^## ", README, flags=re.MULTILINE) if part.startswith("Connect a chat\n")]
    lines = re.findall(r"`(patchbay (?:workspace add|rocketchat-app build) [^`…]*)`", section)
    assert len(lines) == 5
    (newcomer.folder / "secret").write_text("a-signing-secret")
    with ServerProcess(newcomer.folder / "data"):
        for line in lines:
            asks = line.startswith("patchbay workspace add") and "rocketchat-app" not in line
            newcomer.type(f".venv/bin/{line.replace('TEAM_ID', 't' * 26)}{' --secret-file secret' if asks else ''}")
        listed = json.loads(newcomer.type(".venv/bin/patchbay workspace list --json"))
    assert [each["kind"] for each in listed] == ["slack", "mattermost", "rocketchat-app", "rocketchat"]
    assert (newcomer.folder / "patchbay.zip").exists()


def test_backup_and_restore(newcomer: Newcomer) -> None:
    """The commands under “Backup and restore” bring a lost folder back, key included."""
    backup, restore = (block for block in blocks("Operate it") if "data/patchbay" in block)
    data = newcomer.folder / "data"
    with ServerProcess(data) as server:
        newcomer.read_first_start(server)
        newcomer.type(blocks("A first webhook in one minute")[0])
        newcomer.type(backup)
        assert server.stop() == 0
    shutil.rmtree(data)
    data.mkdir()
    shutil.copy(newcomer.folder / "../patchbay.key", data / "patchbay.key")
    assert "sound" in newcomer.type(restore)
    with ServerProcess(data) as server:
        headers = login(server.url, password=newcomer.filled['"PASSWORD"'].strip('"'))
        assert texts(server.url, headers) == ["Hello from curl"]
        newcomer.filled[ADDRESS] = server.url
        assert json.loads(newcomer.type(blocks("A first webhook in one minute")[0])) == {"success": True}
