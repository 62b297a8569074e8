"""`help`: what the caller may run, made from the declarations; at most 25 lines (commands.md §2.2, §2.9)."""

from collections.abc import Sequence

from handlers.command import Answer, Call, Command, Confirm, Noun
from handlers.complete import TOPICS
from handlers.dispatch import permits
from handlers.line import Problem, ProblemKind, Span, one_line
from handlers.nearest import nearest
from handlers.slots import DRY_RUN, PUBLIC, YES, Argument, Slot
from storage.records.user import Role

MAX_LINES = 25
_TOPIC = "TOPIC"
_STEERS = {DRY_RUN.name: "changes nothing", YES.name: "does not ask", PUBLIC.name: "the room reads the answer"}


async def _run(call: Call) -> Answer | Problem:
    words = call.values.texts(_TOPIC)
    if not words:
        return _overview(call)
    if words[0].casefold() == "search":
        return _search(call, words[1:]) if len(words) > 1 else _nothing_sought(call)
    return _topic(call, words[0], words[1:])


def _nothing_sought(call: Call) -> Problem:
    text, span = '"help search" needs words to look for.', call.values.span(_TOPIC)
    return Problem(kind=ProblemKind.USAGE, text=text, span=span, allowed="help search WORDS", next="help search room")


def _overview(call: Call) -> Answer:
    nouns = [(noun, _runnable(call, noun)) for noun in call.commands.nouns]
    rows = [f"{_words(noun, commands)} - {noun.summary}" for noun, commands in nouns if commands]
    return _answer(call, "What you may type", rows, "help NOUN [VERB], or help search WORDS")


def _topic(call: Call, word: str, verbs: Sequence[str]) -> Answer | Problem:
    noun = call.commands.noun(word)
    commands = _runnable(call, noun) if noun else []
    span = call.values.span(_TOPIC)
    if noun is None or not commands:
        names = [each.name for each in call.commands.nouns if _runnable(call, each)]
        return _unknown(word, names, span and Span(span.start, span.start + len(word)), "help")
    if noun.word:
        return _details(call, noun.word)
    if not verbs:
        rows = [f"{command.brief} - {command.summary}" for command in commands]
        return _answer(call, _with_aliases(noun.name, noun.summary, noun.aliases), rows, f"help {noun.name} VERB")
    chosen = noun.verb(verbs[0])
    if chosen not in commands:
        at = span and Span(max(span.start, span.end - len(" ".join(verbs))), span.end)
        return _unknown(verbs[0], [command.verb or "" for command in commands], at, f"help {noun.name}")
    return _details(call, chosen)


def _details(call: Call, command: Command) -> Answer:
    own: tuple[Slot, ...] = (*command.arguments, *command.flags)
    slots = [_slot(each) for each in own]
    if command.pairs:
        slots.append(f"key=value… - {command.pairs.summary}")
    slots.append(f"Also: {', '.join(_controls(command))}")
    examples = [f"Example: {call.context.root} {example}" for example in command.examples]
    fit = max(1, MAX_LINES - len(slots) - 2)
    following = f"help {command.noun}" if command.verb else "help"
    return _answer(call, f"{command.brief} - {command.summary}", [*slots, *examples[:fit]], following)


def _slot(slot: Slot) -> str:
    form = "; ? opens a private form" if slot.secret else ""
    return f"{slot.usage} - {slot.summary}{form}"


def _controls(command: Command) -> list[str]:
    """Return the flags it takes like any other command, without those that could do nothing for it."""
    asks = command.confirm is not Confirm.NONE or bool(command.confirm_when)
    idle = {YES.name: not asks, PUBLIC.name: command.shows_secret}
    return [
        f"--{flag.name} ({_STEERS[flag.name]})" if flag.name in _STEERS else f"--{flag.name}"
        for flag in command.controls
        if not idle.get(flag.name, False)
    ]


def _search(call: Call, words: Sequence[str]) -> Answer:
    sought = [word.casefold() for word in words]
    rows = []
    for noun in call.commands.nouns:
        for command in _runnable(call, noun):
            text = f"{noun.summary} {command.usage} {command.summary} {' '.join(noun.aliases)}".casefold()
            if all(word in text for word in sought):
                rows.append(f"{command.brief} - {command.summary}")
    return _answer(call, f'{len(rows)} of your commands mention "{one_line(" ".join(words))}"', rows, "help")


def _answer(call: Call, title: str, rows: Sequence[str], following: str) -> Answer:
    room = MAX_LINES - 2
    shown = list(rows) if len(rows) <= room else [*rows[: room - 1], f"… and {len(rows) - room + 1} more"]
    return Answer("\n".join([title, *shown, f"Next: {call.context.root} {following}"]), data=list(rows))


def _unknown(word: str, known: Sequence[str], span: Span | None, following: str) -> Problem:
    return Problem(
        kind=ProblemKind.UNKNOWN,
        text=f'There is no help about "{one_line(word)}".',
        span=span,
        suggestions=nearest(word, known),
        allowed=", ".join(known),
        next=following,
    )


def _runnable(call: Call, noun: Noun) -> list[Command]:
    return [c for c in noun.commands if permits(c, call.context)]


def _words(noun: Noun, commands: Sequence[Command]) -> str:
    verbs = "|".join(command.verb for command in commands if command.verb)
    return f"{noun.name} {verbs}" if verbs else commands[0].brief


def _with_aliases(name: str, summary: str, aliases: Sequence[str]) -> str:
    also = f" (also {', '.join(aliases)})" if aliases else ""
    return f"{name}{also} - {summary}"


NOUN: Noun = Noun(
    name="help",
    summary="what you may type",
    commands=(
        Command(
            noun="help",
            verb=None,
            summary="explains all commands, one noun, one verb, or finds words",
            role=Role.VIEWER,
            unlinked=True,
            arguments=(
                Argument(
                    name=_TOPIC,
                    summary="a noun, a noun and a verb, or search WORDS",
                    required=False,
                    repeated=True,
                    offers=TOPICS,
                ),
            ),
            examples=("help", "help in", "help in list", "help search room"),
            run=_run,
        ),
    ),
)
