"""Read a line as a command with its values, or as the problem that keeps it from being one (commands.md §2.1)."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from handlers.command import GLOBAL_FLAGS, JSON, Argument, Command, Commands, Flag, Given, Noun, Slot, Values
from handlers.line import Problem, ProblemKind, Span, Token, one_line, quote, tokenise
from handlers.nearest import nearest
from handlers.values import Value, ValueType, read_value
from storage.clock import Millis

_FLAG = re.compile(r"--?[^\W\d_]")

Permits = Callable[[Command], bool]
"""Whether the caller may run a command; what they may not run is never suggested."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a line is read with."""

    commands: Commands
    permits: Permits
    now: Millis
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command with its values; `as_json` asks for the answer as JSON."""

    command: Command
    values: Values
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A line whose first word is no noun: a reference to show (decision 58), or else the problem."""

    reference: str
    problem: Problem


def parse(line: str, reading: Reading) -> Parsed | Unnamed | Problem:
    """Read a line without its root; a line without words means `status`. Never raises."""
    tokens = tokenise(line)
    if isinstance(tokens, Problem):
        return tokens
    if _asks_for_help(tokens):
        return _help(tokens, reading.commands)
    if not tokens or looks_like_flag(tokens[0]):
        tokens = (Token("status", Span(0, 0)), *tokens)
    noun = None if tokens[0].quoted else reading.commands.noun(tokens[0].text)
    if noun is None:
        problem = _unknown_noun(tokens[0], reading)
        return Unnamed(tokens[0].text, problem) if len(tokens) == 1 else problem
    if noun.word:
        return _filled(noun.word, tokens[1:], reading, Span(len(line) + 1, len(line) + 2))
    if len(tokens) == 1 or looks_like_flag(tokens[1]):
        return _missing_verb(noun, tokens[0], reading)
    command = noun.verb(tokens[1].text)
    if command is None:
        return _unknown_verb(noun, tokens[1], reading)
    return _filled(command, tokens[2:], reading, Span(len(line) + 1, len(line) + 2))


def written(command: Command, values: Values) -> str:
    """Write a command so that `parse` reads the same again."""
    parts = [command.words]
    for argument in command.arguments:
        if given := values.given.get(argument.name):
            parts += map(quote, given.typed)
    for flag in command.flags:
        if given := values.given.get(flag.name):
            parts += (_written_flag(flag, text, given.value) for text in given.typed)
    return " ".join(parts)


def looks_like_flag(token: Token) -> bool:
    """Tell whether a word is meant as a flag: dashes and a letter, so that `-2h` stays a value."""
    return not token.is_value and bool(_FLAG.match(token.text))


def _written_flag(flag: Flag, text: str, value: Value) -> str:
    if flag.type is ValueType.SWITCH:
        return f"--{flag.name}" if value else f"--no-{flag.name}"
    return f"--{flag.name} {quote(text)}"


def _ends_flags(token: Token) -> bool:
    return token.text == "--" and not token.is_value


def _asks_for_help(tokens: Sequence[Token]) -> bool:
    for token in tokens:
        if _ends_flags(token):
            return False
        if not token.is_value and token.text.casefold() in ("-h", "--help"):
            return True
    return False


def _help(tokens: Sequence[Token], commands: Commands) -> Parsed | Problem:
    """Read any line with `-h` as the help of what it names, as far as that exists."""
    command = commands.find("help")
    if command is None:
        return Problem(kind=ProblemKind.UNAVAILABLE, text="There is no help here.")
    noun = commands.noun(tokens[0].text)
    topics: list[Token] = [] if noun is None else [tokens[0]]
    if noun and len(tokens) > 1 and noun.verb(tokens[1].text):
        topics.append(tokens[1])
    if not topics:
        return Parsed(command, Values())
    words = tuple(token.text for token in topics)
    return Parsed(command, Values({"topic": Given(words, words, Span(topics[0].span.start, topics[-1].span.end))}))


def _unknown_noun(word: Token, reading: Reading) -> Problem:
    runnable = [noun for noun in reading.commands.nouns if any(map(reading.permits, noun.commands))]
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'"{one_line(word.text)}" is neither a command nor the name of something you may see.',
        span=word.span,
        suggestions=nearest(word.text, (w for noun in runnable for w in (noun.name, *noun.aliases))),
        allowed=", ".join(noun.name for noun in runnable),
    )


def _missing_verb(noun: Noun, word: Token, reading: Reading) -> Problem:
    return Problem(
        kind=ProblemKind.USAGE,
        text=f'"{noun.name}" needs a verb.',
        span=word.span,
        allowed=", ".join(_verbs(noun, reading)),
        next=f"help {noun.name}",
    )


def _unknown_verb(noun: Noun, word: Token, reading: Reading) -> Problem:
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'"{one_line(word.text)}" is not a verb of "{noun.name}".',
        span=word.span,
        suggestions=nearest(word.text, _verbs(noun, reading)),
        allowed=", ".join(_verbs(noun, reading)),
        next=f"help {noun.name}",
    )


def _verbs(noun: Noun, reading: Reading) -> list[str]:
    return [command.verb for command in noun.commands if command.verb and reading.permits(command)]


@dataclass(frozen=True, slots=True)
class _Piece:
    """One value for one argument or flag, not yet read."""

    slot: Slot
    token: Token
    text: str
    span: Span
    switch: bool = True


def _filled(command: Command, tokens: Sequence[Token], reading: Reading, end: Span) -> Parsed | Problem:
    given: dict[str, Given] = {}
    for piece in _pieces(command, tokens):
        if isinstance(piece, Problem):
            return piece
        value = _value(command, piece, reading)
        if isinstance(value, Problem):
            return value
        before = given.get(piece.slot.name)
        new = Given(value, value if isinstance(value, tuple) else (piece.text,), piece.span)
        if before is None:
            given[piece.slot.name] = new
        elif isinstance(before.value, tuple) and isinstance(value, tuple):
            span = Span(before.span.start, piece.span.end)
            given[piece.slot.name] = Given(before.value + value, before.typed + new.typed, span)
        else:
            return _fault(command, f"--{piece.slot.name} is given twice.", piece.span, ProblemKind.USAGE)
    for slot in command.slots:
        if slot.required and slot.name not in given:
            return _fault(command, f'"{command.words}" needs {slot.usage}: {slot.summary}.', end, ProblemKind.USAGE)
    as_json = given.pop(JSON.name, None)
    return Parsed(command, Values(given), as_json=bool(as_json and as_json.value))


def _pieces(command: Command, tokens: Sequence[Token]) -> Iterator[_Piece | Problem]:
    """Say which argument or flag each word belongs to; stops being read at the first problem."""
    free = list(command.arguments)
    flags_ended = False
    at = 0
    while at < len(tokens):
        token = tokens[at]
        at += 1
        if not flags_ended and _ends_flags(token):
            flags_ended = True
        elif not flags_ended and looks_like_flag(token):
            piece = _flag_piece(command, token, tokens[at] if at < len(tokens) else None)
            if isinstance(piece, _Piece) and piece.token is not token:
                at += 1
            yield piece
        elif free:
            yield _Piece(free[0], token, token.text, token.span)
            if not free[0].repeated:
                free.pop(0)
        else:
            yield _fault(command, f'"{one_line(token.text)}" is one word too many.', token.span, ProblemKind.USAGE)


def _flag_piece(command: Command, token: Token, following: Token | None) -> _Piece | Problem:
    name, has_value, text = token.text.partition("=")
    name_span = Span(token.span.start, min(token.span.start + len(name), token.span.end))
    flag, switch = _flag(command, name)
    if flag is None:
        return _unknown_flag(command, name, name_span)
    if flag.type is ValueType.SWITCH:
        if has_value:
            fault = f"--{flag.name} takes no value; --no-{flag.name} switches it off."
            return _fault(command, fault, name_span, ProblemKind.USAGE)
        return _Piece(flag, token, "", token.span, switch)
    if has_value:
        return _Piece(flag, token, text, token.span)
    if following is None or looks_like_flag(following) or _ends_flags(following):
        return _fault(command, f"--{flag.name} needs {flag.type}.", name_span, ProblemKind.USAGE)
    return _Piece(flag, following, following.text, Span(token.span.start, following.span.end))


def _flag(command: Command, name: str) -> tuple[Flag | None, bool]:
    """Find a flag by `-x`, `--name` or `--no-name`, and say whether that switches it on."""
    if not name.startswith("--"):
        found = command.flag(name[1:])
        return (found if found and len(name) == 2 else None), True
    found = command.flag(name[2:])
    if found and len(name) > 3:
        return found, True
    found = command.flag(name[5:]) if name[2:5].casefold() == "no-" else None
    return (found if found and found.type is ValueType.SWITCH else None), False


def _unknown_flag(command: Command, name: str, span: Span) -> Problem:
    known = [f"--{flag.name}" for flag in (*command.flags, *GLOBAL_FLAGS)]
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'"{one_line(name)}" is not a flag of "{command.words}".',
        span=span,
        suggestions=nearest(f"--{name.lstrip('-')}", known),
        allowed=", ".join(known),
        next=f"help {command.words}",
    )


def _value(command: Command, piece: _Piece, reading: Reading) -> Value | Problem:
    slot = piece.slot
    if slot.type is ValueType.SWITCH:
        return piece.switch
    if slot.type is ValueType.LIST and piece.token.quoted and piece.text:
        return (piece.text,)
    value = read_value(slot.type, piece.text, now=reading.now, zone=reading.zone)
    if value is None:
        shown = "an empty text" if not piece.text else f'"{one_line(piece.text)}"'
        if isinstance(slot, Flag) and slot.secret:
            shown = "this value"
        return _fault(command, f"{slot.name} takes {slot.type}, not {shown}.", piece.span, ProblemKind.INVALID)
    repeated = isinstance(slot, Argument) and slot.repeated
    return (str(value),) if repeated else value


def _fault(command: Command, text: str, span: Span, kind: ProblemKind) -> Problem:
    return Problem(kind=kind, text=text, span=span, allowed=command.usage, next=f"help {command.words}")
