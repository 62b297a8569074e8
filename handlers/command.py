"""What a command is: one declaration from which parser, help, completion, checks and reference are derived.

A noun is one file of `commands/`; its verbs are declared in it (commands.md §2.1, §2.2).
"""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from enum import StrEnum
from typing import Any, Final, Literal

from handlers import commands
from handlers.line import Problem
from handlers.registry import load
from handlers.services import Need, Services
from handlers.slots import DRY_RUN, HELP, JSON, PAGE, PUBLIC, YES, Argument, Flag, Pairs, Slot, Values
from storage.clock import Millis
from storage.records.changes import NOTHING, Changes
from storage.records.room import Room
from storage.records.user import Role, User

_FEW_FLAGS: Final = 4
"""More optional flags than these make a usage too long for a list."""

RESERVED: Final = frozenset(
    {"help", "status", "whoami", "audit", "why", "confirm", "cancel", "undo", "export", "import", "list", "mute"}
)
"""Words that need no verb (decision 58); like the nouns, no hook may take one as name."""


# --- what a command says ----------------------------------------------------------------------------


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
class Button:
    """A press runs a line as whoever presses it; that only the right person may is the proposal's work (§2.5)."""

    label: str
    line: str
    """Without the root: `confirm 7F3KQA`, `in disable 64ab…`."""
    style: Literal["default", "primary", "danger"] = "default"


@dataclass(frozen=True, slots=True)
class FormField:
    """One private value to ask for."""

    name: str
    label: str
    hint: str = ""
    secret: bool = False
    required: bool = True
    at_least: int = 0
    """Characters it must have; fewer leave the form open for another try."""
    at_most: int = 8_000
    lines: int = 1
    """More than one: a text with line breaks, which is seen while it is typed."""


@dataclass(frozen=True, slots=True)
class Form:
    """Private input (§2.6): submitting runs `line` with the fields as private values of the flags of those names."""

    title: str
    """At most 24 characters: the narrowest dialog's limit."""
    line: str
    """Without the root, what is to be filled in written `--name ?` or `name=?`."""
    fields: tuple[FormField, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command says; `text` is complete, with its mark."""

    text: str
    mark: Mark = Mark.DONE
    code: str = "ok"
    """`ok`, `confirm`, `dry-run`, or the kind of the problem."""
    private: bool = True
    room_note: str | None = None
    """One line for the rooms in `note_channels` (`#name` or `@user`), whose mentions are made harmless."""
    note_channels: tuple[str, ...] = ()
    room_notes: tuple[tuple[str, str], ...] = ()
    """Channels with a line of their own, where one deed means something else in each of them."""
    data: object = None
    """The same as plain JSON, for `--json`."""
    buttons: tuple[Button, ...] = ()
    form: Form | None = None
    secret: bool = False
    """Something is shown once: only the caller may ever read it, by direct message where a door cannot whisper."""
    public_text: str | None = None
    """What a door that cannot whisper says in the room instead."""
    rows: tuple[str, ...] = ()
    """The ids of a list's rows: `#n` means them for 10 minutes."""
    first_row: int = 1
    """The number of the first of them: a later page goes on counting."""
    listed: bool = False
    """A list, even an empty one: no `#n` of the list before it holds any more."""
    burnt: bool = False
    """The line held a secret where others read it: a door deletes it where it may (§2.6)."""


# --- what a command wants to do ---------------------------------------------------------------------


class Confirm(StrEnum):
    """What stands between a command and its effect (commands.md §2.2, column C)."""

    NONE = "–"
    BUTTON = "b"
    """A press or `confirm CODE`; `-y` skips it."""
    NAME = "n"
    """The name must be typed behind the code; nothing skips it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What a change is about, as it was when the change was planned."""

    kind: str
    """In words: `incoming hook`."""
    id: str
    name: str
    version: int | None = None
    """Grows by one with every change: a confirmation and an `undo` hold for one version only. None: it has none."""


Apply = Callable[[Changes], Awaitable[Answer | Problem]]
"""Does it. What it is given (audit row, used-up confirmation, undo) must be written with the effect, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a writing command would do. It only looks; `dispatch` asks, tells (`--dry-run`) or applies."""

    title: str
    """The deed as an order without end mark: `Remove incoming hook ci (65e2…)`."""
    effects: str = ""
    """What follows, counted, as sentences: `41 queued deliveries will be discarded.` (§2.5)."""
    thing: Thing | None = None
    apply: Apply
    confirm: Confirm | None = None
    """What this one call needs, where that is not what the command declares (`b over 10`)."""
    undo: str | None = None
    """The line that takes it back, good for 10 minutes while the thing stays at the version after this."""
    version_after: int | None = None
    """The thing's version after this, where it is not the next one (people have states, not versions)."""
    line: str | None = None
    """What the audit writes of a line whose words should not be kept, such as `user link ***`."""
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What of the line is kept apart until it is confirmed, by flag: then `line`, with `?` for it, is run."""
    note: str | None = None
    """One line for the rooms it touches: who, what, which."""
    channels: tuple[str, ...] = ()
    alternative: Button | None = None
    """The milder thing to offer beside: for remove `Button("Disable instead", "in disable ID")`."""


# --- where it runs ----------------------------------------------------------------------------------


class Dialect(StrEnum):
    """How a door writes text: what must be undone before a line is read (§2.1 rule 3)."""

    PLAIN = "plain"
    SLACK = "slack"
    MATTERMOST = "mattermost"
    ROCKETCHAT = "rocketchat"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """The way a line came in, and what can be said back through it."""

    name: str
    """As the audit calls it: `slack`, `mattermost`, `rocketchat`, `rocketchat-app`, `terminal`, `cli`."""
    signed: bool = True
    """The sender is proven; a door that is not never runs `user`, `export`, `import`, `keys` (decision 62)."""
    whispers: bool = True
    """An answer can be shown to the caller alone."""
    dialect: Dialect = Dialect.PLAIN
    public_lines: bool = False
    """What is typed stands in the room: a secret in it is burnt (§2.6)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a line was typed: a room here, or a channel of another chat."""

    channel: str
    """The room's id, or the channel's id over there."""
    workspace: str | None = None
    room: Room | None = None
    thread: str | None = None

    @property
    def key(self) -> str:
        """Return what proposals, undo and the last list are bound to."""
        return f"{self.workspace or ''}:{self.channel}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlinked:
    """Somebody of another chat whom nobody here is (yet): decision 60."""

    workspace: str
    external_id: str
    name: str = ""
    viewer: bool = False
    """The workspace lets such people look as viewers do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandContext:
    """Who types where, and what may be done for them."""

    actor: User
    """For somebody unlinked a stand-in without rights; see `sender`."""
    permissions: frozenset[str]
    services: Services
    now: Millis
    zone: tzinfo
    """How printed and typed times are meant (decision 29)."""
    place: Place
    door: Door
    root: str = "/hook"
    sender: tuple[str, str] | None = None
    """Workspace id and user id of the chat the line came from, if it is not this one."""
    unlinked: Unlinked | None = None
    mentions: Mapping[str, str] = field(default_factory=dict)
    """Who the user ids in the line are here (`U1` → `ann`), as far as they are linked."""
    also: Changes = NOTHING
    """What the door wants written with any effect: that this request was carried out."""
    last_list: Mapping[int, str] = field(default_factory=dict)
    """The caller's last list in this place, by row (`#n`)."""
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values a private form brought, by the name of the flag or pair."""

    @property
    def room(self) -> Room | None:
        """Return the room of this workspace it is typed in, if it is one."""
        return self.place.room


# --- the declaration --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Call:
    """One command about to run."""

    context: CommandContext
    commands: "Commands"
    command: "Command"
    values: Values
    dry: bool = False
    """`--dry-run`, for what runs another line; of a `Plan` it is told without asking the command."""

    @property
    def actor(self) -> User:
        return self.context.actor

    @property
    def services(self) -> Services:
        return self.context.services


Run = Callable[[Call], Awaitable[Plan | Answer | Problem]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One verb of a noun, or a word that needs none; `run` looks through the services of its call."""

    noun: str
    verb: str | None
    summary: str
    role: Role
    permissions: frozenset[str] = frozenset()
    """Where given, holding any of them decides instead of the role, which then only explains a refusal."""
    audience: Audience = Audience.CALLER
    writes: bool = False
    """Changes something: `run` returns a `Plan`, and `--dry-run` and `-y` are taken."""
    confirm: Confirm = Confirm.NONE
    confirm_when: str = ""
    """When it is asked for, where a plan decides that: `over 10`, `with traffic in 24 h`."""
    pages: bool = False
    """Answers with a list: `--page N` is taken."""
    shows_secret: bool = False
    """The answer may hold something shown once: `--public` is refused before anything is done."""
    unlinked: bool = False
    """People without a linked account may run it too (decision 60)."""
    arguments: tuple[Argument, ...] = ()
    flags: tuple[Flag, ...] = ()
    pairs: Pairs | None = None
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
        pairs = ["key=value…"] if self.pairs else []
        return " ".join([self.words, *(a.usage for a in self.arguments), *pairs, *(f.usage for f in self.flags)])

    @property
    def brief(self) -> str:
        """Return its usage on one line of a phone: optional flags are only counted once there are several."""
        optional = [flag for flag in self.flags if not flag.required]
        if len(optional) <= _FEW_FLAGS:
            return self.usage
        needed = [flag.usage for flag in self.flags if flag.required]
        pairs = ["key=value…"] if self.pairs else []
        return " ".join([self.words, *(a.usage for a in self.arguments), *pairs, *needed, "[flags]"])

    @property
    def controls(self) -> tuple[Flag, ...]:
        """Return the flags it takes without declaring them."""
        paging = (PAGE,) if self.pages else ()
        writing = (DRY_RUN, YES) if self.writes else ()
        return (*paging, *writing, PUBLIC, JSON, HELP)

    @property
    def all_flags(self) -> tuple[Flag, ...]:
        return (*self.flags, *self.controls)

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Return arguments and flags, those of every command included."""
        return (*self.arguments, *self.all_flags)

    def allows(self, user: User, held: frozenset[str]) -> bool:
        """Tell whether a user with these permissions may run it at all; objects are judged one by one."""
        return bool(self.permissions & held) if self.permissions else user.role.at_least(self.role)

    def flag(self, word: str) -> Flag | None:
        """Find a flag by its long or short name, whatever its case."""
        sought = word.casefold()
        return next((f for f in self.all_flags if sought in (f.name, f.short)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noun:
    """A family of commands about one kind of thing, or a single word without verbs."""

    name: str
    summary: str
    aliases: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    """Those of its aliases that mean the verb `list` when no verb follows, such as `deliveries` (decision 59)."""
    commands: tuple[Command, ...]
    needs: tuple[Need[Any], ...] = ()  # Any: of many kinds, and only their names count here
    """What it asks of the server; the start fails when nothing provides it."""

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
        """Find a noun by its name or an alias, whatever the case."""
        return self._by_word.get(word.casefold())

    def find(self, noun: str, verb: str | None = None) -> Command | None:
        """Find one command by its words."""
        family = self.noun(noun)
        if family is None:
            return None
        return family.word if verb is None else family.verb(verb)

    def takes(self, name: str) -> bool:
        """Tell whether a word is the language's own, so that no hook may be called so (decision 58)."""
        word = name.casefold()
        return word in RESERVED or any(noun.name == word for noun in self.nouns)


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
        if command.confirm is not Confirm.NONE and not command.writes:
            raise ValueError(f"The command {command.words!r} asks for confirmation but writes nothing")
        _check_names(command, command.slots)


def _check_names(command: Command, slots: Sequence[Slot]) -> None:
    names = [word for each in slots for word in (each.name, each.short if isinstance(each, Flag) else None) if word]
    if len(set(names)) != len(names):
        raise ValueError(f"The command {command.words!r} has two arguments or flags of one name")
    repeated = [argument.repeated for argument in command.arguments[:-1]]
    if any(repeated):
        raise ValueError(f"The command {command.words!r} repeats an argument that is not its last")
