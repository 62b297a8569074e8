"""Read single fields of what other chats send, so that nothing a stranger writes surprises an adapter."""

import re
from collections.abc import Mapping
from typing import Final

from handlers.bodies import BodyFault, parse_form, parse_json
from handlers.chat_adapter import Refusal, Request
from handlers.line import one_line

MALFORMED: Final = Refusal(400, "The request is not what this address takes.")

MAX_NAME: Final = 80
MAX_ADDRESS: Final = 2_000

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_VISIBLE = re.compile(r"[!-~]+")

Fields = Mapping[str, object]

NO_FIELDS: Final[Fields] = {}


def form_of(request: Request) -> Fields | None:
    """Return the fields of a form, of the query where there is no body; None when it cannot be read."""
    try:
        data = request.body or request.query.encode("ascii")
    except UnicodeEncodeError:
        return None
    form = parse_form(data)
    return None if isinstance(form, BodyFault) else form


def object_of(data: bytes | str) -> Fields | None:
    """Return a JSON object; None for anything else."""
    value = parse_json(data)
    return value if isinstance(value, dict) else None


def inner(fields: Fields, name: str) -> Fields:
    """Return an object inside another; an empty one where there is none."""
    value = fields.get(name)
    return value if isinstance(value, dict) else NO_FIELDS


def items(fields: Fields, name: str) -> list[Fields]:
    """Return the objects of a list inside an object."""
    value = fields.get(name)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def text(fields: Fields, name: str) -> str | None:
    """Return a text; None when it is absent, or there more than once."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def identifier(fields: Fields, name: str) -> str | None:
    """Return an id of any system; None when it is none."""
    value = text(fields, name)
    return value if value is not None and _ID.fullmatch(value) else None


def label(fields: Fields, name: str) -> str:
    """Return a name for people, on one line and not long; empty when there is none."""
    return one_line(text(fields, name) or "", MAX_NAME)


def address(fields: Fields, name: str) -> str | None:
    """Return an http address; whether it may be called is judged when it is."""
    value = text(fields, name)
    if value is None or len(value) > MAX_ADDRESS or not _VISIBLE.fullmatch(value):
        return None
    return value if value.startswith(("https://", "http://")) else None


def opaque(fields: Fields, name: str) -> str | None:
    """Return something to be given back as it came, such as a trigger id."""
    value = text(fields, name)
    return value if value and len(value) <= MAX_ADDRESS and _VISIBLE.fullmatch(value) else None
