"""Write hooks as the file of an export: plain YAML that reads back as exactly what was written."""

import re
from collections.abc import Iterable

from handlers.portable.columns import COLUMNS, FORMAT, LISTS
from handlers.portable.values import Value, value_of
from storage.clock import Millis, iso
from storage.records.integration import Direction, Hook, direction

_BARE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(?: [A-Za-z0-9_.-]+)*")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
"""Words that some reader of YAML takes for something else than a text."""
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def written(hooks: Iterable[Hook], *, now: Millis, masked: bool, only: Direction | None = None) -> str:
    """Return the file; with `masked` it holds no secret, and importing it keeps those that are stored."""
    each = list(hooks)
    pieces = [heading(now, masked=masked)]
    for key, way in listed(only):
        mine = [hook for hook in each if direction(hook) is way]
        pieces.append(list_heading(key, empty=all(hook.damaged for hook in mine)))
        pieces += [entry(hook, masked=masked) for hook in mine]
    return "".join(pieces)


def heading(now: Millis, *, masked: bool) -> str:
    """Return how the file begins."""
    about = "without secrets: *** keeps what is stored" if masked else "WITH SECRETS: keep it safe"
    lines = (
        f"# Hooks of a Patchbay server on {iso(now)}, {about}.",
        "# Import never removes a hook, and leaves what a hook does not mention as it is.",
        f"patchbay: {FORMAT}",
        "",
    )
    return "\n".join(lines)


def listed(only: Direction | None) -> list[tuple[str, Direction]]:
    """Return the lists of the file in their order: both, or that of one direction."""
    return [(key, way) for key, way in LISTS.items() if only in (None, way)]


def list_heading(key: str, *, empty: bool) -> str:
    """Return how one of the lists begins."""
    return f"{key}: []\n" if empty else f"{key}:\n"


def entry(hook: Hook, *, masked: bool) -> str:
    """Return one hook; of one that is damaged only that it is left out."""
    if hook.damaged:
        return f"  # {scalar(hook.name)} ({hook.id}) is left out: what is sealed of it is damaged.\n"
    return "\n".join([*_hook(hook, masked=masked), ""])


def scalar(value: str | bool | int | float | None) -> str:
    """Write one value; a text gets quotes wherever any reader could take it for something else."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
    if _BARE.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return '"' + "".join(map(_character, value)) + '"'


def _hook(hook: Hook, *, masked: bool) -> Iterable[str]:
    lead = "  - "
    for column in COLUMNS[direction(hook)]:
        yield f"{lead}{column.key}: {_value(value_of(hook, column, masked=masked))}"
        lead = "    "


def _value(value: Value) -> str:
    return f"[{', '.join(map(scalar, value))}]" if isinstance(value, tuple) else scalar(value)


def _character(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    return char if char.isprintable() else f"\\U{ord(char):08X}"
