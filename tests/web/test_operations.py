"""What operators rely on: health, figures, log lines, faults that stay inside, and a stop that loses nothing."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any  # answers and log entries

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from bot.metrics import Metrics
from bot.web.answers import answer
from bot.web.middleware import observe
from storage.clock import SystemClock
from storage.errors import Corrupt
from storage.sqlite.store import SqliteStore, open_store
from tests.clock import ManualClock
from tests.delivering import until
from tests.hook_door import OK, door, texts
from tests.server import Server, serving

UNAVAILABLE = {
    "success": False,
    "error": "The server cannot store anything right now; nothing was changed. Try again shortly.",
}


async def get(server: Server, path: str) -> tuple[int, Any]:
    """Make a GET call without any login."""
    async with server.http.get(server.url + path) as response:
        return response.status, await response.json()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let another process keep the database for itself."""
    other = sqlite3.connect(folder / "patchbay.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def storing(server: Server) -> bool:
    """Tell whether `/ready` finds that the store can be written."""
    return bool((await get(server, "/ready"))[1]["storage"])


async def test_health_needs_no_login_and_no_store(server: Server) -> None:
    """A server in order is alive and ready, with every worker by name."""
    assert await get(server, "/health") == (200, {"status": "ok"})
    status, ready = await get(server, "/ready")
    assert (status, ready["status"], ready["storage"]) == (200, "ready", True)
    assert ready["workers"]
    assert all(ready["workers"].values())


async def test_a_worker_that_is_down_makes_it_unready(server: Server) -> None:
    """Once deliveries do not leave any more `/ready` says which worker is missing; `/health` goes on."""
    await server.services.supervisor.stop()
    async with server.http.get(f"{server.url}/ready") as response:
        ready = await response.json()
        assert (response.status, ready["status"], ready["storage"]) == (503, "not ready", True)
        assert response.headers["Retry-After"]
    assert ready["workers"]["delivery"] is False
    assert await get(server, "/health") == (200, {"status": "ok"})


async def test_what_keeps_the_store_from_being_written_is_told(server: Server) -> None:
    """Whoever finds a cause reports it: `/ready` says so in its sentence until that is over, whatever a probe finds."""
    store = server.services.store
    assert isinstance(store, SqliteStore)
    store.condition.report("test", "The disk is being changed.")
    status, ready = await get(server, "/ready")
    assert (status, ready["storage"], ready["reasons"]) == (503, False, ["The disk is being changed."])
    store.condition.clear("test")
    status, ready = await get(server, "/ready")
    assert (status, ready["storage"], ready["reasons"]) == (200, True, [])


async def test_a_store_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hooks and calls answer 503 with `Retry-After` and change nothing, reads go on, and all heals by itself."""
    monkeypatch.setattr("bot.compose.open_store", partial(open_store, busy_timeout_s=0.1))
    clock = ManualClock()
    async with serving(tmp_path / "data", clock) as server:
        hook = await door(server)
        with locked(tmp_path / "data"):
            calls = [
                server.http.post(hook.url, json={"text": "lost"}),
                server.http.post(f"{server.url}/api/v1/channels.create", json={"name": "x"}, headers=server.owner),
                server.http.get(f"{server.url}/ready"),
            ]
            *refused, ready = await asyncio.gather(*calls)
            for response in refused:
                assert (response.status, response.headers["Retry-After"]) == (503, "5")
                assert await response.json() == UNAVAILABLE
            assert (ready.status, (await ready.json())["storage"]) == (503, False)
            assert await texts(server) == []
            assert await get(server, "/health") == (200, {"status": "ok"})
        assert await hook.send({"text": "kept"}) == (200, OK)
        clock.advance(1000)  # what `/ready` said holds for a second
        assert (await get(server, "/ready"))[0] == 200
        assert await texts(server) == ["kept"]


async def test_readiness_is_probed_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may ask `/ready`: calls within a second get the last verdict, and write nothing."""
    monkeypatch.setattr("bot.compose.open_store", partial(open_store, busy_timeout_s=0.1))
    clock = ManualClock()
    async with serving(tmp_path / "data", clock) as server:
        seen = [await storing(server)]
        with locked(tmp_path / "data"):
            seen.append(await storing(server))
            clock.advance(1000)
            seen.append(await storing(server))
        seen.append(await storing(server))
        clock.advance(1000)
        seen.append(await storing(server))
    assert seen == [True, True, False, False, True]


async def test_figures(server: Server) -> None:
    """`/metrics` counts requests by route pattern and hook requests by verdict, and names no id, token or path."""
    hook = await door(server)
    await hook.send({"text": "x"})
    await hook.send({"text": 5})
    await get(server, "/nothing/here")
    async with server.http.get(f"{server.url}/metrics") as response:
        assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        figures = await response.text()
    for line in (
        'patchbay_http_request_seconds_count{method="POST",route="/hooks/{id}/{token}",status="200"} 1.0',
        'patchbay_http_request_seconds_count{method="GET",route="-",status="404"} 1.0',
        'patchbay_hook_requests_total{verdict="posted"} 1.0',
        'patchbay_hook_requests_total{verdict="refused"} 1.0',
        "patchbay_queue_depth 0.0",
        "patchbay_dead_letters 0.0",
    ):
        assert line in figures.splitlines()
    assert hook.id not in figures
    assert hook.token not in figures
    assert "nothing" not in figures


async def test_one_line_for_each_request(server: Server) -> None:
    """It names the route's pattern, status, time and client, never path, query, token or user agent."""
    hook = await door(server)
    with capture_logs() as logs:
        headers = {"User-Agent": "agent \u2028", "X-Forwarded-For": "198.51.100.1"}
        for path in (f"/hooks/{hook.id}/{hook.token}?key=s3cret", f"/hooks/{hook.id}/a/{hook.token}", "/some/s3cret"):
            async with server.http.get(server.url + path, headers=headers) as response:
                await response.read()
    assert [(line["route"], line["status"], line["client"]) for line in logs] == [
        ("/hooks/{id}/{token}", 200, "127.0.0.1"),
        ("/hooks/{id}/{user}/{token}", 200, "127.0.0.1"),
        ("-", 404, "127.0.0.1"),
    ]
    assert {key for line in logs for key in line} == {
        *("event", "log_level", "request_id", "method", "route", "status", "duration_ms", "client")
    }
    assert len({line["request_id"] for line in logs}) == 3
    for secret in (hook.token, hook.id, "s3cret", "agent"):
        assert secret not in json.dumps(logs)


async def test_nothing_unknown_is_html(server: Server) -> None:
    """An unknown path is the contract's 404 as JSON, also for methods nobody knows."""
    for method, path in (("GET", "/"), ("POST", "/nothing"), ("PUT", "/api/v1/nothing"), ("DELETE", "/hooks")):
        async with server.http.request(method, server.url + path) as response:
            assert (response.status, response.headers["Content-Type"]) == (404, "application/json")
            assert await response.json() == {"success": False, "error": "Resource not found"}


@asynccontextmanager
async def faulty(fault: Exception) -> AsyncIterator["TestClient[web.Request, web.Application]"]:
    """Serve an address whose handler fails."""

    async def fail(_: web.Request) -> web.Response:
        raise fault

    app = web.Application()
    app.router.add_get("/fail/{token}", fail)
    server = TestServer(app)
    await server.start_server()
    assert isinstance(server.handler, web.Server)
    clock = SystemClock()
    server.handler.request_handler = observe(server.handler.request_handler, clock, Metrics(clock), ())
    async with TestClient(server) as client:
        yield client


async def test_an_unexpected_fault_stays_inside() -> None:
    """The client gets an id, the log the trace under the same id; nothing of the fault leaves."""
    with capture_logs() as logs:
        async with faulty(RuntimeError("the inside: s3cret")) as client, client.get("/fail/t0ken") as response:
            body = await response.json()
    trace, line = logs
    assert (response.status, body["success"]) == (500, False)
    assert body["error"] == f"Internal server error; the log names it {line['request_id']}."
    assert (trace["event"], trace["request_id"], trace["exc_info"]) == ("unexpected fault", line["request_id"], True)
    assert (line["route"], line["status"], line["fault"]) == ("/fail/{token}", 500, "RuntimeError")


@pytest.mark.parametrize(("fault", "text"), [(Corrupt(), "[storage-corrupt]"), (web.HTTPGone(), "Gone")])
async def test_other_faults_are_json_too(fault: Exception, text: str) -> None:
    """State that cannot be read names its code, HTTP's own refusals their reason."""
    async with faulty(fault) as client, client.get("/fail/x") as response:
        body = await response.json()
    assert response.status == (500 if isinstance(fault, Corrupt) else 410)
    assert body["success"] is False
    assert text in body["error"]


async def test_an_answer_is_always_valid_json() -> None:
    """Half a character that came in by some way goes out as JSON's own escape, not as broken bytes."""
    body = answer({"error": "half \ud83d, whole 😀, byte \udcff"}).body
    assert isinstance(body, bytes)
    assert json.loads(body.decode()) == {"error": "half \ud83d, whole 😀, byte \udcff"}


async def refused(host: str, port: int) -> bool:
    """Tell whether nobody can connect."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


async def test_a_stop_lets_a_request_finish(tmp_path: Path) -> None:
    """A body still on its way when the stop begins is taken, answered and kept; new connections are refused."""
    loop = asyncio.get_running_loop()
    stop, begun = asyncio.Event(), asyncio.Event()
    started: list[Server] = []

    async def run() -> None:
        async with serving(tmp_path / "data") as server:
            started.append(server)
            begun.set()
            await stop.wait()

    running = asyncio.create_task(run())
    await begun.wait()
    hook = await door(started[0])
    host, port = started[0].url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = b'{"text":"in time"}'
    head = f"POST /hooks/{hook.id}/{hook.token} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:5])
    await hook.send({"text": "before"})  # by then the other request is under way
    stopped_at = loop.time()
    stop.set()
    await until(lambda: refused(host, int(port)))
    writer.write(body[5:])
    assert b" 200 " in await reader.readline()
    await running
    assert loop.time() - stopped_at < 10
    writer.close()
    async with serving(tmp_path / "data") as again:
        assert await texts(again) == ["before", "in time"]


async def test_a_stop_waits_for_nobody_who_never_ends(tmp_path: Path) -> None:
    """A request whose body does not come is given up, and the server stops within 10 s."""
    loop = asyncio.get_running_loop()
    async with serving(tmp_path / "data") as server:
        hook = await door(server)
        host, port = server.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"POST /hooks/{hook.id}/{hook.token} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n".encode())
        await hook.send({"text": "before"})
        stopped_at = loop.time()
    assert loop.time() - stopped_at < 10
    writer.close()
