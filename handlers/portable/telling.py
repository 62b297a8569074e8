"""Say what an import would do, or why it cannot: new, changed field by field, unchanged, refused by line."""

from collections.abc import Iterable, Sequence

from handlers.answers import plural
from handlers.line import one_line
from handlers.portable.planning import Change, ImportPlan, Step
from handlers.portable.reading import Refused
from storage.records.integration import Direction

SHOWN = 10
"""Rows of each kind in a chat (commands.md §2.3); the command line shows all."""


def counted(plan: ImportPlan) -> str:
    """Count what a file holds: `1 new, 2 changed, 3 unchanged`."""
    counts = [(len(plan.new), "new"), (len(plan.changed), "changed"), (plan.unchanged, "unchanged")]
    return ", ".join(f"{count:,} {word}" for count, word in counts if count) or "no hook"


def told(plan: ImportPlan, most: int | None = SHOWN) -> str:
    """Write what would become of which hook, one line each and one for each field that changes."""
    lines = [*_rows("New", map(_one, plan.new), len(plan.new), most)]
    lines += _rows("Changed", map(_changed, plan.changed), len(plan.changed), most)
    if plan.unchanged:
        lines.append(f"Unchanged: {plural(plan.unchanged, 'hook')}")
    return "\n".join(lines)


def refusals(refused: Sequence[Refused], most: int | None = SHOWN) -> str:
    """Write what cannot be done, in the order of the file."""
    ordered = sorted(refused, key=lambda one: one.line)
    rows = (f"line {one.line}: {one.text}" for one in ordered)
    return "\n".join(_rows("Refused", rows, len(ordered), most))


def facts(plan: ImportPlan, *, done: bool = False) -> dict[str, object]:
    """Return the same as plain JSON; once it is `done` new hooks have their ids."""
    return {
        "new": [_named(step, done=done) for step in plan.new],
        "changed": [
            {**_named(step, done=done), "fields": {c.key: [c.before, c.after] for c in step.changes}}
            for step in plan.changed
        ],
        "unchanged": plan.unchanged,
        "refused": [{"line": one.line, "text": one.text} for one in sorted(plan.refused, key=lambda one: one.line)],
    }


def kind_of(step: Step) -> str:
    """Return what kind of hook a step is about."""
    return "incoming hook" if step.entry.way is Direction.INCOMING else "outgoing hook"


def _named(step: Step, *, done: bool) -> dict[str, str | None]:
    return {"kind": kind_of(step), "id": step.hook.id if done or _has_id(step) else None, "name": step.hook.name}


def _has_id(step: Step) -> bool:
    """Tell whether the id stands already: a new hook without one gets its own when it is written."""
    return step.before is not None or step.entry.text("id") is not None


def _rows(title: str, rows: Iterable[str], count: int, most: int | None) -> Iterable[str]:
    if not count:
        return
    yield f"{title}:"
    for number, row in enumerate(rows):
        if number == most:
            yield f"· and {count - number:,} more"
            return
        yield f"· {row}"


def _one(step: Step) -> str:
    known = f" ({step.hook.id})" if _has_id(step) else ""
    return f"{kind_of(step)} {one_line(step.hook.name)}{known}"


def _changed(step: Step) -> str:
    return "\n".join([_one(step), *map(_field, step.changes)])


def _field(change: Change) -> str:
    return f"    {change.key}: {change.before} → {change.after}"
