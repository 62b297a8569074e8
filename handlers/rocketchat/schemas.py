"""Declare the classic request schemas of `/api/v1/integrations.*` (rocketchat.md 4.1-4.6 and 12).

The order of fields and of required names is part of the contract: it decides which failure is reported.
"""

from collections.abc import Mapping
from types import MappingProxyType

from handlers.rocketchat.validation import Branch, Field, Schema

INCOMING = "webhook-incoming"
OUTGOING = "webhook-outgoing"


def _text(name: str, *, min_length: int = 0) -> Field:
    return Field(name, min_length=min_length)


def _optional(name: str) -> Field:
    return Field(name, nullable=True)


def _flag(name: str) -> Field:
    return Field(name, "boolean")


def _optional_flag(name: str) -> Field:
    return Field(name, "boolean", nullable=True)


def _optional_texts(name: str) -> Field:
    return Field(name, "array", nullable=True, min_length=1)


def _query_number(name: str) -> Field:
    return Field(name, "number", nullable=True, numeric_text=True)


_IS_INCOMING = Field("type", pattern=INCOMING)
_IS_OUTGOING = Field("type", pattern=OUTGOING)
_LOOK = (_optional("alias"), _optional("avatar"), _optional("emoji"))

_OUTGOING_FIELDS = (
    _text("username"),
    _text("channel"),
    _text("event"),
    _optional("targetRoom"),
    _optional_texts("urls"),
    _optional_texts("triggerWords"),
    _optional_flag("triggerWordAnywhere"),
    _optional("token"),
    _flag("scriptEnabled"),
    _optional("script"),
    _optional_flag("runOnEdits"),
    _optional_flag("retryFailedCalls"),
    Field("retryCount", "number", nullable=True),
    _optional("retryDelay"),
    _optional_flag("impersonateUser"),
    _text("name"),
    _flag("enabled"),
    *_LOOK,
    _optional("scriptEngine"),
)
_OUTGOING_REQUIRED = ("type", "username", "channel", "event", "scriptEnabled", "name", "enabled")

_CREATE: Schema = (
    Branch(
        fields=(
            _IS_INCOMING,
            _text("username"),
            _text("channel"),
            _flag("scriptEnabled"),
            _optional_flag("overrideDestinationChannelEnabled"),
            _optional("script"),
            _text("name"),
            _flag("enabled"),
            *_LOOK,
            _optional("scriptEngine"),
        ),
        required=("type", "username", "channel", "scriptEnabled", "name", "enabled"),
    ),
    Branch(fields=(_IS_OUTGOING, *_OUTGOING_FIELDS), required=_OUTGOING_REQUIRED),
)

_UPDATE: Schema = (
    Branch(
        fields=(
            _IS_INCOMING,
            _text("integrationId"),
            _text("channel"),
            _flag("scriptEnabled"),
            _text("scriptEngine"),
            _optional_flag("overrideDestinationChannelEnabled"),
            _optional("script"),
            _text("name"),
            _flag("enabled"),
            *_LOOK,
        ),
        required=("integrationId", "type", "channel", "scriptEnabled", "name", "enabled"),
        closed=False,
    ),
    Branch(
        fields=(_IS_OUTGOING, _optional("integrationId"), _optional("target_url"), *_OUTGOING_FIELDS),
        required=_OUTGOING_REQUIRED,
    ),
)


def _removal(kind: Field, key: str) -> Branch:
    return Branch(fields=(kind, _text(key)), required=("type", key), closed=False)


_REMOVE: Schema = (
    _removal(_IS_INCOMING, "integrationId"),
    _removal(_IS_OUTGOING, "target_url"),
    _removal(_IS_OUTGOING, "integrationId"),
)

_LIST: Schema = (Branch(tuple(_optional(name) for name in ("count", "offset", "sort", "name", "type", "query"))),)

_GET: Schema = (Branch((_text("integrationId"), _optional("createdBy")), required=("integrationId",), closed=False),)

_HISTORY: Schema = (
    Branch(
        fields=(
            _text("id", min_length=1),
            _query_number("offset"),
            _query_number("count"),
            _optional("sort"),
            _optional("query"),
        ),
        required=("id",),
    ),
)

_CLEAR_HISTORY: Schema = (Branch((_text("integrationId", min_length=1),), required=("integrationId",)),)

_REPLAY: Schema = (
    Branch(
        fields=(_text("integrationId", min_length=1), _text("historyId", min_length=1)),
        required=("integrationId", "historyId"),
    ),
)

SCHEMAS: Mapping[str, Schema] = MappingProxyType(
    {
        "integrations.create": _CREATE,
        "integrations.list": _LIST,
        "integrations.get": _GET,
        "integrations.update": _UPDATE,
        "integrations.remove": _REMOVE,
        "integrations.history": _HISTORY,
        "integrations.clearHistory": _CLEAR_HISTORY,
        "integrations.replayOutgoing": _REPLAY,
    }
)
