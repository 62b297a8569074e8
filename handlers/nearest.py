"""Find what a mistyped word was meant to be (commands.md §2.4)."""

from collections.abc import Iterable
from itertools import islice

MAX_SUGGESTIONS = 3
MAX_EDITS = 2
MAX_LENGTH = 64
"""Longer words are not typos, and comparing them costs time."""
MAX_COMPARED = 2_000
"""Candidates looked at, which takes some milliseconds; of more a caller brings a part at a time."""


def nearest(word: str, candidates: Iterable[str]) -> tuple[str, ...]:
    """Return up to three candidates at most two edits away, whatever their case, the likeliest first."""
    if len(word) > MAX_LENGTH:
        return ()
    typed = word.casefold()
    ranked: list[tuple[int, int, str]] = []
    for candidate in dict.fromkeys(islice(candidates, MAX_COMPARED)):
        meant = candidate.casefold()
        if _may_be_near(typed, meant):
            edits = distance(typed, meant)
            if edits <= MAX_EDITS and edits < len(typed):
                ranked.append((edits, -_common_prefix(typed, meant), candidate))
    ranked.sort(key=lambda row: row[:2])
    return tuple(candidate for _, _, candidate in ranked[:MAX_SUGGESTIONS])


def distance(left: str, right: str) -> int:
    """Count the edits between two words: insert, drop, replace, or swap two neighbours (Damerau-Levenshtein).

    Counting stops beyond `MAX_EDITS`: how much farther two words are does not matter.
    """
    left, right = _without_common_prefix(left, right)
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        before, above, row = row, before, [i]
        for j, b in enumerate(right, 1):
            edits = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                edits = min(edits, above[j - 2] + 1)
            row.append(edits)
        if min(row) > MAX_EDITS and min(before) > MAX_EDITS:
            break
    return min(row[-1], MAX_EDITS + 1)


def _without_common_prefix(left: str, right: str) -> tuple[str, str]:
    length = _common_prefix(left, right)
    return left[length:], right[length:]


def _may_be_near(left: str, right: str) -> bool:
    """Rule out most of 10,000 names cheaply: one edit changes the length by one and the letters by two."""
    return abs(len(left) - len(right)) <= MAX_EDITS and len(set(left) ^ set(right)) <= 2 * MAX_EDITS


def _common_prefix(left: str, right: str) -> int:
    length = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        length += 1
    return length
