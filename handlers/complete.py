"""Say how a half-typed line may go on, from the same declarations as the parser (commands.md §2.7)."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from heapq import nsmallest
from itertools import islice

from handlers.command import GLOBAL_FLAGS, Argument, Command, Commands, Flag, Noun
from handlers.line import Problem, Token, one_line, quote, tokenise
from handlers.listing import NOUNS
from handlers.parse import Permits, looks_like_flag
from handlers.values import ValueType
from storage.records.integration import Hook, direction

MAX_SUGGESTIONS = 10


class Kind(StrEnum):
    """What a suggestion is, for an icon or a group."""

    NOUN = "noun"
    VERB = "verb"
    FLAG = "flag"
    NAME = "name"
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One way to go on: `insert` replaces the line from column `start` to the cursor."""

    insert: str
    label: str
    hint: str
    kind: Kind
    start: int


@dataclass(frozen=True, slots=True)
class Names:
    """What the caller may refer to: hooks they may see, and names of rooms they are in."""

    hooks: Sequence[Hook] = ()
    rooms: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Typed:
    """A line up to the cursor: whole words, and the word being typed."""

    words: tuple[Token, ...]
    last: str
    start: int


def complete(line: str, cursor: int, *, commands: Commands, permits: Permits, names: Names) -> list[Suggestion]:
    """Return at most ten ways to go on at the cursor, none of which the caller may not run. Never raises."""
    typed = _typed(line[: max(0, cursor)])
    if typed is None:
        return []
    return list(islice(_offers(typed, commands, permits, names), MAX_SUGGESTIONS))


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


def _offers(typed: _Typed, commands: Commands, permits: Permits, names: Names) -> Iterator[Suggestion]:
    if not typed.words:
        yield from _nouns(typed, commands, permits)
        if typed.last:
            yield from _hooks(typed, names.hooks)
        return
    noun = commands.noun(typed.words[0].text)
    if noun is None:
        return
    if noun.word is None and len(typed.words) == 1:
        yield from _verbs(typed, noun, permits)
        return
    command = noun.word or noun.verb(typed.words[1].text)
    if command and permits(command):
        yield from _slots(typed, command, typed.words[1 if noun.word else 2 :], names)


def _nouns(typed: _Typed, commands: Commands, permits: Permits) -> Iterator[Suggestion]:
    for noun in commands.nouns:
        if noun.name.startswith(typed.last.casefold()) and any(map(permits, noun.commands)):
            yield Suggestion(noun.name, noun.name, noun.summary, Kind.NOUN, typed.start)


def _verbs(typed: _Typed, noun: Noun, permits: Permits) -> Iterator[Suggestion]:
    for command in noun.commands:
        if command.verb and command.verb.startswith(typed.last.casefold()) and permits(command):
            yield Suggestion(command.verb, command.usage, command.summary, Kind.VERB, typed.start)


def _slots(typed: _Typed, command: Command, words: Sequence[Token], names: Names) -> Iterator[Suggestion]:
    """Offer the value that is due; flags once every required argument is there, so that none of them traps."""
    free, used, waiting = _filled(command, words)
    if waiting:
        yield from _values(typed, waiting, command, names)
    elif typed.last.startswith("-"):
        yield from _flags(typed, command, used)
    else:
        if free:
            yield from _values(typed, free[0], command, names)
        if not typed.last and not any(argument.required for argument in free):
            yield from _flags(typed, command, used)


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


def _flags(typed: _Typed, command: Command, used: set[str]) -> Iterator[Suggestion]:
    flags = sorted((*command.flags, *GLOBAL_FLAGS), key=lambda flag: not flag.required)
    for flag in flags:
        if flag.name not in used and f"--{flag.name}".startswith(typed.last.casefold()):
            yield Suggestion(f"--{flag.name}", flag.usage, flag.summary, Kind.FLAG, typed.start)


def _values(typed: _Typed, slot: Argument | Flag, command: Command, names: Names) -> Iterable[Suggestion]:
    match slot.type:
        case ValueType.REFERENCE:
            return _hooks(typed, (hook for hook in names.hooks if NOUNS[direction(hook)] == command.noun))
        case ValueType.ROOM:
            sought = typed.last.casefold()
            rooms = sorted(f"#{room}" for room in names.rooms)
            found = (room for room in rooms if room.casefold().startswith(sought))
            return (Suggestion(quote(room), room, slot.summary, Kind.ROOM, typed.start) for room in found)
        case _:
            return ()


def _hooks(typed: _Typed, hooks: Iterable[Hook]) -> Iterator[Suggestion]:
    """Offer hooks by the beginning of their names, the latest changed first."""
    sought = typed.last.casefold()
    found = (hook for hook in hooks if hook.name.casefold().startswith(sought))
    for hook in nsmallest(MAX_SUGGESTIONS, found, key=lambda hook: (-hook.updated_at, hook.name)):
        hint = f"{NOUNS[direction(hook)]} {hook.id}"
        yield Suggestion(quote(hook.name), one_line(hook.name), hint, Kind.NAME, typed.start)
