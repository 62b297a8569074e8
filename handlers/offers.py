"""Names for completion: those that begin as typed, the latest changed first, few of very many (commands.md §2.7)."""

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from itertools import islice

from handlers.complete import Offer
from handlers.listing import NOUNS
from storage.records.integration import Hook, direction

HOOK_KINDS = frozenset({*NOUNS.values(), "things"})
"""The kinds of names that hooks answer to."""


def hooks_beginning(latest: Iterable[Hook], kind: str, typed: str, most: int) -> list[Offer]:
    """Return the first hooks of a kind, of all in the order they are to be offered; looks no further than it has to."""
    sought = typed.casefold()
    found = (hook for hook in latest if hook.name.casefold().startswith(sought))
    if kind != "things":
        found = (hook for hook in found if NOUNS[direction(hook)] == kind)
    return [Offer(hook.name, f"{NOUNS[direction(hook)]} {hook.id}") for hook in islice(found, most)]


def names_beginning(names: Mapping[str, str], typed: str, most: int) -> list[Offer]:
    """Return names with a sign (`#`, `@`) and their hints in alphabetical order; the sign need not be typed."""
    sought = typed.casefold()
    found = (name for name in names if name.casefold().startswith(sought) or name[1:].casefold().startswith(sought))
    return [Offer(name, names[name]) for name in nsmallest(most, found)]
