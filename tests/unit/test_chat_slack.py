"""Slack's adapter: its signature, what it sends, and answers its own models accept."""

import json
from dataclasses import replace
from typing import Any  # Any: what is sent to Slack is read back as free-form JSON
from urllib.parse import urlencode

import pytest
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from handlers.chat.slack import ADAPTER
from handlers.chat_adapter import (
    LATE_USES,
    UNAUTHENTICATED,
    Asked,
    Cancelled,
    ChatCommand,
    Ignored,
    Press,
    Refusal,
    Reply,
    Request,
    Submission,
)
from handlers.command import Answer, Button, Form, FormField, Mark
from storage.clock import Millis
from tests.chats import NOW, SECRET, slack_command, slack_interaction, slack_press, slack_signed
from tests.shared import shared

BUTTONS = (
    Button("Remove", "confirm 7F3KQA", "danger"),
    Button("Disable instead", "in disable 64ab", "primary"),
    Button("Cancel", "cancel 7F3KQA"),
)
FORM = Form(
    "Secret of ci-alerts",
    "in edit ci-alerts --secret ? --note ?",
    (
        FormField("secret", "Signing secret", "From the settings.", secret=True),
        FormField("note", "Note", required=False),
    ),
)


def typed(**fields: str) -> ChatCommand:
    found = ADAPTER.parse_command(slack_command("in list", **fields))
    assert isinstance(found, ChatCommand)
    return found


def asked(**fields: str) -> Asked:
    return Asked(origin=typed(**fields), secret=SECRET, interactions_url="https://bot.example/i", now=NOW)


def pressed(request: Request) -> Press:
    found = ADAPTER.parse_interaction(request, SECRET, NOW)
    assert isinstance(found, Press)
    return found


def message(body: bytes) -> dict[str, Any]:
    """Read a message back, after Slack's own models have accepted its blocks."""
    found: dict[str, Any] = json.loads(body)
    assert len(found["blocks"]) <= 50
    for block in Block.parse_all(found["blocks"]):
        assert block is not None
        block.validate_json()
    assert 0 < len(found["text"]) <= 4_000
    return found


def shown(found: dict[str, Any]) -> str:
    return "\n".join(block["text"]["text"] for block in found["blocks"] if block["type"] == "section")


def submission(
    view: dict[str, Any], values: dict[str, str | None], kind: str = "view_submission", **changes: Any
) -> Request:
    """Send a modal back as Slack does, with what was typed into it."""
    state = {f"field:{name}": {"value": {"type": "plain_text_input", "value": value}} for name, value in values.items()}
    payload = {
        "type": kind,
        "team": {"id": "T1DC2JH3J"},
        "user": {"id": "U2CERLKJA", "username": "roadrunner"},
        "trigger_id": "1339.42.ghi",
        "view": {**view, "id": "V1", "hash": "1.a", "state": {"values": state}},
    }
    return slack_interaction(payload | changes)


def opened() -> dict[str, Any]:
    opening = ADAPTER.open_form(FORM, asked())
    assert opening is not None
    view: dict[str, Any] = json.loads(opening.body)["view"]
    return view


def test_the_published_vector_verifies() -> None:
    """The example of Slack's documentation is authentic at its time, and read as it stands."""
    vectors = json.loads(shared("payloads", "signature-vectors.json").read_text(encoding="utf-8"))
    for vector in (one for one in vectors if one["scheme"] == "slack"):
        at = vector["timestamp"]
        request = Request(
            (("X-Slack-Request-Timestamp", at), (vector["header"], vector["value"])), vector["body"].encode()
        )
        assert ADAPTER.authenticate(request, vector["secret"], Millis(int(at) * 1000)) is None
        found = ADAPTER.parse_command(request)
        assert isinstance(found, ChatCommand)
        assert (found.word, found.text, found.team_id) == ("/webhook-collect", "", "T1DC2JH3J")


def test_every_field_of_a_command_is_read() -> None:
    """Ids, names, addresses and the kind of room arrive under their names."""
    found = typed()
    assert (found.user_id, found.user_name) == ("U2CERLKJA", "roadrunner")
    assert (found.channel_id, found.channel_name, found.direct) == ("G8PSS9T3V", "ops", False)
    assert found.response_url == "https://hooks.slack.example/commands/T1/2/3"
    assert found.trigger_id == "1337.42.abc"
    assert found.word == "/hook"
    assert typed(channel_name="directmessage").direct
    assert typed(user_name="a\n\x1b[31m" + "b" * 200).user_name.startswith("a [31mbb")
    assert typed(response_url="javascript:alert(1)").response_url is None


def test_a_repeat_has_the_same_request_id_and_another_command_has_not() -> None:
    """The trigger tells repeats; without one, only the very same signed request is a repeat."""
    assert typed().request_id == typed().request_id != typed(trigger_id="1.2.x").request_id
    assert typed(trigger_id="").request_id == typed(trigger_id="").request_id
    assert typed(trigger_id="").request_id != typed(trigger_id="", user_id="U3").request_id
    assert "1337" not in (typed().request_id or "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text=x",
        b"team_id=T1&user_id=U1&channel_id=C1&command=%2Fhook&text=%ff",
        b"team_id=T1&team_id=T2&user_id=U1&channel_id=C1&command=%2Fhook",
        b"team_id=T1&user_id=U1&channel_id=C1&command=hook",
        b"team_id=T1&user_id=U1&channel_id=C1&command=%2Fhook&text=a&text=b",
        b"team_id=T%0a1&user_id=U1&channel_id=C1&command=%2Fhook",
        b'{"team_id":"T1","user_id":"U1","channel_id":"C1","command":"/hook"}',
    ],
)
def test_a_broken_command_is_refused(body: bytes) -> None:
    """What no Slack sends is refused, signed or not."""
    request = slack_signed(body)
    assert ADAPTER.authenticate(request, SECRET, NOW) is None
    assert isinstance(ADAPTER.parse_command(request), Refusal)


def test_the_certificate_probe_is_answered_with_nothing() -> None:
    """`ssl_check=1` gets 200 and no text, unsigned; a command that claims to be a probe is none."""
    for request in (
        Request((), b"ssl_check=1&token=x"),
        Request((), b"", "ssl_check=1&token=x"),
        Request((), b"token=x", "ssl_check=1"),
    ):
        assert ADAPTER.probe(request) == Reply(200, body=b"")
    assert ADAPTER.probe(slack_command("in list", ssl_check="1")) is None
    assert ADAPTER.probe(Request((), b"", "ssl_check=0")) is None


def test_an_answer_is_one_message_with_its_buttons() -> None:
    """Sections and a row of buttons, the text beside them, shown to the caller alone."""
    answer = Answer("Remove **ci**?\n```\na < b\n```", Mark.WARNING, "confirm", buttons=BUTTONS)
    reply = ADAPTER.reply(answer, asked())
    assert reply.content_type.startswith("application/json")
    found = message(reply.body)
    assert found["response_type"] == "ephemeral"
    assert found["text"] == shown(found) == "Remove *ci*?\n```\na &lt; b\n```"
    elements = found["blocks"][-1]["elements"]
    assert [(one["text"]["text"], one["value"], one.get("style")) for one in elements] == [
        ("Remove", "confirm 7F3KQA", "danger"),
        ("Disable instead", "in disable 64ab", "primary"),
        ("Cancel", "cancel 7F3KQA", None),
    ]
    assert len({one["action_id"] for one in elements}) == 3
    assert not found["unfurl_links"]


def test_a_public_answer_is_in_the_channel() -> None:
    """An answer for the room is shown there, unless something in it is shown once."""
    assert message(ADAPTER.reply(Answer("Done.", private=False), asked()).body)["response_type"] == "in_channel"
    secret = Answer("Done.", private=False, secret=True)
    assert message(ADAPTER.reply(secret, asked()).body)["response_type"] == "ephemeral"


def test_hostile_labels_and_lines_do_not_break_a_message() -> None:
    """A label that is too long is cut, a line that is too long for a button has none."""
    buttons = (Button("&<" * 100, "in list"), Button("Too long", "in list " + "x" * 2_000), Button("", "in list"))
    found = message(ADAPTER.reply(Answer("Done.", buttons=buttons * 20), asked()).body)
    assert len(found["blocks"][-1]["elements"]) == 25


def test_a_long_answer_is_split_into_sections_and_messages() -> None:
    """No section is over 3,000 characters as Slack counts them; what one message cannot hold follows, numbered."""
    text = "\n".join(f"#{number} <hook> & co of @all " + "x" * 60 for number in range(1_000))
    reply = ADAPTER.reply(Answer(text, buttons=BUTTONS), asked())
    found = [message(body) for body in (reply.body, *reply.later)]
    assert 2 < len(found) <= LATE_USES
    assert all(f"#{number} " in "\n".join(map(shown, found)) for number in range(1_000))
    assert [len(one["blocks"]) for one in found if one["blocks"][-1]["type"] == "actions"] == [len(found[-1]["blocks"])]
    assert shown(found[1]).startswith(f"(2/{len(found)})")


def test_without_a_response_address_an_answer_is_one_message() -> None:
    """Nothing can follow: what is left out is told."""
    reply = ADAPTER.reply(Answer("word " * 20_000), asked(response_url=""))
    assert reply.later == ()
    assert "more characters do not fit here" in shown(message(reply.body))
    assert ADAPTER.late(Answer("x"), asked(response_url="")) == ()


def test_late_answers_replace_at_most_once_and_leave_a_use() -> None:
    """Only the first takes the place of what was there; together with it they stay within five uses."""
    bodies = ADAPTER.late(Answer("word " * 60_000), asked(), replace=True)
    assert len(bodies) == LATE_USES - 1
    assert [message(body)["replace_original"] for body in bodies] == [True, False, False, False]


def test_a_press_runs_the_line_of_its_button() -> None:
    """The line comes back with who pressed, where, and whether others see the message."""
    request = slack_press("confirm 7F3KQA")
    assert ADAPTER.team_of(request) == "T1DC2JH3J"
    assert ADAPTER.authenticate(request, SECRET, NOW) is None
    found = pressed(request)
    assert (found.line, found.user_id, found.channel_id) == ("confirm 7F3KQA", "U2CERLKJA", "G8PSS9T3V")
    assert found.whispered
    assert not pressed(slack_press("x", ephemeral=False)).whispered
    assert ADAPTER.team_of(slack_press("x", team=None)) == "T1DC2JH3J"


def test_a_press_that_is_not_signed_is_refused() -> None:
    """Whoever changes the line of a press breaks its signature."""
    request = slack_press("in disable 1")
    forged = replace(request, body=request.body.replace(b"disable", b"enables"))
    assert ADAPTER.authenticate(forged, SECRET, NOW) == UNAUTHENTICATED


@pytest.mark.parametrize("kind", ["shortcut", "message_action", "block_suggestion", None, 7])
def test_other_interactions_end_well(kind: object) -> None:
    """What is not ours is answered with 200 and nothing, so that nobody sees an error."""
    found = ADAPTER.parse_interaction(slack_press("x", type=kind), SECRET, NOW)
    assert isinstance(found, Ignored)
    assert found.reply == Reply()
    link = {"action_id": "link", "value": "x"}
    assert isinstance(ADAPTER.parse_interaction(slack_press("x", actions=[link]), SECRET, NOW), Ignored)


def test_the_answer_to_a_press_takes_the_place_of_a_whispered_message() -> None:
    """The response is empty; the message and its buttons are replaced, a public one is left alone."""
    done = Answer("Done.")
    for ephemeral in (True, False):
        press = pressed(slack_press("confirm 7F3KQA", ephemeral=ephemeral))
        given = replace(asked(), origin=press)
        reply = ADAPTER.pressed(done, press, given)
        assert (reply.status, reply.body) == (200, b"")
        assert [message(body)["replace_original"] for body in reply.later] == [ephemeral]
    press = pressed(slack_press("confirm 7F3KQA"))
    gone, said = ADAPTER.pressed(Answer("Done.", private=False), press, replace(asked(), origin=press)).later
    assert json.loads(gone) == {"delete_original": True}
    assert message(said)["response_type"] == "in_channel"


def test_a_form_opens_as_a_modal_that_slack_accepts() -> None:
    """Every field is an input, secrets say that Slack shows them, and nothing readable travels in the modal."""
    view = opened()
    View(**view).validate_json()
    assert [block["block_id"] for block in view["blocks"]] == ["field:secret", "field:note"]
    assert [block["optional"] for block in view["blocks"]] == [False, True]
    assert "Slack shows what is typed here" in view["blocks"][0]["hint"]["text"]
    assert "ci-alerts" not in view["private_metadata"]
    assert len(view["private_metadata"]) <= 3_000
    opening = ADAPTER.open_form(FORM, asked())
    assert opening is not None
    assert (opening.path, opening.needs_token) == ("/views.open", True)


def test_a_form_that_slack_cannot_show_is_left_to_another_way() -> None:
    """Without a trigger, without fields, with a line that does not fit: no modal."""
    assert ADAPTER.open_form(FORM, asked(trigger_id="")) is None
    assert ADAPTER.open_form(replace(FORM, fields=()), asked()) is None
    assert ADAPTER.open_form(replace(FORM, line="x" * 8_000), asked()) is None


def test_a_submission_brings_the_line_and_the_private_values() -> None:
    """The fields that were asked for come back, with the place where the command was typed, and no others."""
    request = submission(opened(), {"secret": "s3cret-canary", "note": None, "other": "x"})
    assert ADAPTER.team_of(request) == "T1DC2JH3J"
    found = ADAPTER.parse_interaction(request, SECRET, NOW)
    assert isinstance(found, Submission)
    assert (found.line, found.values) == (FORM.line, {"secret": "s3cret-canary"})
    assert (found.channel_id, found.response_url) == ("G8PSS9T3V", typed().response_url)
    assert "s3cret-canary" not in repr(found)


def test_a_form_belongs_to_one_person_and_ten_minutes() -> None:
    """Another user, another team or a made-up modal is refused; an old one says so under its first field."""
    view = opened()
    others: tuple[dict[str, Any], ...] = ({"user": {"id": "U3"}}, {"team": {"id": "T2"}})
    for changes in others:
        assert isinstance(ADAPTER.parse_interaction(submission(view, {}, **changes), SECRET, NOW), Refusal)
    forged = {**view, "private_metadata": "in edit other --secret ?"}
    assert isinstance(ADAPTER.parse_interaction(submission(forged, {}), SECRET, NOW), Refusal)
    assert isinstance(ADAPTER.parse_interaction(submission(view, {}), f"{SECRET}x", NOW), Refusal)
    old = ADAPTER.parse_interaction(submission(view, {"secret": "x"}), SECRET, Millis(NOW + 600_000))
    assert isinstance(old, Ignored)
    assert "too old" in json.loads(old.reply.body)["errors"]["field:secret"]


def test_a_closed_modal_is_no_submission() -> None:
    """Closing runs nothing."""
    found = ADAPTER.parse_interaction(submission(opened(), {}, "view_closed"), SECRET, NOW)
    assert isinstance(found, Cancelled)
    assert found.line == ""


def test_a_problem_keeps_the_modal_open_and_success_answers_where_the_line_was_typed() -> None:
    """Errors stand under a field; else the modal closes and the answer is whispered, or shown in the modal."""
    found = ADAPTER.parse_interaction(submission(opened(), {"secret": "x"}), SECRET, NOW)
    assert isinstance(found, Submission)
    given = replace(asked(), origin=found)
    bad = ADAPTER.submitted(Answer("Not done [invalid]. Too short.\n```\nx\n```", Mark.NOT_DONE), found, given)
    said = json.loads(bad.body)
    assert said["response_action"] == "errors"
    assert said["errors"]["field:secret"].startswith("Not done [invalid]. Too short.")
    good = ADAPTER.submitted(Answer("Done. Changed."), found, given)
    assert good.body == b""
    assert shown(message(good.later[0])) == "Done. Changed."
    nowhere = replace(found, response_url=None)
    inside = json.loads(ADAPTER.submitted(Answer("Done."), nowhere, replace(asked(), origin=nowhere)).body)
    assert inside["response_action"] == "update"
    View(**inside["view"]).validate_json()


def test_a_multipart_or_json_body_is_no_interaction() -> None:
    """The payload comes in a form and nowhere else."""
    for body in (b'{"type":"block_actions"}', urlencode({"payload": "[]"}).encode(), b"payload=a&payload=b"):
        assert isinstance(ADAPTER.parse_interaction(slack_signed(body), SECRET, NOW), Refusal)
