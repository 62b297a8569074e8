"""Dead letters from the command line: see why a delivery failed for good, and send it again (delivery.md §6)."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any  # what commands print is parsed JSON

import pytest

from tests.process import ServerProcess, patchbay
from tests.scenarios.test_cli import ask, done, eventually, login, refused
from tests.server import PASSWORD

HIDDEN = "k3y-of-the-address"


class Receiver:
    """Answers 500 with an echo of what it was sent until it is told to be well."""

    def __init__(self) -> None:
        self.is_well = False
        self.texts: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if outer.is_well:
                    outer.texts.append(json.loads(body)["text"])
                answer = b"" if outer.is_well else b"no: " + self.path.encode() + b" " + body
                self.send_response(200 if outer.is_well else 500)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/in/{HIDDEN}?key={HIDDEN}"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever)
    thread.start()
    yield receiver
    receiver.server.shutdown()
    thread.join()
    receiver.server.server_close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    settings = {"PATCHBAY_OWNER_PASSWORD": PASSWORD, "PATCHBAY_ALLOW_TARGETS": "127.0.0.1"}
    with ServerProcess(tmp_path / "data", settings) as running:
        yield running


@pytest.fixture
def run(server: ServerProcess) -> Callable[..., str]:
    """Run `patchbay hook …` beside the server; it must succeed."""
    return lambda *arguments, typed="": done(patchbay("hook", *arguments, "--data", server.data, typed=typed))


def fail_for_good(server: ServerProcess, receiver: Receiver, *texts: str) -> dict[str, str]:
    """Make a hook without retries and let it fail for each text; returns the headers of a login."""
    headers = login(server.url)
    hook = {
        "type": "webhook-outgoing",
        "name": "deploys",
        "enabled": True,
        "username": "rocket.cat",
        "event": "sendMessage",
        "channel": "#general",
        "urls": [receiver.url],
        "triggerWords": ["!go"],
        "token": "t0ken-of-the-hook",
        "scriptEnabled": False,
    }
    assert ask(f"{server.url}/api/v1/integrations.create", hook, headers)[0] == 200
    for text in texts:
        ask(f"{server.url}/api/v1/chat.postMessage", {"roomId": "GENERAL", "text": f"!go {text}"}, headers)
    return headers


def dead(run: Callable[..., str], count: int) -> list[dict[str, Any]]:
    """Wait until so many letters are dead; return them newest first."""
    assert eventually(lambda: len(json.loads(run("dead", "list", "--json"))) == count)
    letters: list[dict[str, Any]] = json.loads(run("dead", "list", "deploys", "--json"))
    return letters


def test_a_dead_letter_is_seen_and_sent_again(
    server: ServerProcess, receiver: Receiver, run: Callable[..., str]
) -> None:
    """It names hook, host, event, reason and the attempt, no secret; queued again beside the server it arrives."""
    fail_for_good(server, receiver, "one", "two")
    letters = dead(run, 2)
    one = letters[-1]
    [attempt] = one["attempts"]
    assert (one["state"], one["hook"], one["event"], one["tries"]) == ("dead", "deploys", "message.posted", 1)
    assert one["calls"] == f"http://127.0.0.1:{receiver.server.server_port}/…"
    assert "500" in one["reason"]
    assert (attempt["status"], attempt["answer"][:4]) == (500, "no: ")
    printed = run("dead", "list") + json.dumps(letters)
    for secret in (HIDDEN, "t0ken-of-the-hook"):
        assert secret not in printed

    receiver.is_well = True
    plan = json.loads(run("dead", "retry", "deploys", "--dry-run", "--json"))
    assert (plan["count"], [letter["id"] for letter in plan["sample"]]) == (2, [letters[1]["id"], letters[0]["id"]])
    assert run("dead", "retry", one["id"]) == "Done. 1 dead letter queued again.\n"
    assert eventually(lambda: receiver.texts == ["!go one"] and len(json.loads(run("dead", "list", "--json"))) == 1)
    delivered = json.loads(run("deliveries", "deploys", "--state", "delivered", "--json"))
    assert [each["status"] for each in delivered[0]["attempts"]] == [500, 200]
    refused(patchbay("hook", "dead", "retry", one["id"], "--data", server.data), f"{one['id']} is no dead letter")

    assert run("dead", "retry", "--all") == "Done. 1 dead letter queued again.\n"
    assert eventually(lambda: receiver.texts == ["!go one", "!go two"])
    assert eventually(lambda: run("dead", "list") == "There are no dead letters.\n")
    assert {each["state"] for each in json.loads(run("deliveries", "deploys", "--json"))} == {"delivered"}


def test_many_are_queued_again_only_after_a_question(
    server: ServerProcess, receiver: Receiver, run: Callable[..., str]
) -> None:
    """Over ten ask first; a list says when there is more."""
    headers = fail_for_good(server, receiver, *map(str, range(11)))
    dead(run, 11)
    plan = run("dead", "retry", "--all", "--dry-run")
    assert plan.startswith("11 dead letters would be queued again, first these:")
    assert len(plan.splitlines()) == 1 + 1 + 5
    declined = patchbay("hook", "dead", "retry", "--all", "--data", server.data, typed="n\n")
    assert (declined.returncode, declined.stdout) == (1, "")
    assert "Queue 11 dead letters again?" in declined.stderr
    some = patchbay("hook", "dead", "list", "deploys", "--count", "3", "--data", server.data)
    assert (len(some.stdout.splitlines()), "The newest 3 of 11" in some.stderr) == (4, True)
    receiver.is_well = True
    assert run("dead", "retry", "--all", "--yes") == "Done. 11 dead letters queued again.\n"
    assert eventually(lambda: len(receiver.texts) == 11)
    assert ask(f"{server.url}/api/v1/me", headers=headers)[0] == 200


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("dead", "retry"), 2, "or say --all"),
        (("dead", "retry", "first-hook", "--all"), 2, "or say --all"),
        (("dead", "retry", "dlv_99999"), 1, "There is no delivery dlv_99999"),
        (("dead", "retry", "nothing"), 1, "There is no hook 'nothing'"),
        (("dead", "retry", "first"), 1, "'first-hook'"),
        (("dead", "list", "nothing"), 1, "There is no hook 'nothing'"),
        (("deliveries", "first-hook", "--state", "lost"), 2, "--state"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    server: ServerProcess, arguments: tuple[str, ...], code: int, part: str
) -> None:
    """One sentence names what was wrong."""
    refused(patchbay("hook", *arguments, "--data", server.data), part, code=code)
