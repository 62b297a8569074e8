"""What the end of a call means: delivered, tried again, or given up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.http import Answered, Failed, Refused
from handlers.outgoing.answer import Delivered, Outcome, Rejected, Retry, judge
from handlers.outgoing.retries import DAY_MS, requested_wait_ms
from storage.records.integration import OutgoingHook
from tests.records import NOON, outgoing

PATIENT = outgoing(retry_failed_calls=True, retry_count=6, retry_delay="powers-of-ten")


def answered(
    status: int = 200,
    body: str | bytes = b"",
    content_type: str = "application/json",
    *,
    truncated: bool = False,
    retry_after: str | None = None,
) -> Answered:
    headers = {"content-type": content_type}
    if retry_after is not None:
        headers["retry-after"] = retry_after
    raw = body.encode() if isinstance(body, str) else body
    return Answered(status, headers, raw, truncated, 12)


def judged(end: Answered | Failed | Refused, *, hook: OutgoingHook = PATIENT, tries: int = 0) -> Outcome:
    return judge(hook, end, tries=tries, now=NOON)


NOTHING_TO_POST = Delivered("after-http-call")


@pytest.mark.parametrize("status", [200, 201, 202, 206])
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "text/javascript",
        "application/javascript",
        "application/x-javascript",
    ],
)
def test_an_answer_with_text_is_posted(status: int, content_type: str) -> None:
    """JSON with text or attachments, under any of the four types, becomes a message."""
    assert judged(answered(status, '{"text":"done"}', content_type)) == Delivered(
        "url-response-sent-message", post={"text": "done"}
    )


@pytest.mark.parametrize(
    ("body", "post"),
    [
        (b'{"attachments":[{"text":"a"}]}', {"attachments": [{"text": "a"}]}),
        (b'\xef\xbb\xbf{"text":"after a byte order mark"}', {"text": "after a byte order mark"}),
        (b'{"text":"ok","channel":"#ops"}', {"text": "ok", "channel": "#ops"}),
    ],
)
def test_the_whole_answer_is_handed_on(body: bytes, post: dict[str, object]) -> None:
    """What is posted is the answer's object as it came."""
    assert judged(answered(200, body)) == Delivered("url-response-sent-message", post=post)


@pytest.mark.parametrize(
    "answer",
    [
        answered(200, ""),
        answered(201, ""),
        answered(204, ""),
        answered(200, "{}"),
        answered(200, '{"text":""}'),
        answered(200, '{"attachments":[]}'),
        answered(200, '[{"text":"in a list"}]'),
        answered(200, "null"),
        answered(200, '{"text":"hi"}', "text/plain"),
        answered(200, '{"text":"hi"}', ""),
        answered(203, "thanks", "text/html"),
    ],
)
def test_any_other_2xx_is_delivered_and_posts_nothing(answer: Answered) -> None:
    """An empty 2xx is a success (decision 42), and so is one with nothing to post."""
    assert judged(answer) == NOTHING_TO_POST


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (
            answered(200, '{"text":"' + "x" * 65_527, truncated=True),
            "The answer is longer than 64 KiB, so it was not posted; answer with less.",
        ),
        (answered(200, '{"text":'), "The answer is not valid JSON: "),
        (answered(200, '{"text":NaN}'), "The answer holds a number that is not finite"),
        (answered(200, '{"text":"\\ud800"}'), "The answer holds half a surrogate pair"),
        (answered(200, "[" * 1_000), "The answer is nested deeper than 64 levels"),
        (answered(200, b'{"text":"\xff"}'), "The answer is not valid utf-8 at byte 9."),
        (answered(200, '{"text":' + "9" * 5_000 + "}"), "The answer holds an integer of more than 4,300 digits"),
    ],
)
def test_an_answer_that_cannot_be_posted_is_delivered_with_a_note(answer: Answered, note: str) -> None:
    """Too long or unreadable answers are never an error of the delivery; history says why nothing was posted."""
    outcome = judged(answer)
    assert isinstance(outcome, Delivered)
    assert (outcome.step, outcome.post) == ("after-http-call", None)
    assert outcome.note is not None
    assert outcome.note.startswith(note)


@pytest.mark.parametrize("body", ["", "gone"])
def test_410_disables_the_hook(body: str) -> None:
    """410 disables with or without a body (decision 42)."""
    assert judged(answered(410, body)) == Rejected(
        "after-process-http-status-410",
        "The receiver answered 410 Gone, so the webhook was disabled; enable it when the address works again.",
        disable=True,
    )


def test_500_with_a_body_stops() -> None:
    """A 500 that says something is not tried again."""
    assert judged(answered(500, "boom")) == Rejected("after-process-http-status-500", "The receiver answered 500.")


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (answered(500, ""), "The receiver answered 500."),
        (answered(404, "no"), "The receiver answered 404."),
        (answered(301, "moved"), "The receiver answered 301."),
        (answered(503, ""), "The receiver answered 503."),
        (Failed("timeout", "No answer within 20 s."), "No answer within 20 s."),
        (Failed("dns", "The host name is unknown."), "The host name is unknown."),
    ],
)
def test_other_failures_are_tried_again(end: Answered | Failed, why: str) -> None:
    """Every other status, an empty 500, and network errors (decision 13) go to the schedule."""
    assert judged(end) == Retry("going-to-retry-1", 100, why)


def test_a_refused_address_ends_the_delivery() -> None:
    """What the guard refused is not tried again, however patient the hook (decision 47)."""
    assert judged(Refused("The address is not allowed.")) == Rejected("after-http-call", "The address is not allowed.")


@pytest.mark.parametrize(
    ("retry_delay", "waits"),
    [
        ("powers-of-ten", [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000]),
        ("powers-of-two", [2_000, 4_000, 8_000, 16_000, 32_000, 64_000]),
        ("increments-of-two", [2_000, 4_000, 6_000, 8_000, 10_000, 12_000]),
    ],
)
def test_a_schedule_waits_as_the_contract_says(retry_delay: str, waits: list[int]) -> None:
    """The six waits of each schedule, then too many retries."""
    hook = outgoing(retry_failed_calls=True, retry_count=6, retry_delay=retry_delay)
    outcomes = [judged(answered(404), hook=hook, tries=tries) for tries in range(7)]
    why = "The receiver answered 404."
    assert outcomes == [
        *(Retry(f"going-to-retry-{number}", wait, why) for number, wait in enumerate(waits, 1)),
        Rejected("too-many-retries", why),
    ]


@pytest.mark.parametrize(
    ("hook", "step"),
    [
        (outgoing(), "failed-and-not-configured-to-retry"),
        (outgoing(retry_count=6, retry_delay="powers-of-ten"), "failed-and-not-configured-to-retry"),
        (
            outgoing(retry_failed_calls=True, retry_count=4, retry_delay="weekly"),
            "failed-and-retry-delay-is-invalid",
        ),
        (outgoing(retry_failed_calls=True, retry_count=4), "failed-and-retry-delay-is-invalid"),
    ],
)
def test_a_hook_without_a_usable_schedule_gives_up(hook: OutgoingHook, step: str) -> None:
    """No retries wanted, or a delay that is none of the three: the failure is final."""
    assert judged(answered(404), hook=hook) == Rejected(step, "The receiver answered 404.")


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "wait"),
    [
        ("120", 120_000),
        ("1.5", 1_500),
        ("86400", 86_400_000),
        ("Mon, 02 Mar 2026 09:16:07 GMT", 119_261),
        ("Mon, 02 Mar 2026 10:16:07 +0100", 119_261),
        ("Monday, 02-Mar-26 09:16:07 GMT", 119_261),
        ("0", 100),
        ("0.01", 100),
        ("86401", 100),
        ("999999999", 100),
        ("-5", 100),
        ("NaN", 100),
        ("inf", 100),
        ("1e3", 100),
        ("٦٠", 100),
        ("", 100),
        ("soon", 100),
        ("9" * 10_240, 100),
        ("Mon, 02 Mar 2026 09:00:00 GMT", 100),
        ("Wed, 04 Mar 2026 09:16:07 GMT", 100),
        ("Fri, 31 Dec 9999 23:59:59 -2359", 100),
        ("Mon, 02 Mar 2026 99:99:99 GMT", 100),
    ],
)
def test_retry_after_moves_a_retry_within_a_day(status: int, retry_after: str, wait: int) -> None:
    """A receiver may ask for more time, up to 24 h; hostile and past values change nothing."""
    outcome = judged(answered(status, "busy", retry_after=retry_after))
    assert outcome == Retry("going-to-retry-1", wait, f"The receiver answered {status}.")


def test_retry_after_never_hurries() -> None:
    """A shorter wait than the schedule's is not honoured."""
    outcome = judged(answered(503, retry_after="1"), tries=4)
    assert outcome == Retry("going-to-retry-5", 1_000_000, "The receiver answered 503.")


@pytest.mark.parametrize("status", [404, 500, 502])
def test_retry_after_counts_only_when_overloaded(status: int) -> None:
    """Only 429 and 503 may ask for time."""
    outcome = judged(answered(status, retry_after="120"))
    assert outcome == Retry("going-to-retry-1", 100, f"The receiver answered {status}.")


@given(st.text())
def test_any_retry_after_is_survived(value: str) -> None:
    """Whatever the header says, the wait is between nothing and a day."""
    assert 0 <= requested_wait_ms(value, NOON) <= DAY_MS


@given(st.binary(max_size=200), st.integers(100, 599), st.integers(0, 10))
def test_any_answer_is_judged(body: bytes, status: int, tries: int) -> None:
    """No status and no body is without an outcome, and every 2xx is delivered."""
    outcome = judged(answered(status, body), tries=tries)
    assert isinstance(outcome, Delivered) == (200 <= status < 300)
