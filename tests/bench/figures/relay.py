"""The relay: a post comes in, stands in the room, fires an outgoing hook, is delivered and settled."""

import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from tests.bench.bench import BODY, Bench
from tests.bench.children import call, command, listening
from tests.bench.lines import AtLeast, AtMost, Figure, Line, p99
from tests.bench.load import Load, Shot, fire, limited, loading
from tests.bench.server import Workspace, first_start, login, outgoing_hook, serving
from tests.process import ROOT
from tests.scenarios.stored import rows

RATIO = AtLeast(0.2)
SLOWEST_MS = AtMost(100)
GROWTH = AtMost(0.02)
"""Part of what is accepted by which the backlog may grow over the second half of a load."""
SAMPLE_S = 0.25
"""Often enough to see a trend, seldom enough not to disturb."""
PAYLOAD = (
    '{"token":"","channel_id":"GENERAL","channel_name":"general","message_id":"q8sXvB2dhW3pTmKz5",'
    '"timestamp":"2026-03-02T09:14:07.739Z","user_id":"rocket.cat","user_name":"rocket.cat","text":"[api] build 1 of'
    ' main passed in 3 min 12 s: 412 tests, 3 skipped; deployed to staging by ann","siteUrl":"http://127.0.0.1:8084"}'
)
"""What the bare client posts: about what the server sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One load through the whole path."""

    shot: Shot
    settled: float
    """Deliveries settled a second while the load ran."""
    p99_ms: float
    """From the event's own time, taken before its commit, to the attempt's end, taken before its settle's."""
    backlog: int
    growth: float
    """Part of the accepted posts by which the backlog grew in the second half."""
    left: int
    """Deliveries still queued when the wait for them ended."""
    lost: int
    double: int
    """Messages that stand twice in the room."""
    repeated: int
    """Calls beyond the first for one message, which only a crash may cause."""


def measure(bench: Bench) -> Figure:
    """Relay with 64, then with 256 connections, beside a bare client that posts to the same receiver."""
    seconds = bench.pick(30, 3)
    workspace = first_start(bench.data("relay"))
    with listening("receiver") as receiver, serving(workspace.data) as server:
        outgoing_hook(server.url, login(server.url), f"{receiver}/in")
        peers, passes = [_bare_client(f"{receiver}/in", bench.pick(5, 1))], list[Passed]()
        for connections in (64, 256):
            passes.append(_pass(bench, workspace, server.url, receiver, connections, seconds))
            peers.append(_bare_client(f"{receiver}/in", bench.pick(5, 1)))
        usual, many = passes
        unseen = _each(bench, workspace, server.url, receiver)
        server.stop()
    lost, peer = usual.lost + many.lost + unseen, median(peers)
    lines = (
        Line(
            what="hooks settled, 64 connections",
            value=usual.settled,
            unit="/s",
            bar=RATIO,
            peer=peer,
            peer_name="bare client",
            note=_note(bench, usual),
            faults=usual.shot.faults,
        ),
        Line(what="accepted to settled, p99", value=usual.p99_ms, unit="ms", bar=SLOWEST_MS),
        Line(what="hooks settled, 256 connections", value=many.settled, unit="/s", note=_note(bench, many)),
        Line(what="accepted to settled, p99 at 256", value=many.p99_ms, unit="ms"),
        Line(what="backlog growth at 256", value=many.growth, unit="of accepted", bar=GROWTH, faults=many.shot.faults),
        Line(what="still queued after the wait", value=usual.left + many.left, unit="", bar=AtMost(0)),
        Line(what="posts and deliveries that are lost", value=lost, unit="", bar=AtMost(0)),
        Line(what="messages twice in the room", value=usual.double + many.double, unit="", bar=AtMost(0)),
        Line(what="calls repeated", value=usual.repeated + many.repeated, unit="", bar=AtMost(0)),
    )
    return Figure(lines, lost)


def _each(bench: Bench, workspace: Workspace, url: str, receiver: str) -> int:
    """Relay for a second with a loader that knows each answer; return how many acknowledged posts went missing."""
    call("GET", f"{receiver}/control/report")
    shot = fire(Load(url=url + workspace.hook_path, body='{"text":"@n"}', seconds=1, each=True))
    _drained(workspace, bench.pick(120, 12))
    once = {text for (text,) in rows(workspace.data, "SELECT text FROM message GROUP BY text HAVING count(*) = 1")}
    called = {text for _, _, text in call("GET", f"{receiver}/control/report")}
    return len(set(shot.numbers) - (once & called))


def _bare_client(url: str, seconds: float) -> float:
    done = subprocess.run(
        command("peers", "client", url, str(seconds), PAYLOAD),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=True,
    )
    return float(done.stdout)


def _pass(bench: Bench, workspace: Workspace, url: str, receiver: str, connections: int, seconds: int) -> Passed:
    [(first, last_event)] = rows(
        workspace.data, "SELECT (SELECT coalesce(max(id), 0) FROM delivery), (SELECT max(seq) FROM event)"
    )
    call("GET", f"{receiver}/control/report")
    load = Load(url=url + workspace.hook_path, body=BODY, connections=connections, seconds=seconds)
    depths: list[tuple[float, int]] = []
    with loading(load) as underway:
        while not underway.ended(SAMPLE_S) and len(depths) < 2 * seconds / SAMPLE_S:
            depths.append((time.monotonic(), _queued(workspace)))
        [(settled,)] = rows(workspace.data, "SELECT count(*) FROM delivery WHERE id > ? AND state = 'delivered'", first)
        shot = underway.finish()
    left = _drained(workspace, bench.pick(120, 12))
    posted = "SELECT text, count(*) FROM message WHERE text LIKE ? GROUP BY text"
    texts = rows(workspace.data, posted, f"%{load.prefix}%")
    called = Counter(text for _, _, text in call("GET", f"{receiver}/control/report"))
    undelivered = sum(1 for text, _ in texts if text not in called)
    waits = rows(
        workspace.data,
        "SELECT a.updated_at - e.at FROM attempt a JOIN event e ON e.seq = a.event_seq WHERE e.seq > ?",
        last_event,
    )
    return Passed(
        shot=shot,
        settled=settled / shot.seconds,
        p99_ms=p99([wait for (wait,) in waits]),
        backlog=depths[-1][1],
        growth=_growth(depths) / max(shot.rate, 1),
        left=left,
        lost=max(0, shot.ok - len(texts)) + max(0, undelivered - left),
        double=sum(count - 1 for _, count in texts),
        repeated=sum(count - 1 for count in called.values()),
    )


def _growth(depths: Sequence[tuple[float, int]]) -> float:
    """Return how many a second the backlog grew by: the last quarter of a load against the one before."""
    quarter = max(1, len(depths) // 4)
    (then, was), (now, is_) = _middle(depths[-2 * quarter : -quarter]), _middle(depths[-quarter:])
    return max(0.0, (is_ - was) / (now - then))


def _middle(depths: Sequence[tuple[float, int]]) -> tuple[float, float]:
    return mean(at for at, _ in depths), mean(depth for _, depth in depths)


def _queued(workspace: Workspace) -> int:
    [(count,)] = rows(workspace.data, "SELECT count(*) FROM delivery WHERE state = 'queued'")
    return int(count)


def _drained(workspace: Workspace, seconds: float) -> int:
    """Wait until nothing is queued; return what is left when the time is over."""
    until = time.monotonic() + seconds
    while (left := _queued(workspace)) and time.monotonic() < until:
        time.sleep(SAMPLE_S)
    return left


def _note(bench: Bench, passed: Passed) -> str:
    parts = (
        f"accepted {passed.shot.rate:,.0f}/s, answers p99 {passed.shot.p99_ms:.0f} ms",
        f"backlog at end {passed.backlog:,}",
        limited(passed.shot.rate, bench.ceiling),
    )
    return "; ".join(filter(None, parts))
