"""Texts for other chats: cut in the right places, and calling nobody."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.chat.slack.mrkdwn import escaped_size, to_mrkdwn
from handlers.chat_text import EMPTY, FENCE, cut_bytes, harmless, numbered, shortened, split


def test_a_text_is_cut_at_a_line_end_before_a_space() -> None:
    """Lines stay whole where they fit; a longer one is cut at a space; one without spaces anywhere."""
    assert split("aaaa\nbbbb\ncccc dddd eeee", 20) == ["aaaa\nbbbb", "cccc dddd", "eeee"]
    assert split("x" * 30, 20) == ["x" * 12, "x" * 12, "x" * 6]
    assert split("short", 20) == ["short"]
    assert split("  \n", 20) == [EMPTY]


def test_a_code_fence_is_closed_and_reopened() -> None:
    """No part ends inside a block of code without its end, nor begins in one without its start."""
    text = f"before\n{FENCE}\n" + "\n".join(f"line {number}" for number in range(40)) + f"\n{FENCE}\nafter"
    parts = split(text, 80)
    assert len(parts) > 3
    assert all(part.count(FENCE) % 2 == 0 for part in parts)
    assert all(f"line {number}\n" in "\n".join(parts) for number in range(40))


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from("ab `\n&<>😀@"), max_size=300), st.integers(30, 90))
def test_no_part_is_too_long_and_nothing_is_lost(text: str, limit: int) -> None:
    """Whatever the text: each part fits, as written for the system, and holds its share of what was said."""
    parts = split(text, limit, escaped_size)
    assert all(len(to_mrkdwn(part)) <= limit for part in parts)
    said = "".join(char for char in text if char not in " `\n")
    if said:
        assert "".join(char for part in parts for char in part if char not in " `\n") == said


def test_parts_are_numbered_only_when_there_are_more_than_two() -> None:
    """Two parts need no number; of three each says which it is."""
    assert numbered(["a", "b"]) == ["a", "b"]
    assert numbered(["a", "b", "c"]) == ["(1/3)\na", "(2/3)\nb", "(3/3)\nc"]


def test_what_does_not_fit_is_told() -> None:
    """A text is never cut silently."""
    assert shortened(["a", "b"], 2) == ["a", "b"]
    assert shortened(["a", "bb", "cc"], 1) == [
        "a",
        "… 4 more characters do not fit here. Ask for less: use --page or a filter.",
    ]


def test_labels_are_cut_by_bytes() -> None:
    """A label of other letters must fit, too: some systems count bytes."""
    assert cut_bytes("Signing secret", 24) == "Signing secret"
    cut = cut_bytes("Geheimnisträger für Überweisungen", 24)
    assert len(cut.encode()) <= 24
    assert cut.endswith("…")


@pytest.mark.parametrize("text", ["@all", "hi @here!", "(@channel)", "@everyone", "@ann", "a@b.example"])
def test_no_name_calls_anybody(text: str) -> None:
    """Behind every sign that stands before a name is a character of no width."""
    assert harmless(text) == text.replace("@", "@\u2060")


def test_code_can_be_copied() -> None:
    """In code, where nobody is called, a name stays as it is, unless the system looks there, too."""
    text = "`user show @ann` @all\n```\n@all\n``` @all"
    assert harmless(text) == "`user show @ann` @\u2060all\n```\n@all\n``` @\u2060all"
    assert harmless(text, code_too=True).count("@\u2060") == 4
    assert harmless("never closed ``` @all") == "never closed ``` @all"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("**bold** and ~~gone~~ _it_", "*bold* and ~gone~ _it_"),
        ("[the page](https://x.example/a?b=1&c=2)", "<https://x.example/a?b=1&amp;c=2|the page>"),
        ("### Title\n- one\n- two", "*Title*\n• one\n• two"),
        ("#1  dlv_91  #ops", "#1  dlv_91  #ops"),
        ("<!channel> <@U1> <https://evil.example|your bank> a & b", "&lt;!channel&gt; &lt;@U1&gt; "
         "&lt;https://evil.example|your bank&gt; a &amp; b"),
        ("`**a** <b>` **c**", "`**a** &lt;b&gt;` *c*"),
        ("```\n- a & [b](https://c)\n```", "```\n- a &amp; [b](https://c)\n```"),
        ("[x](javascript:alert)", "[x](javascript:alert)"),
    ],
)  # fmt: skip
def test_markdown_becomes_mrkdwn(text: str, shown: str) -> None:
    """Marks are those of Slack, its three signs are escaped, and code is left alone."""
    assert to_mrkdwn(text) == shown
