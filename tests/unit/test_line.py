"""Tests of the tokeniser: quotes, dashes and spaces as phones and chats write them, limits, and speed."""

from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.line import Problem, ProblemKind, Span, Token, one_line, quote, tokenise


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("in list", ["in", "list"]),
        ("  in \t list\n", ["in", "list"]),
        ('in show "night builds"', ["in", "show", "night builds"]),
        ("in show “night builds”", ["in", "show", "night builds"]),
        ("in show „night builds“", ["in", "show", "night builds"]),
        ("in show «night builds»", ["in", "show", "night builds"]),
        ("in show ‘night builds’", ["in", "show", "night builds"]),
        ('"night builds” x', ["night builds", "x"]),
        ('"say “hi” to ’em"', ["say “hi” to ’em"]),
        ("“say ‘hi’ — twice”", ["say ‘hi’ — twice"]),
        (r'"a \"b\" \\ c\d"', [r'a "b" \ c\d']),
        (r"'a \"b\" \\'", [r"a \"b\" \\"]),
        ("`a 'b'` ```\nc `d`\ne\n```", ["a 'b'", "c `d`\ne"]),
        ("—room #ops", ["--room", "#ops"]),
        ("–room −page 2 — x", ["--room", "--page", "2", "--", "x"]),
        ("“—room”", ["—room"]),
        ("don't rock‑n‑roll’s a—b", ["don't", "rock‑n‑roll’s", "a—b"]),
        ('--name="a b" config.key=‘c d’ https://h/?q="x"', ["--name=a b", "config.key=c d", 'https://h/?q="x"']),
        ("in\u200blist\u00a0show\ufeff x\u2060y", ["in", "list", "show", "x", "y"]),
        ('"" x', ["", "x"]),
    ],
)
def test_line_is_split_into_words(line: str, words: list[str]) -> None:
    """Words end at spaces of every kind outside quotes of every kind, and lose their quotes."""
    tokens = tokenise(line)
    assert not isinstance(tokens, Problem)
    assert [token.text for token in tokens] == words


def test_words_know_their_place() -> None:
    """A token spans what was typed, quotes included, and tells whether it stood in them."""
    assert tokenise('in --a="b c" “d”') == (
        Token("in", Span(0, 2)),
        Token("--a=b c", Span(3, 12), quoted=True),
        Token("d", Span(13, 16), quoted=True, is_value=True),
    )


@pytest.mark.parametrize(
    ("line", "kind", "column"),
    [
        ('in show "night', ProblemKind.USAGE, 8),
        ("in show 'night\"", ProblemKind.USAGE, 8),
        ('in show "night\\"', ProblemKind.USAGE, 8),
        ("a ```b``", ProblemKind.USAGE, 2),
        ('"a"b', ProblemKind.USAGE, 3),
        ("a " * 101, ProblemKind.LIMITED, 200),
        ("a" * 8_001, ProblemKind.LIMITED, None),
    ],
)
def test_fault_is_a_value_with_its_column(line: str, kind: ProblemKind, column: int | None) -> None:
    """An open quote, text behind a quote and too much of anything are problems that point at their place."""
    problem = tokenise(line)
    assert isinstance(problem, Problem)
    assert problem.kind is kind
    assert (problem.span.start if problem.span else None) == column


def test_limits_themselves_are_allowed() -> None:
    """8,000 characters and 100 words are not too many."""
    assert not isinstance(tokenise("a" * 8_000), Problem)
    assert len(tuple(tokenise("a " * 100))) == 100  # type: ignore[arg-type]  # a problem would fail the count


@given(st.text())
def test_quoted_text_is_read_back(text: str) -> None:
    """Whatever `quote` writes is one word with exactly that text."""
    tokens = tokenise(quote(text))
    assert not isinstance(tokens, Problem)
    assert [token.text for token in tokens] == [text]


@given(st.text(alphabet=st.sampled_from("ab=-—–−\"'“”„«»‘’`\\, \n\u200b\u00a0#@")))
def test_hostile_line_gives_tokens_or_problem(line: str) -> None:
    """No mixture of quotes, dashes and spaces raises, and spans lie in order inside the line."""
    tokens = tokenise(line)
    if isinstance(tokens, Problem):
        return
    edges = [edge for token in tokens for edge in (token.span.start, token.span.end)]
    assert edges == sorted(edges)
    assert all(0 <= edge <= len(line) for edge in edges)


@pytest.mark.flaky(reruns=3)  # a measurement: a busy machine may spoil one
@pytest.mark.parametrize(
    "piece",
    ["a", "a ", '"', "“", "\\", '"\\', "=,", "—", "a=“", '"a" ', "'a", "“a ", "```", "a.", "--a-", "`a ` "],
)
def test_longest_line_takes_a_millisecond(piece: str) -> None:
    """8,000 characters of any one pattern take no more than 1 ms, the best of several runs."""
    line = (piece * 8_000)[:8_000]

    def seconds() -> float:
        began = perf_counter()
        tokenise(line)
        return perf_counter() - began

    assert min(seconds() for _ in range(20)) < 0.001


def test_text_of_others_fits_a_sentence() -> None:
    """Line breaks, control and direction characters and length are taken out of quoted texts."""
    assert one_line("a\nb\x1b[31m\u202ec") == "a b [31m c"
    assert one_line("two  spaces ") == "two spaces"
    assert one_line("a" * 50, 10) == "a" * 10 + "…"
