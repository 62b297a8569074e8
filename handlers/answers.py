"""Write what a command says: outcomes, lists of ten rows, and problems with a caret (commands.md §2.3, §2.4)."""

import json
import re
from collections.abc import Sequence
from datetime import datetime, tzinfo

import msgspec

from handlers.command import Answer, Mark
from handlers.line import Problem, Span
from storage.clock import Millis

ROWS = 10
"""How many rows a list shows at once."""

_BLOCK = re.compile("```.*?```", re.DOTALL)
"""A pasted file or body: nobody looks for a slip of the finger in it, and it may hold secrets."""
_ECHO_BEFORE = 60
_ECHO_PIECE = 60
_SENSITIVE = r"[\w.-]{0,40}(?:token|secret|passw|key|auth|credential|signature)[\w.-]{0,40}"
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000


def done(text: str, *, data: object = None) -> Answer:
    """Answer that something happened."""
    return Answer(f"{Mark.DONE}. {text}", data=data)


def warning(text: str, *, code: str, data: object = None) -> Answer:
    """Answer that something would happen, or did with a catch."""
    return Answer(f"{Mark.WARNING} [{code}]. {text}", Mark.WARNING, code, data=data)


def not_done(problem: Problem, *, line: str, root: str, secret_flags: Sequence[str] = ()) -> Answer:
    """Answer with a problem in four parts: what failed, where, what is allowed, what to type next."""
    meant = f" Did you mean {', '.join(problem.suggestions)}?" if problem.suggestions else ""
    text = _masked(problem.text, secret_flags)
    parts = [f"{Mark.NOT_DONE} [{problem.kind}]. {text}{meant}"]
    if problem.span:
        parts.append(_echo(line, problem.span, secret_flags))
    if problem.allowed:
        parts.append(f"Allowed: {problem.allowed}")
    parts.append(f"Next: {root} {problem.next}")
    data = {"error": problem.kind.value, "text": text, "suggestions": list(problem.suggestions)}
    return Answer("\n".join(parts), Mark.NOT_DONE, problem.kind.value, data=data)


def as_json(answer: Answer) -> str:
    """Write an answer as a block of JSON, for `--json`."""
    data = {"outcome": answer.mark.value, "code": answer.code, "data": answer.data}
    try:
        text = msgspec.json.format(json.dumps(data, ensure_ascii=False), indent=1)
    except UnicodeEncodeError:  # half a surrogate pair
        text = msgspec.json.format(json.dumps(data), indent=1)
    text = text.replace("`", "\\u0060")  # a backtick would end the block
    return f"```\n{text}\n```"


def listing(summary: str, rows: Sequence[str], *, page: int, total: int, next_page: str) -> str:
    """Write one page of a list; `next_page` is the command for the page after it."""
    shown = f"{summary}, page {page} of {pages(total)}" if total > ROWS else summary
    more = [f"Next page: {next_page}"] if page < pages(total) else []
    return "\n".join([shown, *rows, *more])


def pages(total: int) -> int:
    """Return how many pages a list has; an empty one has one."""
    return max(1, -(-total // ROWS))


def plural(count: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def moment(at: Millis, *, now: Millis, zone: tzinfo) -> str:
    """Write a past moment: relative within a day, else as date and time (commands.md §2.3)."""
    passed = now - at
    if passed < _MINUTE:
        return "just now"
    if passed < _HOUR:
        return f"{passed // _MINUTE} min ago"
    if passed < _DAY:
        return f"{passed // _HOUR} h ago"
    return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M")


def until(at: Millis, *, now: Millis, zone: tzinfo) -> str:
    """Write a moment to come, behind a word such as `until`: relative within a day, else as date and time."""
    left = at - now
    if left < _HOUR:
        return f"in {max(1, -(-left // _MINUTE))} min"
    if left <= _DAY:
        return f"in {-(-left // _HOUR)} h"
    return datetime.fromtimestamp(at / 1000, zone).strftime("%Y-%m-%d %H:%M")


def inert(text: str) -> str:
    """Return a text of others for a room: a name such as `@all` must not call anybody."""
    return text.replace("@", "@\u2060")


def _echo(line: str, span: Span, secret_flags: Sequence[str]) -> str:
    """Show the line up to the offending piece, with a caret under it.

    What stands behind the piece was not understood, and may be a secret: it is left out, as are the values
    of flags and pairs whose names sound like one.
    """
    head = _BLOCK.sub("```…```", line[: span.start].ljust(span.start))
    before = _masked(_plain(head), secret_flags)
    if len(before) > _ECHO_BEFORE:
        before = "…" + before[-_ECHO_BEFORE:]
    piece = _masked(_plain(line[span.start : span.end]), secret_flags)[:_ECHO_PIECE]
    rest = " …" if line[span.end :].strip() else ""
    return f"```\n{before}{piece}{rest}\n{' ' * len(before)}{'^' * max(1, len(piece))}\n```"


def _plain(text: str) -> str:
    """Keep every column, but no line break, invisible character or backtick that would end the block."""
    return "".join(char if char.isprintable() else " " for char in text).replace("`", "'")


def _masked(text: str, secret_flags: Sequence[str]) -> str:
    names = "|".join([_SENSITIVE, *map(re.escape, secret_flags)])
    value = r"""(?:"(?:[^"\\]|\\.)*+"?|['‘][^'’]*+['’]?|[“„«»”][^“”„«»]*+[“”„«»]?|\S+?(?="?(?:\s|$)))"""
    return re.sub(rf"(?i)((?<![\w.-])(?:(?:--?|[—–−]+)(?:{names})(?:=|\s+)|(?:{names})=)){value}", r"\1***", text)
