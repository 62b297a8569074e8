"""The harness's own processes: started as modules, asked for their port, always ended by their own id."""

import json
import select
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any  # answers are parsed JSON

from tests.process import ROOT

START_S = 20.0
CALL_S = 60.0


@contextmanager
def listening(module: str, *arguments: str) -> Iterator[str]:
    """Run a module of the harness that prints the port it listens on; gives its address."""
    child = subprocess.Popen(command(module, *arguments), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        ready, _, _ = select.select([child.stdout], [], [], START_S)
        line = child.stdout.readline().strip() if ready else ""
        if not line.isdigit():
            raise RuntimeError(f"{module} did not start")
        yield f"http://127.0.0.1:{line}"
    finally:
        end(child)


def command(module: str, *arguments: str) -> list[str]:
    """Return the command line of a module of the harness."""
    return [sys.executable, "-m", f"tests.bench.{module}", *arguments]


def end(child: subprocess.Popen[str]) -> None:
    """End a process if it still runs, and close its pipe."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(timeout=5)
    if child.stdout is not None:
        child.stdout.close()


def call(method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None) -> Any:
    """Make one call over loopback and return its parsed answer; raises on any status but 2xx."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    with urllib.request.urlopen(request, timeout=CALL_S) as response:
        return json.load(response)
