"""Write Slack's mrkdwn as the Markdown of a room (chat-dialects.md §1.8).

Bold, italic, strike and code are the same in both; only `<…>` sequences and the three escapes differ.
"""

import re

from handlers.match import is_link

_SEQUENCE = re.compile(r"<([^<>\n]+)>")
_BROADCASTS = {"here": "@here", "channel": "@all", "everyone": "@all"}


def from_mrkdwn(text: str) -> str:
    """Return mrkdwn with links, mentions and escapes written for a room."""
    return unescape(_SEQUENCE.sub(_readable, text))


def unescape(text: str) -> str:
    """Undo the three escapes of Slack, and nothing else."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def link(url: object, label: str) -> str:
    """Return a Markdown link, or only the label when the address may not be one."""
    if not isinstance(url, str) or not is_link(url):
        return label
    if not label or label == url:
        return url
    address = url.replace("(", "%28").replace(")", "%29")
    return f"[{label}]({address})"


def broadcast(name: str) -> str | None:
    """Return the mention of everybody that a Slack keyword stands for."""
    return _BROADCASTS.get(name)


def _readable(sequence: re.Match[str]) -> str:
    target, _, label = sequence[1].partition("|")
    kind, name = target[:1], target[1:]
    if kind in ("@", "#") and name:
        return kind + (label.removeprefix(kind) or name)
    if kind == "!":
        return _special(name, label) or sequence[0]
    if target.startswith(("mailto:", "tel:")):
        return label or target.partition(":")[2]
    return link(target, label) if is_link(target) else sequence[0]


def _special(command: str, label: str) -> str | None:
    keyword, _, rest = command.partition("^")
    if keyword == "subteam":
        return "@" + (label.removeprefix("@") or rest)
    # a date carries the text for readers that cannot compute it
    return broadcast(keyword) or label
