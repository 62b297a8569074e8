"""Read a line as a command with its values, or as the problem that keeps it from being one (commands.md §2.1)."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo

from handlers.command import Command, Commands, Noun
from handlers.line import Problem, ProblemKind, Span, Token, one_line, quote, tokenise
from handlers.nearest import nearest
from handlers.slots import ASK, CONTROLS, Argument, Flag, Given, Secret, Slot, Values
from handlers.values import Value, ValueType, read_value
from storage.clock import Millis

_FLAG = re.compile(r"--?[^\W\d_]")
_PAIR = re.compile(r"([^\W\d_][\w-]*(?:\.[\w-]+)*)=")

Permits = Callable[[Command], bool]
"""Whether the caller may run a command; what they may not run is never suggested."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a line is read with."""

    commands: Commands
    permits: Permits
    now: Millis
    zone: tzinfo
    private: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What a private form brought for the values written `?`."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command with its values, and how it is to be run."""

    command: Command
    values: Values
    controls: frozenset[str] = frozenset()
    """The flags of `slots.CONTROLS` that are switched on."""
    asked: tuple[str, ...] = ()
    """Secrets written `?` that no form has brought yet."""
    literal: tuple[str, ...] = ()
    """Secrets that stand in the line itself."""


@dataclass(frozen=True, slots=True)
class Unnamed:
    """A line whose first word is no noun: a reference to show (decision 58), or else the problem."""

    reference: str
    problem: Problem
    controls: frozenset[str] = frozenset()


def parse(line: str, reading: Reading) -> Parsed | Unnamed | Problem:
    """Read a line without its root; a line without words means `status`. Never raises."""
    tokens = tokenise(line)
    if isinstance(tokens, Problem):
        return tokens
    if _asks_for_help(tokens):
        return _help(tokens, reading.commands)
    if not tokens or looks_like_flag(tokens[0]):
        tokens = (Token("status", Span(0, 0)), *tokens)
    end = Span(len(line) + 1, len(line) + 2)
    noun = None if tokens[0].quoted else reading.commands.noun(tokens[0].text)
    if noun is None:
        return _unnamed(tokens, reading)
    if noun.word:
        return _Filling(noun.word, reading).filled(tokens[1:], end)
    if len(tokens) == 1 or looks_like_flag(tokens[1]):
        listed = noun.verb("list") if tokens[0].text.casefold() in noun.alone else None
        return _Filling(listed, reading).filled(tokens[1:], end) if listed else _missing_verb(noun, tokens[0], reading)
    command = noun.verb(tokens[1].text)
    if command is None:
        return _unknown_verb(noun, tokens[1], reading)
    return _Filling(command, reading).filled(tokens[2:], end)


def written(command: Command, values: Values) -> str:
    """Write a command so that `parse` reads the same again; secrets are written `?`."""
    parts = [command.words]
    for argument in command.arguments:
        if given := values.given.get(argument.name):
            parts += map(quote, given.typed)
    parts += (f"{key}={quote(text)}" for key, given in values.pairs.items() for text in given.typed)
    for flag in command.all_flags:
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
    return Parsed(command, Values({"TOPIC": Given(words, words, Span(topics[0].span.start, topics[-1].span.end))}))


# --- words that are not there -----------------------------------------------------------------------


def _unnamed(tokens: Sequence[Token], reading: Reading) -> Unnamed | Problem:
    problem = _unknown_noun(tokens, reading)
    rest = [token.text.casefold() for token in tokens[1:]]
    # a lone reference may be shown as JSON too; anything else behind it was meant as a command
    if any(word not in ("--json", "-j", "--public") for word in rest):
        return problem
    controls = {"json" if word in ("--json", "-j") else "public" for word in rest}
    return Unnamed(tokens[0].text, problem, frozenset(controls))


def _unknown_noun(tokens: Sequence[Token], reading: Reading) -> Problem:
    word = tokens[0]
    runnable = [noun for noun in reading.commands.nouns if any(map(reading.permits, noun.commands))]
    verb = tokens[1].text if len(tokens) > 1 and not looks_like_flag(tokens[1]) else None
    # nouns that have the verb behind it are the likelier ones
    ranked = sorted(runnable, key=lambda noun: (noun.verb(verb) is None) if verb else (noun.word is None))
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'"{one_line(word.text)}" is neither a command nor the name of something you may see.',
        span=word.span,
        suggestions=nearest(word.text, (w for noun in ranked for w in (noun.name, *noun.aliases))),
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


# --- values -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Piece:
    """One value for one argument, flag or pair, not yet read."""

    slot: Slot
    token: Token
    text: str
    span: Span
    switch: bool = True
    pair: bool = False

    @property
    def name(self) -> str:
        return self.slot.name

    @property
    def shown(self) -> str:
        """Return the name as it is typed: `--since` of a flag, `REF` of an argument, `key` of a pair."""
        return self.name if self.pair else _typed_name(self.slot)


class _Filling:
    """Gathers the values of one command word by word; the first problem ends it."""

    def __init__(self, command: Command, reading: Reading) -> None:
        self._command = command
        self._reading = reading
        self._given: dict[str, Given] = {}
        self._pairs: dict[str, Given] = {}
        self._secrets: dict[str, Secret] = {}
        self._asked: list[str] = []
        self._literal: list[str] = []

    def filled(self, tokens: Sequence[Token], end: Span) -> Parsed | Problem:
        command = self._command
        for piece in _pieces(command, tokens):
            problem = piece if isinstance(piece, Problem) else self._take(piece)
            if problem:
                return problem
        for slot in command.slots:
            if slot.required and slot.name not in self._given:
                text = f'"{command.words}" needs {_typed_name(slot)}: {slot.summary}.'
                return _fault(command, text, end, ProblemKind.USAGE)
        controls = frozenset(n for n in CONTROLS if (g := self._given.pop(n, None)) and g.value is True)
        values = Values(self._given, self._pairs, self._secrets)
        return Parsed(command, values, controls, tuple(self._asked), tuple(self._literal))

    def _take(self, piece: _Piece) -> Problem | None:
        store = self._pairs if piece.pair else self._given
        value = self._value(piece)
        if isinstance(value, Problem):
            return value
        before = store.get(piece.name)
        new = Given(value, value if isinstance(value, tuple) else (self._typed(piece),), piece.span)
        if before is None:
            store[piece.name] = new
        elif isinstance(before.value, tuple) and isinstance(value, tuple):
            span = Span(before.span.start, piece.span.end)
            store[piece.name] = Given(before.value + value, before.typed + new.typed, span)
        else:
            return _fault(self._command, f"{piece.shown} is given twice.", piece.span, ProblemKind.USAGE)
        return None

    def _typed(self, piece: _Piece) -> str:
        return ASK if piece.slot.secret else piece.text

    def _value(self, piece: _Piece) -> Value | Problem:
        slot = piece.slot
        if slot.type is ValueType.SWITCH:
            return piece.switch
        if slot.secret:
            return self._secret(piece)
        if piece.pair:
            return piece.text
        if slot.type is ValueType.LIST and piece.token.quoted and piece.text:
            return (piece.text,)
        value = read_value(slot.type, piece.text, now=self._reading.now, zone=self._reading.zone)
        if value is None:
            shown = "an empty text" if not piece.text else f'"{one_line(piece.text)}"'
            return self._unfit(piece, f"{piece.shown} takes {slot.type}, not {shown}.")
        if slot.choices:
            return self._chosen(piece, value)
        repeated = isinstance(slot, Argument) and slot.repeated
        return (str(value),) if repeated and not isinstance(value, tuple) else value

    def _chosen(self, piece: _Piece, value: Value) -> Value | Problem:
        """Return a value in the spelling of its choices; each of a list must be one of them."""
        choices = {choice.casefold(): choice for choice in piece.slot.choices}
        words = value if isinstance(value, tuple) else (str(value),)
        wrong = next((word for word in words if word.casefold() not in choices), None)
        if wrong is not None:
            return Problem(
                kind=ProblemKind.INVALID,
                text=f'{piece.shown} does not know "{one_line(wrong)}".',
                span=piece.span,
                suggestions=nearest(wrong, piece.slot.choices),
                allowed=", ".join(piece.slot.choices),
                next=f"help {self._command.words}",
            )
        known = tuple(choices[word.casefold()] for word in words)
        repeated = isinstance(piece.slot, Argument) and piece.slot.repeated
        return known if isinstance(value, tuple) or repeated else known[0]

    def _secret(self, piece: _Piece) -> Value | Problem:
        """Keep a secret apart; what the line shows of it from now on is `?`."""
        text: str | None = piece.text
        if text == ASK:
            text = self._reading.private.get(piece.name)
            if text is None:
                self._asked.append(piece.name)
                return ASK
        else:
            self._literal.append(piece.name)
        read = text or None
        if not piece.pair and text is not None:
            value = read_value(piece.slot.type, text, now=self._reading.now, zone=self._reading.zone)
            read = None if value is None else text
        if read is None:
            return self._unfit(piece, f"{piece.shown} takes {piece.slot.type}, not this value.")
        self._secrets[piece.name] = Secret(read)
        return ASK

    def _unfit(self, piece: _Piece, text: str) -> Problem:
        return _fault(self._command, text, piece.span, ProblemKind.INVALID)


def _pieces(command: Command, tokens: Sequence[Token]) -> Iterator[_Piece | Problem]:
    """Say which argument, flag or pair each word belongs to; stops being read at the first problem."""
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
        elif command.pairs and not token.is_value and (pair := _PAIR.match(token.text)):
            yield _pair_piece(command, token, pair)
        elif free:
            yield _Piece(free[0], token, token.text, token.span)
            if not free[0].repeated:
                free.pop(0)
        else:
            yield _fault(command, f'"{one_line(token.text)}" is one word too many.', token.span, ProblemKind.USAGE)


def _pair_piece(command: Command, token: Token, pair: re.Match[str]) -> _Piece:
    key = pair[1]
    secret = command.pairs is not None and command.pairs.is_secret(key)
    slot = Flag(name=key, summary=key, type=ValueType.TEXT, secret=secret)
    return _Piece(slot, token, token.text[pair.end() :], token.span, pair=True)


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


def _typed_name(slot: Slot) -> str:
    return f"--{slot.name}" if isinstance(slot, Flag) else slot.name


def _unknown_flag(command: Command, name: str, span: Span) -> Problem:
    known = [f"--{flag.name}" for flag in command.all_flags]
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'"{one_line(name)}" is not a flag of "{command.words}".',
        span=span,
        suggestions=nearest(f"--{name.lstrip('-')}", known),
        allowed=", ".join(known),
        next=f"help {command.words}",
    )


def _fault(command: Command, text: str, span: Span, kind: ProblemKind) -> Problem:
    return Problem(kind=kind, text=text, span=span, allowed=command.brief, next=f"help {command.words}")
