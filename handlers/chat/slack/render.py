"""Write answers as Slack shows them: sections and buttons, with the text beside them (chat-dialects.md §1.3, §1.7)."""

from collections.abc import Sequence
from typing import Final

from handlers.chat.slack.mrkdwn import escape, escaped_size, to_mrkdwn
from handlers.chat.slack.names import BLOCK, RUN, SUBMIT, VALUE
from handlers.chat_adapter import LATE_USES, Asked, to_json
from handlers.chat_text import numbered, shortened, split
from handlers.command import Answer, Button, Form, FormField
from handlers.signing.ticket import Ticket, seal
from storage.clock import Millis

Json = dict[str, object]

SECTION: Final = 3_000
SECTIONS: Final = 12
"""Sections of one message: 36,000 characters, below the 40,000 a message may have."""
FALLBACK: Final = 3_900
"""The text beside the blocks, for notifications and screen readers; 4,000 are advised."""
MOST_BUTTONS: Final = 25
LONGEST_LABEL: Final = 75
LONGEST_VALUE: Final = 2_000
LONGEST_METADATA: Final = 3_000
MOST_INPUTS: Final = 20
FORM_MS: Final = 10 * 60 * 1000

_PLAIN_INPUT = "Slack shows what is typed here."


def messages(answer: Answer, *, most: int) -> list[Json]:
    """Return an answer as messages, at most so many; the buttons are under the last."""
    parts = split(answer.text, SECTION, escaped_size)
    groups = [parts[at : at + SECTIONS] for at in range(0, len(parts), SECTIONS)]
    if len(groups) > most:
        groups = [*groups[: most - 1], shortened([part for group in groups[most - 1 :] for part in group], SECTIONS)]
    kind = "ephemeral" if answer.private or answer.secret else "in_channel"
    written = []
    for number, group in enumerate(groups, 1):
        blocks = [_section(part) for part in group]
        if len(groups) > 2:
            blocks.insert(0, _section(f"({number}/{len(groups)})"))
        if number == len(groups):
            blocks += _actions(answer.buttons)
        written.append(_message(kind, group[0], blocks))
    return written


def late_bodies(answer: Answer, *, replace: bool, thread_id: str | None) -> tuple[bytes, ...]:
    """Return bodies for the response address; only the first may take the place of the message before."""
    found = messages(answer, most=LATE_USES - 1)  # one use stays for what was there before
    for number, message in enumerate(found):
        message["replace_original"] = replace and number == 0
        if thread_id:
            message["thread_ts"] = thread_id
    return tuple(to_json(message) for message in found)


def modal(form: Form, asked: Asked) -> Json | None:
    """Return a modal for a form; None where Slack's limits do not hold it.

    Slack has no input that hides what is typed: secret fields say so in their hint. What was typed stays between the
    user, Slack and us.
    """
    if not 0 < len(form.fields) <= MOST_INPUTS:
        return None
    origin = asked.origin
    ticket = Ticket(
        line=form.line,
        channel_id=origin.channel_id,
        channel_name=origin.channel_name,
        user_id=origin.user_id,
        expires_at=Millis(asked.now + FORM_MS),
        fields=tuple(field.name for field in form.fields),
        thread_id=origin.thread_id,
        response_url=origin.response_url,
    )
    metadata = seal(ticket, asked.secret, purpose="form", team_id=origin.team_id)
    if len(metadata) > LONGEST_METADATA:
        return None
    return {
        "type": "modal",
        "callback_id": SUBMIT,
        "private_metadata": metadata,
        "title": _plain(form.title, 24),
        "submit": _plain("Send", 24),
        "close": _plain("Cancel", 24),
        "blocks": [_input(field) for field in form.fields],
    }


def shown_view(answer: Answer) -> Json:
    """Return a modal that shows an answer, for the one who filled in the form before it."""
    parts = shortened(split(answer.text, SECTION, escaped_size), SECTIONS)
    return {
        "type": "modal",
        "title": _plain(answer.mark.value, 24),
        "close": _plain("Close", 24),
        "blocks": [_section(part) for part in numbered(parts)],
    }


def _message(kind: str, fallback: str, blocks: Sequence[Json]) -> Json:
    # an unfurled address is fetched by Slack: one that is shown once should not be
    return {
        "response_type": kind,
        "text": to_mrkdwn(split(fallback, FALLBACK, escaped_size)[0]),
        "blocks": list(blocks),
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _section(text: str) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": to_mrkdwn(text), "verbatim": True}}


def _actions(buttons: Sequence[Button]) -> list[Json]:
    """Return a row of buttons; one whose line is too long is left out, the text names the line anyway."""
    fitting = [button for button in buttons if 0 < len(button.line) <= LONGEST_VALUE][:MOST_BUTTONS]
    elements: list[Json] = []
    for number, button in enumerate(fitting):
        style: Json = {} if button.style == "default" else {"style": button.style}
        element: Json = {"type": "button", "action_id": f"{RUN}{number}", "value": button.line}
        elements.append({**element, "text": _plain(button.label, LONGEST_LABEL), **style})
    return [{"type": "actions", "elements": elements}] if elements else []


def _input(field: FormField) -> Json:
    hint = " ".join(filter(None, (field.hint, _PLAIN_INPUT if field.secret else "")))
    block: Json = {
        "type": "input",
        "block_id": f"{BLOCK}{field.name}"[:255],
        "label": _plain(field.label or field.name, 2_000),
        "optional": not field.required,
        "element": {"type": "plain_text_input", "action_id": VALUE},
    }
    return {**block, "hint": _plain(hint, 2_000)} if hint else block


def _plain(text: str, limit: int) -> Json:
    """Write a plain text; Slack wants its three escapes here too, and emoji codes stay as typed."""
    shown = text if len(text) <= limit else f"{text[: limit - 1]}…"
    while len(escape(shown)) > limit:
        shown = shown[:-2] + "…"
    return {"type": "plain_text", "text": escape(shown) or "…", "emoji": False}
