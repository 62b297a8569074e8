"""Judge a request against its schema, in the words of the classic server (rocketchat.md 1.2).

The rules reproduce how the original validator stops: a branch reports its first failure only, and the
order of the checks decides which failure that is.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

INVALID_PARAMS = "invalid-params"
ONE_OF = "must match exactly one schema in oneOf"

Kind = Literal["string", "boolean", "number", "array"]

_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Field:
    """Declare one known key.

    An array holds texts of at least `min_length` characters. `pattern` is a literal found anywhere in the
    text: the original's patterns are not anchored. `numeric_text` marks a number that arrives in a query
    string, where it may be written as text.
    """

    name: str
    kind: Kind = "string"
    nullable: bool = False
    pattern: str | None = None
    min_length: int = 0
    numeric_text: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """Declare one shape of a request: fields in schema order, required names in the order they are missed."""

    fields: tuple[Field, ...]
    required: tuple[str, ...] = ()
    closed: bool = True


Schema = tuple[Branch, ...]
"""One branch stands for itself; several mean that exactly one of them must accept."""


def validate(schema: Schema, value: object) -> str | None:
    """Return the `error` text of the refusal exactly as sent, or None when the schema accepts (1.2)."""
    if len(schema) == 1:
        failure = _branch_failure(schema[0], value)
        messages = [] if failure is None else [failure]
    else:
        messages = _one_of_failures(schema, value)
    return "\n ".join(messages) + f" [{INVALID_PARAMS}]" if messages else None


def parse_number(text: str) -> float | None:
    """Read a decimal number written as text; None when it is not one, or not finite (decision 51)."""
    stripped = text.strip()
    if not _DECIMAL.fullmatch(stripped):
        return None
    number = float(stripped)
    return number if math.isfinite(number) else None


def _one_of_failures(schema: Schema, value: object) -> list[str]:
    failures: list[str] = []
    accepted = 0
    for branch in schema:
        failure = _branch_failure(branch, value)
        if failure is not None:
            failures.append(failure)
            continue
        accepted += 1
        if accepted == 2:
            break
    return [] if accepted == 1 else [*failures, ONE_OF]


def _branch_failure(branch: Branch, value: object) -> str | None:
    return next(_branch_failures(branch, value), None)


def _branch_failures(branch: Branch, value: object) -> Iterator[str]:
    if not isinstance(value, Mapping):
        yield "must be object"
        return
    yield from (f"must have required property '{name}'" for name in branch.required if name not in value)
    if branch.closed and not value.keys() <= {field.name for field in branch.fields}:
        yield "must NOT have additional properties"
    for field in branch.fields:
        if field.name in value:
            yield from _field_failures(field, value[field.name])


def _field_failures(field: Field, value: object) -> Iterator[str]:
    if value is None and field.nullable:
        return
    if not _has_kind(field, value):
        yield f"must be {field.kind}"
    elif isinstance(value, list):
        for item in value:
            yield from _text_failures(field, item)
    elif field.kind == "string":
        yield from _text_failures(field, value)


def _text_failures(field: Field, value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield "must be string"
        return
    if len(value) < field.min_length:
        yield f"must NOT have fewer than {field.min_length} characters"
    if field.pattern is not None and field.pattern not in value:
        yield f'must match pattern "{field.pattern}"'


def _has_kind(field: Field, value: object) -> bool:
    match field.kind:
        case "string":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "number":
            return _is_number(value) or (
                field.numeric_text and isinstance(value, str) and parse_number(value) is not None
            )


def _is_number(value: object) -> bool:
    # bool is an int to Python but not to JSON; an int is always finite, and may be too long for a float
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)
