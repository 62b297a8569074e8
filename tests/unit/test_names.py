"""One rule for every name shown beside a text: what forges lines or turns directions is not in it."""

import pytest

from handlers.message import Defaults, Draft, read_draft
from handlers.names import LONGEST, emoji_name, shown_name

FORGED = [
    ("CI", "CI"),
    ("Deploy bot 🤖", "Deploy bot 🤖"),
    ("👩\u200d💻", "👩\u200d💻"),
    ("می\u200cخواهم", "می\u200cخواهم"),
    ("Ann\nPatchbay: all is well", "AnnPatchbay: all is well"),
    ("Ann\u2028Bob", "AnnBob"),
    ("\u202eriah\u202c", "riah"),
    ("\u2066x\u2069", "x"),
    ("a\u200eb\u200f", "ab"),
    ("\x1b[31mred", "[31mred"),
    ("nul\0", "nul"),
    ("soft\u00adhyphen", "softhyphen"),
    ("\ufeffbom", "bom"),
    ("half \ud800", "half"),
    ("two\u00a0words", "two words"),
    ("\n\t", ""),
    ("x" * 300, "x" * LONGEST),
]


@pytest.mark.parametrize(("sent", "shown"), FORGED)
def test_a_name_is_shown_without_what_forges_lines(sent: str, shown: str) -> None:
    """The sender is not refused; what is left is its name."""
    assert shown_name(sent) == shown


@pytest.mark.parametrize(("sent", "shown"), FORGED)
def test_alias_and_emoji_of_a_message_are_such_names(sent: str, shown: str) -> None:
    """Whether the body sends them or the hook has them as defaults."""
    for body, defaults in (
        ({"text": "x", "alias": sent, "emoji": sent}, Defaults()),
        ({"text": "x", "username": sent, "icon_emoji": sent}, Defaults(alias="other", emoji=":other:")),
        ({"text": "x"}, Defaults(alias=sent, emoji=sent)),
    ):
        draft = read_draft(body, defaults, max_chars=100)
        assert isinstance(draft, Draft)
        assert (draft.alias, draft.emoji) == (shown or None, shown or None)


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (":+1:", "+1"),
        ("tada", "tada"),
        (" :party_parrot: ", "party_parrot"),
        ("👍🏽", "👍🏽"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("", None),
        ("::", None),
        ("two words", None),
        ("a:b", None),
        ("\x1b[31m", None),
        ("nul\0", None),
        ("line\n", None),
        ("\u202eabc", None),
        ("half\ud800", None),
        ("x" * 101, None),
    ],
)
def test_what_names_an_emoji(sent: str, name: str | None) -> None:
    """With or without colons; nothing that is not visible."""
    assert emoji_name(sent) == name
