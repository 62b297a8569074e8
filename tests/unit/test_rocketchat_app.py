"""What the native App sends, and what it is answered (decision 63)."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.signature import SignatureVerifier

from handlers.chat.rocketchat_app import APP, HEADERS, MESSAGE_CHARS, Typing
from handlers.chat_adapter import UNAUTHENTICATED, Asked, ChatCommand, Ignored, Refusal, Request
from handlers.command import Answer, Button
from handlers.signing import v0
from handlers.signing.verdict import Verdict
from storage.clock import Millis

NOW = 1_795_200_000
SECRET = "shared-secret"
REQUEST: dict[str, Any] = {
    "version": 1,
    "kind": "command",
    "workspace": "w1",
    "request_id": "0123456789abcdef" * 2,
    "command": "hook",
    "text": "in list",
    "user": {"id": "uAnn", "username": "ann"},
    "room": {"id": "rOps"},
    "thread_id": None,
}
"""A request as the App sends it."""
BODY = json.dumps(REQUEST).encode()
SIGNED = v0.sign(SECRET.encode(), timestamp=NOW, body=BODY, headers=HEADERS)
TIME, SIGNATURE = SIGNED[HEADERS.timestamp], SIGNED[HEADERS.signature]


def changed(**values: object) -> bytes:
    """Return the request with some values changed."""
    return json.dumps({**REQUEST, **values}).encode()


def authenticate(pairs: Iterable[tuple[str, str]], body: bytes, secret: str, now: float) -> Verdict:
    """Return what the adapter found out, which only the log tells."""
    refusal = APP.authenticate(Request(tuple(pairs), body), secret, Millis(int(now * 1000)))
    if refusal is None:
        return Verdict.VALID
    assert refusal == UNAUTHENTICATED
    return Verdict(refusal.reason)


def parse(body: bytes) -> ChatCommand | Typing | Refusal:
    return APP.parse(Request((), body))


COMMAND = parse(BODY)
assert isinstance(COMMAND, ChatCommand)
ASKED = Asked(origin=COMMAND, secret=SECRET, interactions_url="", now=Millis(NOW * 1000))


def answered(answer: Answer) -> list[dict[str, str]]:
    """Return what the App is told to show."""
    found: list[dict[str, str]] = json.loads(APP.reply(answer, ASKED).body)["answers"]
    return found


# --- the signature ----------------------------------------------------------------------------------


def test_slacks_own_verifier_accepts_what_we_make() -> None:
    """The scheme is Slack's, so Slack's library is an independent check of it."""
    verifier = SignatureVerifier(SECRET)
    assert verifier.generate_signature(timestamp=TIME, body=BODY) == SIGNATURE


def test_a_signed_request_is_accepted_whatever_the_case_of_its_headers() -> None:
    """Header names are case-insensitive."""
    pairs = [("X-Patchbay-Timestamp", TIME), ("X-PATCHBAY-SIGNATURE", SIGNATURE), ("Host", "x")]
    assert authenticate(pairs, BODY, SECRET, NOW) is Verdict.VALID


@pytest.mark.parametrize(
    ("late", "verdict"),
    [
        (300, Verdict.VALID),
        (-300, Verdict.VALID),
        (301, Verdict.TOO_OLD),
        (300.5, Verdict.TOO_OLD),
        (-301, Verdict.TOO_NEW),
    ],
)
def test_a_signature_holds_for_five_minutes_both_ways(late: float, verdict: Verdict) -> None:
    """Later it may be a replay whose id is forgotten."""
    assert authenticate(SIGNED.items(), BODY, SECRET, NOW + late) is verdict


@pytest.mark.parametrize(
    ("pairs", "verdict"),
    [
        ([], Verdict.MISSING),
        ([(HEADERS.timestamp, TIME)], Verdict.MISSING),
        ([(HEADERS.signature, SIGNATURE)], Verdict.MISSING),
        (
            [(HEADERS.timestamp, TIME), (HEADERS.signature, SIGNATURE), (HEADERS.signature, SIGNATURE)],
            Verdict.MALFORMED,
        ),
        *(
            ([(HEADERS.timestamp, time), (HEADERS.signature, SIGNATURE)], Verdict.MALFORMED)
            for time in ("", "-1", "1e9", "9" * 20, f" {TIME}", f"{TIME}\n", "١٧٩٥٢٠٠٠٠٠", f"{TIME}.0", "\udcff")
        ),
        *(
            ([(HEADERS.timestamp, TIME), (HEADERS.signature, signature)], Verdict.MALFORMED)
            for signature in ("", "v0=", SIGNATURE[3:], f"v1{SIGNATURE[2:]}", SIGNATURE[:-1], f"{SIGNATURE}0", "v0=é")
        ),
        ([(HEADERS.timestamp, str(NOW - 1)), (HEADERS.signature, SIGNATURE)], Verdict.MISMATCH),
        ([(HEADERS.timestamp, TIME), (HEADERS.signature, f"v0={'0' * 64}")], Verdict.MISMATCH),
    ],
)
def test_any_other_headers_end_as_a_verdict(pairs: list[tuple[str, str]], verdict: Verdict) -> None:
    """Missing, doubled, malformed and wrong headers are told apart in the log, and none of them raises."""
    assert authenticate(pairs, BODY, SECRET, NOW) is verdict


def test_another_body_or_secret_is_refused() -> None:
    """The signature covers every byte, and an empty secret proves nothing."""
    assert authenticate(SIGNED.items(), BODY + b" ", SECRET, NOW) is Verdict.MISMATCH
    assert authenticate(SIGNED.items(), BODY, f"{SECRET}x", NOW) is Verdict.MISMATCH
    empty = v0.sign(b"", timestamp=NOW, body=BODY, headers=HEADERS)
    assert authenticate(empty.items(), BODY, "", NOW) is Verdict.UNUSABLE_KEY


# --- the request ------------------------------------------------------------------------------------


def test_a_typed_line_is_read() -> None:
    """Everything the flow needs is a field."""
    assert APP.team_of(Request((), BODY)) == "w1"
    expected = ChatCommand(
        team_id="w1",
        request_id="0123456789abcdef" * 2,
        word="/hook",
        text="in list",
        user_id="uAnn",
        user_name="ann",
        channel_id="rOps",
    )
    assert parse(BODY) == APP.parse_command(Request((), BODY)) == expected


def test_a_line_still_being_typed_is_no_command() -> None:
    """It is told apart, its text may be empty, and what the server does not know is passed over."""
    body = changed(kind="preview", text="", room={"id": "d1", "type": "d"}, thread_id="m1", more=1)
    found = parse(body)
    assert isinstance(found, Typing)
    assert (found.command.text, found.command.channel_id, found.command.thread_id) == ("", "d1", "m1")
    assert isinstance(APP.parse_command(Request((), body)), Ignored)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"version":1',
        b"[" * 100_000,
        changed(version=2),
        changed(kind="other"),
        changed(kind=["command"]),
        changed(kind=None),
        changed(text=None),
        changed(text=["in list"]),
        changed(request_id="short"),
        changed(request_id=None),
        changed(request_id="0123456789ABCDEF" * 2),
        changed(workspace=""),
        changed(workspace="w\n1"),
        changed(workspace="w" * 201),
        changed(command=7),
        changed(user=None),
        changed(user="ann"),
        changed(user={"username": "ann"}),
        changed(user={"id": "", "username": "ann"}),
        changed(user={"id": ["uAnn"], "username": "ann"}),
        changed(room=None),
        changed(room={"name": "ops"}),
    ],
)
def test_what_no_app_of_ours_sends_is_a_fault(body: bytes) -> None:
    """Each ends as 400 with a sentence, never as an exception."""
    found = parse(body)
    assert isinstance(found, Refusal)
    assert found.status == 400
    assert found.text
    assert found.reason


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(), lambda x: st.dictionaries(st.sampled_from(sorted(REQUEST)), x)).map(
        lambda x: json.dumps(x).encode()
    )
)
def test_no_body_raises(body: bytes) -> None:
    """Whatever comes is a request or a fault."""
    APP.team_of(Request((), body))
    assert isinstance(parse(body), ChatCommand | Typing | Refusal)
    assert isinstance(APP.parse_command(Request((), body)), ChatCommand | Ignored | Refusal)


# --- the answer -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "to"),
    [
        (Answer("Done."), "caller"),
        (Answer("Done.", private=False), "room"),
        (Answer("Address: …", private=False, secret=True), "caller"),
    ],
)
def test_only_a_public_answer_without_secret_is_for_the_room(answer: Answer, to: str) -> None:
    """A secret is never for the room, whatever else the answer says."""
    assert answered(answer) == [{"to": to, "text": answer.text}]


def test_buttons_are_written_as_lines_to_type() -> None:
    """The App shows no buttons; a line the text holds already is not repeated."""
    answer = Answer(
        "Remove it? Type /hook confirm 7F3KQA ci",
        code="confirm",
        buttons=(
            Button("Remove", "confirm 7F3KQA ci"),
            Button("Disable instead", "in disable 64ab"),
            Button("Cancel", "cancel 7F3KQA"),
        ),
    )
    assert answered(answer) == [
        {
            "to": "caller",
            "text": "Remove it? Type /hook confirm 7F3KQA ci\n"
            "Disable instead: `/hook in disable 64ab`\n"
            "Cancel: `/hook cancel 7F3KQA`",
        }
    ]


@pytest.mark.parametrize(
    ("typed", "lines", "shown"),
    [
        ("", ["in", "out"], ["in", "out"]),
        (" ", ["in"], ["in"]),
        ("in l", ["in list"], ["in l", "in list"]),
        ("in list", ["in list"], ["in list"]),
        ("in list", [], ["in list"]),
        ("x", [f"x{n}" for n in range(20)], ["x", *(f"x{n}" for n in range(9))]),
    ],
)
def test_the_first_preview_is_what_is_typed(typed: str, lines: list[str], shown: list[str]) -> None:
    """A client sends the first preview on Enter: that must be the line as it stands; ten are shown at most."""
    found = parse(changed(kind="preview", text=typed))
    assert isinstance(found, Typing)
    assert json.loads(APP.preview(found, lines).body) == {
        "items": [{"id": str(number), "type": "text", "value": line} for number, line in enumerate(shown, 1)]
    }


def test_a_long_answer_comes_in_parts_a_server_accepts() -> None:
    """Rocket.Chat refuses messages over 5,000 characters; nothing is lost between the parts."""
    lines = [f"#{number}  hook-{number}" for number in range(1_000)]
    parts = answered(Answer("\n".join(lines)))
    assert len(parts) > 2
    assert all(len(part["text"]) <= MESSAGE_CHARS and part["to"] == "caller" for part in parts)
    assert [line for part in parts for line in part["text"].split("\n")[1:]] == lines


def test_an_answer_for_the_room_calls_nobody() -> None:
    """A name in it may come from anybody; the same text for the caller alone stays as it is."""
    (public,), (private,) = answered(Answer("Done. @all", private=False)), answered(Answer("Done. @all"))
    assert public == {"to": "room", "text": "Done. @\u2060all"}
    assert private["text"] == "Done. @all"


def test_there_is_nothing_to_send_later() -> None:
    """The App waits for its answer; what says nothing shows nothing."""
    assert APP.late(Answer("Done."), ASKED) == ()
    assert APP.probe(Request((), BODY)) is None
    assert json.loads(APP.acknowledgement().body) == {"answers": []}
