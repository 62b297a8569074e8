"""What came of sealing every secret again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Resealed:
    """The end of a rotation of keys."""

    changed: int
    """Values that are sealed with another key now."""
    damaged: tuple[str, ...]
    """What no key opens, by its identity, such as `integration:65e2…`; it stays as it was."""
    keys: frozenset[bytes]
    """The ids of the keys that anything is still sealed with."""
