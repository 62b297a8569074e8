"""Say how a half-typed line may go on, from the same declarations as the parser (commands.md §2.7)."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol

from handlers.command import Command, CommandContext, Commands, Noun
from handlers.dispatch import permits
from handlers.line import Problem, Token, one_line, quote, tokenise
from handlers.parse import looks_like_flag
from handlers.services import Need
from handlers.slots import ASK, Argument, Flag, Slot
from handlers.values import ValueType

_KINDS = MappingProxyType({ValueType.ROOM: "rooms", ValueType.USER: "users"})

MAX_SUGGESTIONS = 10


class Kind(StrEnum):
    """What a suggestion is, for an icon or a group."""

    NOUN = "noun"
    VERB = "verb"
    FLAG = "flag"
    NAME = "name"
    ROOM = "room"
    USER = "user"
    VALUE = "value"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One way to go on: `insert` replaces the line from column `start` to the cursor."""

    insert: str
    label: str
    hint: str
    kind: Kind
    start: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One name that may stand where a value is due."""

    name: str
    hint: str = ""


class Names(Protocol):
    """What the caller may refer to, kind by kind; nouns declare nothing for it."""

    async def offers(self, kind: str, typed: str, most: int) -> Sequence[Offer]:
        """Return names of a kind that begin as typed, the latest used first; none for a kind it does not know.

        Kinds are `rooms` and `users` (by the value's type), the noun for a reference (`in`, `out`, `room`, …),
        `things` for whatever a lone reference may show, and what a slot asks for by `offers`.
        """
        ...


NAMES: Need[Names] = Need("names")

TOPICS: Final = "topics"
"""What `help` explains, as `Argument.offers`: the words of the language itself, which no provider is asked for."""


@dataclass(frozen=True, slots=True)
class _Typed:
    """A line up to the cursor: whole words, and the word being typed."""

    words: tuple[Token, ...]
    last: str
    start: int


async def complete(line: str, cursor: int, *, context: CommandContext, commands: Commands) -> list[Suggestion]:
    """Return at most ten ways to go on at the cursor, none of which the caller may not run. Never raises."""
    typed = _typed(line[: max(0, cursor)])
    if typed is None:
        return []
    return (await _Offers(typed, commands, context).found())[:MAX_SUGGESTIONS]


def _typed(text: str) -> _Typed | None:
    """Split what is typed; a quote that is still open is the word being typed."""
    tokens = tokenise(text)
    if isinstance(tokens, Problem):
        if tokens.span is None:
            return None
        words = tokenise(text[: tokens.span.start])
        return None if isinstance(words, Problem) else _Typed(words, text[tokens.span.end :], tokens.span.start)
    if tokens and tokens[-1].span.end == len(text):
        return _Typed(tokens[:-1], tokens[-1].text, tokens[-1].span.start)
    return _Typed(tokens, "", len(text))


class _Offers:
    """Finds what may stand where the cursor is."""

    def __init__(self, typed: _Typed, commands: Commands, context: CommandContext) -> None:
        self._typed = typed
        self._commands = commands
        self._context = context
        self._sought = typed.last.casefold()

    async def found(self) -> list[Suggestion]:
        typed = self._typed
        if not typed.words:
            nouns = self._nouns()
            # nothing typed: names would hide the commands from a beginner
            return [*nouns, *await self._names("things", "")] if typed.last else nouns
        noun = self._commands.noun(typed.words[0].text)
        if noun is None:
            return []
        if noun.word is None and len(typed.words) == 1:
            return self._verbs(noun)
        command = noun.word or noun.verb(typed.words[1].text)
        if command is None or not permits(command, self._context):
            return []
        return await self._slots(command, typed.words[1 if noun.word else 2 :])

    def _nouns(self) -> list[Suggestion]:
        return [
            self._suggestion(noun.name, noun.summary, Kind.NOUN)
            for noun in self._commands.nouns
            if noun.name.startswith(self._sought) and any(permits(c, self._context) for c in noun.commands)
        ]

    def _verbs(self, noun: Noun) -> list[Suggestion]:
        return [
            Suggestion(command.verb, command.usage, command.summary, Kind.VERB, self._typed.start)
            for command in noun.commands
            if command.verb and command.verb.startswith(self._sought) and permits(command, self._context)
        ]

    async def _slots(self, command: Command, words: Sequence[Token]) -> list[Suggestion]:
        """Offer the value that is due; flags once every required argument is there, so that none of them traps."""
        free, used, waiting = _filled(command, words)
        if waiting:
            return await self._values(waiting, command)
        if self._typed.last.startswith("-"):
            return self._flags(command, used)
        values = await self._values(free[0], command) if free else []
        if not self._typed.last and not any(argument.required for argument in free):
            values += self._flags(command, used)
        return values

    def _flags(self, command: Command, used: set[str]) -> list[Suggestion]:
        flags = sorted(command.all_flags, key=lambda flag: not flag.required)
        return [
            Suggestion(f"--{flag.name}", flag.usage, flag.summary, Kind.FLAG, self._typed.start)
            for flag in flags
            if flag.name not in used and f"--{flag.name}".startswith(self._sought)
        ]

    async def _values(self, slot: Slot, command: Command) -> list[Suggestion]:
        if slot.secret:
            return [Suggestion(ASK, ASK, "opens a private form", Kind.VALUE, self._typed.start)]
        if slot.choices:
            done, _, last = self._typed.last.rpartition(",")
            kept = f"{done}," if done and slot.type is ValueType.LIST else ""
            sought = (last if kept or slot.type is ValueType.LIST else self._typed.last).casefold()
            found = (choice for choice in slot.choices if choice.casefold().startswith(sought))
            return [self._suggestion(kept + choice, slot.summary, Kind.VALUE) for choice in found]
        if slot.offers == TOPICS:
            return self._topics(self._typed.words[1:])
        kind = slot.offers or _KINDS.get(slot.type) or (command.noun if slot.type is ValueType.REFERENCE else None)
        return await self._names(kind, slot.summary) if kind else []

    def _topics(self, before: Sequence[Token]) -> list[Suggestion]:
        """Offer what `help` explains: a noun, then one of its verbs."""
        if not before:
            return self._nouns()
        noun = self._commands.noun(before[0].text) if len(before) == 1 else None
        return self._verbs(noun) if noun else []

    async def _names(self, kind: str, hint: str) -> list[Suggestion]:
        offers = await self._context.services.of(NAMES).offers(kind, self._typed.last, MAX_SUGGESTIONS)
        icon = Kind.ROOM if kind == "rooms" else Kind.USER if kind == "users" else Kind.NAME
        return [
            Suggestion(quote(each.name), one_line(each.name), each.hint or hint, icon, self._typed.start)
            for each in offers
        ]

    def _suggestion(self, word: str, hint: str, kind: Kind) -> Suggestion:
        return Suggestion(word, word, hint, kind, self._typed.start)


def _filled(command: Command, words: Sequence[Token]) -> tuple[list[Argument], set[str], Flag | None]:
    """Return the arguments still free, the flags used, and the flag whose value is due."""
    free, used = list(command.arguments), set[str]()
    waiting: Flag | None = None
    for word in words:
        if waiting:
            waiting = None
        elif looks_like_flag(word):
            name, has_value, _ = word.text.lstrip("-").partition("=")
            if flag := command.flag(name):
                used.add(flag.name)
                waiting = None if has_value or flag.type is ValueType.SWITCH else flag
        elif free and not free[0].repeated:
            free.pop(0)
    return free, used, waiting
