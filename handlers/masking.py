"""What of a request to an incoming hook may be shown: headers by an allow-list, body values by name (decision 33)."""

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from handlers.bodies import BodyFault, parse_body, parse_json
from handlers.outgoing.payload import MASK

SHOWN_HEADERS: Final = frozenset(
    {
        "accept",
        "content-encoding",
        "content-length",
        "content-type",
        "date",
        "host",
        "idempotency-key",
        "user-agent",
        "webhook-id",
        "webhook-timestamp",
        "x-event-key",
        "x-github-delivery",
        "x-github-event",
        "x-github-hook-id",
        "x-gitlab-event",
        "x-patchbay-hops",
        "x-request-id",
    }
)
"""Headers that name what was sent; every other one may carry a signature, a token or a cookie."""

_SECRET_NAME: Final = re.compile(
    r"token|secret|password|passwd|passphrase|authorization|apikey|accesskey|privatekey|credential|cookie"
)
_SECRET_WORDS: Final = frozenset({"auth", "jwt", "pass", "pwd"})
"""Short names that are secret alone, but not inside others such as `author` or `passed`."""

_NOT_IN_NAMES: Final = re.compile(r"[^a-z0-9]+")
_QUERY_VALUE: Final = re.compile(r"([?&;])([^=?&;\s]{1,100})=([^&;#\s\"'<>]+)")
_NAME_KEYS: Final = ("name", "key", "field", "header")


def masked_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers in their order, values that may be secret replaced."""
    return tuple((name, value if name.lower() in SHOWN_HEADERS else MASK) for name, value in headers)


def masked_body(content_type: str | None, body: bytes, known: Collection[str] = ()) -> object:
    """Return a body as a plain value without its secrets; `known` ones go wherever they stand.

    A body that cannot be read has no names to go by: a sentence stands for it.
    """
    value = parse_body(content_type, body)
    if isinstance(value, BodyFault):
        return f"({len(body):,} bytes, not shown: {value.text})"
    return _masked(value, tuple(filter(None, known)))


def masked_text(text: str) -> str:
    """Return a text of others without its secrets: JSON by its names, addresses by their queries.

    JSON that was cut has no names to go by: a sentence stands for it.
    """
    shown = _masked_text(text, (), wrapped=False)
    if not isinstance(shown, str):
        return json.dumps(shown, ensure_ascii=False)
    return f"({len(text):,} characters of JSON, not shown)" if shown.lstrip()[:1] in ("{", "[") else shown


def is_secret_name(name: str) -> bool:
    """Tell whether the value under a name counts as a secret, however the name is spelled."""
    plain = _NOT_IN_NAMES.sub("", name.lower())
    return plain in _SECRET_WORDS or _SECRET_NAME.search(plain) is not None


def _masked(value: object, known: tuple[str, ...], *, wrapped: bool = False) -> object:
    if isinstance(value, str):
        return _masked_text(value, known, wrapped=wrapped)
    if isinstance(value, list):
        return [_masked(each, known, wrapped=wrapped) for each in value]
    if not isinstance(value, Mapping):
        return value
    pair = _names_a_secret(value)
    return {
        _without(key, known): _hidden(each)
        if is_secret_name(key) or (pair and key == "value")
        else _masked(each, known, wrapped=wrapped)
        for key, each in value.items()
    }


def _names_a_secret(pair: Mapping[str, object]) -> bool:
    """Tell whether an object of two fields, as in `{"name": "Authorization", "value": …}`, holds a secret."""
    return any(isinstance(name := pair.get(key), str) and is_secret_name(name) for key in _NAME_KEYS)


def _hidden(value: object) -> object:
    """Hide everything but what says that there is nothing."""
    return value if value is None or isinstance(value, bool) or value in ("", [], {}) else MASK


def _masked_text(text: str, known: tuple[str, ...], *, wrapped: bool) -> object:
    """Mask inside a text: JSON sent as text (`payload=`) is looked into once, then the query of addresses."""
    if text.lstrip()[:1] in ("{", "["):
        inner = parse_json(text)
        if not isinstance(inner, BodyFault):
            return MASK if wrapped else _masked(inner, known, wrapped=True)
    return _QUERY_VALUE.sub(_masked_query, _without(text, known))


def _masked_query(found: re.Match[str]) -> str:
    sign, name, value = found.groups()
    return f"{sign}{name}={MASK if is_secret_name(name) else value}"


def _without(text: str, known: tuple[str, ...]) -> str:
    for secret in known:
        text = text.replace(secret, MASK)
    return text
