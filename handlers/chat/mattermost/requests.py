"""Read what Mattermost sends: slash commands, presses, dialogs, completion (chat-dialects.md §2.1-§2.5).

Nothing is signed. A command proves itself by the workspace's token; presses and dialogs carry none, so theirs is the
ticket we sealed when we wrote the button or opened the dialog: bound to team, channel and time, and to the person where
only one could see it.
"""

import re
from dataclasses import dataclass
from typing import Final

from handlers.bodies import BodyFault, parse_form
from handlers.chat.mattermost.names import TEAM, TICKET
from handlers.chat_adapter import (
    Cancelled,
    ChatCommand,
    Ignored,
    Origin,
    Press,
    Refusal,
    Request,
    Submission,
    json_reply,
    request_key,
)
from handlers.chat_fields import (
    MALFORMED,
    NO_FIELDS,
    Fields,
    address,
    form_of,
    identifier,
    inner,
    label,
    object_of,
    opaque,
    text,
)
from handlers.signing import token
from handlers.signing.ticket import Ticket, unseal
from handlers.signing.verdict import Verdict
from storage.clock import Millis

OLD_BUTTON: Final = "Not done [expired]. This button is too old. Type the command again."
OLD_FORM: Final = "This form is too old. Close it and type the command again."

_DIRECT = re.compile(r"[a-z0-9]{26}__[a-z0-9]{26}")
_SCHEME = "Token "


@dataclass(frozen=True, slots=True)
class Typing:
    """A line that is still being typed, from a plugin that asks what may follow (decision 64)."""

    origin: Origin
    word: str
    text: str


def team_of(request: Request) -> str | None:
    """Return the team of a command, a press or a dialog; where address and body disagree there is none."""
    found = _object(request)
    if found is None:
        form = form_of(request)
        return None if form is None else identifier(form, "team_id")
    named, said = identifier(_query(request), TEAM), identifier(found, "team_id")
    return None if named and said and named != said else named or said


def authenticate(request: Request, secret: str, now: Millis) -> Verdict:
    """Judge a request by its token, or, when it is a press or a dialog, by its ticket."""
    found = _object(request)
    if found is not None:
        return Verdict.VALID if _opened(request, found, secret) else Verdict.MISMATCH
    form = form_of(request) or NO_FIELDS
    sent, field = request.sent("authorization"), text(form, "token")
    if len(sent) > 1:
        return Verdict.MALFORMED
    given = (sent[0][len(_SCHEME) :] if sent[0].startswith(_SCHEME) else None) if sent else field
    verdict = token.verify(secret, given)
    # if both exist and differ, one of them is not ours (§2.2)
    second = token.verify(secret, field if "token" in form else given)
    return verdict if not verdict.ok else second


def command(request: Request) -> ChatCommand | Refusal:
    """Read a typed line."""
    form = _typed(request)
    if form is None:
        return MALFORMED
    origin, word, line = _origin(form), text(form, "command"), text(form, "text")
    if origin is None or not word or ("text" in form and line is None):
        return MALFORMED
    return ChatCommand(
        team_id=origin.team_id,
        user_id=origin.user_id,
        user_name=origin.user_name,
        channel_id=origin.channel_id,
        channel_name=origin.channel_name,
        direct=origin.direct,
        # without a trigger nothing tells a repeat from somebody who types the same again
        request_id=request_key(origin.trigger_id) if origin.trigger_id else None,
        response_url=address(form, "response_url"),
        trigger_id=origin.trigger_id,
        thread_id=identifier(form, "root_id"),
        word=word[:100],
        text=line or "",
    )


def interaction(request: Request, secret: str, now: Millis) -> Press | Submission | Cancelled | Ignored | Refusal:
    """Read a press or the end of a dialog."""
    found = _object(request)
    opened = _opened(request, found, secret) if found is not None else None
    if found is None or opened is None:
        return MALFORMED
    team, user_id, ticket = opened
    if found.get("type") == "dialog_submission":
        return _dialog(found, team, user_id, ticket, now)
    if ticket.expires_at <= now:
        return Ignored(json_reply({"ephemeral_text": OLD_BUTTON}), "expired")
    trigger = opaque(found, "trigger_id")
    name = label(found, "channel_name")
    return Press(
        team_id=team,
        user_id=user_id,
        user_name=label(found, "user_name"),
        channel_id=ticket.channel_id,
        channel_name=name or ticket.channel_name,
        direct=_DIRECT.fullmatch(name or ticket.channel_name) is not None,
        request_id=request_key(trigger) if trigger else None,
        trigger_id=trigger,
        thread_id=ticket.thread_id,
        line=ticket.line,
        whispered=ticket.whispered,
    )


def completion(request: Request) -> Typing | Refusal:
    """Read what a plugin asks: `user_input` is the whole line with its command word."""
    form = None if request.body else _typed(request)
    origin, line = (None, None) if form is None else (_origin(form), text(form, "user_input"))
    if origin is None or line is None:
        return MALFORMED
    word, _, rest = line.lstrip().partition(" ")
    return Typing(origin, word, rest)


def _dialog(
    found: Fields, team: str, user_id: str, ticket: Ticket, now: Millis
) -> Submission | Cancelled | Ignored | Refusal:
    direct = _DIRECT.fullmatch(ticket.channel_name) is not None
    if found.get("cancelled") is True:
        return Cancelled(
            team_id=team,
            user_id=user_id,
            channel_id=ticket.channel_id,
            channel_name=ticket.channel_name,
            direct=direct,
            request_id=request_key("cancelled", text(found, "state") or ""),
            response_url=ticket.response_url,
            thread_id=ticket.thread_id,
            line=ticket.otherwise,
        )
    if ticket.expires_at <= now:
        return Ignored(json_reply({"error": OLD_FORM}), "expired")
    typed = inner(found, "submission")
    values = {name: value for name in ticket.fields if (value := text(typed, name))}
    parts = [part for name, value in sorted(values.items()) for part in (name, value)]
    return Submission(
        team_id=team,
        user_id=user_id,
        user_name=label(found, "user_name"),
        channel_id=ticket.channel_id,
        channel_name=ticket.channel_name,
        direct=direct,
        # the same values once more are a repeat; corrected ones are not
        request_id=request_key("submitted", text(found, "state") or "", *parts),
        response_url=ticket.response_url,
        thread_id=ticket.thread_id,
        line=ticket.line,
        values=values,
    )


def _opened(request: Request, found: Fields, secret: str) -> tuple[str, str, Ticket] | None:
    """Return team, user and ticket of a press or dialog; None unless all of them fit together."""
    is_dialog = found.get("type") == "dialog_submission"
    sealed = found.get("state") if is_dialog else inner(found, "context").get(TICKET)
    team, user_id = team_of(request), identifier(found, "user_id")
    ticket = unseal(sealed, secret, purpose="form" if is_dialog else "press", team_id=team or "")
    if team is None or user_id is None or ticket is None:
        return None
    if ticket.user_id not in ("", user_id) or ticket.channel_id != identifier(found, "channel_id"):
        return None
    return team, user_id, ticket


def _origin(form: Fields) -> Origin | None:
    team, user, channel = (identifier(form, name) for name in ("team_id", "user_id", "channel_id"))
    if not (team and user and channel):
        return None
    name = label(form, "channel_name")
    return Origin(
        team_id=team,
        user_id=user,
        user_name=label(form, "user_name"),
        channel_id=channel,
        channel_name=name,
        direct=_DIRECT.fullmatch(name) is not None,
        trigger_id=opaque(form, "trigger_id"),
    )


def _typed(request: Request) -> Fields | None:
    """Return the form that the token proved.

    A body can be a JSON object and a form at once: one that proved itself as an object, by a ticket its sender may
    have had in their hands, must not then be read as a form that names somebody else.
    """
    return form_of(request) if _object(request) is None else None


def _object(request: Request) -> Fields | None:
    return object_of(request.body) if request.body.lstrip()[:1] == b"{" else None


def _query(request: Request) -> Fields:
    form = parse_form(request.query.encode(errors="replace"))
    return NO_FIELDS if isinstance(form, BodyFault) else form
