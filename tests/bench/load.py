"""Load on an address, always from a process of its own: wrk where it can do it, else our own loader."""

import json
import secrets
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tests.bench.children import command, end
from tests.process import ROOT

WRK = shutil.which("wrk")
SCRIPT = Path(__file__).with_name("wrk.lua")
GRACE_S = 30.0
NEAR = 0.8
"""From this part of its ceiling on a loader may be what limits a row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """How each request is signed: hex HMAC-SHA256 over `v0:time:body` in two headers (chat-dialects.md §1.2)."""

    secret: str
    timestamp_header: str
    header: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent where: closed loop, unless it has a `rate` a second."""

    url: str
    body: str
    """`@n` in it becomes the request's own number; see the loader for more marks, which wrk does not know."""
    method: str = "POST"
    lines: tuple[str, ...] = ()
    """What the mark `@line` becomes in body or address, in turn, written as it has to stand there."""
    signature: Signature | None = None
    connections: int = 64
    seconds: float
    after: float = 0.0
    """Seconds to wait before it begins, where several are started at once."""
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
    """A load that runs, or several; `finish` waits for the end."""

    def __init__(self, loads: Sequence[Load], child: subprocess.Popen[str]) -> None:
        self._loads = loads
        self._child = child

    def ended(self, within_s: float) -> bool:
        """Wait for its end, but no longer than so many seconds; tell whether it came."""
        try:
            self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self) -> Shot:
        """Return what came of the load."""
        [shot] = self.finish_all()
        return shot

    def finish_all(self) -> list[Shot]:
        """Return what came of each of the loads, in their order."""
        out, _ = self._child.communicate(timeout=max(load.after + load.seconds for load in self._loads) + GRACE_S)
        found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        if len(found) != len(self._loads):
            raise RuntimeError(f"the loader ended with {self._child.returncode} and no result:\n{out[-2000:]}")
        return [Shot(**{**values, "numbers": tuple(values.get("numbers", ()))}) for values in found]


@contextmanager
def loading(*loads: Load) -> Iterator[Underway]:
    """Start a load, or several in one process; leaving ends them."""
    own = WRK is None or any(_needs_own(load) for load in loads) or len(loads) > 1
    # what it prints fits a pipe only when wrk prints it: the own loader prints once, at its end
    child = subprocess.Popen(_own(loads) if own else _wrk(*loads), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield Underway(loads, child)
    finally:
        end(child)


def in_turn(loads: Iterable[Load]) -> list[Load]:
    """Let each load begin when the one before it ends."""
    begin, found = 0.0, []
    for load in loads:
        found.append(replace(load, after=begin))
        begin += load.seconds
    return found


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


def _needs_own(load: Load) -> bool:
    return bool(load.rate or load.each or load.after or load.lines or load.signature or load.method != "POST")


def _own(loads: Sequence[Load]) -> list[str]:
    return command("loader", json.dumps([asdict(load) for load in loads]))


def _wrk(load: Load) -> list[str]:
    assert WRK is not None
    headers = {"Content-Type": "application/json", **load.headers}
    named = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    return [
        WRK, "-t1", f"-c{load.connections}", f"-d{max(1, round(load.seconds))}s", "--timeout", "10s", *named,
        "-s", str(SCRIPT), load.url, "--", load.body, load.prefix, "id" if load.ids else "none",
        str(secrets.randbelow(1 << 31)),
    ]  # fmt: skip
