"""The bodies of `fixtures/hostile_bodies.jsonl` at the doors of a running server: a clear text, no 500, no stall."""

import asyncio
import json
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults import extent
from tests.faults.wire import Answer, exchange, request
from tests.hostile_bodies import CASES, Case, build
from tests.process import ServerProcess
from tests.server import PASSWORD

STALL_S = 0.050 if extent.FULL else 0.100
"""No body may keep others waiting longer: 50 ms, and in the bounded run what a slow shared machine adds."""
TRIES = 5
"""A shared machine delays answers on its own: a body stalls the loop when it does so every time."""


class Prober:
    """Asks the server for its health all the time, from a thread of its own, and keeps the longest wait."""

    def __init__(self, server: ServerProcess) -> None:
        self._address = urlsplit(server.url).netloc
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._longest = 0.0
        self._thread = threading.Thread(target=self._probe, daemon=True)

    def __enter__(self) -> "Prober":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _probe(self) -> None:
        with closing(HTTPConnection(self._address, timeout=30)) as connection:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._stop.is_set():
                started = time.perf_counter()
                connection.request("GET", "/health")
                connection.getresponse().read()
                with self._lock:
                    self._longest = max(self._longest, time.perf_counter() - started)

    def taken(self) -> float:
        """Return the longest wait since this was last asked."""
        with self._lock:
            longest, self._longest = self._longest, 0.0
        return longest


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One real process for all bodies: whatever a body leaves behind shows at the next."""
    data = tmp_path_factory.mktemp("hostile") / "data"
    with ServerProcess(data, {"PATCHBAY_OWNER_PASSWORD": PASSWORD}) as running:
        yield running
        assert "unexpected fault" not in running.errors
        assert running.stop() == 0


def hook_path(server: ServerProcess) -> str:
    (line,) = [line for line in server.first_start_lines if "/hooks/" in line]
    return "/hooks/" + line.split("/hooks/")[1].split("'")[0].strip()


async def login(server: ServerProcess) -> list[str]:
    body = b'{"user":"owner","password":"%b"}' % PASSWORD.encode()
    answer = await exchange(server.url, request("/api/v1/login", ["Content-Type: application/json"], body))
    data = answer.json["data"]
    return [f"X-User-Id: {data['userId']}", f"X-Auth-Token: {data['authToken']}"]


def headers_of(case: Case) -> list[str]:
    named = {"Content-Type": case["type"], "Content-Encoding": case.get("encoding")}
    return [f"{name}: {value}" for name, value in named.items() if value]


def wrong(case: Case, answer: Answer) -> str | None:
    """Say what is wrong with an answer; what parses may still hold nothing that can be posted."""
    told = answer.json.get("error", "")
    if case["status"] == 200:
        told = told or answer.json.get("message", "")
        return None if answer.status == 200 or (answer.status in (400, 401) and told) else f"{answer.status} {told}"
    if answer.status == case["status"] and case["text"] in told:
        return None
    return f"{answer.status} {told!r}, expected {case['status']} {case['text']!r}"


@pytest.mark.flaky(reruns=2)  # a measurement: a busy machine may spoil one
@pytest.mark.parametrize("door", ["/hooks", "chat.postMessage", "integrations.create", "login"])
async def test_every_body_at_every_door(server: ServerProcess, door: str) -> None:
    """Each body gets its status and text at each door, and keeps nobody waiting for more than 50 ms."""
    path = hook_path(server) if door == "/hooks" else f"/api/v1/{door}"
    who = await login(server) if "." in door else []
    faults: dict[str, str] = {}
    waits: dict[str, float] = {}
    with Prober(server) as prober:
        for case in CASES:
            sent = request(path, [*who, *headers_of(case)], build(case), chunked=case.get("chunked", False))
            for _ in range(TRIES):
                prober.taken()
                answer = await exchange(server.url, sent)
                wait = prober.taken()
                waits[case["name"]] = min(wait, waits.get(case["name"], wait))
                if waits[case["name"]] < STALL_S:
                    break
            if (fault := wrong(case, answer)) is not None:
                faults[case["name"]] = fault
    longest = sorted(waits.items(), key=lambda item: -item[1])[:3]
    print(f"{door}: median wait {statistics.median(waits.values()) * 1000:.1f} ms; longest:", longest)
    assert faults == {}
    assert {name: wait for name, wait in waits.items() if wait >= STALL_S} == {}


CONTENTS = {
    "mentions": {"text": "@owner " * 5_700},
    "mentions of strangers": {"text": "".join(f"@u{number} " for number in range(5_000))},
    "rooms": {"text": "#general " * 4_400},
    "links": {"text": "http://a.b/c " * 3_000},
    "one word": {"text": "a" * 40_000},
    "zalgo": {"text": "a" + "\u0315\u0301" * 19_999},
    "brackets": {"text": "[" * 20_000 + "](" * 10_000},
    "stars": {"text": "*_~`" * 10_000},
    "blanks": {"text": " \t\n" * 13_000 + "x"},
    "bidi": {"text": "\u202e\u2066" * 20_000},
    "control signs": {"text": "\x1b[31m\u2028\u2029\r\n\x00" * 3_000},
    "attachments": {"attachments": [{"title": "t", "text": "x"}] * 10_000},
    "fields": {"attachments": [{"fields": [{"title": "t", "value": "v"}] * 20_000}]},
    "blocks": {"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "*x*"}}] * 10_000},
    "destinations": {"text": "x", "channel": ["#general"] * 10_000},
    "odd values": {"text": {"a": []}, "attachments": {"0": None}, "channel": 5, "alias": [], "emoji": {}},
}
"""Bodies that parse, and whose content is meant to cost."""


@pytest.mark.flaky(reruns=2)  # a measurement: a busy machine may spoil one
async def test_every_content(server: ServerProcess) -> None:
    """Text and attachments of any kind are posted or refused with a text, and keep nobody waiting."""
    path = hook_path(server)
    waits: dict[str, float] = {}
    answers: dict[str, str] = {}
    with Prober(server) as prober:
        for name, content in CONTENTS.items():
            sent = request(path, ["Content-Type: application/json"], json.dumps(content).encode())
            for _ in range(TRIES):
                prober.taken()
                answer = await exchange(server.url, sent)
                wait = prober.taken()
                waits[name] = min(wait, waits.get(name, wait))
                if waits[name] < STALL_S:
                    break
            if answer.status not in (200, 400) or (answer.status == 400 and not answer.json["error"]):
                answers[name] = f"{answer.status} {answer.body[:200]!r}"
    print(sorted(waits.items(), key=lambda item: -item[1])[:4])
    assert answers == {}
    assert {name: wait for name, wait in waits.items() if wait >= STALL_S} == {}


@pytest.mark.flaky(reruns=2)  # a measurement: a busy machine may spoil one
async def test_a_crowd_of_bombs(server: ServerProcess) -> None:
    """Many bombs at once are refused one by one, while others are answered."""
    bomb = next(case for case in CASES if case["name"] == "gzip bomb")
    sent = request(hook_path(server), headers_of(bomb), build(bomb))
    with Prober(server) as prober:
        answers = await asyncio.gather(*(exchange(server.url, sent) for _ in range(64)))
        wait = prober.taken()
    assert {answer.status for answer in answers} == {413}
    assert wait < 2, wait
    assert int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096 < 300 << 20
