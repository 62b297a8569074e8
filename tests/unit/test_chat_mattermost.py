"""Mattermost's adapter: token and tickets, buttons, dialogs, posts within the limit."""

import json
from dataclasses import replace
from typing import Any  # Any: what is sent to Mattermost is read back as free-form JSON

import pytest

from handlers.chat.mattermost import ADAPTER, Mattermost
from handlers.chat.mattermost.requests import Typing
from handlers.chat_adapter import (
    UNAUTHENTICATED,
    Asked,
    Cancelled,
    ChatCommand,
    Ignored,
    Press,
    Refusal,
    Request,
    Submission,
)
from handlers.command import Answer, Button, Form, FormField, Mark
from handlers.complete import Kind, Suggestion
from storage.clock import Millis
from tests.chats import (
    MM_CHANNEL,
    MM_TEAM,
    MM_USER,
    NOW,
    SECRET,
    mattermost_command,
    mattermost_press,
    mattermost_submission,
)

URL = "https://bot.example/interactions/mattermost"
BUTTONS = (Button("Remove", "confirm 7F3KQA", "danger"), Button("Cancel", "cancel 7F3KQA"))
CONFIRM = Answer("Remove @ann's hook?", Mark.WARNING, "confirm", buttons=BUTTONS)
FORM = Form(
    "Secret of a very long hook name",
    "in edit ci-alerts --secret ? --note ?",
    (
        FormField("secret", "Signing secret", "From the settings.", secret=True),
        FormField("note", "Note", required=False),
    ),
)
OTHER = "o" * 26


def typed(**fields: str) -> ChatCommand:
    found = ADAPTER.parse_command(mattermost_command("in list", **fields))
    assert isinstance(found, ChatCommand)
    return found


def asked(**fields: str) -> Asked:
    return Asked(origin=typed(**fields), secret=SECRET, interactions_url=URL, now=NOW)


def answer(given: Answer = CONFIRM) -> dict[str, Any]:
    reply = ADAPTER.reply(given, asked())
    assert reply.content_type.startswith("application/json")
    found: dict[str, Any] = json.loads(reply.body)
    return found


def action(given: Answer = CONFIRM, at: int = 0) -> tuple[str, dict[str, Any]]:
    """Return address and context of a button."""
    integration = answer(given)["attachments"][0]["actions"][at]["integration"]
    return integration["url"], integration["context"]


def opened() -> bytes:
    opening = ADAPTER.open_form(FORM, asked())
    assert opening is not None
    assert (opening.path, opening.needs_token) == ("/api/v4/actions/dialogs/open", False)
    return opening.body


@pytest.mark.parametrize(
    ("request_", "authentic"),
    [
        (mattermost_command(), True),
        (mattermost_command(token=None), True),
        (mattermost_command(token="x" * 26), False),
        (replace(mattermost_command(), headers=(("Authorization", f"Bearer {SECRET}"),)), False),
        (replace(mattermost_command(), headers=(("Authorization", f"Token {SECRET}"),) * 2), False),
        (replace(mattermost_command(), headers=(("authorization", "Token é"),)), False),
        (replace(mattermost_command(), headers=(("authorization", "Token "),)), False),
        (replace(mattermost_command(), body=b"token=other&team_id=x"), False),
        (replace(mattermost_command(), body=b"team_id=x"), True),
        (replace(mattermost_command(), body=b"token=&team_id=x"), False),
        (Request((), b"token=%s&token=%s" % (SECRET.encode(), SECRET.encode())), False),
        (Request((), b""), False),
    ],
)  # fmt: skip
def test_the_token_of_header_and_field(request_: Request, authentic: bool) -> None:
    """The header decides, the field only where there is none, and two that differ are refused (§2.2)."""
    assert ADAPTER.authenticate(request_, SECRET, NOW) == (None if authentic else UNAUTHENTICATED)


def test_every_field_of_a_command_is_read() -> None:
    """Ids, names and addresses arrive under their names; a direct channel is known by its name."""
    found = typed(root_id="r" * 26)
    assert (found.team_id, found.user_id, found.user_name) == (MM_TEAM, MM_USER, "ann")
    assert (found.channel_id, found.thread_id, found.direct) == (MM_CHANNEL, "r" * 26, False)
    assert found.response_url == "https://mm.example/hooks/commands/abc"
    assert typed(channel_name=f"{MM_USER}__{OTHER}").direct
    assert typed().request_id == typed().request_id != typed(trigger_id="b3RoZXI=").request_id
    assert typed(trigger_id="").request_id is None


def test_an_answer_is_a_whispered_post_with_buttons() -> None:
    """Slack's mark-up is off, the attachment has what the mobile clients show, and ids are plain letters."""
    found = answer()
    assert found["response_type"] == "ephemeral"
    assert found["text"] == "Remove @\u2060ann's hook?"
    assert found["skip_slack_parsing"] is True
    attachment = found["attachments"][0]
    assert attachment["fallback"] == "Remove, Cancel"
    assert [(one["id"], one["name"], one["style"]) for one in attachment["actions"]] == [
        ("run0", "Remove", "danger"),
        ("run1", "Cancel", "default"),
    ]
    assert answer(Answer("Done.", private=False))["response_type"] == "in_channel"
    assert answer(Answer("Done.", private=False, secret=True))["response_type"] == "ephemeral"


def test_a_long_answer_is_several_posts() -> None:
    """No post is over 16,383 characters; the others come beside the first, numbered, buttons under the last."""
    text = "\n".join(f"#{number} " + "x" * 90 for number in range(600))
    found = answer(Answer(text, buttons=BUTTONS))
    posts = [found, *found["extra_responses"]]
    assert len(posts) == 4
    assert all(len(post["text"]) <= 16_383 for post in posts)
    assert posts[1]["text"].startswith("(2/4)\n")
    assert ["attachments" in post for post in posts] == [False, False, False, True]
    assert all(post["response_type"] == "ephemeral" for post in posts)


def test_a_press_runs_the_line_that_was_sealed() -> None:
    """The ticket in the button's context is the proof; the line is in it and nowhere else."""
    url, context = action()
    assert "confirm" not in json.dumps(context)
    request = mattermost_press(url, context)
    assert ADAPTER.team_of(request) == MM_TEAM
    assert ADAPTER.authenticate(request, SECRET, NOW) is None
    found = ADAPTER.parse_interaction(request, SECRET, NOW)
    assert isinstance(found, Press)
    assert (found.line, found.user_id, found.channel_id) == ("confirm 7F3KQA", MM_USER, MM_CHANNEL)
    assert found.whispered


def test_a_press_in_a_direct_channel_names_its_team_in_the_address() -> None:
    """Direct channels belong to no team: the address of the button says which workspace it is; both must agree."""
    url, context = action()
    direct = mattermost_press(url, context, team_id="")
    assert ADAPTER.team_of(direct) == MM_TEAM
    assert ADAPTER.authenticate(direct, SECRET, NOW) is None
    other = mattermost_press(url, context, team_id=OTHER)
    assert ADAPTER.team_of(other) is None
    assert ADAPTER.authenticate(other, SECRET, NOW) == UNAUTHENTICATED


@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": OTHER},
        {"channel_id": OTHER},
        {"context": {}},
        {"context": {"ticket": "A" * 100}},
        {"context": {"ticket": 7}},
        {"context": "x"},
        {"user_id": None},
    ],
)
def test_a_press_that_is_not_ours_is_refused(changes: dict[str, object]) -> None:
    """Another person, another channel, a made-up or missing ticket: unauthenticated, like a wrong token."""
    url, context = action()
    request = mattermost_press(url, context, **changes)
    assert ADAPTER.authenticate(request, SECRET, NOW) == UNAUTHENTICATED
    assert isinstance(ADAPTER.parse_interaction(request, SECRET, NOW), Refusal)


def test_a_ticket_of_another_workspace_or_purpose_opens_nothing() -> None:
    """Secret and purpose are bound: no button of another team, no dialog's state in a button's place."""
    url, context = action()
    assert ADAPTER.authenticate(mattermost_press(url, context), f"{SECRET}x", NOW) == UNAUTHENTICATED
    state = json.loads(opened())["dialog"]["state"]
    assert ADAPTER.authenticate(mattermost_press(url, {"ticket": state}), SECRET, NOW) == UNAUTHENTICATED


def test_a_public_button_is_for_everybody_in_the_channel() -> None:
    """Who may confirm is the proposal's to say: the press of another person arrives as theirs."""
    url, context = action(replace(CONFIRM, private=False))
    found = ADAPTER.parse_interaction(mattermost_press(url, context, user_id=OTHER), SECRET, NOW)
    assert isinstance(found, Press)
    assert (found.user_id, found.whispered) == (OTHER, False)


def test_an_old_button_says_so() -> None:
    """A button that does nothing tells why."""
    request = mattermost_press(*action())
    late = Millis(NOW + 60 * 60 * 1000)
    assert ADAPTER.authenticate(request, SECRET, late) is None
    found = ADAPTER.parse_interaction(request, SECRET, late)
    assert isinstance(found, Ignored)
    assert "too old" in json.loads(found.reply.body)["ephemeral_text"]


def test_the_answer_to_a_press_takes_the_place_of_a_whispered_post() -> None:
    """A whispered post is updated and loses its buttons; beside a public one the answer is whispered."""
    press = ADAPTER.parse_interaction(mattermost_press(*action()), SECRET, NOW)
    assert isinstance(press, Press)
    given = replace(asked(), origin=press)
    found = json.loads(ADAPTER.pressed(Answer("Done. <x>"), press, given).body)
    assert found["update"] == {"message": "Done. <x>", "props": {"attachments": []}}
    assert found["skip_slack_parsing"] is True
    again = json.loads(ADAPTER.pressed(CONFIRM, press, given).body)
    assert len(again["update"]["props"]["attachments"][0]["actions"]) == 2
    public = json.loads(ADAPTER.pressed(Answer("Not yours."), replace(press, whispered=False), given).body)
    assert public == {"ephemeral_text": "Not yours.", "skip_slack_parsing": True}


def test_a_form_is_a_dialog_within_the_limits() -> None:
    """Titles and labels fit, secrets are hidden as they are typed, and the state cannot be read by who types."""
    found = json.loads(opened())
    assert found["trigger_id"] == "dHJpZ2dlcg=="
    dialog = found["dialog"]
    assert len(dialog["title"].encode()) <= 24
    assert [(one["name"], one.get("subtype"), one["optional"]) for one in dialog["elements"]] == [
        ("secret", "password", False),
        ("note", None, True),
    ]
    assert all(len(one["display_name"].encode()) <= 24 for one in dialog["elements"])
    assert dialog["notify_on_cancel"] is True
    assert "ci-alerts" not in dialog["state"]
    assert "mm.example" not in dialog["state"]
    assert ADAPTER.open_form(FORM, asked(trigger_id="")) is None


def test_a_submission_brings_the_line_and_the_private_values() -> None:
    """The fields that were asked for come back with the place of the command; sent again it is the same request."""
    sent = {"secret": "s3cret-canary", "note": "", "other": "x"}
    request = mattermost_submission(opened(), sent)
    state = json.loads(request.body)
    assert ADAPTER.authenticate(request, SECRET, NOW) is None
    found = ADAPTER.parse_interaction(request, SECRET, NOW)
    assert isinstance(found, Submission)
    assert (found.line, found.values) == (FORM.line, {"secret": "s3cret-canary"})
    assert found.response_url == typed().response_url
    assert "s3cret-canary" not in repr(found)
    again = ADAPTER.parse_interaction(request, SECRET, NOW)
    corrected = replace(request, body=json.dumps(state | {"submission": {"secret": "other"}}).encode())
    changed = ADAPTER.parse_interaction(corrected, SECRET, NOW)
    assert isinstance(again, Submission)
    assert isinstance(changed, Submission)
    assert again.request_id == found.request_id != changed.request_id


def test_a_dialog_belongs_to_one_person_and_ten_minutes() -> None:
    """The client sends the state back: another user's is refused, an old one says so in the dialog."""
    for changes in ({"user_id": OTHER}, {"channel_id": OTHER}, {"team_id": OTHER}, {"state": "x"}):
        request = mattermost_submission(opened(), {}, **changes)
        assert ADAPTER.authenticate(request, SECRET, NOW) == UNAUTHENTICATED
    old = ADAPTER.parse_interaction(mattermost_submission(opened(), {}), SECRET, Millis(NOW + 600_000))
    assert isinstance(old, Ignored)
    assert "too old" in json.loads(old.reply.body)["error"]


def test_a_problem_keeps_the_dialog_open() -> None:
    """Errors stand in the dialog; else it closes and the answer goes to the response address, if there is one."""
    found = ADAPTER.parse_interaction(mattermost_submission(opened(), {"secret": "x"}), SECRET, NOW)
    assert isinstance(found, Submission)
    given = replace(asked(), origin=found)
    bad = ADAPTER.submitted(Answer("Not done [invalid]. Too short.", Mark.NOT_DONE), found, given)
    assert json.loads(bad.body) == {"error": "Not done [invalid]. Too short."}
    good = ADAPTER.submitted(Answer("Done."), found, given)
    assert json.loads(good.body) == {}
    assert json.loads(good.later[0])["text"] == "Done."


def test_something_destructive_is_confirmed_in_a_dialog_without_fields() -> None:
    """Yes runs the confirmation, no the cancellation; anything else needs no dialog."""
    opening = ADAPTER.open_confirmation(CONFIRM, asked())
    assert opening is not None
    dialog = json.loads(opening.body)["dialog"]
    assert (dialog["elements"], dialog["submit_label"]) == ([], "Remove")
    assert dialog["introduction_text"] == "Remove @\u2060ann's hook?"
    yes = ADAPTER.parse_interaction(mattermost_submission(opening.body, {}), SECRET, NOW)
    no = ADAPTER.parse_interaction(mattermost_submission(opening.body, {}, cancelled=True), SECRET, NOW)
    assert isinstance(yes, Submission)
    assert isinstance(no, Cancelled)
    assert (yes.line, yes.values, no.line) == ("confirm 7F3KQA", {}, "cancel 7F3KQA")
    assert ADAPTER.open_confirmation(Answer("Done.", buttons=BUTTONS), asked()) is None
    assert ADAPTER.open_confirmation(replace(CONFIRM, buttons=BUTTONS[1:]), asked()) is None


def test_a_plugin_asks_what_may_follow() -> None:
    """The line that is being typed is read without its command word, and items have the plugin's capital keys."""
    adapter = Mattermost()
    query = f"user_input=%2Fhook%20in%20li&team_id={MM_TEAM}&user_id={MM_USER}&channel_id={MM_CHANNEL}"
    request = Request((("Authorization", f"Token {SECRET}"),), b"", query)
    assert adapter.team_of(request) == MM_TEAM
    assert adapter.authenticate(request, SECRET, NOW) is None
    found = adapter.parse_completion(request)
    assert isinstance(found, Typing)
    assert (found.word, found.text, found.origin.user_id) == ("/hook", "in li", MM_USER)
    assert isinstance(adapter.parse_completion(Request((), b"", "user_input=x")), Refusal)
    offered = Suggestion(insert="list ", label="list", hint="lists the hooks", kind=Kind.VERB, start=3)
    assert json.loads(adapter.completion([offered]).body) == [
        {"Item": "list", "Hint": "list", "HelpText": "lists the hooks"}
    ]
