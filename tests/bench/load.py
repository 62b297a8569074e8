"""Load on an address, always from a process of its own: wrk where it can do it, else our own loader."""

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.bench.children import command, end
from tests.process import ROOT

WRK = shutil.which("wrk")
SCRIPT = Path(__file__).with_name("wrk.lua")
GRACE_S = 30.0
NEAR = 0.8
"""From this part of its ceiling on a loader may be what limits a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is posted where: closed loop, unless it has a `rate` a second."""

    url: str
    body: str
    """`@n` in it becomes the request's own number; see the loader for more marks, which wrk does not know."""
    connections: int = 64
    seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)
    ids: bool = False
    """Send a random request id with every request."""
    rate: float = 0.0
    rooms: int = 0
    each: bool = False
    """Tell which requests were answered, not only how many."""
    prefix: str = field(default_factory=lambda: secrets.token_hex(3) + "-")
    """Begins the numbers, so that those of different loads differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """What came of a load."""

    ok: int
    refused: int
    broken: int
    seconds: float
    p50_ms: float
    p99_ms: float
    numbers: tuple[str, ...] = ()

    @property
    def rate(self) -> float:
        return self.ok / self.seconds

    @property
    def faults(self) -> str:
        """Say what went wrong, if anything did."""
        return f"{self.refused} refused, {self.broken} broken" if self.refused or self.broken else ""


class Underway:
    """A load that runs; `finish` waits for its end."""

    def __init__(self, load: Load, child: subprocess.Popen[str]) -> None:
        self._load = load
        self._child = child

    def ended(self, within_s: float) -> bool:
        """Wait for its end, but no longer than so many seconds; tell whether it came."""
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self) -> Shot:
        out, _ = self._child.communicate(timeout=self._load.seconds + GRACE_S)
        found = next((line for line in reversed(out.splitlines()) if line.startswith("{")), None)
        if found is None:
            raise RuntimeError(f"the loader ended with {self._child.returncode} and no result:\n{out[-2000:]}")
        values = json.loads(found)
        return Shot(**{**values, "numbers": tuple(values.get("numbers", ()))})


@contextmanager
def loading(load: Load) -> Iterator[Underway]:
    """Start a load; leaving ends it."""
    own = WRK is None or load.rate or load.each
    # what it prints fits a pipe only when wrk prints it: the own loader prints once, at its end
    child = subprocess.Popen(_own(load) if own else _wrk(load), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield Underway(load, child)
    finally:
        end(child)


def fire(load: Load) -> Shot:
    """Run a load to its end."""
    with loading(load) as underway:
        return underway.finish()


def ceiling(url: str, body: str, seconds: float) -> float:
    """Return how many a second the loader can send to a receiver that does next to nothing."""
    return fire(Load(url=f"{url}/ceiling", body=body, seconds=seconds)).rate


def limited(rate: float, most: float) -> str:
    """Return a mark for a row that the loader may limit."""
    return f"near the loader's own ceiling of {most:,.0f}/s" if rate > NEAR * most else ""


def _own(load: Load) -> list[str]:
    return command("loader", json.dumps(asdict(load)))


def _wrk(load: Load) -> list[str]:
    assert WRK is not None
    headers = {"Content-Type": "application/json", **load.headers}
    named = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    return [
        WRK, "-t1", f"-c{load.connections}", f"-d{max(1, round(load.seconds))}s", "--timeout", "10s", *named,
        "-s", str(SCRIPT), load.url, "--", load.body, load.prefix, "id" if load.ids else "none",
        str(secrets.randbelow(1 << 31)),
    ]  # fmt: skip
