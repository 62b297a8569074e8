"""Bodies become values or faults with a text, however hostile they are, and quickly."""

import json
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.bodies import FORM_TYPE, BodyFault, parse_body, parse_json, unwrap_hook_payload, unwrap_payload
from tests.hostile_bodies import CASES, Case, build

PURE = [case for case in CASES if "live" not in case]


@pytest.mark.parametrize("case", PURE, ids=[case["name"] for case in PURE])
def test_every_described_body(case: Case) -> None:
    """Each body of the table gives its value, or its status and text."""
    result = parse_body(case["type"], build(case))
    if case["status"] == 200:
        assert not isinstance(result, BodyFault), result
        assert case["value"] == "any" or result == case["value"]
    else:
        assert isinstance(result, BodyFault)
        assert result.status == case["status"]
        assert case["text"] in result.text
        assert len(result.text) < 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=200,
)


@settings(deadline=None)  # a busy machine is no failure
@given(JSON, st.booleans())
def test_whatever_the_standard_library_writes_reads_back(value: object, escaped: bool) -> None:
    """The checks in front of the parser refuse no valid document that is not too deep."""
    assert parse_json(json.dumps(value, ensure_ascii=escaped)) == value


@settings(deadline=None)
@given(st.text(alphabet='[]{}"\\,:1', max_size=300), st.integers(1, 40))
def test_the_checks_agree_with_the_standard_library(soup: str, times: int) -> None:
    """Soup of JSON's own signs is accepted exactly when the standard library accepts it, but for depth."""
    text = soup * times
    result = parse_json(text)
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        assert isinstance(result, BodyFault)
    else:
        assert result == expected or (isinstance(result, BodyFault) and "nested deeper" in result.text)


DIGITS = st.text("0123456789", min_size=1, max_size=420)
NUMBERS = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "-"]),
    DIGITS.map(lambda digits: digits.lstrip("0") or "0"),
    st.sampled_from(["", ".5", ".0", f".{'3' * 120}"]),
    st.sampled_from(["", "e5", "E+30", "e-30", "e299", "e308", "E-308", "e0400", "e-999"]),
)


@settings(deadline=None, max_examples=500)
@given(NUMBERS, st.sampled_from(["[{}, 1]", '{{"1e999": {}}}', '["1e999\\"", {}]']))
def test_numbers_are_exact_or_refused(number: str, around: str) -> None:
    """An integer of any size is that integer; what would be infinite is refused, wherever it stands."""
    text = around.format(number)
    expected = json.loads(text)
    finite = json.loads(number) not in (float("inf"), float("-inf"))
    result = parse_json(text)
    assert repr(result) == repr(expected) if finite else isinstance(result, BodyFault) and "finite" in result.text


@pytest.mark.flaky(reruns=3)  # a measurement: a busy machine may spoil one
@pytest.mark.parametrize("case", [case for case in PURE if sum(n * len(u) for u, n in case["body"]) > 500_000])
def test_a_full_size_body_holds_the_loop_for_a_moment_only(case: Case) -> None:
    """A body of the allowed size costs at most 50 ms at its best of five, so one sender cannot stall the others.

    The best of five, times two for a busy machine: this catches what is quadratic, not a slow afternoon.
    """
    body = build(case)
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        parse_body(case["type"], body)
        best = min(best, time.perf_counter() - started)
    assert best < 0.1


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"payload": '{"text":"hi"}'}, {"text": "hi"}),
        ({"payload": '{"text":"hi"}', "other": 1}, {"text": "hi"}),
        ({"payload": '{"payload":"[1]"}'}, {"payload": "[1]"}),  # once only
        ({"payload": "5"}, 5),
        ({"text": "hi"}, {"text": "hi"}),
        (["payload"], ["payload"]),
        (None, None),
    ],
)
def test_payload_is_unwrapped_once(value: object, expected: object) -> None:
    """An object with a `payload` is replaced by what that holds; all else stays."""
    assert unwrap_payload(value) == expected


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ("", 'The field "payload" is not valid JSON'),
        ("{", 'The field "payload" is not valid JSON'),
        ("[" * 65 + "]" * 65, 'The field "payload" is nested deeper than 64 levels'),
        ("[1e999]", 'The field "payload" holds a number that is not finite'),
        ('"\ud800"', 'The field "payload" holds half a surrogate pair'),
        ({"text": "hi"}, 'The field "payload" must be JSON text'),
        (None, 'The field "payload" must be JSON text'),
        (["{}", "{}"], 'The field "payload" must be JSON text'),
    ],
)
def test_a_payload_that_is_not_json_text_is_refused(payload: object, text: str) -> None:
    """What the payload holds meets the same rules as a body, and the text names the field."""
    fault = unwrap_payload({"payload": payload})
    assert isinstance(fault, BodyFault)
    assert fault.status == 400
    assert fault.text.startswith(text)


@pytest.mark.parametrize(
    ("content_type", "value", "expected"),
    [
        (FORM_TYPE, {"payload": "[1]"}, [1]),
        (FORM_TYPE, {"payload": "[1]", "text": "x"}, {"payload": "[1]", "text": "x"}),
        (FORM_TYPE + "; charset=utf-8", {"payload": "[1]"}, {"payload": "[1]"}),
        ("application/json", {"payload": "[1]"}, {"payload": "[1]"}),
        (None, {"payload": "[1]"}, {"payload": "[1]"}),
        (FORM_TYPE, None, None),
    ],
)
def test_hooks_unwrap_only_a_lone_payload_of_exactly_the_form_type(
    content_type: str | None, value: object, expected: object
) -> None:
    """An incoming hook is stricter than the API about when `payload` stands for the body."""
    assert unwrap_hook_payload(content_type, value) == expected
