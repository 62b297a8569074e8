"""Write texts for chats that limit and interpret them: in parts, and without calling anybody (chat-dialects.md §5)."""

import re
from collections.abc import Callable, Iterator
from typing import Final

FENCE: Final = "```"
EMPTY: Final = "(nothing to show)"

_MENTION = re.compile(r"@(?=[\w.-])")
_INLINE_CODE = re.compile(r"(`[^`\n]+`)")

Size = Callable[[str], int]


def harmless(text: str, *, code_too: bool = False) -> str:
    """Return a text in which no `@name` calls anybody, by a character of no width behind the sign.

    Systems that look for names in prose only get code as it is, so that it can be copied.
    """
    if "@" not in text:
        return text
    if code_too:
        return _MENTION.sub("@\u2060", text)
    return "".join(piece if is_code else _MENTION.sub("@\u2060", piece) for piece, is_code in code_and_prose(text))


def code_and_prose(text: str) -> Iterator[tuple[str, bool]]:
    """Yield a text in pieces, each with whether it is code, marks included; a fence never closed reaches to the end."""
    for at, block in enumerate(text.split(FENCE)):
        if at % 2:
            closed = text.count(FENCE) > at
            yield f"{FENCE}{block}{FENCE if closed else ''}", True
            continue
        for place, piece in enumerate(_INLINE_CODE.split(block)):
            if piece:
                yield piece, place % 2 == 1


def split(text: str, limit: int, size: Size = len) -> list[str]:
    """Cut a text into parts of at most `limit`: at a line end, else at a space, closing and reopening code fences.

    `size` says how long a piece is once it is written for the system. Systems count in different units: where
    characters outside the basic plane occur, half of the limit is used.
    """
    if not text.strip():
        return [EMPTY]
    if not text.isascii() and max(text) > "\uffff":
        limit //= 2
    if size(text) <= limit:
        return [text]
    room = limit - 2 * len(FENCE) - 2  # for a fence closed at the end and opened at the start
    parts: list[str] = []
    current: list[str] = []
    used, fenced = 0, False
    for line in _lines(text, room, size):
        cost = size(line) + 1
        if current and used + cost > room:
            parts.append(_part(current, fenced))
            current, used = ([FENCE], len(FENCE) + 1) if fenced else ([], 0)
        current.append(line)
        used += cost
        fenced ^= line.count(FENCE) % 2 == 1
    parts.append(_part(current, fenced))
    return [part for part in parts if part.strip().strip("`").strip()]


def numbered(parts: list[str]) -> list[str]:
    """Number the parts where there are more than two."""
    if len(parts) < 3:
        return parts
    return [f"({number}/{len(parts)})\n{part}" for number, part in enumerate(parts, 1)]


def shortened(parts: list[str], most: int) -> list[str]:
    """Keep the first parts; what is left out is told, never silently cut."""
    if len(parts) <= most:
        return parts
    left = sum(map(len, parts[most:]))
    return [*parts[:most], f"… {left:,} more characters do not fit here. Ask for less: use --page or a filter."]


def cut_bytes(text: str, limit: int) -> str:
    """Shorten a label to what fits into so many bytes of UTF-8."""
    raw = text.encode(errors="replace")
    return raw.decode() if len(raw) <= limit else raw[: limit - 3].decode(errors="ignore") + "…"


def _part(lines: list[str], fenced: bool) -> str:
    return "\n".join([*lines, FENCE] if fenced else lines)


def _lines(text: str, room: int, size: Size) -> Iterator[str]:
    """Yield the lines, too long ones in pieces cut at spaces, or anywhere if there is none."""
    for line in text.split("\n"):
        rest = line
        while size(rest) > room:
            end = _fitting(rest, room, size)
            space = rest.rfind(" ", end // 2, end + 1)
            end = space if space > 0 else end
            # a fence must not be torn apart, or its halves would count as none
            while end > 1 and rest[end - 1] == "`" and rest[end : end + 1] == "`":
                end -= 1
            yield rest[:end]
            rest = rest[end:].removeprefix(" ")
        yield rest


def _fitting(text: str, room: int, size: Size) -> int:
    """Return how many characters fit, at least one."""
    low, high = 1, min(len(text), room)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if size(text[:middle]) <= room else (low, middle - 1)
    return low
