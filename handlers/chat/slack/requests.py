"""Read what Slack sends: slash commands, pressed buttons, modals (chat-dialects.md §1.1, §1.10)."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from handlers.chat.slack.names import BLOCK, RUN, SUBMIT, VALUE
from handlers.chat_adapter import (
    Cancelled,
    ChatCommand,
    Ignored,
    Press,
    Refusal,
    Reply,
    Request,
    Submission,
    json_reply,
    request_key,
)
from handlers.chat_fields import (
    MALFORMED,
    Fields,
    address,
    form_of,
    identifier,
    inner,
    items,
    label,
    object_of,
    opaque,
    text,
)
from handlers.signing.ticket import unseal
from storage.clock import Millis

SIGNATURE: Final = "x-slack-signature"
TIMESTAMP: Final = "x-slack-request-timestamp"
DIRECT: Final = "directmessage"
MAX_PROBE: Final = 2_000
TOO_OLD: Final = "This form is too old. Close it and type the command again."


def is_probe(request: Request) -> bool:
    """Tell whether Slack only checks the certificate: `ssl_check=1` in the query or the body, which is short."""
    if len(request.body) > MAX_PROBE:  # it carries no proof, so little is done for it
        return False
    form = form_of(request)
    if form is not None and ("command" in form or "payload" in form):
        return False
    in_body = form is not None and form.get("ssl_check") == "1"
    return in_body or ("ssl_check", "1") in parse_qsl(request.query[:1_000], errors="replace")


def team_of(request: Request) -> str | None:
    """Return the team of a command or, from its payload, of an interaction."""
    form = form_of(request)
    if form is None:
        return None
    if "payload" not in form:
        return identifier(form, "team_id")
    payload = object_of(text(form, "payload") or "")
    return None if payload is None else _team(payload)


def command(request: Request) -> ChatCommand | Refusal:
    """Read a typed line."""
    form = form_of(request)
    if form is None:
        return MALFORMED
    team, user, channel = (identifier(form, name) for name in ("team_id", "user_id", "channel_id"))
    word, line, trigger = text(form, "command"), text(form, "text"), opaque(form, "trigger_id")
    if not (team and user and channel and word and word.startswith("/")) or ("text" in form and line is None):
        return MALFORMED
    return ChatCommand(
        team_id=team,
        user_id=user,
        user_name=label(form, "user_name"),
        channel_id=channel,
        channel_name=label(form, "channel_name"),
        direct=form.get("channel_name") == DIRECT or channel.startswith("D"),
        request_id=request_key(trigger) if trigger else _by_signature(request),
        response_url=address(form, "response_url"),
        trigger_id=trigger,
        word=word[:100],
        text=line or "",
    )


def interaction(request: Request, secret: str, now: Millis) -> Press | Submission | Cancelled | Ignored | Refusal:
    """Read a press, a submission or a closed modal; other interactions are not ours and end well."""
    form = form_of(request)
    payload = object_of(text(form, "payload") or "") if form is not None else None
    if payload is None:
        return MALFORMED
    match payload.get("type"):
        case "block_actions":
            return _press(request, payload)
        case "view_submission" | "view_closed" as kind:
            return _view(request, payload, secret, now, submitted=kind == "view_submission")
        case _:
            return Ignored(Reply(), "type")


def _press(request: Request, payload: Fields) -> Press | Ignored | Refusal:
    actions = items(payload, "actions")
    ours = next((one for one in actions if (text(one, "action_id") or "").startswith(RUN)), None)
    if ours is None:
        return Ignored(Reply(), "action")
    team, container, user = _team(payload), inner(payload, "container"), inner(payload, "user")
    channel, message = inner(payload, "channel"), inner(payload, "message")
    user_id = identifier(user, "id")
    channel_id = identifier(channel, "id") or identifier(container, "channel_id")
    line = text(ours, "value")
    if not (team and user_id and channel_id and line):
        return MALFORMED
    trigger = opaque(payload, "trigger_id")
    return Press(
        team_id=team,
        user_id=user_id,
        user_name=label(user, "username") or label(user, "name"),
        channel_id=channel_id,
        channel_name=label(channel, "name"),
        direct=channel.get("name") == DIRECT or channel_id.startswith("D"),
        request_id=request_key(trigger) if trigger else _by_signature(request),
        response_url=address(payload, "response_url"),
        trigger_id=trigger,
        thread_id=identifier(message, "thread_ts"),
        line=line,
        whispered=container.get("is_ephemeral") is True,
    )


def _view(
    request: Request, payload: Fields, secret: str, now: Millis, *, submitted: bool
) -> Submission | Cancelled | Ignored | Refusal:
    view, user = inner(payload, "view"), inner(payload, "user")
    if view.get("callback_id") != SUBMIT:
        return Ignored(Reply(), "view")
    team, user_id = _team(payload), identifier(user, "id")
    ticket = unseal(view.get("private_metadata"), secret, purpose="form", team_id=team or "")
    if team is None or user_id is None or ticket is None or ticket.user_id != user_id:
        return MALFORMED
    if not submitted:
        return Cancelled(
            team_id=team,
            user_id=user_id,
            channel_id=ticket.channel_id,
            request_id=_by_signature(request),
            response_url=ticket.response_url,
            line=ticket.otherwise,
        )
    if ticket.expires_at <= now:
        return Ignored(form_errors({f"{BLOCK}{name}": TOO_OLD for name in ticket.fields[:1]}), "expired")
    # Slack tries no submission twice, and a corrected one brings a new trigger
    trigger = opaque(payload, "trigger_id")
    return Submission(
        team_id=team,
        user_id=user_id,
        user_name=label(user, "username") or label(user, "name"),
        channel_id=ticket.channel_id,
        channel_name=ticket.channel_name,
        direct=ticket.channel_id.startswith("D"),
        request_id=request_key(trigger) if trigger else _by_signature(request),
        response_url=ticket.response_url,
        trigger_id=trigger,
        thread_id=ticket.thread_id,
        line=ticket.line,
        values=_values(inner(inner(view, "state"), "values"), ticket.fields),
    )


def form_errors(errors: Mapping[str, str]) -> Reply:
    """Keep a modal open with a text under some of its blocks."""
    return json_reply({"response_action": "errors", "errors": dict(errors)})


def _values(state: Fields, names: tuple[str, ...]) -> dict[str, str]:
    """Take the fields that were asked for and nothing else; what was left empty is left out."""
    typed = {name: text(inner(inner(state, f"{BLOCK}{name}"), VALUE), "value") for name in names}
    return {name: value for name, value in typed.items() if value}


def _team(payload: Fields) -> str | None:
    """Return the team; an installation for a whole grid leaves it to the user."""
    return identifier(inner(payload, "team"), "id") or identifier(inner(payload, "user"), "team_id")


def _by_signature(request: Request) -> str:
    """Name a request without trigger by its signature, in one case: only an exact repeat has the same."""
    return request_key(*(signature.lower() for signature in request.sent(SIGNATURE)))
