"""Stopping the real server while everything that can hold it up does so at once."""

import contextlib
import json
import os
import signal
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any  # answers are parsed JSON
from urllib.parse import urlsplit

import pytest

from tests.process import ServerProcess
from tests.server import PASSWORD

WITHIN_S = 8.0
"""Ten are promised (issue 2 §8); what is left is for a loaded machine."""
DELIVERIES = 5


class Silent:
    """A receiver that takes connections and never answers."""

    def __init__(self, listener: socket.socket, stack: contextlib.ExitStack) -> None:
        self._listener = listener
        self._stack = stack
        self.port = int(listener.getsockname()[1])

    def take(self, count: int) -> None:
        """Wait until so many calls have come."""
        for _ in range(count):
            taken, _ = self._listener.accept()
            self._stack.enter_context(taken).recv(1)


@contextmanager
def silent() -> Iterator[Silent]:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listener.settimeout(10)
        yield Silent(listener, stack)


def connect(url: str, head: str) -> socket.socket:
    """Open a connection and send what is given, nothing more."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    connection = socket.create_connection((parts.hostname, parts.port), timeout=10)
    connection.sendall(head.replace("\n", "\r\n").encode())
    return connection


def post(url: str, body: object, headers: dict[str, str] | None = None) -> Any:
    """Post JSON and return the parsed answer."""
    sent = json.dumps(body).encode()
    request = urllib.request.Request(url, sent, {"Content-Type": "application/json", **(headers or {})})
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.load(response)


def add_outgoing(url: str, target: str) -> None:
    """Make an outgoing hook that sends every message of `#general`."""
    login = post(f"{url}/api/v1/login", {"user": "owner", "password": PASSWORD})["data"]
    hook = {
        "type": "webhook-outgoing",
        "name": "slow",
        "enabled": True,
        "username": "rocket.cat",
        "event": "sendMessage",
        "channel": "#general",
        "urls": [target],
        "scriptEnabled": False,
    }
    headers = {"X-User-Id": login["userId"], "X-Auth-Token": login["authToken"]}
    post(f"{url}/api/v1/integrations.create", hook, headers)


@pytest.mark.flaky(reruns=2)  # a measurement: a busy machine may spoil one
def test_a_stop_ends_in_time_whatever_holds_it_up(tmp_path: Path) -> None:
    """A socket that reads nothing, half a body and five calls without an answer: still within 10 s, and cleanly.

    The calls were not attempts: they go out again after the next start.
    """
    with silent() as receiver, contextlib.ExitStack() as stack:
        settings = {
            "PATCHBAY_ALLOW_TARGETS": f"127.0.0.1:{receiver.port}",
            "PATCHBAY_OWNER_PASSWORD": PASSWORD,
        }
        with ServerProcess(tmp_path / "data", settings) as server:
            curl = next(line for line in server.first_start_lines if "curl " in line)
            hook = curl.split()[-1]
            for number in range(DELIVERIES):  # each address that does not answer is called once at a time
                add_outgoing(server.url, f"http://127.0.0.1:{receiver.port}/{number}")
            key = "Sec-WebSocket-Version: 13\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\n"
            upgrade = f"GET /websocket HTTP/1.1\nHost: x\nConnection: Upgrade\nUpgrade: websocket\n{key}\n"
            socket_of_nobody = stack.enter_context(connect(server.url, upgrade))
            assert socket_of_nobody.recv(12) == b"HTTP/1.1 101"
            half = f"POST {urlsplit(hook).path} HTTP/1.1\nHost: x\nContent-Length: 9\n\n1234"
            stack.enter_context(connect(server.url, half))
            post(hook, {"text": "hello"})
            receiver.take(DELIVERIES)
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < WITHIN_S, server.errors
        with ServerProcess(tmp_path / "data", settings) as server:
            receiver.take(DELIVERIES)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the writer by /proc")
def test_a_writer_that_hangs_does_not_hold_the_end_up(tmp_path: Path) -> None:
    """Whoever waits for it is told that nothing was stored; it is killed, and the next server finds the folder free."""
    with ServerProcess(tmp_path / "data") as server:
        [writer] = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        os.kill(int(writer), signal.SIGSTOP)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < WITHIN_S
        assert not Path(f"/proc/{writer}").exists()
    with ServerProcess(tmp_path / "data") as again:
        assert again.url
