"""Durable incoming posts: answered after the commit, with the message in its room, beside a bare aiohttp handler."""

from dataclasses import replace
from urllib.parse import urlsplit

from tests.bench.bench import BODY, Bench
from tests.bench.children import listening
from tests.bench.lines import AtLeast, AtMost, Figure, Line
from tests.bench.load import Load, Shot, fire, limited
from tests.bench.server import Workspace, first_start, serving
from tests.scenarios.stored import rows

RATIO = AtLeast(0.4)
SLOWEST_MS = AtMost(20)


def measure(bench: Bench) -> Figure:
    """Post with 64 connections, without and with a request id; then check each answer of a shorter load."""
    seconds = bench.pick(10, 3)
    workspace = first_start(bench.data("posts"))
    with listening("peers", "handler") as bare:
        load = Load(url=bare + workspace.hook_path, body=BODY, seconds=seconds)
        peer = fire(load)
    lines, lost = [], 0
    with serving(workspace.data) as server:
        for what, ids in (("no request id", False), ("random request ids", True)):
            ours = replace(load, url=server.url + urlsplit(load.url).path, ids=ids, prefix=f"{what[:2]}-")
            before = _stored(workspace)
            shot = fire(ours)
            lost += max(0, shot.ok - (_stored(workspace) - before))
            lines += _lines(bench, what, shot, peer)
        checked = fire(replace(load, url=server.url + workspace.hook_path, seconds=1, each=True))
        lost += len(_missing(workspace, checked))
        server.stop()
    lines.append(Line(what="acknowledged posts that are lost", value=lost, unit="", bar=AtMost(0)))
    return Figure(tuple(lines), lost)


def _lines(bench: Bench, what: str, shot: Shot, peer: Shot) -> list[Line]:
    note = "; ".join(filter(None, (limited(shot.rate, bench.ceiling), shot.faults)))
    return [
        Line(
            what=f"{what}, 64 connections",
            value=shot.rate,
            unit="/s",
            bar=RATIO,
            peer=peer.rate,
            peer_name="bare handler",
            note=note,
        ),
        Line(what=f"{what}, p99 (bare {peer.p99_ms:.1f} ms)", value=shot.p99_ms, unit="ms", bar=SLOWEST_MS),
    ]


def _stored(workspace: Workspace) -> int:
    [(count,)] = rows(workspace.data, "SELECT count(DISTINCT text) FROM message")
    return int(count)


def _missing(workspace: Workspace, shot: Shot) -> set[str]:
    """Return the numbers of acknowledged posts that are not in the room exactly once."""
    found = rows(workspace.data, "SELECT text FROM message GROUP BY text HAVING count(*) = 1")
    numbers = {text.split()[2] for (text,) in found if text.startswith("[api] build ")}
    return set(shot.numbers) - numbers
