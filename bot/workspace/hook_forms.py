"""What a request says a hook should be: bodies that passed the schema, read into typed forms (`rocketchat.md` §4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from handlers.errors import Fault
from handlers.match import wrong_type
from handlers.outgoing.events import OutgoingEvent
from storage.records.integration import Direction

Body = Mapping[str, object]

DEFAULT_RETRIES = 4
DEFAULT_DELAY = "powers-of-ten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What forms of both directions say."""

    name: str
    enabled: bool
    username: str
    channel: str
    alias: str | None
    avatar: str | None
    emoji: str | None
    script_enabled: bool
    script: str | None
    script_engine: str | None

    @property
    def has_script(self) -> bool:
        """Tell whether there is any code to run."""
        return bool(self.script and self.script.strip())


@dataclass(frozen=True, slots=True, kw_only=True)
class IncomingForm(Form):
    """An incoming hook to be; `override_destination` is None when it was not sent (§4.4)."""

    override_destination: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingForm(Form):
    """An outgoing hook to be; `urls` and `trigger_words` are None when they are no lists of texts (rows 6, 11)."""

    event: str
    urls: tuple[str, ...] | None
    target_room: str | None
    trigger_words: tuple[str, ...] | None
    trigger_word_anywhere: bool | None
    token: str | None
    run_on_edits: bool | None
    impersonate_user: bool | None
    retry_failed_calls: bool | None
    retry_count: int | float | None
    retry_delay: str | None


def _shared(body: Body) -> dict[str, Any]:  # Any: each field has the type it has in Form
    return {
        "name": _text(body, "name") or "",
        "enabled": _flag(body, "enabled"),
        "username": _text(body, "username") or "",
        "channel": _text(body, "channel") or "",
        "alias": _text(body, "alias"),
        "avatar": _text(body, "avatar"),
        "emoji": _text(body, "emoji"),
        "script_enabled": _flag(body, "scriptEnabled"),
        "script": _text(body, "script"),
        "script_engine": _text(body, "scriptEngine"),
    }


def incoming_form(body: Body) -> IncomingForm:
    """Read the body of an incoming hook; an update has no user name."""
    override = "overrideDestinationChannelEnabled"
    return IncomingForm(
        **_shared(body),
        override_destination=_flag(body, override) if override in body else None,
    )


def outgoing_form(body: Body) -> OutgoingForm:
    """Read the body of an outgoing hook; retry defaults are filled in where retries are on (§3)."""
    retries = _switch(body, "retryFailedCalls")
    count, delay = _number(body, "retryCount"), _text(body, "retryDelay")
    if retries:
        count = count if count is not None and count > 0 else DEFAULT_RETRIES
        delay = (delay or "").lower() if (delay or "").strip() else DEFAULT_DELAY
    return OutgoingForm(
        **_shared(body),
        event=_text(body, "event") or "",
        urls=_texts(body.get("urls")),
        target_room=_text(body, "targetRoom"),
        trigger_words=() if body.get("triggerWords") is None else _texts(body["triggerWords"]),
        trigger_word_anywhere=_switch(body, "triggerWordAnywhere"),
        token=_text(body, "token"),
        run_on_edits=_switch(body, "runOnEdits"),
        impersonate_user=_switch(body, "impersonateUser"),
        retry_failed_calls=retries,
        retry_count=count,
        retry_delay=delay,
    )


def zapier_body(body: Body) -> Body | Fault:
    """Return what the body of `/hooks/add` asks for: a hook on messages that posts as `rocket.cat` (§5.5).

    It hears rooms or people by name alone: every name gets its sign, so that a word for many rooms is none.
    """
    data = body.get("data")
    details = data if isinstance(data, Mapping) else {}
    match body.get("event"):
        case "newMessageOnChannel":
            key, sign = "channel_name", "#"
        case "newMessageToUser":
            key, sign = "username", "@"
        case _:
            return Fault("The event must be newMessageOnChannel or newMessageToUser.", "error-invalid-event-type")
    name, whom = body.get("name"), details.get(key)
    if not isinstance(name, str):
        return Fault(wrong_type(name, "string", "name"))
    if whom is None and sign == "#":
        whom = ""
    if not isinstance(whom, str):
        return Fault(wrong_type(whom, "string", key))
    names = [each.strip() for each in whom.split(",")]
    if not any(names):
        return Fault(f"Invalid Channel: name at least one in {key}", "error-invalid-channel")
    return {
        "type": Direction.OUTGOING.value,
        "name": name,
        "enabled": True,
        "username": "rocket.cat",
        "channel": ",".join(each if each.startswith(sign) else sign + each for each in names if each),
        "event": OutgoingEvent.SEND_MESSAGE.value,
        "urls": [body.get("target_url")],
        "triggerWords": details.get("trigger_words"),
        "scriptEnabled": False,
    }


def _text(body: Body, key: str) -> str | None:
    value = body.get(key)
    return value if isinstance(value, str) else None


def _flag(body: Body, key: str) -> bool:
    return body.get(key) is True


def _switch(body: Body, key: str) -> bool | None:
    """Read an optional boolean; what was not sent is not shown later either."""
    value = body.get(key)
    return value if isinstance(value, bool) else None


def _number(body: Body, key: str) -> int | float | None:
    value = body.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _texts(value: object) -> tuple[str, ...] | None:
    """Return the texts of a list without blank ones; None when it is no list of texts."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return None
    return tuple(each for each in value if each.strip())
