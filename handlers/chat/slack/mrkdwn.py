"""Write an answer's Markdown as Slack's mrkdwn: nothing in it can call a person or a room (chat-dialects.md §1.8)."""

import re

from handlers.chat_text import code_and_prose

_LINK = re.compile(r"\[([^\[\]\n]{1,300})\]\((https?://[^\s()<>|\"]{1,2000})\)")
_BOLD = re.compile(r"\*\*([^*\n]+)\*\*")
_STRIKE = re.compile(r"~~([^~\n]+)~~")
_HEADING = re.compile(r"(?m)^#{1,6} +([^*\n]+)$")
_BULLET = re.compile(r"(?m)^- ")


def escape(text: str) -> str:
    """Escape the three characters Slack reads; `<!channel>` becomes plain text by it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escaped_size(text: str) -> int:
    """Return how long a text may become: the conversions only ever shorten it."""
    return len(text) + 4 * text.count("&") + 3 * (text.count("<") + text.count(">"))


def to_mrkdwn(text: str) -> str:
    """Return an answer as mrkdwn; code is kept as it is."""
    return "".join(escape(piece) if is_code else _prose(piece) for piece, is_code in code_and_prose(text))


def _prose(text: str) -> str:
    text = _LINK.sub(r"<\2|\1>", escape(text))
    text = _HEADING.sub(r"*\1*", _BOLD.sub(r"*\1*", text))
    return _BULLET.sub("• ", _STRIKE.sub(r"~\1~", text))
