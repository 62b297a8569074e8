"""Writes what was measured: the table people read, and the same as JSON."""

import json
from collections.abc import Mapping
from pathlib import Path

from tests.bench.lines import Figure, Line

HEADER = ("Figure", "Measured", "Peer in the same run", "Ratio", "Bar", "")


def table(figures: Mapping[str, Figure]) -> str:
    """Return the table; notes stand below the line they belong to."""
    cells: list[tuple[str, ...]] = [HEADER]
    for name, figure in figures.items():
        cells += [_cells(name, line) for line in figure.lines]
    widths = [max(len(row[place]) for row in cells) for place in range(len(HEADER))]
    drawn = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    drawn.insert(1, "-" * (sum(widths) + 2 * len(widths)))
    place = 2
    for figure in figures.values():
        for line in figure.lines:
            place += 1
            if below := "; ".join(filter(None, (line.note, line.faults))):
                drawn.insert(place, f"    {below}")
                place += 1
    return "\n".join(drawn)


def write_json(file: Path, host: Mapping[str, object], figures: Mapping[str, Figure]) -> None:
    """Write everything the table shows, for programs."""
    shown = {name: [line.as_json() for line in figure.lines] for name, figure in figures.items()}
    whole = {"host": host, "lost": sum(figure.lost for figure in figures.values()), "figures": shown}
    file.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _cells(name: str, line: Line) -> tuple[str, ...]:
    return (
        f"{name}: {line.what}",
        f"{_number(line.value)} {line.unit}".rstrip(),
        "" if line.peer is None else f"{_number(line.peer)} {line.unit} {line.peer_name}".rstrip(),
        "" if line.ratio is None else f"{line.ratio:.2f}",
        "" if line.bar is None else str(line.bar) + ("" if line.ratio is None else " x"),
        line.verdict,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.2f}"
