"""What a command is: one declaration from which parser, help, completion and permission check are derived.

A noun is one file of `commands/`; its verbs are declared in it (commands.md §2.1, §2.2).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum
from typing import Protocol

from handlers import commands
from handlers.line import Problem, Span
from handlers.registry import load
from handlers.values import Value, ValueType
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.integration import Hook
from storage.records.queue import Counts
from storage.records.room import Room
from storage.records.user import Role, User


class Audience(StrEnum):
    """Who sees the answer (commands.md §2.2, column V)."""

    CALLER = "me"
    CALLER_AND_NOTE = "me+room note"
    """The room that is affected reads one line: who, what, which."""
    ROOM = "room"


class Mark(StrEnum):
    """The outcome, as the first words of an answer (commands.md §2.3)."""

    DONE = "Done"
    NOT_DONE = "Not done"
    WARNING = "Warning"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command says; `text` is complete, with its mark."""

    text: str
    mark: Mark = Mark.DONE
    code: str = "ok"
    """`ok`, `confirm`, or the kind of the problem."""
    private: bool = True
    room_note: str | None = None
    """One line for the rooms in `note_channels` (`#name` or `@user`), whose mentions are made harmless."""
    note_channels: tuple[str, ...] = ()
    data: object = None
    """The same as plain JSON, for `--json`."""


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """How the server does."""

    version: str
    counts: Counts
    failing: frozenset[IntegrationId]
    """Hooks whose last call or request failed."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What passed through one hook lately."""

    last_at: Millis | None = None
    failures: int = 0


class Services(Protocol):
    """What the commands ask of the running server, always on behalf of one actor."""

    async def hooks(self) -> Sequence[Hook]:
        """Return the hooks the actor may see, of both directions (`permissions.visible`), by name."""
        ...

    async def traffic(self, hook_ids: Sequence[IntegrationId]) -> Mapping[IntegrationId, Traffic]: ...

    async def remove_hook(self, hook: Hook) -> str | None:
        """Remove a hook at the version seen; return why not, as a sentence, or None when it is gone."""
        ...

    async def queue_counts(self, hook_id: IntegrationId | None = None) -> Counts: ...
    async def status(self) -> StatusFacts: ...
    async def holders(self, role: Role) -> Sequence[str]:
        """Return the user names of active people with at least this role."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """Who types where, and what may be done for them."""

    actor: User
    room: Room | None
    permissions: frozenset[str]
    services: Services
    now: Millis
    zone: tzinfo
    """How printed and typed times are meant (decision 29)."""
    root: str = "/hook"


@dataclass(frozen=True, slots=True)
class Given:
    """A value as the line gave it: read, as typed, and where."""

    value: Value
    typed: tuple[str, ...]
    span: Span


@dataclass(frozen=True, slots=True)
class Values:
    """What a line gave to a command's arguments and flags, by name."""

    given: Mapping[str, Given] = field(default_factory=dict)

    def switch(self, name: str) -> bool:
        return self.given[name].value is True if name in self.given else False

    def text(self, name: str) -> str | None:
        value = self.given[name].value if name in self.given else None
        return value if isinstance(value, str) else None

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.given[name].value if name in self.given else ()
        return value if isinstance(value, tuple) else ()

    def number(self, name: str) -> int | None:
        value = self.given[name].value if name in self.given else None
        return value if isinstance(value, int) else None

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

    @property
    def usage(self) -> str:
        name = f"{self.name}…" if self.repeated else self.name
        return name if self.required else f"[{name}]"


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
    """Never shown again, not even in the echo of a faulty line (commands.md §2.3)."""

    @property
    def usage(self) -> str:
        text = f"--{self.name}" if self.type is ValueType.SWITCH else f"--{self.name} {self.metavar}"
        return text if self.required else f"[{text}]"


Slot = Argument | Flag

HELP = Flag(name="help", short="h", summary="explains the command")
JSON = Flag(name="json", short="j", summary="answers as JSON")
GLOBAL_FLAGS = (HELP, JSON)

PAGE = Flag(name="page", summary="shows a later page of a list", type=ValueType.NUMBER, metavar="N")
"""Declared by every command that answers with a list."""


@dataclass(frozen=True, slots=True)
class Call:
    """One command about to run."""

    context: CommandContext
    commands: "Commands"
    command: "Command"
    values: Values


Run = Callable[[Call], Awaitable[Answer | Problem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One verb of a noun, or a word that needs none; `run` acts through the services of its call."""

    noun: str
    verb: str | None
    summary: str
    role: Role
    permissions: frozenset[str] = frozenset()
    """Where given, holding any of them decides instead of the role, which then only explains a refusal."""
    audience: Audience = Audience.CALLER
    arguments: tuple[Argument, ...] = ()
    flags: tuple[Flag, ...] = ()
    examples: tuple[str, ...]
    """Without the root."""
    aliases: tuple[str, ...] = ()
    """Other words for the verb."""
    run: Run

    @property
    def words(self) -> str:
        """Return the words that name the command."""
        return self.noun if self.verb is None else f"{self.noun} {self.verb}"

    @property
    def usage(self) -> str:
        """Return the command with its arguments and flags, optional ones in brackets."""
        return " ".join([self.words, *(a.usage for a in self.arguments), *(f.usage for f in self.flags)])

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return arguments and flags, those of every command included."""
        return (*self.arguments, *self.flags, *GLOBAL_FLAGS)

    def allows(self, user: User, held: frozenset[str]) -> bool:
        """Tell whether a user with these permissions may run it at all; objects are judged one by one."""
        return bool(self.permissions & held) if self.permissions else user.role.at_least(self.role)

    def flag(self, word: str) -> Flag | None:
        """Find a flag by its long or short name, whatever its case."""
        sought = word.casefold()
        return next((f for f in (*self.flags, *GLOBAL_FLAGS) if sought in (f.name, f.short)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """A family of commands about one kind of thing, or a single word without verbs."""

    name: str
    summary: str
    aliases: tuple[str, ...] = ()
    commands: tuple[Command, ...]

    @property
    def word(self) -> Command | None:
        """Return the one command of a noun that takes no verb (decision 58)."""
        return self.commands[0] if self.commands[0].verb is None else None

    def verb(self, word: str) -> Command | None:
        """Find a command by its verb or an alias of it, whatever the case."""
        sought = word.casefold()
        return next((c for c in self.commands if sought == c.verb or sought in c.aliases), None)


class Commands:
    """Every command there is, found by its words."""

    def __init__(self, nouns: Iterable[Noun]) -> None:
        """Raise `ValueError` for a mistake in the declarations: the server should not start with it."""
        self.nouns = tuple(nouns)
        self._by_word: dict[str, Noun] = {}
        for noun in self.nouns:
            _check(noun)
            for word in (noun.name, *noun.aliases):
                if word in self._by_word:
                    raise ValueError(f"The word {word!r} names two nouns: {self._by_word[word].name} and {noun.name}")
                self._by_word[word] = noun

    def __iter__(self) -> Iterator[Command]:
        return (command for noun in self.nouns for command in noun.commands)

    def noun(self, word: str) -> Noun | None:
        """Find a noun by its name or an alias, whatever the case; no hook may take such a word as name."""
        return self._by_word.get(word.casefold())

    def find(self, noun: str, verb: str | None = None) -> Command | None:
        """Find one command by its words."""
        family = self.noun(noun)
        if family is None:
            return None
        return family.word if verb is None else family.verb(verb)


def load_commands() -> Commands:
    """Return all commands of the folder `commands/`; each module ends with its `NOUN`."""
    nouns: Mapping[str, Noun] = load(commands, "NOUN")
    return Commands(nouns.values())


def _check(noun: Noun) -> None:
    """Refuse what help and parser could not explain (commands.md §2.1, §2.9)."""
    verbs = [word for c in noun.commands for word in (c.verb or "", *c.aliases)]
    if len(set(verbs)) != len(verbs):
        raise ValueError(f"The noun {noun.name!r} has a verb twice: {', '.join(sorted(verbs))}")
    if "" in verbs and len(noun.commands) > 1:
        raise ValueError(f"The noun {noun.name!r} takes both verbs and free arguments; keep one of the two")
    for command in noun.commands:
        if command.noun != noun.name:
            raise ValueError(f"The command {command.words!r} stands in the noun {noun.name!r}")
        if not (command.summary and command.examples):
            raise ValueError(f"The command {command.words!r} lacks a summary or an example")
        names = [each.name for each in command.slots]
        if len(set(names)) != len(names):
            raise ValueError(f"The command {command.words!r} has two arguments or flags of one name")
