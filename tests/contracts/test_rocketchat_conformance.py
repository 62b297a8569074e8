"""Check the classic verdict of every line of the shared conformance file (rocketchat.md 13)."""

from typing import cast

import pytest

from handlers.rocketchat.schemas import SCHEMAS
from handlers.rocketchat.validation import INVALID_PARAMS, validate
from tests.shared import lines, shared

CASES = lines(shared("rocketchat-conformance.jsonl"))


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{number}-{case['endpoint']}") for number, case in enumerate(CASES, 1)]
)
def test_classic_verdict(case: dict[str, object]) -> None:
    """The schema stage accepts and refuses as the original does, text for text."""
    error = validate(SCHEMAS[cast(str, case["endpoint"])], case["body"])
    verdict = (error is None, error, None if error is None else INVALID_PARAMS)
    assert verdict == (case["ok"], case["error"], case["errorType"])
