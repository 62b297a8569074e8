"""Find the thing a reference names: an id, a name, or the beginning of a name (commands.md §2.1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MIN_PREFIX = 3


class Referable(Protocol):
    """Anything with an id and a name."""

    @property
    def id(self) -> str: ...

    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=Referable)


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """The things a reference may mean: none, the one, or several that the caller must choose from."""

    things: tuple[T, ...] = ()
    by_prefix: bool = False
    """Only the beginning of a name matched; too little for what cannot be undone."""
    total: int = 0
    """How many things it may mean, where only the first of them are here."""


def resolve(reference: str, things: Sequence[T]) -> Found[T]:
    """Look for the exact id, then the exact name, then the name in any case, then a unique beginning of it."""
    folded = reference.casefold()
    exact: tuple[Callable[[T], bool], ...] = (
        lambda thing: thing.id == reference,
        lambda thing: thing.name == reference,
        lambda thing: thing.name.casefold() == folded,
    )
    for matches in exact:
        if hits := tuple(filter(matches, things)):
            return Found(hits)
    if len(reference) < MIN_PREFIX:
        return Found()
    return Found(tuple(thing for thing in things if thing.name.casefold().startswith(folded)), by_prefix=True)
