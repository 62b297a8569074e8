"""Rocket.Chat's outgoing webhook as a door: trigger word, public answers, secrets sent directly."""

import json

import pytest

from handlers.chat.rocketchat import ADAPTER
from handlers.chat_adapter import UNAUTHENTICATED, Asked, ChatCommand, Ignored, Refusal
from handlers.command import Answer
from tests.chats import NOW, SECRET, SITE, rocketchat_message


def command(line: str = "in list", /, **changes: object) -> ChatCommand:
    found = ADAPTER.parse_command(rocketchat_message(line, **changes))
    assert isinstance(found, ChatCommand)
    return found


def asked() -> Asked:
    return Asked(origin=command(), secret=SECRET, interactions_url="", now=NOW)


def said(answer: Answer) -> str:
    found = json.loads(ADAPTER.reply(answer, asked()).body)
    assert list(found) == ["text"]
    return str(found["text"])


def test_a_message_that_begins_with_the_trigger_word_is_a_line() -> None:
    """The word goes, and only from the beginning; the server's address is its team, without the slash."""
    found = command("in show !hook", tmid="thread1")
    assert (found.word, found.text) == ("!hook", "in show !hook")
    assert (found.team_id, found.thread_id) == (SITE, "thread1")
    assert not found.direct
    assert command(text="!HOOK  help").text == "help"
    assert command(text="!hook").text == ""
    assert command(trigger_word=None, text="!hook help").text == "help"


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "say !hook help"},
        {"text": "!hooks help"},
        {"bot": True},
        {"bot": {"i": "abc"}},
        {"message_id": None},
        {"text": None},
        {"trigger_word": " ", "text": " help"},
    ],
)
def test_everything_else_is_left_alone(changes: dict[str, object]) -> None:
    """Bots, other events and words in the middle are answered with an empty object: nothing is posted, or retried."""
    found = ADAPTER.parse_command(rocketchat_message(**changes))
    assert isinstance(found, Ignored)
    assert found.reply.body == b"{}"


def test_the_token_stands_in_the_body() -> None:
    """Wrong, missing, of another type: the same refusal."""
    for token in ("x" * 26, None, 7, "", [SECRET], "é"):
        assert ADAPTER.authenticate(rocketchat_message(token=token), SECRET, NOW) == UNAUTHENTICATED


def test_a_request_without_ids_is_refused() -> None:
    """A line of nobody runs nowhere."""
    for name in ("user_id", "channel_id", "siteUrl"):
        assert isinstance(ADAPTER.parse_command(rocketchat_message(**{name: None})), Refusal)


def test_an_edited_message_is_the_same_request() -> None:
    """The id of the message tells a repeat, so an edit runs nothing again."""
    assert command("in list").request_id == command("in remove x", isEdited=True).request_id
    assert command(message_id="other").request_id != command().request_id


def test_a_secret_is_sent_directly_and_the_room_reads_that_it_was() -> None:
    """The room never sees it, also when the command says no words for the room."""
    answer = Answer("Done. Address: https://bot/hooks/1/CANARY", secret=True, public_text="New address sent to @cy.")
    reply = ADAPTER.reply(answer, asked())
    assert json.loads(reply.body) == {"text": "New address sent to @\u2060cy."}
    assert reply.direct is not None
    assert (reply.direct.user_name, reply.direct.texts) == ("cy", (answer.text,))
    assert said(Answer("CANARY", secret=True)) == "The answer was sent to @\u2060cy directly."


def test_a_long_answer_is_one_message_that_says_what_is_missing() -> None:
    """The server refuses more than 5,000 characters; a reader learns that there is more."""
    text = said(Answer("\n".join(f"line {number}" for number in range(2_000))))
    assert len(text) <= 5_000
    assert "more characters do not fit here" in text


def test_code_calls_nobody_either() -> None:
    """The line stands in the room for all to read, code included."""
    assert "@all" not in said(Answer("```\nin show @all\n```"))
