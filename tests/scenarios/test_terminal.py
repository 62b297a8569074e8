"""Commands typed at a terminal and run by scripts, against a running server (decision 68)."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pexpect
import pytest

from tests.process import PATCHBAY, ROOT, ServerProcess, environment, patchbay

PASSWORD = "correct horse battery"
CANARY = "canary-51d0-token"
PROMPT = "\x1b[?2004h"
"""What a terminal is sent when a new prompt begins; redraws repeat the prompt's text."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path / "data", {"PATCHBAY_OWNER_PASSWORD": PASSWORD}) as running:
        yield running


@pytest.fixture
def token(server: ServerProcess) -> str:
    """A personal token of the owner."""
    made = patchbay("token", "add", "owner", "terminal", "--json", "--data", server.data)
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["X-Auth-Token"])


def hook_name(server: ServerProcess) -> str:
    """Return the name of the hook the first start made."""
    rows = json.loads(patchbay("hook", "list", "--json", "--data", server.data).stdout)
    return str(rows[0]["name"])


def terminal_at(url: str, token: str, command: str, *words: str, home: Path) -> "pexpect.spawn[str]":
    """Start a command in a pseudo-terminal of its own."""
    settings = {"PATCHBAY_TOKEN": token} if token else {}
    return pexpect.spawn(
        PATCHBAY[0],
        [*PATCHBAY[1:], command, "--url", url, *words],
        cwd=str(ROOT),
        # the terminal of a test answers no question about the cursor
        env={**environment(settings), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "HOME": str(home)},
        dimensions=(40, 140),
        encoding="utf-8",
        timeout=20,
    )


def test_a_conversation_at_a_terminal(server: ServerProcess, token: str, tmp_path: Path) -> None:
    """A line is completed while it is typed, answered, confirmed by the line a button shows, and remembered."""
    name = hook_name(server)
    chat = terminal_at(server.url, token, "chat", home=tmp_path)
    chat.expect_exact("Ctrl-D leaves")
    chat.expect_exact(PROMPT)
    chat.send("in li")
    chat.expect_exact("in list")  # the menu opens by itself
    chat.send("\t\r")
    chat.expect_exact(name)
    chat.expect_exact(PROMPT)
    chat.send(f"/hook in remove '{name}'\r")
    chat.expect(r"confirm ([0-9A-Z]{6})")
    code = chat.match.group(1)
    chat.expect_exact("Cancel")
    chat.expect_exact(PROMPT)
    chat.send(f"cancel {code}\r")
    chat.expect_exact("Done")
    chat.expect_exact(PROMPT)
    chat.send(f"out edit x --token {CANARY}\r")
    chat.expect_exact("Not done")
    chat.expect_exact(PROMPT)
    chat.send("half a line\x03")  # Ctrl-C gives the line up
    chat.expect_exact(PROMPT)
    chat.send("\x1b[A\r")  # the last line that was kept
    chat.expect(r"Not done|Done|Warning")
    chat.expect_exact(PROMPT)
    chat.sendeof()
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0
    history = tmp_path / ".patchbay_history"
    assert history.stat().st_mode & 0o777 == 0o600
    lines = history.read_text().splitlines()
    assert lines[:3] == ["in list", f"/hook in remove '{name}'", f"cancel {code}"]
    assert CANARY not in history.read_text()
    assert CANARY not in server.errors


def test_the_token_is_asked_for_without_being_shown(server: ServerProcess, token: str, tmp_path: Path) -> None:
    """It stands neither on the screen nor in the process list; a wrong one ends the conversation."""
    chat = terminal_at(server.url, "", "chat", home=tmp_path)
    chat.expect_exact("Personal access token: ")
    chat.sendline(token)
    chat.expect_exact("Ctrl-D leaves")
    assert token not in str(chat.before)
    chat.expect_exact(PROMPT)
    chat.send("exit\r")
    chat.expect(pexpect.EOF)
    chat.close()
    assert chat.exitstatus == 0
    wrong = terminal_at(server.url, "x" * 43, "chat", home=tmp_path)
    wrong.expect_exact("The server does not know this token")
    wrong.expect(pexpect.EOF)
    wrong.close()
    assert wrong.exitstatus == 1


FORM = {
    "title": "safe put",
    "line": "safe put --key ?",
    "fields": [
        {"name": "key", "label": "Key", "hint": "from its page", "secret": True, "required": True},
        {"name": "note", "label": "Note", "hint": "", "secret": False, "required": False},
    ],
}


@contextmanager
def asking(
    bodies: list[dict[str, object]], slow: tuple[threading.Event, threading.Event] | None = None
) -> Iterator[str]:
    """Play a server whose one command wants to be told something private; yields its address.

    Of `slow` the first event tells that the line `slow` has come, which is answered once the second is set.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.endswith("/complete"):
                said: dict[str, object] = {"suggestions": []}
            else:
                bodies.append(body)
                if slow is not None and body["line"] == "slow":
                    slow[0].set()
                    slow[1].wait(20)
                form = FORM if body["line"] and "values" not in body else None
                text = "Warning. safe put needs key." if form else "Done. It is in the safe."
                mark, code = ("Warning", "form") if form else ("Done", "ok")
                said = {"text": text, "mark": mark, "code": code, "private": True}
                said |= {"buttons": [], "form": form, "data": None}
            raw = json.dumps(said).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 # its name is the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("arguments", [["chat"], ["hook", "safe", "put", "--key", "?"]])
def test_what_is_private_is_asked_for_and_not_shown(arguments: list[str], tmp_path: Path) -> None:
    """In a conversation and for a single line: stars on the screen, nothing in the history, empty ones left out."""
    bodies: list[dict[str, object]] = []
    with asking(bodies) as url:
        child = terminal_at(url, "x" * 43, *arguments, home=tmp_path)
        if arguments == ["chat"]:
            child.expect_exact(PROMPT)
            child.send("safe put --key ?\r")
            child.expect_exact("safe put needs key")
        child.expect_exact("Key (from its page):")
        child.send("\r")  # it is required
        child.send(f"{CANARY}\r")
        child.expect_exact("Note (may stay empty):")
        screen = str(child.before)
        child.send("\r")
        child.expect_exact("It is in the safe.")
        if arguments == ["chat"]:
            child.expect_exact(PROMPT)
            child.sendeof()
        child.expect(pexpect.EOF)
        child.close()
    assert child.exitstatus == 0
    assert "*" in screen
    assert CANARY not in screen + str(child.before)
    sent = bodies[-1]
    assert (sent["line"], sent["values"]) == ("safe put --key ?", {"key": CANARY})
    history = tmp_path / ".patchbay_history"
    assert not history.exists() or history.read_text() == "safe put --key ?\n"


def test_a_form_given_up_sends_nothing(tmp_path: Path) -> None:
    """Ctrl-C in a field leaves the form, not the conversation; a script without a terminal is told."""
    bodies: list[dict[str, object]] = []
    with asking(bodies) as url:
        chat = terminal_at(url, "x" * 43, "chat", home=tmp_path)
        chat.expect_exact(PROMPT)
        chat.send("safe put --key ?\r")
        chat.expect_exact("Key (from its page):")
        chat.send("\x03")
        chat.expect_exact("Given up; nothing was sent.")
        chat.expect_exact(PROMPT)
        chat.sendeof()
        chat.expect(pexpect.EOF)
        chat.close()
        assert chat.exitstatus == 0
        assert not any("values" in body for body in bodies)
        script = patchbay("hook", "--url", url, "safe", "put", "--key", "?", settings={"PATCHBAY_TOKEN": "x" * 43})
    assert script.returncode == 1
    assert "safe put needs key" in script.stderr


def test_waiting_can_be_given_up(tmp_path: Path) -> None:
    """Ctrl-C while the server is at work brings the prompt back."""
    bodies: list[dict[str, object]] = []
    arrived, answer = threading.Event(), threading.Event()
    with asking(bodies, (arrived, answer)) as url:
        chat = terminal_at(url, "x" * 43, "chat", home=tmp_path)
        chat.expect_exact(PROMPT)
        chat.send("slow\r")
        assert arrived.wait(20)
        chat.sendintr()
        chat.expect_exact("Not waited for any longer")
        chat.expect_exact(PROMPT)
        answer.set()
        chat.send("help\r")
        chat.expect_exact("safe put needs key")
        chat.close()


def test_a_script_runs_a_line(server: ServerProcess, token: str) -> None:
    """Text for people, JSON for programs, and an exit code that says how it went."""
    known, name = {"PATCHBAY_TOKEN": token}, hook_name(server)
    listed = patchbay("hook", "--url", server.url, "in", "list", settings=known)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert name in listed.stdout
    whole = patchbay("hook", "--url", server.url, "--json", "in list", settings=known)
    assert json.loads(whole.stdout)["code"] == "ok"
    as_data = patchbay("hook", "--url", server.url, "in", "list", "--json", settings=known)
    assert json.loads(as_data.stdout)["outcome"] == "Done"
    missing = patchbay("hook", "--url", server.url, "in", "show", "no such", settings=known)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "Next: patchbay hook" in missing.stderr
    usage = patchbay("hook", "--url", server.url, "in", "show", settings=known)
    assert usage.returncode == 2
    asked = patchbay("hook", "--url", server.url, "in", "remove", name, settings=known)
    assert asked.returncode == 3
    assert "patchbay hook confirm " in asked.stdout


def test_a_script_finds_the_server_of_its_data_folder(server: ServerProcess, token: str, tmp_path: Path) -> None:
    """Without --url; the token may come from a file, and old sub-commands still work on the folder."""
    file = tmp_path / "token"
    file.write_text(token + "\n")
    here = {"PATCHBAY_DATA": str(server.data)}
    done = patchbay("hook", "--token-file", str(file), "in list", settings=here)
    assert done.returncode == 0, done.stderr
    from_stdin = patchbay("hook", "--token-file", "-", "in list", settings=here, typed=token)
    assert from_stdin.stdout == done.stdout
    assert patchbay("hook", "list", settings=here).returncode == 0


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "text"),
    [
        (["hook", "in", "list"], {}, 2, "set PATCHBAY_TOKEN or use --token-file"),
        (["hook", "in", "list"], {"PATCHBAY_TOKEN": "bad token\r\n"}, 2, "This is no personal access token"),
        (["hook", "--url", "ftp://x", "in", "list"], {"PATCHBAY_TOKEN": "x"}, 2, "must start with http"),
        (["hook", "--url", "http://127.0.0.1:1", "in", "list"], {"PATCHBAY_TOKEN": "x"}, 1, "no connection"),
        (["hook", "--nonsense", "in", "list"], {"PATCHBAY_TOKEN": "x"}, 2, "No such option"),
        (["chat"], {"PATCHBAY_TOKEN": "x"}, 2, "A chat needs a terminal"),
    ],
)
def test_what_cannot_work_ends_with_a_sentence(
    arguments: list[str], settings: dict[str, str], code: int, text: str
) -> None:
    """No traceback, and the exit code tells a wrong call from a server that is not there."""
    done = patchbay(*arguments, settings=settings)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
