"""Whom, which rooms and which addresses a text names."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.mentions import MAX_FOUND, Mentions, find_mentions


@pytest.mark.parametrize(
    ("text", "users"),
    [
        ("@ann and @bob, @ann again", ("ann", "bob")),
        ("ask @j.doe.", ("j.doe",)),
        ("*@ann* (@bob) >@cy", ("ann", "bob", "cy")),
        ("@all @here", ("all", "here")),
        ("mail ann@example.test", ()),
        ("https://x.test/@ann", ()),
        ("@ @@ @. a@", ()),
    ],
)
def test_users(text: str, users: tuple[str, ...]) -> None:
    """Names count once, in order; mail addresses and paths name nobody."""
    assert find_mentions(text).users == users


@pytest.mark.parametrize(
    ("text", "rooms"),
    [
        ("#ops and #dev.", ("ops", "dev")),
        ("fixes #12", ("12",)),
        ("# heading, ##sub", ()),
        ("https://x.test/a#ops", ()),
        ("a#ops", ()),
    ],
)
def test_rooms(text: str, rooms: tuple[str, ...]) -> None:
    """Headings and fragments name no room."""
    assert find_mentions(text).rooms == rooms


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("see https://x.test/a, HTTP://y.test.", ("https://x.test/a", "HTTP://y.test")),
        ("[Graph](https://x.test/a) (https://y.test)", ("https://x.test/a", "https://y.test")),
        ("https://x.test/a_(b)", ("https://x.test/a_(b)",)),
        ("<https://x.test|label>", ("https://x.test",)),
        ("*https://x.test/#/alerts?r=a*", ("https://x.test/#/alerts?r=a",)),
        ("https://x.test https://x.test", ("https://x.test",)),
        ("javascript:alert(1) ftp://x.test https:// https://...", ()),
    ],
)
def test_urls(text: str, urls: tuple[str, ...]) -> None:
    """Only http(s) counts; the Markdown and punctuation around an address stay outside."""
    assert find_mentions(text).urls == urls


@pytest.mark.parametrize("code", ["`@ann #ops https://x.test`", "```\n@ann #ops https://x.test\n```"])
def test_code_names_nothing(code: str) -> None:
    """What stands in code calls nobody, what stands after it does; an open fence is no code."""
    assert find_mentions(f"{code} @bob") == Mentions(("bob",), (), ())
    assert find_mentions("``` @bob") == Mentions(("bob",), (), ())


def test_each_kind_is_capped() -> None:
    """A text full of names yields the first hundred of each kind."""
    text = " ".join(f"@u{n} #r{n} https://x.test/{n}" for n in range(500))
    found = find_mentions(text)
    assert [len(found.users), len(found.rooms), len(found.urls)] == [MAX_FOUND] * 3
    assert found.users[-1] == "u99"


@pytest.mark.parametrize("part", ["@u ", "@", "#", "`", "```", "https://a(", "https://a)", "@.", "(", "<"])
def test_hostile_repetition_stays_linear(part: str) -> None:
    """A hundred thousand repetitions take well under two seconds; a quadratic scan would take minutes."""
    started = time.process_time()
    find_mentions(part * 100_000)
    assert time.process_time() - started < 2


@given(st.text())
def test_any_text_can_be_searched(text: str) -> None:
    """No text makes the search fail, and names are never empty."""
    found = find_mentions(text)
    assert all([*found.users, *found.rooms, *found.urls])
