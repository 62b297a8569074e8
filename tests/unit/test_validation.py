"""Check every branch of the classic validator on the project's own cases (rocketchat.md 1.2 and 4.1-4.6)."""

import json
from pathlib import Path
from typing import TypedDict, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.rocketchat.schemas import SCHEMAS
from handlers.rocketchat.validation import Branch, Field, parse_number, validate

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "validator_cases.jsonl"


class Case(TypedDict):
    """One body with its verdict: the messages before ` [invalid-params]`, none when the schema accepts."""

    rule: str
    endpoint: str
    body: object
    messages: list[str]


CASES = [cast(Case, json.loads(line)) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
known_keys = sorted({field.name for schema in SCHEMAS.values() for branch in schema for field in branch.fields})
bodies = json_values | st.dictionaries(st.sampled_from(known_keys), json_values)


@pytest.mark.parametrize("case", [pytest.param(case, id=f"{case['endpoint']}: {case['rule']}") for case in CASES])
def test_verdict(case: Case) -> None:
    """A body gets exactly the messages its rule names, joined and marked as on the wire."""
    expected = "\n ".join(case["messages"]) + " [invalid-params]" if case["messages"] else None
    assert validate(SCHEMAS[case["endpoint"]], case["body"]) == expected


def test_every_call_has_cases() -> None:
    """Each schema is both accepted and refused by a case of the project's own (decision 71)."""
    seen = {(case["endpoint"], not case["messages"]) for case in CASES}
    assert seen == {(endpoint, accepted) for endpoint in SCHEMAS for accepted in (True, False)}


@pytest.mark.parametrize("endpoint", sorted(SCHEMAS))
@given(body=bodies)
def test_any_json_gets_a_verdict(endpoint: str, body: object) -> None:
    """Whatever JSON arrives, the answer is a verdict and never an exception."""
    error = validate(SCHEMAS[endpoint], body)
    assert error is None or error.endswith(" [invalid-params]")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("50", 50),
        (" 7 ", 7),
        ("-3", -3),
        ("+3", 3),
        ("2.5", 2.5),
        ("2.", 2),
        (".5", 0.5),
        ("1e2", 100),
        ("1E+2", 100),
        ("", None),
        (" ", None),
        ("ten", None),
        ("10x", None),
        ("1 0", None),
        ("1e", None),
        (".", None),
        ("NaN", None),
        ("Infinity", None),
        ("1e999", None),
        ("1_000", None),
        ("٣", None),
    ],
)
def test_numeric_text(text: str, number: float | None) -> None:
    """Only a finite decimal number counts as numeric."""
    assert parse_number(text) == number


def test_nothing_after_the_second_accepting_branch_is_told() -> None:
    """Only what refuses before the second accepting branch is named (no shipped schema can show it)."""
    a, b, c, d = (Branch((Field(name),), required=(name,), closed=False) for name in "abcd")
    error = validate((a, b, c, d), {"a": "", "c": ""})
    assert error == "must have required property 'b'\n must match exactly one schema in oneOf [invalid-params]"


def test_numbers_beyond_floats_are_numbers() -> None:
    """An integer too long for a float is still a number, an infinite one is not."""
    body = {
        "type": "webhook-outgoing",
        "username": "ann",
        "channel": "#ops",
        "event": "sendMessage",
        "scriptEnabled": False,
        "name": "n",
        "enabled": True,
    }
    create = SCHEMAS["integrations.create"]
    assert validate(create, {**body, "retryCount": 10**400}) is None
    assert "must be number" in (validate(create, {**body, "retryCount": float("inf")}) or "")
