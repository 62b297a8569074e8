"""Durable incoming posts: answered after the commit, with the message in its room, beside a bare aiohttp handler."""

from dataclasses import replace
from statistics import median

from tests.bench.bench import BODY, Bench
from tests.bench.children import listening
from tests.bench.lines import AtLeast, AtMost, Figure, Line
from tests.bench.load import Load, Shot, fire, limited
from tests.bench.server import Workspace, first_start, serving
from tests.scenarios.stored import rows

RATIO = AtLeast(0.4)
SLOWEST_MS = AtMost(20)


def measure(bench: Bench) -> Figure:
    """Post with 64 connections to the bare handler, without and with a request id, in turn; then check each answer.

    In turn and often, and the medians of it: what else the machine and its disk do in a second moves each of the
    three by more than what is to be seen.
    """
    turns = bench.pick(10, 3)
    workspace = first_start(bench.data("posts"))
    with listening("peers", "handler") as bare, serving(workspace.data) as server:
        plain = Load(url=server.url + workspace.hook_path, body=BODY, seconds=1)
        loads = (replace(plain, url=bare + workspace.hook_path), plain, replace(plain, ids=True))
        for load in loads:
            fire(load)  # caches are warm
        before = _stored(workspace)
        found = [
            [fire(replace(load, prefix=f"{turn}{place}-")) for place, load in enumerate(loads)] for turn in range(turns)
        ]
        peers, plains, with_ids = (list(shots) for shots in zip(*found, strict=True))
        lost = max(0, sum(shot.ok for shot in (*plains, *with_ids)) - (_stored(workspace) - before))
        checked = fire(replace(plain, each=True))
        lost += len(_missing(workspace, checked))
        server.stop()
    lines = [*_lines(bench, "no request id", plains, peers), *_lines(bench, "random request ids", with_ids, peers)]
    lines.append(Line(what="acknowledged posts that are lost", value=lost, unit="", bar=AtMost(0)))
    return Figure(tuple(lines), lost)


def _lines(bench: Bench, what: str, shots: list[Shot], peers: list[Shot]) -> list[Line]:
    rate, slowest = median(shot.rate for shot in shots), max(shot.p99_ms for shot in shots)
    note = "; ".join(filter(None, (limited(rate, bench.ceiling), *{shot.faults for shot in shots})))
    bare_ms = median(peer.p99_ms for peer in peers)
    return [
        Line(
            what=f"{what}, 64 connections, median of {len(shots)}",
            value=rate,
            unit="/s",
            bar=RATIO,
            peer=median(peer.rate for peer in peers),
            peer_name="bare handler",
            note=note,
        ),
        Line(
            what=f"{what}, p99 (bare {bare_ms:.1f} ms)",
            value=median(shot.p99_ms for shot in shots),
            unit="ms",
            bar=SLOWEST_MS,
            note=f"{slowest:.0f} ms in the worst second",
        ),
    ]


def _stored(workspace: Workspace) -> int:
    [(count,)] = rows(workspace.data, "SELECT count(DISTINCT text) FROM message")
    return int(count)


def _missing(workspace: Workspace, shot: Shot) -> set[str]:
    """Return the numbers of acknowledged posts that are not in the room exactly once."""
    found = rows(workspace.data, "SELECT text FROM message GROUP BY text HAVING count(*) = 1")
    numbers = {text.split()[2] for (text,) in found if text.startswith("[api] build ")}
    return set(shot.numbers) - numbers
