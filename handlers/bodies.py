"""Request bodies from bytes to plain values: strict JSON and forms (decisions 39 and 54, `security.md` 4).

Everything here runs on the event loop, so hostile bodies of the allowed size must cost little: the checks are
built from single passes in C. Whatever is wrong with a body comes back as a `BodyFault`.
"""

import binascii
import json
import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NoReturn

import orjson

MAX_DEPTH: Final = 64
# A megabyte of brackets keeps the garbage collector busy for 130 ms; real bodies hold a few hundred.
MAX_CONTAINERS: Final = 50_000
# Python's parser takes a microsecond for each large float, the quick one a tenth of that.
MOST_EXACT_VALUES: Final = 30_000
MAX_FORM_FIELDS: Final = 1_000

FORM_TYPE: Final = "application/x-www-form-urlencoded"

_BOM: Final = b"\xef\xbb\xbf"
_CHARSETS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",  # a subset, and senders that claim it often send more
    "ascii": "utf-8",
    "iso-8859-1": "latin-1",
    "latin-1": "latin-1",
    "latin1": "latin-1",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}

_OPENING_TO_SQUARE: Final = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_LONE_SURROGATE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    r"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F]"
)
_BROKEN_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True)
class BodyFault:
    """Why a body is refused: the status to answer with and a sentence for the sender."""

    status: int
    text: str


def parse_body(content_type: str | None, decoded: bytes) -> object | BodyFault | None:
    """Turn a body into a value: `None` when empty, a JSON value, or a dictionary for a form.

    `content_type` is the header as sent, `None` without one (aiohttp's `request.content_type` makes one up).
    Many senders mislabel JSON, so whatever else begins with `{` or `[` is read as JSON too. A byte order mark
    is skipped.
    """
    if not decoded:
        return None
    media_type, charset = _media_type(content_type or "")
    if media_type.startswith("multipart/"):
        return _unsupported(f"The content type {media_type[:80]!r} is not accepted here")
    data = _to_utf8(decoded, charset)
    if isinstance(data, BodyFault):
        return data
    if not data.strip():
        return None
    if media_type == FORM_TYPE:
        return parse_form(data)
    is_json = media_type in ("", "application/json", "text/json") or media_type.endswith("+json")
    if is_json or data.lstrip()[:1] in (b"{", b"["):
        return parse_json(data)
    return _unsupported(f"The content type {media_type[:80]!r} is not accepted here")


def parse_json(data: bytes | str, *, what: str = "The body") -> object | BodyFault:
    """Read one strict JSON text in UTF-8; of duplicate keys the last wins (decision 39).

    Refused: NaN and infinities however they are spelled, integers over 4,300 digits (the interpreter's own
    limit; beyond 64 bits, any integer that stands among more than `MOST_EXACT_VALUES`), lone surrogates, and what
    exceeds `MAX_DEPTH` or `MAX_CONTAINERS`. `what` begins the texts: body or field.
    """
    try:
        raw, text = (data.encode(), data) if isinstance(data, str) else (data, data.decode())
    except UnicodeEncodeError:
        return BodyFault(400, f"{what} holds half a surrogate pair; send whole characters.")
    except UnicodeDecodeError as error:
        return BodyFault(400, f"{what} is not valid utf-8 at byte {error.start}.")
    fault = _shape_fault(raw, what)
    if fault is not None:
        return fault
    try:
        value: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:  # what is wrong, or an integer of hundreds of digits
        reason = f"{what} is not valid JSON: {error}"
    else:
        if not _holds_long_integer(raw):
            return value
        # of an integer beyond 64 bits a float has been made
        reason = f"{what} holds an integer of 20 digits among more than {MOST_EXACT_VALUES:,} values; send it as text."
    return _parse_exactly(raw, text, what, reason)


def _parse_exactly(raw: bytes, text: str, what: str, reason: str) -> object | BodyFault:
    """Read with Python's own parser, which takes any integer and tells faults apart, but is slow with floats.

    `reason` is what is said where there is too much for it.
    """
    literals = _outside_strings(raw)
    if literals.count(b",") > MOST_EXACT_VALUES:
        return BodyFault(400, reason)
    numbers = b"," + literals.translate(None, _NOT_OF_NUMBERS)
    if any(math.isinf(float(number)) for number in set(_LARGE_FLOAT.findall(numbers))):
        return _not_finite(what)
    if ("\\ud" in text or "\\uD" in text) and _LONE_SURROGATE.search(text.replace("\\\\", "__")):
        return BodyFault(400, f"{what} holds half a surrogate pair; send whole characters.")
    try:
        value: object = _EXACT.decode(text)
    except _NotFiniteError:
        return _not_finite(what)
    except json.JSONDecodeError as error:
        return BodyFault(400, f"{what} is not valid JSON: {error}")
    except ValueError:  # the only other one: the interpreter's limit on the digits of an integer
        return BodyFault(400, f"{what} holds an integer of more than 4,300 digits; send it as text.")
    return value


def parse_form(data: bytes) -> dict[str, str | list[str]] | BodyFault:
    """Read a URL-encoded form in UTF-8; a repeated key, or one that ends with `[]`, holds a list."""
    if data.count(b"&") >= MAX_FORM_FIELDS:
        return BodyFault(413, f"The form has more than {MAX_FORM_FIELDS:,} fields; send fewer, or send JSON.")
    broken = _BROKEN_PERCENT.search(data)
    if broken is not None:
        return BodyFault(400, f"The form has a % without two hex digits at byte {broken.start()}; send %25.")
    found: dict[str, list[str]] = {}
    lists: set[str] = set()
    for field in filter(None, data.split(b"&")):
        name, _, value = field.partition(b"=")
        try:
            key, text = _unquote(name), _unquote(value)
        except UnicodeDecodeError:
            return BodyFault(400, "The form is not valid utf-8; encode its text as utf-8, then percent-encode it.")
        if key.endswith("[]"):
            key = key.removesuffix("[]")
            lists.add(key)
        found.setdefault(key, []).append(text)
    return {key: values if key in lists or len(values) > 1 else values[0] for key, values in found.items()}


def unwrap_payload(value: object) -> object | BodyFault:
    """Replace an object that has a `payload` by the JSON in it, once (decision 54, calls of `/api/v1`)."""
    if not isinstance(value, dict) or "payload" not in value:
        return value
    payload = value["payload"]
    if not isinstance(payload, str):
        return BodyFault(400, 'The field "payload" must be JSON text.')
    return parse_json(payload, what='The field "payload"')


def unwrap_hook_payload(content_type: str | None, value: object) -> object | BodyFault:
    """Unwrap a form whose only key is `payload`, of exactly the form type (`rocketchat.md` 5.1 step 1)."""
    if content_type == FORM_TYPE and isinstance(value, dict) and value.keys() == {"payload"}:
        return unwrap_payload(value)
    return value


class _NotFiniteError(Exception):
    """A JSON number is NaN or infinite."""


def _refuse_constant(_: str) -> NoReturn:
    raise _NotFiniteError


def _not_finite(what: str) -> BodyFault:
    return BodyFault(400, f"{what} holds a number that is not finite; NaN and infinity are not JSON.")


# without a function for floats, which would be called for each of them
_EXACT: Final = json.JSONDecoder(parse_constant=_refuse_constant)
# Brackets, blanks and words: between numbers a comma or colon stays.
_NOT_OF_NUMBERS: Final = bytes(set(range(256)) - set(b"0123456789.eE+-,:"))
# Whatever may be infinite: a long exponent, or a number of a hundred digits. It begins with what stands before a number
# and takes digits without giving any back, so that a scan stays linear.
_LARGE_FLOAT: Final = re.compile(
    rb"[^0-9.eE+]([0-9]++(?:\.[0-9]++)?[eE]\+?[0-9]{3,}"
    rb"|[0-9]{100,}+(?:\.[0-9]++(?:[eE][+-]?[0-9]++)?|[eE][+-]?[0-9]++))"
)
_DIGITS_TO_ZERO: Final = bytes.maketrans(b"123456789", b"0" * 9)
_LONG: Final = b"0" * 19
# All of 19 digits fit without a sign. What stands before the digits comes first, so that fractions are passed quickly.
_LONG_INTEGER: Final = re.compile(rb"[^.eE+0](?:0|(?<=-))0{19}")


def _holds_long_integer(raw: bytes) -> bool:
    """Tell whether a JSON text may hold an integer beyond 64 bits: digits in strings and fractions are none."""
    if _LONG not in raw.translate(_DIGITS_TO_ZERO):
        return False
    return _LONG_INTEGER.search(b" " + _outside_strings(raw).translate(_DIGITS_TO_ZERO)) is not None


def _shape_fault(data: bytes, what: str) -> BodyFault | None:
    """Measure nesting before the parser sees it: the standard one recurses and ends in a RecursionError."""
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return None
    brackets = _outside_strings(data).translate(_OPENING_TO_SQUARE, _NOT_BRACKETS)
    too_deep = BodyFault(400, f"{what} is nested deeper than {MAX_DEPTH} levels; flatten it.")
    if b"[" * (MAX_DEPTH + 1) in brackets:
        return too_deep
    if brackets.count(b"[") > MAX_CONTAINERS:
        return BodyFault(400, f"{what} holds more than {MAX_CONTAINERS:,} lists and objects; send it in parts.")
    for _ in range(MAX_DEPTH):  # each round takes the innermost level away
        shorter = brackets.replace(b"[]", b"")
        if len(shorter) == len(brackets):
            break
        brackets = shorter
    # What is left of a malformed text without pairs is for the parser to describe.
    return too_deep if b"[]" in brackets or brackets.count(b"[") > MAX_DEPTH else None


def _outside_strings(data: bytes) -> bytes:
    """Return what stands between the strings of a JSON text."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.split(b'"')[::2])


@lru_cache(maxsize=64)
def _media_type(content_type: str) -> tuple[str, str]:
    media_type, *parameters = content_type.lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset":
            return media_type.strip(), value.strip(" \t\"'")
    return media_type.strip(), "utf-8"


def _to_utf8(data: bytes, charset: str) -> bytes | BodyFault:
    encoding = _CHARSETS.get(charset)
    if encoding is None:
        return BodyFault(415, f"The charset {charset[:40]!r} is not supported; send the body as utf-8.")
    if encoding != "utf-8":
        try:
            data = data.decode(encoding).encode()
        except UnicodeDecodeError:
            return BodyFault(400, f"The body is not valid {charset}, the charset its content type names.")
    return data.removeprefix(_BOM)


def _unquote(text: bytes) -> str:
    # Quoted-printable is percent-encoding with another sign, and binascii decodes it in C: 2 ms for a MiB of
    # %41 where urllib takes 65. Every = that remains is followed by two hex digits, so no line is joined.
    quoted = text.replace(b"+", b" ").replace(b"=", b"=3D").replace(b"%", b"=")
    return binascii.a2b_qp(quoted).decode()


def _unsupported(complaint: str) -> BodyFault:
    return BodyFault(415, f"{complaint}; send application/json or {FORM_TYPE}.")
