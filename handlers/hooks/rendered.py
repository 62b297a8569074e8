"""Write a draft as the text a person would read, attachments among it."""

from collections.abc import Iterator, Mapping

from handlers.message import Draft

_MOST = 3_000
"""Longer previews are cut, with a sign: they are looked at, not posted."""


def rendered(draft: Draft) -> str:
    """Return sender, text and attachments of a draft, a line each, none of which leaves the code block."""
    lines = [f"{draft.alias}:"] if draft.alias else []
    lines += filter(None, [draft.text])
    for attachment in draft.attachments:
        lines += (f"| {line}" for part in _attachment(attachment) for line in part.splitlines())
    text = "\n".join(lines)
    return fenced(text) if text else ""


def fenced(text: str) -> str:
    """Put a text into a code block it cannot leave, cut where it is long."""
    inside = text.replace("```", "'''")
    cut = f"{inside[:_MOST]}…" if len(inside) > _MOST else inside
    return f"```\n{cut}\n```"


def _attachment(attachment: Mapping[str, object]) -> Iterator[str]:
    title, link = attachment.get("title"), attachment.get("title_link")
    named = " ".join(f"({link})" if part is link else str(part) for part in (title, link) if part)
    for value in (attachment.get("pretext"), attachment.get("author_name"), named, attachment.get("text")):
        if value:
            yield str(value)
    fields = attachment.get("fields")
    for field in fields if isinstance(fields, list) else []:
        if isinstance(field, Mapping):
            yield f"{field.get('title', '')}: {field.get('value', '')}"
    for key in ("image_url", "audio_url", "video_url"):
        if value := attachment.get(key):
            yield str(value)
