"""The bodies of `fixtures/hostile_bodies.jsonl` at the doors of a running server: a clear text, no 500, no stall."""

import asyncio
import json
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.faults import extent
from tests.faults.prober import Prober
from tests.faults.wire import Answer, exchange, request
from tests.hostile_bodies import CASES, Case, build
from tests.process import ServerProcess
from tests.server import PASSWORD

STALL_S = 0.050 if extent.FULL else 0.100
"""No body may keep others waiting longer: 50 ms, and in the bounded run what a slow shared machine adds."""
CROWD_S = 2.0
TRIES = 5
"""A shared machine delays answers on its own: a body stalls the loop when it does so every time."""


class Stalled(Exception):
    """A body kept others waiting for too long: a measurement, which a busy machine may spoil, unlike an answer."""


measured = pytest.mark.flaky(reruns=2, only_rerun=Stalled)
"""Runs a test again for what it measured; a wrong answer, however rare, fails it at once."""


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


Judge = Callable[[Answer], str | None]
"""Says what is wrong with an answer."""


async def sweep(server: ServerProcess, bodies: Sequence[tuple[str, bytes, Judge]]) -> None:
    """Send each body until it keeps nobody waiting, and judge every answer to it.

    Raises AssertionError for wrong answers, and Stalled only when there are none.
    """
    faults: dict[str, str] = {}
    waits: dict[str, float] = {}
    async with Prober(server.url) as prober:
        for name, sent, judge in bodies:
            for _ in range(TRIES):
                answer, wait = await prober.during(exchange(server.url, sent))
                waits[name] = min(wait, waits.get(name, wait))
                if (fault := judge(answer)) is not None:
                    faults[name] = fault
                if waits[name] < STALL_S:
                    break
    longest = sorted(waits.items(), key=lambda item: -item[1])[:4]
    told = ", ".join(f"{name} {wait * 1000:.0f} ms" for name, wait in longest)
    print(f"median wait {statistics.median(waits.values()) * 1000:.1f} ms; longest: {told}")
    assert faults == {}
    if stalls := {name: wait for name, wait in waits.items() if wait >= STALL_S}:
        raise Stalled(stalls)


async def door_of(server: ServerProcess, door: str) -> tuple[str, list[str]]:
    """Return the path of a door, and the headers that open it."""
    if door == "/hooks":
        return hook_path(server), []
    return f"/api/v1/{door}", await login(server) if "." in door else []


@measured
@pytest.mark.parametrize("door", ["/hooks", "chat.postMessage", "integrations.create", "login"])
async def test_every_body_at_every_door(server: ServerProcess, door: str) -> None:
    """Each body gets its status and text at each door, and keeps nobody waiting for more than 50 ms."""
    path, who = await door_of(server, door)
    await sweep(
        server,
        [
            (
                case["name"],
                request(path, [*who, *headers_of(case)], build(case), chunked=case.get("chunked", False)),
                partial(wrong, case),
            )
            for case in CASES
        ],
    )


CONTENTS: dict[str, dict[str, object]] = {
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


TOO_LONG = "error-message-size-exceeded"
REFUSED: dict[str, dict[str, object]] = {
    "100,000 mentions": {"text": "@u " * 100_000},
    "100,000 mentions of one": {"text": "@owner " * 100_000},
    "100,000 mentions without blanks": {"text": "@u" * 100_000},
    "a character too many": {"text": "a" * 40_001},
}
"""Bodies that are refused for the length of their text."""


def unclear(answer: Answer) -> str | None:
    """Say what is wrong with an answer that may be a refusal, if it tells why."""
    if answer.status == 200 or (answer.status == 400 and answer.json["error"]):
        return None
    return f"{answer.status} {answer.body[:200]!r}"


def not_too_long(answer: Answer) -> str | None:
    told = answer.json.get("error", "")
    return None if (answer.status, TOO_LONG in told) == (400, True) else f"{answer.status} {answer.body[:200]!r}"


@measured
@pytest.mark.parametrize("door", ["/hooks", "chat.postMessage"])
async def test_every_content(server: ServerProcess, door: str) -> None:
    """Text and attachments of any kind are posted or refused with a text, and keep nobody waiting."""
    path, who = await door_of(server, door)
    room: dict[str, object] = {} if door == "/hooks" else {"channel": "#general"}
    bodies: list[tuple[str, bytes, Judge]] = []
    for contents, judge in ((CONTENTS, unclear), (REFUSED, not_too_long)):
        for name, content in contents.items():
            body = json.dumps({**room, **content}).encode()
            bodies.append((name, request(path, [*who, "Content-Type: application/json"], body), judge))
    await sweep(server, bodies)


FIELD = b'--x\r\nContent-Disposition: form-data; name="msg"\r\n\r\nlook\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1\r\n'
BARE = b"--x\r\n\r\n\r\n"
END = b"--x--\r\n"
MANY = "more than 20 parts"
FORMS = {
    "20 parts": (FILE + FIELD * 19 + END, 200, ""),
    "21 parts": (FILE + FIELD * 20 + END, 400, MANY),
    "the file last of 21": (FIELD * 20 + FILE + END, 400, MANY),
    "two files": (FILE * 2 + END, 400, "invalid-field"),
    "15,000 parts": (FIELD * 15_000 + END, 400, MANY),
    "1,000,000 parts without a header": (BARE * 1_000_000 + END, 400, MANY),
    "1,000,000 parts without an end": (FILE + BARE * 1_000_000, 400, MANY),
    "10,000 files": (FILE * 10_000 + END, 400, "invalid-field"),
    "a megabyte before the first part": (b"a" * 1_000_000 + b"\r\n" + FILE + END, 400, "not well-formed"),
    "a part of 10,000 headers": (b"--x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n1\r\n" + END, 400, "not well-formed"),
    "a header of a megabyte": (b"--x\r\nA: " + b"b" * 1_000_000 + b"\r\n\r\n1\r\n" + END, 400, "not well-formed"),
    "a field of a megabyte": (FIELD[:-2] + b"a" * 1_000_000 + b"\r\n" + END, 413, "longer than 262,144 bytes"),
    "a form in a form": (b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n" + END, 400, "multipart itself"),
}
"""Bodies of forms, what is answered to them and what stands in the text."""


@measured
@pytest.mark.parametrize("door", ["rooms.upload/GENERAL", "rooms.media/GENERAL"])
async def test_every_form(server: ServerProcess, door: str) -> None:
    """A form has up to 20 parts, one of them a file; any other is refused, and keeps nobody waiting."""
    path, who = await door_of(server, door)
    headers = [*who, "Content-Type: multipart/form-data; boundary=x"]

    def judge(status: int, text: str, answer: Answer) -> str | None:
        fits = answer.status == status and text in answer.json.get("error", "")
        return None if fits else f"{answer.status} {answer.body[:200]!r}"

    await sweep(
        server,
        [
            (name, request(path, headers, body), partial(judge, status, text))
            for name, (body, status, text) in FORMS.items()
        ],
    )


@measured
async def test_a_crowd_of_bombs(server: ServerProcess) -> None:
    """Many bombs at once are refused one by one, while others are answered."""
    bomb = next(case for case in CASES if case["name"] == "gzip bomb")
    sent = request(hook_path(server), headers_of(bomb), build(bomb))
    async with Prober(server.url) as prober:
        answers, wait = await prober.during(asyncio.gather(*(exchange(server.url, sent) for _ in range(64))))
    print(f"longest wait {wait * 1000:.0f} ms")
    assert {answer.status for answer in answers} == {413}
    assert int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * 4096 < 300 << 20
    if wait >= CROWD_S:
        raise Stalled(wait)
