"""A second yes that overtakes nothing: it was read before the first took effect, and judged after (decision 65)."""

from collections.abc import Awaitable, Callable

import pytest

from handlers.command import Answer
from storage.ids import UserId
from storage.records.pending import Pending, PendingKind
from tests.command_stage import InMemory, Memory, code_of
from tests.unit.test_confirmation import LAMP, stage, typed


class Between(Memory):
    """Lets something happen between the first look at what waits and whatever follows it."""

    then: Callable[[], Awaitable[Answer]] | None = None

    async def pending(self, kind: PendingKind, key: str) -> Pending | None:
        return await self._after(await super().pending(kind, key))

    async def pending_of(self, kind: PendingKind, user_id: UserId, place: str) -> Pending | None:
        return await self._after(await super().pending_of(kind, user_id, place))

    async def _after(self, found: Pending | None) -> Pending | None:
        then, self.then = self.then, None
        if then is not None:
            await then()
        return found


@pytest.fixture
async def between() -> tuple[InMemory, Between]:
    """A lamp that is on, and what can come between."""
    LAMP.on, LAMP.version, LAMP.changes = True, 7, 0
    on, memory = stage(), Between()
    on.memory = memory
    return on, memory


async def test_the_second_press_is_not_asked_again(between: tuple[InMemory, Between]) -> None:
    """The change it sees is the one it wanted, so it is told that it is done, and no new question waits."""
    on, memory = between
    code = code_of(await typed(on, "lamp off Big"))
    memory.then = lambda: typed(on, f"confirm {code}")
    second = await typed(on, f"confirm {code}")
    assert (second.code, LAMP.changes) == ("expired", 1)
    assert "it is done once" in second.text


async def test_the_second_undo_is_told_so(between: tuple[InMemory, Between]) -> None:
    """It is no conflict: nobody else changed the thing."""
    on, memory = between
    await typed(on, "lamp off Big -y")
    memory.then = lambda: typed(on, "undo")
    second = await typed(on, "undo")
    assert (second.code, LAMP.changes) == ("expired", 2)
    assert "a moment ago" in second.text
