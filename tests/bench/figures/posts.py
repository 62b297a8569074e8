"""Durable incoming posts: answered after the commit, with the message in its room, beside a bare aiohttp handler."""

from dataclasses import replace
from statistics import median

from storage.sqlite.apply import REQUESTS_KEPT
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
    three by more than what is to be seen. A message counts only with its event, its history and, where it has one,
    its request id. What is lost is counted over all, less what wrk had under way at its ends; two more seconds tell
    each answer.
    """
    turns = bench.pick(10, 3)
    workspace = first_start(bench.data("posts"))
    with listening("peers", "handler") as bare, serving(workspace.data) as server:
        plain = Load(url=server.url + workspace.hook_path, body=BODY, seconds=1)
        loads = (replace(plain, url=bare + workspace.hook_path), plain, replace(plain, ids=True))
        for load in loads:
            fire(load)  # caches are warm
        before, whole = _stored(workspace), _partly_written(workspace)
        found = [
            [fire(replace(load, prefix=f"{turn}{place}-")) for place, load in enumerate(loads)] for turn in range(turns)
        ]
        peers, plains, with_ids = (list(shots) for shots in zip(*found, strict=True))
        lost = max(0, sum(shot.ok for shot in (*plains, *with_ids)) - (_stored(workspace) - before))
        told = [fire(replace(load, each=True, prefix=f"told{place}-")) for place, load in enumerate(loads[1:])]
        lost += sum(len(_missing(workspace, shot)) for shot in told)
        server.stop()
    partly = _partly_written(workspace) - whole
    ids_lost = max(0, sum(shot.ok for shot in with_ids) - _count(workspace, "dedup"))
    lines = [*_lines(bench, "no request id", plains, peers), *_lines(bench, "random request ids", with_ids, peers)]
    lines.append(Line(what="acknowledged posts that are lost", value=lost, unit="", bar=AtMost(0)))
    unwritten = abs(partly) + ids_lost + (REQUESTS_KEPT - _count(workspace, "hook_request"))
    lines.append(Line(what="without event, request id or history", value=unwritten, unit="", bar=AtMost(0)))
    return Figure(tuple(lines), lost)


def _lines(bench: Bench, what: str, shots: list[Shot], peers: list[Shot]) -> list[Line]:
    rate, slowest = median(shot.rate for shot in shots), max(shot.p99_ms for shot in shots)
    peer = median(shot.rate for shot in peers)
    note = "; ".join(filter(None, (limited(rate, bench.ceiling), limited(peer, bench.ceiling))))
    faults = "; ".join({shot.faults for shot in (*shots, *peers)} - {""})
    bare_ms = median(peer.p99_ms for peer in peers)
    return [
        Line(
            what=f"{what}, 64 connections, median of {len(shots)}",
            value=rate,
            unit="/s",
            bar=RATIO,
            peer=peer,
            peer_name="bare handler",
            note=note,
            faults=faults,
        ),
        Line(
            what=f"{what}, p99 (bare {bare_ms:.1f} ms)",
            value=median(shot.p99_ms for shot in shots),
            unit="ms",
            bar=SLOWEST_MS,
            note=f"{slowest:.0f} ms in the worst second",
            faults=faults,
        ),
    ]


def _count(workspace: Workspace, table: str) -> int:
    [(count,)] = rows(workspace.data, f"SELECT count(*) FROM {table}")
    return int(count)


def _partly_written(workspace: Workspace) -> int:
    """Return how many more messages there are than events of them."""
    [(count,)] = rows(workspace.data, "SELECT count(*) FROM event WHERE kind = 'message.posted'")
    return _count(workspace, "message") - int(count)


def _stored(workspace: Workspace) -> int:
    [(count,)] = rows(workspace.data, "SELECT count(DISTINCT text) FROM message")
    return int(count)


def _missing(workspace: Workspace, shot: Shot) -> set[str]:
    """Return the numbers of acknowledged posts that are not in the room exactly once."""
    found = rows(workspace.data, "SELECT text FROM message GROUP BY text HAVING count(*) = 1")
    numbers = {text.split()[2] for (text,) in found if text.startswith("[api] build ")}
    return set(shot.numbers) - numbers
