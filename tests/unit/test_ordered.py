"""Hooks kept in order over changes: what `sorted` gives, whatever changed and however much."""

from dataclasses import replace
from random import Random

import pytest

from bot.workspace.ordered import FEW, Ordered
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.integration import Hook
from tests.records import NOON, incoming


def by_change(hook: Hook) -> tuple[int, str]:
    return -hook.updated_at, hook.name


def made(random: Random, number: int) -> Hook:
    """Build a hook whose name and last change other hooks may have, too."""
    at = Millis(NOON + random.randrange(20))
    return incoming(id=IntegrationId(f"{number:024x}"), name=f"ci {random.randrange(9)}", updated_at=at)


@pytest.mark.parametrize("most", [0, 1, 5, 3 * FEW])
def test_the_order_is_that_of_sorting_anew(most: int) -> None:
    """After hooks were changed, made and removed, each stands once where its key says."""
    random, order = Random(most), Ordered(by_change)
    hooks = [made(random, number) for number in range(2 * FEW)]
    for turn in range(1, 9):
        found = order.of(hooks)
        assert [by_change(hook) for hook in found] == sorted(map(by_change, hooks))
        assert sorted(hook.id for hook in found) == sorted(hook.id for hook in hooks)
        assert {hook.id: hook for hook in found} == {hook.id: hook for hook in hooks}
        for place in random.sample(range(len(hooks)), min(most, len(hooks))):
            hooks[place] = replace(hooks[place], name=f"cd {turn}", updated_at=Millis(NOON + turn))
        hooks = [hook for hook in hooks if random.random() > most / 1000]
        hooks += [made(random, 1000 * turn + number) for number in range(most)]


def test_the_list_given_before_stays_as_it_was() -> None:
    """Who still holds an older list does not see it change."""
    order, first = Ordered(by_change), incoming()
    old = order.of([first])
    assert order.of([first, incoming(id=IntegrationId("f" * 24))]) is not old
    assert old == [first]
