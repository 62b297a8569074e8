"""Say which field of a sender's body has the wrong type or an unsafe link.

The wording follows the checks of the original (`Match error: Expected string, got number in field …`); the
original repeats the prefix once per nested check and names only the last key, here it stands once and the
field is named by its whole path.
"""

import re
from collections.abc import Iterator, Mapping

INVALID_LINK = "Invalid href value provided"
UPLOAD_PATH = "/file-upload/"

_ABSOLUTE = re.compile(r"https?://[^/?#\\\s]", re.IGNORECASE | re.ASCII)
_RELATIVE = re.compile(r"(?:/|[^/\\:]+/)[^/\\]")
# Browsers drop tabs and line breaks from an address: `java\tscript:` would run.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


_NAMES: Mapping[type, str] = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    dict: "object",
}


def type_name(value: object) -> str:
    """Return the JSON name of the type of a value."""
    return _NAMES.get(type(value), "array")


def wrong_type(value: object, expected: str, field: str = "") -> str:
    """Return the text for a value that is not of the expected type."""
    where = f" in field {field}" if field else ""
    return f"Match error: Expected {expected}, got {type_name(value)}{where}"


def type_faults(value: object, expected: tuple[str, ...], field: str) -> Iterator[str]:
    """Yield the fault of a value that has none of the expected types; null is not checked (§5.3)."""
    if value is not None and type_name(value) not in expected:
        yield wrong_type(value, " or ".join(expected), field)


def link_faults(value: object, field: str) -> Iterator[str]:
    """Yield the fault of a link that is neither absolute http(s) nor the server's own upload path (§5.3)."""
    yield from type_faults(value, ("string",), field)
    if isinstance(value, str) and not is_link(value):
        yield INVALID_LINK


def is_link(value: str) -> bool:
    """Tell whether a text may stand as a link of an attachment."""
    return bool(_ABSOLUTE.match(value) or value.startswith(UPLOAD_PATH)) and not _CONTROL.search(value)


def is_picture(value: str) -> bool:
    """Tell whether a text may stand as a message's avatar: as a link, or relative to the server."""
    is_relative = bool(_RELATIVE.match(value)) and not _CONTROL.search(value)
    return is_relative or is_link(value)
