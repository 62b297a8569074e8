"""What keeps the server from its work right now: each cause is reported by whoever finds it, until it is over."""

from collections.abc import Mapping
from types import MappingProxyType


class Condition:
    """One sentence for each cause; all is in order while there is none.

    Sentences are shown to whoever asks whether the server is ready: they name no path and nothing that was sent.
    """

    def __init__(self) -> None:
        self._causes: dict[str, str] = {}

    def report(self, cause: str, why: str) -> None:
        """Say that something is wrong; `cause` is a short name that `clear` takes, too."""
        self._causes[cause] = why

    def clear(self, cause: str) -> None:
        """Say that this is over."""
        self._causes.pop(cause, None)

    @property
    def causes(self) -> Mapping[str, str]:
        """Return what is wrong, by cause."""
        return MappingProxyType(self._causes)
