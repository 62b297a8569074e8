"""The terminal's own part: words of a shell as a line, what is remembered, what is shown, what went wrong."""

import json
import stat
from pathlib import Path

import pytest

from bot.cli.terminal.client import Client, Offer, Offered, Reply, Trouble
from bot.cli.terminal.history import MOST, LineHistory, holds_secret
from bot.cli.terminal.one_shot import as_line
from bot.cli.terminal.screen import exit_code, shown, without_root
from handlers.http import Answered, Failed, OutboundRequest, Refused
from handlers.line import tokenise

CANARY = "canary-77c1-secret"
NOTHING_MORE: dict[str, object] = {"buttons": [], "form": None, "data": None, "private": True}


class Wire:
    """Answers every call with the same end, and keeps what was sent."""

    def __init__(self, end: Answered | Failed | Refused) -> None:
        self.end = end
        self.sent: list[OutboundRequest] = []

    async def send(self, request: OutboundRequest) -> Answered | Failed | Refused:
        self.sent.append(request)
        return self.end


def answered(body: object, status: int = 200, *, truncated: bool = False) -> Answered:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answered(status, {}, raw, truncated, 1)


def reply(text: str = "Done.", mark: str = "Done", code: str = "ok", buttons: tuple[Offered, ...] = ()) -> Reply:
    return Reply(text, mark, code, buttons, None, {})


@pytest.mark.parametrize(
    "words",
    [
        ("in", "show", "night builds"),
        ("in", "add", "x", "--room", "#ops", "--events=push,pull"),
        ("out", "add", "it's", '"quoted"', "", "—dash", "a=b c", "--name=a b", "-2h", "x y,z", "back\\slash", "`tick`"),
    ],
)
def test_words_of_a_shell_make_a_line_that_reads_as_these_words(words: tuple[str, ...]) -> None:
    """The shell has taken the quotes away; what stood in them stays one word, flags and lists stay what they are."""
    tokens = tokenise(as_line(words))
    assert isinstance(tokens, tuple)
    assert tuple(token.text for token in tokens) == words


def test_one_argument_is_a_whole_line() -> None:
    """So a line can be pasted as it stands in a chat, root and all."""
    assert as_line(('in show "night builds"',)) == 'in show "night builds"'
    assert without_root("  /hook  in list ") == "in list"
    assert without_root("!hook in list") == "in list"
    assert without_root("/hook") == ""
    assert without_root("/why x") == "why x"
    assert without_root("/deliveries") == "delivery list"
    assert without_root("in list") == "in list"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"out edit x --token {CANARY}", True),
        (f"out edit x --TOKEN={CANARY}", True),
        (f"out edit x —token {CANARY}", True),
        (f'out edit x --signing "{CANARY} two"', True),
        (f"dest add meta access_token={CANARY}", True),
        (f"dest add meta config.api_key={CANARY}", True),
        (f'in edit x --password "{CANARY}', True),  # a quote never closed
        ("out edit x --token ?", False),
        ("out edit x --token=? --room #ops", False),
        ("out rotate-token x", False),
        ("in show tokens", False),
        ('in show "--token x"', False),
        ("in list", False),
    ],
)
def test_a_line_with_a_secret_is_not_remembered(tmp_path: Path, line: str, secret: bool) -> None:
    """Neither in the file nor for the arrow keys; one that only asks for a form is."""
    file = tmp_path / "history"
    history = LineHistory(file, {"signing"})
    history.append_string(line)
    assert holds_secret(line, frozenset({"signing"})) is secret
    assert history.get_strings() == ([] if secret else [line])
    assert file.exists() is not secret


def test_the_history_is_its_owners_alone_and_does_not_grow_for_ever(tmp_path: Path) -> None:
    """Mode 0600, also where the file was more open before; a line break cannot forge another line."""
    file = tmp_path / "history"
    file.write_text("".join(f"in show {n}\n" for n in range(MOST + 5)))
    file.chmod(0o644)
    history = LineHistory(file, ())
    assert next(iter(history.load_history_strings())) == f"in show {MOST + 4}"
    history.append_string("in\nlist")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_text().splitlines()
    assert (len(kept), kept[0], kept[-1]) == (MOST + 1, "in show 5", "in list")


def test_a_home_that_cannot_be_written_costs_only_the_history(tmp_path: Path) -> None:
    """The conversation goes on."""
    history = LineHistory(tmp_path / "no" / "such" / "folder", ())
    history.append_string("in list")
    assert history.get_strings() == ["in list"]
    assert list(history.load_history_strings()) == []


def test_a_reply_is_plain_text_with_its_buttons_as_lines() -> None:
    """Nothing in it moves the cursor, and a button can be typed."""
    offers = (Offered("Disable instead", "in disable 64ab"), Offered("Cancel", "cancel 7F3K"))
    text = "Warning. Remove \x1b[31mci\x1b[0m?\n```\nin list\n^\n```\r\x07"
    assert shown(reply(text, buttons=offers), "patchbay hook") == (
        "Warning. Remove ?[31mci?[0m?\nin list\n^\n?\n"
        "\n  patchbay hook in disable 64ab   Disable instead\n  patchbay hook cancel 7F3K       Cancel"
    )


@pytest.mark.parametrize(
    ("mark", "code", "expected"),
    [
        ("Done", "ok", 0),
        ("Done", "dry-run", 0),
        ("Warning", "confirm", 3),
        ("Warning", "other", 0),
        ("Not done", "usage", 2),
        ("Not done", "forbidden", 1),
        ("Not done", "unknown", 1),
    ],
)
def test_a_script_is_told_by_the_exit_code(mark: str, code: str, expected: int) -> None:
    """0 done, 1 not done, 2 wrong usage, 3 it has to be confirmed."""
    assert exit_code(reply(mark=mark, code=code)) == expected


async def test_the_token_goes_in_a_header_and_nowhere_else() -> None:
    """Addresses are logged on the way, bodies may be."""
    wire = Wire(answered({"text": "Done.", "mark": "Done", "code": "ok", **NOTHING_MORE}))
    client = Client(wire, "http://127.0.0.1:8084/", CANARY, room="#ops", root="patchbay hook")
    found = await client.run("in list")
    assert isinstance(found, Reply)
    (sent,) = wire.sent
    assert sent.url == "http://127.0.0.1:8084/commands/terminal"
    assert sent.headers["Authorization"] == f"Bearer {CANARY}"
    body = json.loads(sent.body)
    assert len(body.pop("id")) == 16  # of this request: should it arrive twice, it runs once
    assert body == {"line": "in list", "room": "#ops", "root": "patchbay hook"}
    assert CANARY not in repr(sent)


@pytest.mark.parametrize(
    ("end", "text"),
    [
        (Failed("network", "The call to x failed."), "The call to x failed."),
        (Refused("This address is not public."), "This address is not public."),
        (answered({"status": "error"}, 401), "The server does not know this token"),
        (answered({}, 404), "There is no Patchbay with a terminal door"),
        (answered({"error": "Error, too many requests."}, 429), "Error, too many requests."),
        (answered({}, 503), "The server answered 503."),
        (answered(b"<html>", 502), "The server answered 502 with something"),
        (answered(b"[]"), "The server answered 200 with something"),
        (answered({"text": "Done."}), "The server answered in a way this version does not understand."),
        (answered(b'{"text": "Do', truncated=True), "The answer is longer than a terminal is sent"),
    ],
)
async def test_whatever_comes_back_is_a_sentence(end: Answered | Failed | Refused, text: str) -> None:
    """A terminal shows no traceback for what a network or another server does."""
    client = Client(Wire(end), "http://127.0.0.1:8084", "token")
    found = await client.run("in list")
    assert isinstance(found, Trouble)
    assert found.text.startswith(text)
    assert await client.complete("in l", 4) == []


async def test_suggestions_say_what_they_replace() -> None:
    """As the server gave them."""
    offer = {"insert": "list", "label": "in list", "hint": "lists", "kind": "verb", "start": 3}
    client = Client(Wire(answered({"suggestions": [offer]})), "http://127.0.0.1:8084", "token")
    assert await client.complete("in l", 4) == [Offer("list", "in list", "lists", 3)]
