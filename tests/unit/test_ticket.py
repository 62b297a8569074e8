"""Tickets: only what we sealed opens, for the purpose and the team it was sealed for."""

import pytest

from handlers.signing.ticket import Ticket, seal, unseal
from storage.clock import Millis

TICKET = Ticket(
    line="confirm “7F3K” \ud800",
    channel_id="c1",
    user_id="u1",
    expires_at=Millis(5),
    fields=("secret",),
    response_url="https://chat.example/late",
)


def test_a_ticket_comes_back_as_it_was() -> None:
    """Every field survives, and two tickets of one content look different."""
    text = seal(TICKET, "s", purpose="press", team_id="t")
    assert unseal(text, "s", purpose="press", team_id="t") == TICKET
    assert seal(TICKET, "s", purpose="press", team_id="t") != text


def test_secret_purpose_and_team_are_bound() -> None:
    """A ticket opens nothing else than what it was made for, and shows nothing to whoever carries it."""
    text = seal(TICKET, "s", purpose="press", team_id="t")
    assert unseal(text, "S", purpose="press", team_id="t") is None
    assert unseal(text, "s", purpose="form", team_id="t") is None
    assert unseal(text, "s", purpose="press", team_id="t2") is None
    assert "chat.example" not in repr(TICKET)


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 16, "A" * 100_000, "====", None, 7, {}, "\ud800", "\0"])
def test_what_we_did_not_seal_opens_nothing(text: object) -> None:
    """Whatever a stranger brings ends as None."""
    assert unseal(text, "s", purpose="press", team_id="t") is None


def test_one_other_character_spoils_it() -> None:
    """Nobody can change a ticket."""
    text = seal(TICKET, "s", purpose="press", team_id="t")
    for at in range(0, len(text) - 4, 7):
        changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
        assert unseal(changed, "s", purpose="press", team_id="t") is None


def test_a_ticket_is_written_in_one_way() -> None:
    """A dialog's end is known again by its state: characters a lenient reader skips would make it another one."""
    text = seal(TICKET, "s", purpose="form", team_id="t")
    for other in (f"{text[:9]}!{text[9:]}", f"{text[:9]}\n{text[9:]}", f" {text}", f"{text}A", f"{text}===="):
        assert unseal(other, "s", purpose="form", team_id="t") is None
