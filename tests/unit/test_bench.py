"""The benchmark harness itself: what it calls met, and a loader and receiver that lose nothing."""

from collections import Counter
from dataclasses import replace

import pytest

from tests.bench.children import call, listening
from tests.bench.lines import AtLeast, AtMost, Figure, Line
from tests.bench.load import Load, fire, in_turn, loading
from tests.bench.report import table


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        (Line(what="x", value=5, unit="ms", bar=AtMost(5)), "ok"),
        (Line(what="x", value=5.1, unit="ms", bar=AtMost(5)), "FAIL"),
        (Line(what="x", value=40, unit="/s", bar=AtLeast(0.4), peer=100), "ok"),
        (Line(what="x", value=39, unit="/s", bar=AtLeast(0.4), peer=100), "FAIL"),
        (Line(what="x", value=9, unit="ms", bar=AtMost(2), peer=4), "FAIL"),
        (Line(what="x", value=9, unit="ms", bar=AtMost(2), peer=0), "FAIL"),
        (Line(what="x", value=9, unit="ms"), ""),
        (Line(what="x", value=5, unit="ms", bar=AtMost(5), faults="1 refused, 0 broken"), "FAIL"),
    ],
)
def test_a_bar_is_for_the_ratio_where_there_is_a_peer(line: Line, verdict: str) -> None:
    """A line with a peer is judged by their ratio, one without by its value, one without a bar not at all."""
    assert line.verdict == verdict


def test_the_table_shows_each_line_with_its_verdict_and_note() -> None:
    """A reader sees figure, value, peer, ratio, bar and verdict in one row, the note below it."""
    line = Line(what="rate", value=1234, unit="/s", bar=AtLeast(0.4), peer=6170, peer_name="bare", note="noisy")
    header, _, row, note = table({"posts": Figure((line,))}).splitlines()
    assert header.split("  ")[0] == "Figure"
    assert [cell.strip() for cell in row.split("  ") if cell] == [
        "posts: rate",
        "1,234 /s",
        "6,170 /s bare",
        "0.20",
        "≥ 0.4 x",
        "FAIL",
    ]
    assert note.strip() == "noisy"


@pytest.mark.parametrize("rate", [0.0, 200.0])
def test_every_answered_request_arrived_once(rate: float) -> None:
    """What the loader says was answered is what the receiver got, each request once, paced or not."""
    with listening("receiver") as receiver:
        shot = fire(Load(url=f"{receiver}/in", body='{"text":"@n"}', connections=8, seconds=0.3, rate=rate, each=True))
        arrived = Counter(text for _, _, text in call("GET", f"{receiver}/control/report"))
    assert shot.ok > 10
    assert shot.faults == ""
    assert set(arrived.values()) == {1}
    assert set(arrived) == set(shot.numbers)


def test_lines_come_in_turn_from_several_loads() -> None:
    """Loads of one process begin one after the other, each with its lines in turn, in the address or in the body."""
    with listening("receiver") as receiver:
        load = Load(url=f"{receiver}/in", body='{"text":"@line"}', connections=1, seconds=0.1, rate=50)
        asked = replace(load, url=f"{receiver}/asked?line=@line", body="", method="GET", lines=("c", "d", "e"))
        with loading(*in_turn([replace(load, lines=("a", "b")), asked])) as underway:
            shots = underway.finish_all()
        arrived = [(path, text) for path, _, text in call("GET", f"{receiver}/control/report")]
    assert [(shot.ok, shot.faults) for shot in shots] == [(5, ""), (5, "")]
    assert arrived[:5] == [("/in", line) for line in "ababa"]
    assert arrived[5:] == [(f"/asked?line={line}", "") for line in "cdecd"]
