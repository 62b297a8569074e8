"""What commands print: tables and facts for people, JSON for scripts, progress on standard error."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import click

from handlers.outgoing.payload import MASK
from storage.clock import Millis, iso

NOTHING = "-"


def print_rows(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, as_json: bool, empty: str) -> None:
    """Print a list: all of it as JSON, or some columns as a table under their names."""
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo(empty)
        return
    lines = [[column.upper() for column in columns], *([text(row[column]) for column in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def print_facts(facts: Mapping[str, object], *, as_json: bool) -> None:
    """Print one thing: a JSON object, or a line for each fact."""
    if as_json:
        print_json(facts)
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        click.echo(f"{name:<{width}}  {text(value)}")


def print_json(value: object) -> None:
    """Print JSON in ASCII, which no terminal acts on."""
    click.echo(json.dumps(value, indent=2))


def text(value: object) -> str:
    """Write a value in a table; characters a terminal would act on are replaced (security.md §4)."""
    match value:
        case None | "" | ():
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(map(text, value)) or NOTHING
        case _:
            return "".join(sign if sign.isprintable() else "?" for sign in str(value))


def moment(at: Millis | None) -> str | None:
    """Write a moment in UTC, as JSON and tables show it."""
    return None if at is None else iso(at)


def masked(value: object) -> str | None:
    """Tell only whether there is a secret."""
    return MASK if value else None


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on standard error; what is yielded takes steps done and all steps."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def step(done: int, total: int) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield step
