"""Identifiers have the contract's shapes, and message ids sort by time."""

import re
from collections.abc import Callable

import pytest

from storage.clock import Millis
from storage.ids import ALPHABET, auth_token, hook_token, integration_id, random_text, timed_id
from tests.records import NOON


def test_the_alphabet_sorts_and_has_no_look_alikes() -> None:
    """The contract's alphabet ascends, so that numbers written in it sort as text."""
    assert list(ALPHABET) == sorted(set(ALPHABET))
    assert set(ALPHABET).isdisjoint("01IOUVl")


@pytest.mark.parametrize(
    ("made", "shape"),
    [
        (integration_id, r"[0-9a-f]{24}"),
        (hook_token, f"[{ALPHABET}]{{48}}"),
        (auth_token, f"[{ALPHABET}]{{43}}"),
        (lambda: timed_id(NOON), f"[{ALPHABET}]{{17}}"),
        (lambda: random_text(9), f"[{ALPHABET}]{{9}}"),
    ],
    ids=["integration", "hook token", "auth token", "message", "text"],
)
def test_ids_have_their_shape_and_differ(made: Callable[[], str], shape: str) -> None:
    """Every maker gives the length and letters of the contract, and no value twice."""
    values = [made() for _ in range(1000)]
    assert all(re.fullmatch(shape, value) for value in values)
    assert len(set(values)) == 1000


def test_later_ids_sort_after_earlier_ones() -> None:
    """Ids of later milliseconds are greater as text, over carries and for centuries."""
    moments = [0, 1, 54, 55, 56, 55**4 - 1, 55**4, NOON, NOON + 1, NOON + 10**10, 55**8 - 1]
    made = [timed_id(Millis(moment)) for moment in moments]
    assert made == sorted(made)
    assert {len(one) for one in made} == {17}
