"""What a command takes: arguments by place, flags and pairs by name, and the values a line gave them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from handlers.line import Span
from handlers.masking import is_secret_name
from handlers.values import Value, ValueType

ASK: Final = "?"
"""Typed in place of a secret, it opens a private form (commands.md §2.6)."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value as the line gave it: read, as typed, and where."""

    value: Value
    typed: tuple[str, ...]
    """Of a secret `?` only, so that neither an echo nor a `repr` can tell it."""
    span: Span = field(compare=False)


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that came from a private form; its `repr` tells nothing."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Values:
    """What a line gave to a command's arguments, flags and pairs, by name."""

    given: Mapping[str, Given] = field(default_factory=dict)
    pairs: Mapping[str, Given] = field(default_factory=dict)
    """`key=value` words, in the order they were typed."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """The values of secret flags and pairs, by name."""

    def switch(self, name: str) -> bool:
        return self.given[name].value is True if name in self.given else False

    def switched(self, name: str) -> bool | None:
        """Tell `--x` (True) and `--no-x` (False) from neither (None), for an edit."""
        value = self.given[name].value if name in self.given else None
        return value if isinstance(value, bool) else None

    def text(self, name: str) -> str | None:
        value = self.given[name].value if name in self.given else None
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.given[name].value if name in self.given else ()
        return value if isinstance(value, tuple) else ()

    def number(self, name: str) -> int | None:
        """Return a number, a duration or a time in milliseconds, or a size in bytes."""
        value = self.given[name].value if name in self.given else None
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def secret(self, name: str) -> str | None:
        """Return the value of a secret flag or pair; nothing else may read it."""
        found = self.secrets.get(name)
        return found.value if found else None

    def span(self, name: str) -> Span | None:
        return self.given[name].span if name in self.given else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A value that is known by its place."""

    name: str
    summary: str
    type: ValueType = ValueType.TEXT
    required: bool = True
    repeated: bool = False
    """Takes all the words that remain; only the last argument may."""
    choices: tuple[str, ...] = ()
    """The only words it takes, where those are few and known; also what completion offers."""
    offers: str | None = None
    """Which provider of names completes it (`handlers.complete.Provider`), where its type does not say."""

    @property
    def usage(self) -> str:
        name = f"{self.name}…" if self.repeated else self.name
        return name if self.required else f"[{name}]"

    @property
    def secret(self) -> bool:
        """An argument is never secret: what is known by its place cannot be masked."""
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A value that is known by its name."""

    name: str
    summary: str
    type: ValueType = ValueType.SWITCH
    metavar: str = "VALUE"
    short: str | None = None
    required: bool = False
    secret: bool = False
    """Typed as `?`, given through a private form, and never shown again (commands.md §2.6)."""
    choices: tuple[str, ...] = ()
    offers: str | None = None

    @property
    def usage(self) -> str:
        text = f"--{self.name}" if self.type is ValueType.SWITCH else f"--{self.name} {self.metavar}"
        return text if self.required else f"[{text}]"


Slot = Argument | Flag


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """That a command takes `key=value` words; which keys there are, it knows itself once the line is read."""

    summary: str
    is_secret: Callable[[str], bool] = is_secret_name
    """Whether the value under a key is secret; by its name unless the command knows better."""


HELP = Flag(name="help", short="h", summary="explains the command")
JSON = Flag(name="json", short="j", summary="answers as JSON")
PUBLIC = Flag(name="public", summary="shows the answer to the room")
DRY_RUN = Flag(name="dry-run", summary="tells what would happen and changes nothing")
YES = Flag(name="yes", short="y", summary="does it without asking, unless a name must be typed")
PAGE = Flag(name="page", summary="shows a later page of a list", type=ValueType.NUMBER, metavar="N")
"""Taken by every command that answers with a list (`pages=True`)."""

CONTROLS: Final = frozenset({HELP.name, JSON.name, PUBLIC.name, DRY_RUN.name, YES.name})
"""Flags that steer how a command runs; its own function never sees them."""
