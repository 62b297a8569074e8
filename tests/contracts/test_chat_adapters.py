"""What every adapter of another chat keeps to, run over the registry: proof, values, answers, hostile requests."""

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handlers.chat_adapter import (
    UNAUTHENTICATED,
    Asked,
    Cancelled,
    ChatAdapter,
    ChatCommand,
    Ignored,
    InteractiveAdapter,
    Press,
    Refusal,
    Request,
    Submission,
    load_adapters,
    refusal_reply,
)
from handlers.command import Answer, Button
from storage.clock import Millis
from storage.records.workspace import WorkspaceKind
from tests.chats import NOW, SAMPLES, SECRET, with_body

ADAPTERS = load_adapters()
NAMES = sorted(ADAPTERS)
INTERACTIVE = ("mattermost", "slack")

every = pytest.mark.parametrize("name", NAMES)


def interactive(name: str) -> InteractiveAdapter:
    adapter = ADAPTERS[name]
    assert isinstance(adapter, InteractiveAdapter)
    return adapter


def command(adapter: ChatAdapter, text: str = "in list") -> ChatCommand:
    found = adapter.parse_command(SAMPLES[adapter.name](text))
    assert isinstance(found, ChatCommand)
    return found


def asked(adapter: ChatAdapter) -> Asked:
    return Asked(origin=command(adapter), secret=SECRET, interactions_url="https://bot.example/interactions/x", now=NOW)


def test_every_kind_of_workspace_has_its_adapter_and_a_sample() -> None:
    """What can be connected can be understood; a newcomer brings a sample and so is covered by all of this."""
    assert set(NAMES) == {kind.value for kind in WorkspaceKind} == set(SAMPLES)
    assert {name for name, adapter in ADAPTERS.items() if isinstance(adapter, InteractiveAdapter)} == set(INTERACTIVE)


@every
def test_a_typed_line_arrives_whole(name: str) -> None:
    """Who, where and what are read, the text as it was sent, and a repeat can be told."""
    adapter = ADAPTERS[name]
    request = SAMPLES[name]("in show “night builds” <@U1>")
    assert adapter.probe(request) is None
    assert adapter.authenticate(request, SECRET, NOW) is None
    found = adapter.parse_command(request)
    assert isinstance(found, ChatCommand)
    assert found.text == "in show “night builds” <@U1>"
    assert found.team_id == adapter.team_of(request)
    assert found.user_id
    assert found.channel_id
    assert found.request_id
    assert command(adapter, "in show “night builds” <@U1>").request_id == found.request_id
    assert adapter.door.name == name


@every
def test_every_failure_gives_the_same_answer(name: str) -> None:
    """Another secret, none, another body, missing headers, an unknown team: one status and text for all of them."""
    adapter = ADAPTERS[name]
    request = SAMPLES[name]("in list")
    failures = [
        adapter.authenticate(request, f"{SECRET}x", NOW),
        adapter.authenticate(request, "", NOW),
        adapter.authenticate(Request((), b""), SECRET, NOW),
        adapter.authenticate(Request((), b"\xff\x00"), SECRET, NOW),
        adapter.authenticate(Request((), b"{}"), SECRET, NOW),
    ]
    assert [failure == UNAUTHENTICATED for failure in failures] == [True] * len(failures)
    assert len({refusal_reply(failure) for failure in failures if failure}) == 1


@every
def test_a_signed_door_takes_neither_changed_nor_old_requests(name: str) -> None:
    """Where requests are signed, one other byte or 301 seconds spoil them, and 300 do not."""
    adapter = ADAPTERS[name]
    if not adapter.door.signed:
        pytest.skip("this system signs nothing")
    request = SAMPLES[name]("in list")
    assert adapter.authenticate(with_body(request, request.body + b" "), SECRET, NOW) == UNAUTHENTICATED
    for off, refused in ((300_000, False), (301_000, True), (-300_000, False), (-301_000, True)):
        assert (adapter.authenticate(request, SECRET, Millis(NOW + off)) is not None) is refused
    for header, value in request.headers:
        if "imestamp" in header or "ignature" in header:
            doubled = replace(request, headers=(*request.headers, (header.upper(), value)))
            assert adapter.authenticate(doubled, SECRET, NOW) == UNAUTHENTICATED


@every
def test_nothing_secret_shows_in_a_repr(name: str) -> None:
    """A value that ends in a log by mistake gives nothing away: no token, no address, no typed text."""
    adapter = ADAPTERS[name]
    request = SAMPLES[name]("dest edit x token=CANARY")
    given_ = Asked(origin=command(adapter, "x CANARY"), secret="CANARY", interactions_url="https://b", now=NOW)
    reply = adapter.reply(Answer("CANARY", secret=True), given_)
    shown = repr((request, given_, reply))
    for secret in ("CANARY", SECRET, "hooks.slack.example", "mm.example/hooks"):
        assert secret not in shown


@every
def test_what_is_shown_once_reaches_the_caller_alone(name: str) -> None:
    """A secret answer is whispered whatever else it says, or leaves the response and goes out directly."""
    adapter = ADAPTERS[name]
    answer = Answer("Done. CANARY", private=False, secret=True, public_text="New address sent to @cy directly.")
    reply = adapter.reply(answer, asked(adapter))
    if adapter.door.whispers:
        assert b"CANARY" in reply.body
        assert b"in_channel" not in reply.body
        assert b'"room"' not in reply.body
        assert reply.direct is None
    else:
        assert b"CANARY" not in reply.body
        assert b"New address" in reply.body
        assert reply.direct is not None
        assert reply.direct.texts == ("Done. CANARY",)


@every
@pytest.mark.parametrize("private", [True, False])
def test_an_answer_calls_nobody(name: str, private: bool) -> None:
    """Names of others in an answer, such as that of a hook, mention neither people nor rooms."""
    adapter = ADAPTERS[name]
    reply = adapter.reply(Answer("Hook @all <!channel> <!here|x> <@U1> @here", private=private), asked(adapter))
    text = reply.body.decode()
    if name == "slack":
        assert "<!" not in text
        assert "<@" not in text
    elif not private:  # elsewhere `<…>` is plain text, and Slack reads no plain @name in messages of apps
        assert "@all" not in text
        assert "@here" not in text


@every
@pytest.mark.parametrize("text", ["", "\ud800", "x" * 100_000, "```\n" + "line\n" * 20_000 + "```", "😀" * 9_000, "\0"])
def test_any_answer_can_be_written(name: str, text: str) -> None:
    """An answer that is empty, huge, or no proper text still gives JSON, and says so when it is not complete."""
    adapter = ADAPTERS[name]
    reply = adapter.reply(Answer(text, buttons=(Button("Yes", "confirm 7F3KQA"),)), asked(adapter))
    assert reply.status == 200
    bodies = [reply.body, *reply.later, *adapter.late(Answer(text), asked(adapter), replace=True)]
    assert all(isinstance(json.loads(body), dict) for body in bodies)
    shown = b"".join([reply.body, *reply.later])
    complete = sum(shown.count(char) for char in (b"x", b"line", "😀".encode())) >= text.count("x") + text.count("line")
    assert complete or b"more characters do not fit here" in shown


@pytest.mark.parametrize("name", INTERACTIVE)
def test_an_interaction_that_is_none_is_refused(name: str) -> None:
    """A command at the address of interactions is refused without an error."""
    adapter = interactive(name)
    assert isinstance(adapter.parse_interaction(SAMPLES[name]("x"), SECRET, NOW), Refusal)


hostile_text = st.text(max_size=40)
hostile_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | hostile_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(hostile_text, inner, max_size=4),
    max_leaves=8,
)
NAMES_SENT = ("team_id", "user_id", "channel_id", "command", "text", "payload", "token", "context", "state", "type",
              "view", "actions", "user", "team", "container", "siteUrl", "message_id", "trigger_word", "bot",
              "submission", "workspace", "kind", "ssl_check")  # fmt: skip
hostile_object = st.dictionaries(st.sampled_from(NAMES_SENT), hostile_json | st.just("view_submission"), max_size=10)
hostile_body = (
    st.binary(max_size=200)
    | hostile_object.map(lambda value: json.dumps(value).encode())
    | hostile_object.map(lambda value: b"payload=" + json.dumps(value).encode())
    | st.lists(st.tuples(st.sampled_from(NAMES_SENT), st.binary(max_size=20)), max_size=8).map(
        lambda pairs: b"&".join(key.encode() + b"=" + value for key, value in pairs)
    )
)
any_text = st.text(st.characters(exclude_categories=()), max_size=40)
hostile_headers = st.lists(
    st.tuples(
        st.sampled_from(["X-Slack-Signature", "x-slack-request-timestamp", "Authorization", "Content-Type", "é"]),
        any_text | st.sampled_from(["v0=" + "0" * 64, "1700000000", "Token é", "Token \udcff"]),
    ),
    max_size=5,
).map(tuple)


@every
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers=hostile_headers, body=hostile_body, query=any_text)
def test_a_hostile_request_is_refused_and_never_raises(
    name: str, headers: tuple[tuple[str, str], ...], body: bytes, query: str
) -> None:
    """Broken forms, wrong encodings, wrong types, odd headers: nobody gets in, and every end is a value."""
    adapter = ADAPTERS[name]
    request = Request(headers, body, query)
    adapter.probe(request)
    assert isinstance(adapter.team_of(request), str | None)
    assert adapter.authenticate(request, SECRET, NOW) == UNAUTHENTICATED
    assert isinstance(adapter.parse_command(request), ChatCommand | Ignored | Refusal)
    if name in INTERACTIVE:
        found = interactive(name).parse_interaction(request, SECRET, NOW)
        assert isinstance(found, Press | Submission | Cancelled | Ignored | Refusal)


@every
def test_a_huge_request_is_read_in_no_time_or_refused(name: str) -> None:
    """A megabyte of fields, brackets or percent signs ends as a value."""
    adapter = ADAPTERS[name]
    for body in (b"a=1&" * 250_000, b"[" * 1_000_000, b"{" * 1_000_000, b"text=" + b"%41" * 300_000, b"%" * 1_000_000):
        request = Request((), body)
        assert adapter.authenticate(request, SECRET, NOW) == UNAUTHENTICATED
        assert isinstance(adapter.parse_command(request), Refusal | Ignored)
