"""The words a line may begin with in a chat: the root, and those that stand for one command (decision 59)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SHORT: Final[Mapping[str, str]] = MappingProxyType({"why": "why", "deliveries": "delivery list"})
"""What `/why` and `/deliveries` stand for."""

_ROOT: Final = "hook"


def meant(word: str, text: str) -> tuple[str, str]:
    """Return the root that answers propose, and the line without it; `word` has its sign: `/why`, `!hook`.

    Which word a workspace has for the root is its own choice, so any other word is the root.
    """
    stands_for = SHORT.get(word[1:].casefold())
    return (word, text) if stands_for is None else (f"{word[:1]}{_ROOT}", f"{stands_for} {text}")
