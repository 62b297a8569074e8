"""What is no HTTP costs little, is answered in its turn, and leaves nothing behind: neither memory nor log lines."""

import asyncio
import gc
import json
import re
from pathlib import Path

import pytest

from bot.web.connections import Connections
from tests.server import Server
from tests.web.test_connections import HEALTH, Place, place

UPGRADE = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"200 OK"
BAD = b"400 Bad Request"


async def said(here: Place, *segments: bytes) -> list[bytes]:
    """Send segments one after the other and return the heads and bodies of all answers until the end."""
    line = await here.line()
    for segment in segments:
        line.writer.write(segment)
        await asyncio.sleep(0.02)  # so that they are read one by one
    async with asyncio.timeout(10):
        return re.split(rb"(?=HTTP/1\.[01] \d)", await line.reader.read())[1:]


@pytest.mark.parametrize(
    ("sent", "status", "why"),
    [
        (b"\x00" * 1000, 400, "not well-formed"),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, "too long"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 9_000 + b"\r\n\r\n", 431, "too long"),
        (
            b"GET /health HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X%d: %b\r\n" % (n, b"x" * 500) for n in range(99)),
            431,
            "",
        ),
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "not well-formed"),
        (b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, ""),
        (b"POST /health HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0 knows no"),
    ],
    ids=["zeros", "long line", "long header", "long head", "no host", "smuggled", "old chunks"],
)
async def test_what_is_no_request_is_answered_and_the_connection_closed(
    tmp_path: Path, sent: bytes, status: int, why: str
) -> None:
    """The answer says what was wrong, quotes nothing of it and does not name the software."""
    async with place(tmp_path / "data", Connections(9)) as here:
        (answer,) = await said(here, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head[9:].startswith(b"%d " % status)
    assert b"Server:" not in head
    told = json.loads(body)
    assert told["success"] is False
    assert why in told["error"]
    assert len(body) < 250


@pytest.mark.parametrize("broken", [b"\x00" * 100, b"GET / HTTP/9\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("whole", [1, 3])
async def test_whole_requests_before_a_broken_one_are_answered_first(tmp_path: Path, broken: bytes, whole: int) -> None:
    """Also when all of them come in one segment, with a body or without."""
    async with place(tmp_path / "data", Connections(9)) as here:
        body = b'{"text":"whole"}'
        head = f"POST {here.hook} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        post = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        for request in (HEALTH, post):
            answers = await said(here, request * whole + broken + HEALTH)
            assert [answer.split(b"\r\n")[0][9:] for answer in answers] == [OK] * whole + [BAD]
            (answer, _) = await said(here, request[:-1], request[-1:] + broken)
            assert answer[9:].startswith(OK)


async def test_a_body_that_breaks_is_the_fault_of_its_request(tmp_path: Path) -> None:
    """Chunks that are none give its request, and nothing else, a 400; the connection ends there."""
    async with place(tmp_path / "data", Connections(9)) as here:
        head = f"POST {here.hook} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        for segments in ([head + b"5\r\nhello\r\nzz\r\n"], [head, b"5\r\nhello\r\n", b"zz\r\n" + HEALTH]):
            (answer,) = await said(here, *segments)
            assert answer[9:].startswith(BAD)
            assert b"chunks are malformed" in answer


async def test_malformed_requests_leave_nothing_in_memory(tmp_path: Path) -> None:
    """Nothing is left in circles that hold what was sent, whether the sender waits for the answer or hangs up."""
    async with place(tmp_path / "data", Connections(99)) as here:
        await said(here, b"\x00" * 100)
        gc.collect()
        gc.disable()
        try:
            for sent in (bytes(256 << 10), UPGRADE + bytes(256 << 10)):
                line = await here.line()
                line.writer.write(sent)
                await line.reader.read(100)
                line.writer.transport.abort()
                line = await here.line()
                line.writer.write(sent)
                await asyncio.sleep(0.05)
                line.writer.transport.abort()
            assert await (await here.line()).ask() == b"200"
            faults = [one for one in gc.get_objects() if isinstance(one, Exception)]
            assert [one for one in faults if len(str(one)) + len(str(vars(one))) > 1000] == []
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = sum(len(one) for thing in gc.garbage for one in gc.get_referents(thing) if isinstance(one, bytes))
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert left < 64 << 10


async def test_malformed_requests_are_a_line_in_the_log_and_no_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """However many there are; the line quotes none of them, for a hook's token may stand there."""
    async with place(tmp_path / "data", Connections(99)) as here:
        for _ in range(20):
            await said(here, f"POST {here.hook} HTTP/1.1\r\nbroken\r\n\r\n".encode())
            await said(here, f"GET {here.hook} HTTP/9\r\n\r\n".encode())
        token = here.hook.rpartition("/")[2]
    written = "".join(capfd.readouterr())
    lines = [line for line in written.splitlines() if "malformed" in line or "Error" in line]
    assert len(lines) == 1
    assert "[info" in lines[0]
    assert token not in written
    assert "Traceback" not in written


async def test_no_answer_names_the_software(server: Server) -> None:
    """Answers of every kind: found and not, hooks', files', sockets'."""
    first = server.running.first_start
    assert first is not None
    for path in ("/health", "/nothing", f"/hooks/{first.hook_id}/wrong", "/api/v1/me", "/api/nothing", "/forms/x"):
        async with server.http.get(f"{server.url}{path}") as response:
            assert "Server" not in response.headers, path
    async with server.http.post(server.hook, json={"text": "x"}) as response:
        assert response.status == 200
        assert "Server" not in response.headers
    async with server.http.post(server.hook, data=b"{") as response:
        assert response.status == 400
        assert "Server" not in response.headers
    async with server.http.ws_connect(f"{server.url}/websocket") as socket:
        assert "Server" not in socket._response.headers  # aiohttp shows them nowhere else
