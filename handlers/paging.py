"""Answer with one page of a list: ten numbered rows, the count, and the command for the next (commands.md §2.3)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from handlers.answers import ROWS, listing, pages
from handlers.command import Answer, Call
from handlers.line import Problem, ProblemKind, Span
from handlers.parse import written
from handlers.slots import PAGE, Given, Values


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list; its cells stand in the fixed order *state, name, id, place, what, last traffic, failures*."""

    id: str
    """What `#n` means for the next ten minutes."""
    cells: Mapping[str, str]


def page_of(call: Call) -> int:
    """Return the page that is asked for."""
    return call.values.number(PAGE.name) or 1


def offset_of(call: Call) -> int:
    """Return how many rows stand before that page, for a store that pages itself."""
    return (page_of(call) - 1) * ROWS


def no_such_page(call: Call, total: int) -> Problem | None:
    """Refuse a page behind the last one."""
    if page_of(call) <= pages(total):
        return None
    return Problem(
        kind=ProblemKind.INVALID,
        text=f"There is no page {page_of(call)}.",
        span=call.values.span(PAGE.name),
        allowed="only one page" if pages(total) == 1 else f"1 to {pages(total)}",
        next=call.command.words,
    )


def listed(call: Call, summary: str, rows: Sequence[Row], *, total: int) -> Answer | Problem:
    """Answer with the rows of the page that is asked for; `summary` counts them all (`12 incoming hooks`)."""
    if problem := no_such_page(call, total):
        return problem
    page, first = page_of(call), offset_of(call) + 1
    text = listing(
        summary,
        [f"#{number} {' · '.join(row.cells.values())}" for number, row in enumerate(rows, first)],
        page=page,
        total=total,
        next_page=f"{call.context.root} {_page_command(call, page + 1)}",
    )
    data = {"total": total, "page": page, "rows": [dict(row.cells) for row in rows]}
    return Answer(text, data=data, rows=tuple(row.id for row in rows), first_row=first, listed=True)


def _page_command(call: Call, page: int) -> str:
    given = Given(page, (str(page),), Span(0, 0))
    return written(call.command, Values({**call.values.given, PAGE.name: given}, call.values.pairs))
