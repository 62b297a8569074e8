"""What of others' texts may be shown: headers by an allow-list, values by their names (decision 33).

Requests to incoming hooks and answers of receivers go through it before anybody reads them.
"""

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
_QUERY_VALUE: Final = re.compile(r"(^|[?&;\s])([^=?&;\s]{1,100})=([^&;#\s\"'<>]+)")
_LIKE_JSON: Final = re.compile(r"\s*+(?:\{|\[\s*+[\[{\"])")
"""How JSON begins, and hardly a sentence does: `[draft] …` is none."""
_WORD: Final = r"(?P<word>(?:api |access |private )?[\w.-]++)"
_ANY_WORD: Final = re.compile(rf"\\[^u]|(?P<escape>\\u)|{_WORD}", re.IGNORECASE)
_NAMED_VALUE: Final = re.compile(
    rf"(?<![\w.-]){_WORD}(?:[\"'\]]+\s{{0,9}}[:=>]?|\s{{0,9}}[:=>])\s{{0,9}}(?!\*\*\*)", re.IGNORECASE
)
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
    """Return a text of others without its secrets: JSON by its names, addresses and forms by theirs.

    What cannot be read as a whole, because it was cut, is broken or no JSON, ends where a secret may begin.
    """
    shown = _masked_text(text, (), wrapped=False)
    if not isinstance(shown, str):
        # as it came where nothing is hidden; the second look finds what a doubled key would hide from the first
        is_whole = shown == parse_json(text) and _harmless_part(text) == text
        return text if is_whole else json.dumps(shown, ensure_ascii=False)
    return shown if _LIKE_JSON.match(text) else _harmless_part(shown)


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
    """Mask inside a text: JSON sent as text (`payload=`) is looked into once, then the query of addresses.

    What looks like JSON and cannot be read ends where a secret may begin.
    """
    if text.lstrip()[:1] in ("{", "["):
        inner = parse_json(text)
        if not isinstance(inner, BodyFault):
            return MASK if wrapped else _masked(inner, known, wrapped=True)
    text = _without(text, known)
    if _LIKE_JSON.match(text):
        text = _harmless_part(text)
    return _QUERY_VALUE.sub(_masked_query, text)


def _harmless_part(text: str) -> str:
    """Cut a text that cannot be read by its names before the first value that may be secret.

    In what has named values, that is where a secret's name stands at all; in JSON also at the word `value`, whose
    name may follow it, and at an escape that may spell a name. In a sentence a name may stand without a value.
    """
    structured = bool(_LIKE_JSON.match(text)) or text.lstrip().startswith("<")
    for found in (_ANY_WORD if structured else _NAMED_VALUE).finditer(text):
        word = found["word"] or ""
        if is_secret_name(word) or (structured and (word.lower() == "value" or found["escape"])):
            left = len(text) - found.end()
            return f"{text[: found.end()]}… ({left:,} more characters, not shown)" if left else text
    return text


def _masked_query(found: re.Match[str]) -> str:
    sign, name, value = found.groups()
    return f"{sign}{name}={MASK if is_secret_name(name) else value}"


def _without(text: str, known: tuple[str, ...]) -> str:
    for secret in known:
        text = text.replace(secret, MASK)
    return text
