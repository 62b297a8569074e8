"""Names for completion: those that begin as typed, the latest changed first, few of very many (commands.md §2.7)."""

from collections.abc import Iterable, Mapping
from heapq import nsmallest

from handlers.complete import Offer
from handlers.listing import NOUNS
from storage.records.integration import HookField, HookOutline

HOOK_KINDS = frozenset({*NOUNS.values(), "things"})
"""The kinds of names that hooks answer to."""


def direction_of(kind: str) -> tuple[tuple[HookField, str], ...]:
    """Return the condition on hooks of a kind of names."""
    return tuple((HookField.DIRECTION, way) for way, noun in NOUNS.items() if noun == kind)


def hook_offers(outlines: Iterable[HookOutline]) -> list[Offer]:
    """Offer hooks, in their order."""
    return [Offer(outline.name, f"{NOUNS[outline.direction]} {outline.id}") for outline in outlines]


def names_beginning(names: Mapping[str, str], typed: str, most: int) -> list[Offer]:
    """Return names with a sign (`#`, `@`) and their hints in alphabetical order; the sign need not be typed."""
    sought = typed.casefold()
    found = (name for name in names if name.casefold().startswith(sought) or name[1:].casefold().startswith(sought))
    return [Offer(name, names[name]) for name in nsmallest(most, found)]
