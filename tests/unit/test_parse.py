"""Tests of reading a line as a command: words, flags, values, and problems with their suggestions."""

from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.answers import not_done
from handlers.command import Answer, Call, Command, Commands, Noun, load_commands
from handlers.line import Problem, ProblemKind, Span
from handlers.nearest import distance, nearest
from handlers.parse import Parsed, Reading, Unnamed, parse, written
from handlers.references import resolve
from handlers.slots import Argument, Flag, Given, Values
from handlers.values import ValueType, read_value
from storage.clock import Millis
from storage.records.user import Role
from tests.records import NOON, incoming

COMMANDS = load_commands()


async def _nothing(_: Call) -> Answer:
    return Answer("Done.")


MAKE = Command(
    noun="thing",
    verb="make",
    summary="makes a thing",
    role=Role.EDITOR,
    arguments=(Argument(name="NAME", summary="its name"), Argument(name="NOTE", summary="more", required=False)),
    flags=(
        Flag(name="room", short="r", summary="where", type=ValueType.ROOM),
        Flag(name="events", summary="which", type=ValueType.LIST),
        Flag(name="keep", summary="how long", type=ValueType.DURATION),
        Flag(name="pass", summary="a secret", type=ValueType.NUMBER, secret=True),
        Flag(name="loud", summary="or not"),
    ),
    examples=("thing make x",),
    aliases=("new",),
    run=_nothing,
)
DROP = replace(MAKE, verb="drop", role=Role.ADMIN, aliases=())
THING = Noun(name="thing", summary="things", aliases=("stuff",), commands=(MAKE, DROP))
THINGS = Commands([THING])


def read(line: str, commands: Commands = THINGS, role: Role = Role.EDITOR) -> Parsed | Unnamed | Problem:
    """Parse as somebody of a role."""
    return parse(line, Reading(commands, lambda command: role.at_least(command.role), NOON, UTC))


def values(line: str) -> dict[str, object]:
    """Parse a line that must be a command, and return what it gave."""
    parsed = read(line)
    assert isinstance(parsed, Parsed), parsed
    return {name: given.value for name, given in parsed.values.given.items()}


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("thing make x", {"NAME": "x"}),
        ("STUFF New X y", {"NAME": "X", "NOTE": "y"}),
        ("thing make --room #Ops x", {"NAME": "x", "room": "#Ops"}),
        ("thing make x -r #ops --LOUD", {"NAME": "x", "room": "#ops", "loud": True}),
        ("thing make x —room=#ops --no-loud", {"NAME": "x", "room": "#ops", "loud": False}),
        ("thing make x --events a,b --events “c d” --events e", {"NAME": "x", "events": ("a", "b", "c d", "e")}),
        ("thing make --keep 24h -- --loud", {"NAME": "--loud", "keep": 86_400_000}),
        ("thing make “--loud” -2h", {"NAME": "--loud", "NOTE": "-2h"}),
    ],
)
def test_line_gives_values(line: str, given: dict[str, object]) -> None:
    """Words and flags match in any case, values are kept; `--`, quotes and times are no flags."""
    assert values(line) == given


@pytest.mark.parametrize(
    ("line", "kind", "piece", "suggestions"),
    [
        ("thing", ProblemKind.USAGE, "thing", ()),
        ("thing mak x", ProblemKind.UNKNOWN, "mak", ("make",)),
        ("thing dorp x", ProblemKind.UNKNOWN, "dorp", ()),
        ("thing make", ProblemKind.USAGE, "", ()),
        ("thing make x y z", ProblemKind.USAGE, "z", ()),
        ("thing make x --rom #a", ProblemKind.UNKNOWN, "--rom", ("--room",)),
        ("thing make x -room #a", ProblemKind.UNKNOWN, "-room", ("--room",)),
        ("thing make x --room ops", ProblemKind.INVALID, "--room ops", ()),
        ("thing make x --room", ProblemKind.USAGE, "--room", ()),
        ("thing make x --room --loud", ProblemKind.USAGE, "--room", ()),
        ("thing make x --loud=yes", ProblemKind.USAGE, "--loud", ()),
        ("thing make x --keep soon", ProblemKind.INVALID, "--keep soon", ()),
        ("thing make x --keep 1h --keep 2h", ProblemKind.USAGE, "--keep 2h", ()),
        ("thing make x --no-room", ProblemKind.UNKNOWN, "--no-room", ()),
        ("thing make “”", ProblemKind.INVALID, "“”", ()),
        ("thng make x", ProblemKind.UNKNOWN, "thng", ("thing",)),
    ],
)
def test_problem_points_and_suggests(line: str, kind: ProblemKind, piece: str, suggestions: tuple[str, ...]) -> None:
    """Each mistake has its kind, the piece it lies in, and only suggestions the caller may run."""
    problem = read(line)
    assert isinstance(problem, Problem)
    assert problem.kind is kind
    assert problem.span is not None
    assert line[problem.span.start : problem.span.end] == piece
    assert problem.suggestions == suggestions


def test_what_may_not_be_run_is_not_suggested() -> None:
    """A verb above the caller's role is neither suggested nor listed; an admin sees it."""
    editor, admin = read("thing dorp x"), read("thing dorp x", role=Role.ADMIN)
    assert isinstance(editor, Problem)
    assert isinstance(admin, Problem)
    assert (editor.suggestions, editor.allowed) == ((), "make")
    assert (admin.suggestions, admin.allowed) == (("drop",), "make, drop")


@pytest.mark.parametrize(
    ("line", "words", "topic"),
    [
        ("", "status", ()),
        ("\u200b ", "status", ()),
        ("--json", "status", ()),
        ("-h", "help", ()),
        ("in -h", "help", ("in",)),
        ("in remove x --help", "help", ("in", "remove")),
        ("in nope -h --bad", "help", ("in",)),
        ("Incoming LIST", "in list", ()),
    ],
)
def test_short_forms(line: str, words: str, topic: tuple[str, ...]) -> None:
    """No words mean status; `-h` anywhere explains what is named; a noun answers to its aliases."""
    parsed = read(line, COMMANDS)
    assert isinstance(parsed, Parsed)
    assert parsed.command.words == words
    assert parsed.values.texts("TOPIC") == topic


def test_lone_unknown_word_may_be_a_reference() -> None:
    """One word that is no noun is handed on as a reference, also with `--json` behind it."""
    for word in ("ops-bot", "ops-bot --json", "undone"):
        assert isinstance(read(word, COMMANDS), Unnamed)
    assert isinstance(read("undone now", COMMANDS), Problem)


def test_every_example_is_a_command() -> None:
    """What help shows as an example can be typed."""
    for command in COMMANDS:
        for example in command.examples:
            parsed = read(example, COMMANDS)
            assert isinstance(parsed, Parsed)
            assert parsed.command is command


text = st.text(min_size=1)


@given(
    name=text,
    note=st.none() | text,
    events=st.lists(text, max_size=3),
    room=st.none() | text,
    loud=st.none() | st.booleans(),
)
def test_written_command_is_read_back(
    name: str, note: str | None, events: list[str], room: str | None, loud: bool | None
) -> None:
    """A command written out parses to the same command and values."""
    given_texts = {"NAME": name, "NOTE": note, "room": room and f"#{room}"}
    spot = Span(0, 0)
    values = {name: Given(value, (value,), spot) for name, value in given_texts.items() if value is not None}
    if events:
        values["events"] = Given(tuple(events), tuple(events), spot)
    if loud is not None:
        values["loud"] = Given(loud, ("",), spot)
    parsed = read(written(MAKE, Values(values)))
    assert isinstance(parsed, Parsed)
    assert parsed.command is MAKE
    assert {n: g.value for n, g in parsed.values.given.items()} == {n: g.value for n, g in values.items()}


@given(
    st.text()
    | st.lists(st.sampled_from(["thing", "make", "--room", "#a", "-h", "--", "—no-", '"', "=", ""])).map(" ".join)
)
def test_no_line_raises(line: str) -> None:
    """Any text is a command, a reference, or a problem that can be shown."""
    parsed = read(line)
    problem = parsed.problem if isinstance(parsed, Unnamed) else parsed
    if isinstance(problem, Problem):
        assert not_done(problem, line=line, root="/hook").text.startswith("Not done [")


@pytest.mark.parametrize(
    "line",
    [
        "thing make x --pass CANARY",
        "thing make x --pass=CANARY",
        "thing make x --pass 7 --token=CANARY",
        "thing make x --room=ops --api_key CANARY",
        "thing make x --signing-secret “CANARY",
        "thing mke x --pass CANARY",
        "thing make x y config.token=CANARY",
        'thing make password="CANARY x" note more',
        "token=CANARY make",
        "thing token=CANARY",
    ],
)
def test_fault_never_repeats_a_secret(line: str) -> None:
    """The echo of a faulty line leaves out secret flags, pairs that sound like one, and all that follows the fault."""
    problem = read(line)
    assert isinstance(problem, Problem)
    shown = not_done(problem, line=line, root="/hook", secret_flags=("pass",))
    assert "CANARY" not in shown.text


def test_fault_is_told_in_four_parts() -> None:
    """What failed, the piece under a caret, what is allowed, what to type next."""
    line = "thing make x --rom #a"
    problem = read(line)
    assert isinstance(problem, Problem)
    assert not_done(problem, line=line, root="/hook").text == (
        'Not done [unknown]. "--rom" is not a flag of "thing make". Did you mean --room?\n'
        "```\n"
        "thing make x --rom …\n"
        "             ^^^^^\n"
        "```\n"
        "Allowed: --room, --events, --keep, --pass, --loud, --public, --json, --help\n"
        "Next: /hook help thing make"
    )


@pytest.mark.parametrize(
    "nouns",
    [
        (THING, THING),
        (THING, replace(THING, name="other", commands=(replace(MAKE, noun="other"),), aliases=("thing",))),
        (replace(THING, commands=(MAKE, MAKE)),),
        (replace(THING, commands=(MAKE, replace(MAKE, verb=None, aliases=()))),),
        (replace(THING, commands=(replace(MAKE, noun="other"),)),),
        (replace(THING, commands=(replace(MAKE, examples=()),)),),
        (replace(THING, commands=(replace(MAKE, summary=""),)),),
        (replace(THING, commands=(replace(MAKE, flags=(Flag(name="json", summary="x"),)),)),),
    ],
)
def test_faulty_declaration_stops_the_start(nouns: tuple[Noun, ...]) -> None:
    """Duplicate words, verbs beside free arguments and missing texts are found when the commands are collected."""
    with pytest.raises(ValueError, match="thing"):
        Commands(nouns)


@pytest.mark.parametrize(
    ("kind", "typed", "value"),
    [
        (ValueType.NUMBER, "12", 12),
        (ValueType.NUMBER, "0", None),
        (ValueType.NUMBER, "١", None),
        (ValueType.DURATION, "90s", 90_000),
        (ValueType.DURATION, "15m", 900_000),
        (ValueType.DURATION, "7D", 604_800_000),
        (ValueType.DURATION, "7w", None),
        (ValueType.SIZE, "512KB", 524_288),
        (ValueType.SIZE, "512", None),
        (ValueType.TIME, "-2h", NOON - 7_200_000),
        (ValueType.TIME, "--2h", NOON - 7_200_000),
        (ValueType.TIME, "today", 1_772_406_000_000),
        (ValueType.TIME, "yesterday", 1_772_319_600_000),
        (ValueType.TIME, "2026-03-02T09:14", 1_772_439_240_000),
        (ValueType.TIME, "2026-03-02T09:14Z", 1_772_442_840_000),
        (ValueType.TIME, "9999-99-99", None),
        (ValueType.TIME, "soon", None),
        (ValueType.ROOM, "#", None),
        (ValueType.LIST, ",,", None),
    ],
)
def test_values_are_read(kind: ValueType, typed: str, value: object) -> None:
    """Numbers, durations, sizes and times mean what they say, times in the zone of the server."""
    assert read_value(kind, typed, now=NOON, zone=timezone(timedelta(hours=1))) == value


@given(st.sampled_from(list(ValueType)), st.text(), st.integers(min_value=0, max_value=2**41))
def test_no_value_raises(kind: ValueType, typed: str, now: int) -> None:
    """A value that makes no sense is None."""
    read_value(kind, typed, now=Millis(now), zone=UTC)


@pytest.mark.parametrize(
    ("left", "right", "edits"),
    [
        ("list", "list", 0),
        ("lst", "list", 1),
        ("lsit", "list", 1),
        ("show", "shwo", 1),
        ("in", "out", 3),
        ("", "ab", 2),
    ],
)
def test_distance_counts_edits(left: str, right: str, edits: int) -> None:
    """A swap of neighbours is one edit, as are inserting, dropping and replacing."""
    assert distance(left, right) == distance(right, left) == edits


def test_nearest_comes_first() -> None:
    """Fewer edits come first, then the longer common beginning; far words and endless ones never come."""
    assert nearest("lst", ["show", "list", "remove", "last"]) == ("list", "last")
    assert nearest("RMEOVE", ["show", "list", "remove"]) == ("remove",)
    assert nearest("x" * 8_000, ["x" * 7_999]) == ()
    assert nearest("ci", ["in"]) == ()


HOOKS = [
    incoming(id="a" * 24, name="ci"),
    incoming(id="b" * 24, name="CI"),
    incoming(id="c" * 24, name="night builds"),
    incoming(id="d" * 24, name="nightly"),
    incoming(id="e" * 24, name="a" * 24),
]


@pytest.mark.parametrize(
    ("reference", "ids", "by_prefix"),
    [
        ("a" * 24, "a", False),
        ("ci", "a", False),
        ("CI", "b", False),
        ("Ci", "ab", False),
        ("Nightly", "d", False),
        ("NIGHT", "cd", True),
        ("night b", "c", True),
        ("ni", "", False),
        ("", "", False),
        ("zzz", "", True),
    ],
)
def test_reference_is_resolved_in_order(reference: str, ids: str, by_prefix: bool) -> None:
    """Exact id, exact name, name in any case, beginning of at least three characters; several hits are all told."""
    found = resolve(reference, HOOKS)
    assert [hook.id[0] for hook in found.things] == list(ids)
    assert found.by_prefix is by_prefix
