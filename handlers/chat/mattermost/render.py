"""Write answers as Mattermost shows them: Markdown, attachments with buttons, dialogs (chat-dialects.md §2.3-§2.7)."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from handlers.chat.mattermost.names import CONFIRM, FORM, TEAM, TICKET
from handlers.chat_adapter import Asked, to_json
from handlers.chat_text import cut_bytes, harmless, numbered, shortened, split
from handlers.command import Answer, Button, Form, FormField
from handlers.signing.ticket import Ticket, seal
from storage.clock import Millis

Json = dict[str, object]

LONGEST_POST: Final = 16_383
MOST_POSTS: Final = 10
MOST_BUTTONS: Final = 10
MOST_FIELDS: Final = 20
LONGEST_INTRODUCTION: Final = 3_000
BUTTON_MS: Final = 60 * 60 * 1000
FORM_MS: Final = 10 * 60 * 1000

_NUMBER_ROOM = len("(99/99)\n")


def posts(answer: Answer, asked: Asked) -> list[Json]:
    """Return an answer as posts; the buttons are under the last.

    Slack's mark-up is switched off: in code and in texts of others `<…>` is to stay what it is.
    """
    kind = "ephemeral" if answer.private or answer.secret else "in_channel"
    found: list[Json] = [
        {"response_type": kind, "text": part, "skip_slack_parsing": True} for part in parts(answer.text)
    ]
    if attachments := buttons(answer, asked):
        found[-1]["attachments"] = attachments
    return found


def parts(text: str) -> list[str]:
    """Return a text in posts, without a name in it that calls somebody."""
    return shortened(numbered(split(harmless(text), LONGEST_POST - _NUMBER_ROOM)), MOST_POSTS)


def buttons(answer: Answer, asked: Asked) -> list[Json]:
    """Return an attachment with the buttons; only the caller can press what only the caller sees."""
    private = answer.private or answer.secret
    shown = answer.buttons[:MOST_BUTTONS]
    if not shown:
        return []
    actions: list[Json] = [
        {
            "id": f"run{number}",  # letters and digits only, or the press finds nothing
            "name": button.label,
            "type": "button",
            "style": button.style,
            "integration": {
                "url": _address(asked),
                "context": {TICKET: _sealed_press(button, asked, private=private)},
            },
        }
        for number, button in enumerate(shown)
    ]
    return [{"fallback": ", ".join(button.label for button in shown), "actions": actions}]


def form_dialog(form: Form, asked: Asked) -> bytes | None:
    """Return what opens a dialog for a form; None where it has no or too many fields."""
    if not 0 < len(form.fields) <= MOST_FIELDS:
        return None
    state = _sealed_form(asked, form.line, fields=tuple(field.name for field in form.fields))
    return _dialog(asked, FORM, form.title, "", [_element(field) for field in form.fields], "Send", state)


def confirmation_dialog(answer: Answer, asked: Asked) -> bytes | None:
    """Return a dialog without elements that asks before something destructive; None for everything else (§2.4)."""
    yes = next((button for button in answer.buttons if button.style == "danger"), None)
    if answer.code != "confirm" or yes is None:
        return None
    no = next((button.line for button in answer.buttons if button.line.startswith("cancel")), "")
    text = split(harmless(answer.text), LONGEST_INTRODUCTION)[0]
    state = _sealed_form(asked, yes.line, otherwise=no)
    return _dialog(asked, CONFIRM, "Are you sure?", text, [], yes.label, state)


def _dialog(
    asked: Asked, name: str, title: str, introduction: str, elements: Sequence[Json], submit: str, state: str
) -> bytes:
    return to_json(
        {
            "trigger_id": asked.origin.trigger_id,
            "url": _address(asked),
            "dialog": {
                "callback_id": name,
                "title": cut_bytes(title, 24),
                "introduction_text": introduction,
                "elements": list(elements),
                "submit_label": cut_bytes(submit, 24),
                "notify_on_cancel": True,
                "state": state,
            },
        }
    )


def _element(field: FormField) -> Json:
    element: Json = {
        "display_name": cut_bytes(field.label or field.name, 24),
        "name": field.name[:300],
        "type": "text",
        "optional": not field.required,
        "help_text": cut_bytes(field.hint, 150),
    }
    return {**element, "subtype": "password"} if field.secret else element


def _address(asked: Asked) -> str:
    """Return where a press or a dialog goes, with the team, which a press in a direct channel leaves out."""
    return f"{asked.interactions_url}?{TEAM}={quote(asked.origin.team_id, safe='')}"


def _sealed_press(button: Button, asked: Asked, *, private: bool) -> str:
    origin = asked.origin
    ticket = Ticket(
        line=button.line,
        channel_id=origin.channel_id,
        channel_name=origin.channel_name,
        user_id=origin.user_id if private else "",
        expires_at=Millis(asked.now + BUTTON_MS),
        thread_id=origin.thread_id,
        whispered=private,
    )
    return seal(ticket, asked.secret, purpose="press", team_id=origin.team_id)


def _sealed_form(asked: Asked, line: str, *, fields: tuple[str, ...] = (), otherwise: str = "") -> str:
    origin = asked.origin
    ticket = Ticket(
        line=line,
        channel_id=origin.channel_id,
        channel_name=origin.channel_name,
        user_id=origin.user_id,
        expires_at=Millis(asked.now + FORM_MS),
        otherwise=otherwise,
        fields=fields,
        thread_id=origin.thread_id,
        response_url=origin.response_url,
    )
    return seal(ticket, asked.secret, purpose="form", team_id=origin.team_id)
