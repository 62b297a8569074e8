"""Turn the body of any known sender into one in Rocket.Chat shape."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from handlers import formatters
from handlers.message import DraftFault
from handlers.registry import load

FALLBACK = "rocketchat"


class Formatter(Protocol):
    """One dialect of senders. `recognises` and `format` take any parsed JSON and never raise."""

    @property
    def name(self) -> str: ...

    @property
    def summary(self) -> str: ...

    @property
    def sample(self) -> str:
        """A body as its senders make it, in JSON, for tests and previews."""
        ...

    def recognises(self, body: object) -> bool:
        """Tell whether a body can only be meant in this dialect."""

    def format(self, body: object) -> Mapping[str, object] | DraftFault:
        """Return the body as rocketchat.md §5.2 knows it; checking it is left to `read_draft`."""


@dataclass(frozen=True)
class Auto:
    """Use the first formatter that recognises the body, else the fallback."""

    name = "auto"
    summary = "finds out by itself which of the others a body needs"

    candidates: Iterable[Formatter]
    fallback: Formatter

    @property
    def sample(self) -> str:
        """Return the fallback's."""
        return self.fallback.sample

    def recognises(self, body: object) -> bool:
        """Claim nothing: it stands above the others, not among them."""
        return False

    def format(self, body: object) -> Mapping[str, object] | DraftFault:
        return self.chosen(body).format(body)

    def chosen(self, body: object) -> Formatter:
        """Return the formatter a body needs."""
        return next((one for one in self.candidates if one.recognises(body)), self.fallback)


def available() -> Mapping[str, Formatter]:
    """Return every formatter by name: those of the folder, and `auto` over them."""
    known: Mapping[str, Formatter] = load(formatters, "FORMATTER")
    auto = Auto(tuple(known.values()), known[FALLBACK])
    return MappingProxyType({auto.name: auto, **known})
