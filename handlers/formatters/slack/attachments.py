"""Translate Slack's legacy attachments (chat-dialects.md §1.6).

Most keys mean the same in Rocket.Chat. It knows no `pretext` and no `footer`, so these become the first and
the last line of the text, with an attachment's blocks between text and footer. `fallback` stays where it is,
and becomes the text of an attachment that shows nothing else. Buttons without an address can only be pressed
in Slack and are left out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

from handlers.formatters.slack.blocks import flatten
from handlers.formatters.slack.mrkdwn import from_mrkdwn, unescape

COLORS = {"good": "#2eb886", "warning": "#daa038", "danger": "#a30200"}

_MOVED = ("pretext", "text", "footer")
_DROPPED = ("blocks", "footer_icon")
_VISIBLE = ("text", "title", "fields", "image_url", "thumb_url", "author_name", "actions")
_LINKS = ("author_link", "author_icon", "title_link", "thumb_url", "image_url")
_HEX_DIGITS = {3, 6}


def translate(attachment: object) -> object:
    """Return an attachment in Rocket.Chat shape; wrong types are left for the reader of drafts to name."""
    if not isinstance(attachment, Mapping):
        return attachment
    # an empty link is Slack's way of saying "none"
    kept = {
        key: value for key, value in attachment.items() if key not in _DROPPED and not (key in _LINKS and value == "")
    }
    _move_text(kept, flatten(attachment.get("blocks")))
    if isinstance(title := kept.get("title"), str):
        kept["title"] = unescape(title)
    if isinstance(color := kept.get("color"), str):
        kept["color"] = _color(color)
    if isinstance(fields := kept.get("fields"), list):
        kept["fields"] = [_field(field) for field in fields]
    if isinstance(actions := kept.get("actions"), list):
        kept["actions"] = [one for one in actions if not isinstance(one, Mapping) or one.get("url")]
    if "ts" in kept:
        kept["ts"] = _moment(kept["ts"])
    fallback = kept.get("fallback")
    if isinstance(fallback, str) and not any(kept.get(key) for key in _VISIBLE):
        kept["text"] = from_mrkdwn(fallback)
    return kept


def _move_text(kept: dict[str, object], blocks: str) -> None:
    if not all(kept.get(key) is None or isinstance(kept[key], str) for key in _MOVED):
        return
    pretext, text, footer = (from_mrkdwn(str(kept.pop(key, None) or "")) for key in _MOVED)
    if lines := "\n".join(filter(None, (pretext, text, blocks, footer))):
        kept["text"] = lines


def _color(color: str) -> str:
    is_bare_hex = len(color) in _HEX_DIGITS and all(digit in "0123456789abcdefABCDEF" for digit in color)
    return COLORS.get(color) or (f"#{color}" if is_bare_hex else color)


def _field(field: object) -> object:
    if not isinstance(field, Mapping):
        return field
    said = {key: from_mrkdwn(text) for key in ("title", "value") if isinstance(text := field.get(key), str)}
    return {**field, **said}


def _moment(ts: object) -> object:
    """Write Slack's seconds (a number or its text) as a date; anything else stays as sent."""
    if not isinstance(ts, str | int | float) or isinstance(ts, bool):
        return ts
    try:
        moment = datetime.fromtimestamp(float(ts), UTC)
    except (ValueError, OverflowError, OSError):
        return ts
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"
