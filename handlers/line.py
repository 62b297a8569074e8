"""Split a typed line into tokens that know their place, or say what is wrong with it (commands.md §2.1)."""

import re
from dataclasses import dataclass
from enum import StrEnum

MAX_CHARACTERS = 8_000
MAX_TOKENS = 100


class ProblemKind(StrEnum):
    """What kind of failure an answer reports; its code (commands.md §2.4)."""

    USAGE = "usage"
    UNKNOWN = "unknown"
    AMBIGUOUS = "ambiguous"
    FORBIDDEN = "forbidden"
    CONFLICT = "conflict"
    INVALID = "invalid"
    UNAVAILABLE = "unavailable"
    LIMITED = "limited"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the typed line, by its first column and the one after its last."""

    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why a line was not done, in the four parts of commands.md §2.4."""

    kind: ProblemKind
    text: str
    span: Span | None = None
    """The offending piece."""
    suggestions: tuple[str, ...] = ()
    allowed: str = ""
    next: str = "help"
    """The command to type next, without the root."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word of a line, without its quotes."""

    text: str
    span: Span
    quoted: bool = False
    """The word or the value behind its `=` stood in quotes: it is no list and, if the whole word, no flag."""
    is_value: bool = False
    """The whole word stood in quotes."""


_SPACE = r"\s\u200b-\u200d\u2060\ufeff"
_DOUBLE = '"“”„«»'
_SINGLE = "'‘’"
_SPACES = re.compile(f"[{_SPACE}]+")
_UNPRINTABLE = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]+")
_NEEDS_QUOTES = re.compile(f"[{_SPACE}=,]")
_BARE = re.compile(f"[^{_SPACE}]+")
_KEY = re.compile(r"(?:--?|[—–−]+)?[^\W\d_][\w.-]*=")
_DASHES = re.compile("[—–−]+")

# What ends a quote: its own counterpart, or, where the line has none, any of its family (phones mix them).
_OWN_END = {"“": "”", "„": "“”", "”": "”", "«": "»", "»": "«»", "‘": "’", "’": "’"}


def tokenise(line: str) -> tuple[Token, ...] | Problem:
    """Split a line at spaces outside quotes; never raises."""
    if len(line) > MAX_CHARACTERS:
        return Problem(
            kind=ProblemKind.LIMITED,
            text=f"The line has {len(line):,} characters.",
            allowed=f"at most {MAX_CHARACTERS:,} characters and {MAX_TOKENS} words",
        )
    tokens: list[Token] = []
    at = _skip_spaces(line, 0)
    while at < len(line):
        if len(tokens) == MAX_TOKENS:
            return Problem(
                kind=ProblemKind.LIMITED,
                text=f"The line has more than {MAX_TOKENS} words.",
                span=Span(at, at + 1),
                allowed=f"at most {MAX_TOKENS} words; put quotes around a text with spaces",
            )
        token = _token(line, at)
        if isinstance(token, Problem):
            return token
        tokens.append(token)
        at = _skip_spaces(line, token.span.end)
    return tuple(tokens)


def quote(text: str) -> str:
    """Write a value so that `tokenise` reads exactly it again, with quotes only where they are needed."""
    if text and text[0] not in f"{_DOUBLE}{_SINGLE}`—–−-" and not _NEEDS_QUOTES.search(text):
        return text
    escaped = text.replace("\\", "\\\\")
    for mark in _DOUBLE:
        escaped = escaped.replace(mark, f"\\{mark}")
    return f'"{escaped}"'


def one_line(text: str, limit: int = 40) -> str:
    """Return a text of others for use inside a sentence: without line breaks, control characters or length."""
    shown = text[: limit + 1]
    if "  " in shown or not (shown.isascii() and shown.isprintable()):  # lists ask for hundreds of plain names
        shown = _UNPRINTABLE.sub(" ", shown)
    shown = shown.strip()
    return shown if len(text) <= limit else f"{shown[:limit].rstrip()}…"


def _skip_spaces(line: str, at: int) -> int:
    found = _SPACES.match(line, at)
    return found.end() if found else at


def _token(line: str, at: int) -> Token | Problem:
    key = _KEY.match(line, at)
    start = key.end() if key else at
    if start < len(line) and line[start] in f"{_DOUBLE}{_SINGLE}`":
        return _quoted(line, at, start)
    found = _BARE.match(line, at)
    end = found.end() if found else at + 1
    return Token(_with_plain_dashes(line[at:end]), Span(at, end))


def _with_plain_dashes(text: str) -> str:
    return _DASHES.sub("--", text, count=1) if text[0] in "—–−" else text


def _quoted(line: str, at: int, start: int) -> Token | Problem:
    fence = "```" if line.startswith("```", start) else line[start]
    found = _closing(line, start + len(fence), fence)
    if found is None:
        return Problem(
            kind=ProblemKind.USAGE,
            text=f"The quote {fence} is never closed.",
            span=Span(start, start + len(fence)),
            allowed=f"close it with {_OWN_END.get(fence, fence)[0]}, or write the text without spaces and quotes",
        )
    value, end = found
    if end < len(line) and not _SPACES.match(line, end):
        return Problem(
            kind=ProblemKind.USAGE,
            text="Something stands directly behind a closing quote.",
            span=Span(end, end + 1),
            allowed='a space after the quote; a quote inside "…" is written \\", several values repeat the flag',
        )
    key = _with_plain_dashes(line[at:start]) if start > at else ""
    return Token(key + value, Span(at, end), quoted=True, is_value=start == at)


def _closing(line: str, start: int, fence: str) -> tuple[str, int] | None:
    """Return what a quote holds and the column behind it; None when it stays open."""
    if fence == "```":
        end = line.find(fence, start)
        return None if end < 0 else (line[start:end].strip("\n"), end + len(fence))
    family = _DOUBLE if fence in _DOUBLE else _SINGLE if fence in _SINGLE else fence
    for ends in (_OWN_END.get(fence, fence), family):
        pattern = f"((?:[^\\\\{ends}]|\\\\.)*+)[{ends}]" if family is _DOUBLE else f"([^{ends}]*+)[{ends}]"
        if found := re.compile(pattern, re.DOTALL).match(line, start):
            return _unescaped(found[1]) if family is _DOUBLE else found[1], found.end()
    return None


def _unescaped(text: str) -> str:
    """Undo `\\"` and `\\\\`; any other backslash is kept."""
    pieces = text.split("\\\\")
    for mark in _DOUBLE:
        pieces = [piece.replace(f"\\{mark}", mark) for piece in pieces]
    return "\\".join(pieces)
