"""`patchbay workspace`: connecting another chat from the command line (decision 61)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.process import ServerProcess, patchbay

SECRET = "canary-8f742231b10e8888abcd99yyyzzz85a5"
BOT = "xoxb-canary-17653672481"
ALLOW = {"PATCHBAY_ALLOW_TARGETS": "127.0.0.1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder a server has filled and left."""
    folder = tmp_path_factory.mktemp("workspace") / "data"
    with ServerProcess(folder, {"PATCHBAY_BASE_URL": "https://hooks.example.test"}):
        pass
    return folder


@contextmanager
def slack(calls: list[tuple[str, str]]) -> Iterator[str]:
    """Play Slack's `auth.test`; yields the base address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            calls.append((self.path, self.headers["Authorization"]))
            body = json.dumps({"ok": True, "team_id": "T061EG9R6"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name is the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api"
        server.shutdown()


def test_a_slack_workspace_is_connected_and_shown_without_its_secrets(data: Path, tmp_path: Path) -> None:
    """Secrets come from files, the team from Slack itself, and what has to be entered there is printed."""
    (tmp_path / "bot").write_text(BOT + "\n")
    calls: list[tuple[str, str]] = []
    with slack(calls) as url:
        made = patchbay(
            *("workspace", "add", "slack", "Shop", "--secret-file", "-", "--bot-token-file", tmp_path / "bot"),
            *("--base-url", url, "--json", "--data", data),
            settings=ALLOW,
            typed=SECRET,
        )
    assert made.returncode == 0, made.stderr
    assert calls == [("/api/auth.test", f"Bearer {BOT}")]
    facts = json.loads(made.stdout)
    assert (facts["team"], facts["bot"]) == ("T061EG9R6", True)
    assert facts["request_url"] == "https://hooks.example.test/commands/slack"
    assert facts["interactivity_url"] == "https://hooks.example.test/interactions/slack"
    listed = patchbay("workspace", "list", "--json", "--data", data)
    assert [row["name"] for row in json.loads(listed.stdout)] == ["Shop"]
    table = patchbay("workspace", "list", "--data", data)
    for output in (made, listed, table):
        assert "canary" not in output.stdout + output.stderr
    for file in data.rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes(), file
    gone = patchbay("workspace", "remove", "shop", "--yes", "--data", data)
    assert gone.returncode == 0, gone.stderr
    assert patchbay("workspace", "list", "--data", data).stdout == "No other chat is connected.\n"


def test_the_other_kinds_say_what_to_enter_there(data: Path) -> None:
    """Mattermost gets hint and description (decision 64), the App a secret made for it, shown once."""
    mattermost = patchbay(
        *("workspace", "add", "mattermost", "MM", "--team", "4xp9fdt77pncbef59f4k1qe83o", "--secret-file", "-"),
        *("--json", "--data", data),
        typed=SECRET,
    )
    facts = json.loads(mattermost.stdout)
    assert facts["request_url"].endswith("/commands/mattermost")
    assert facts["completion_url"].endswith("/commands/mattermost/complete")
    assert facts["autocomplete_hint"]
    assert facts["autocomplete_description"]
    rocketchat = patchbay(
        *("workspace", "add", "rocketchat", "RC", "--team", "https://chat.example.test", "--secret-file", "-"),
        *("--json", "--data", data),
        typed=SECRET,
    )
    assert json.loads(rocketchat.stdout)["trigger_words"] == "!hook"
    app = json.loads(patchbay("workspace", "add", "rocketchat-app", "App", "--json", "--data", data).stdout)
    assert app["workspace_id"] == app["id"] == app["team"]
    assert len(app["secret"]) >= 43
    assert app["secret"] not in patchbay("workspace", "list", "--json", "--data", data).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["add", "slack", "X", "--team", "T1"], 2, "use --secret-file"),
        (["add", "slack", "X", "--secret-file", "-"], 1, "Name the team id"),
        (["add", "slack", "X", "--secret-file", "-", "--bot-token-file", "-"], 2, "only one of them"),
        (["add", "slack", "X", "--team", "T1", "--secret", SECRET], 2, "No such option"),
        (["add", "irc", "X"], 2, "is not one of"),
        (["remove", "nobody", "--yes"], 1, "There is no workspace 'nobody'"),
        (["remove", "nobody"], 2, "use --yes"),
    ],
)
def test_what_is_missing_is_said(data: Path, arguments: list[str], code: int, text: str) -> None:
    """A secret is no argument: it would stand in the process list."""
    done = patchbay("workspace", *arguments, "--data", data, typed=SECRET)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
