"""Read Slack-shaped messages: text, legacy attachments and blocks (chat-dialects.md §1.5-1.8)."""

import re
from collections.abc import Mapping

from handlers.formatter import Formatter
from handlers.formatters.slack.attachments import COLORS, translate
from handlers.formatters.slack.blocks import flatten
from handlers.formatters.slack.mrkdwn import from_mrkdwn
from handlers.message import DraftFault, not_an_object

_ATTACHMENT_MARKS = frozenset(("fallback", "pretext", "footer", "mrkdwn_in", "callback_id", "blocks"))
_TEXT_MARK = re.compile(
    r"<(?:https?://[^<>|\s]+\||[@#][A-Z][A-Z0-9]+[|>]|!(?:here|channel|everyone)[|>]|!(?:subteam|date)\^)"
)


class Slack:
    """Slack's incoming webhook body, also as Mattermost and many tools send it."""

    name = "slack"
    summary = "Slack's body: mrkdwn text, legacy attachments, blocks"

    sample = """{
        "text": "Build *1234* passed: <https://ci.example.com/builds/1234|details>",
        "attachments": [
            {
                "fallback": "main is green",
                "color": "good",
                "title": "main is green",
                "fields": [{"title": "Tests", "value": "12 in 34 s", "short": true}]
            }
        ]
    }"""

    def recognises(self, body: object) -> bool:
        if not isinstance(body, dict):
            return False
        text, attachments = body.get("text"), body.get("attachments")
        return (
            bool(body.get("blocks"))
            or (isinstance(text, str) and _TEXT_MARK.search(text) is not None)
            or (isinstance(attachments, list) and any(map(_is_slack_attachment, attachments)))
        )

    def format(self, body: object) -> Mapping[str, object] | DraftFault:
        """Return the body with the blocks as text, or, when a text is sent too, as first attachment.

        Slack itself shows the blocks in place of such a text; here both are kept, the text first.
        """
        if not isinstance(body, Mapping):
            return not_an_object(body)
        kept = {key: value for key, value in body.items() if key != "blocks"}
        if isinstance(text := body.get("text"), str):
            kept["text"] = from_mrkdwn(text)
        attachments = body.get("attachments")
        translated = [translate(one) for one in attachments] if isinstance(attachments, list) else []
        if blocks := flatten(body.get("blocks")):
            said = kept.get("text") or kept.get("msg")
            if not said:
                kept["text"] = blocks
            elif said != blocks:
                translated.insert(0, {"text": blocks})
        return {**kept, "attachments": translated}


def _is_slack_attachment(attachment: object) -> bool:
    return isinstance(attachment, Mapping) and (
        not _ATTACHMENT_MARKS.isdisjoint(attachment)
        or (isinstance(color := attachment.get("color"), str) and color in COLORS)
    )


FORMATTER: Formatter = Slack()
