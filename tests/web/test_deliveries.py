"""Who may see deliveries and queue dead letters again, and what is shown of them (delivery.md §6)."""

from pathlib import Path

import pytest

from bot.workspace.deliveries import Deliveries
from handlers.deliveries import Shown, read_id, written_id
from handlers.errors import Fault
from storage.ids import DeliveryId, UserId
from storage.records.delivery import DeliveryState
from storage.records.event import EventKind
from storage.records.user import Role, User
from tests.clock import ManualClock
from tests.delivering import HOOK, OWNER, Bench, answering, delivering, receiving, retrying
from tests.records import user

EDITOR = user(id=UserId("ed"), username="ed", role=Role.EDITOR)
ADMIN = user(id=UserId("adam"), username="adam", role=Role.ADMIN)
MAKER = user(role=Role.EDITOR)
"""An editor who made the hook."""
VIEWER = user(id=UserId("vic"), username="vic", role=Role.VIEWER)


async def letters(bench: Bench, count: int) -> list[DeliveryId]:
    """Let deliveries die; return them oldest first."""
    for number in range(count):
        await bench.say(f"number {number}")
    return [one.id for one in await bench.ended(DeliveryState.DEAD, count)][::-1]


async def shown(deliveries: Deliveries, actor: User, **query: int) -> tuple[list[Shown], int]:
    page = await deliveries.page(actor, HOOK, **query)  # type: ignore[arg-type] # offset and count
    assert not isinstance(page, Fault)
    return page


async def test_attempts_stand_with_their_delivery(tmp_path: Path) -> None:
    """Each try of each delivery, oldest first, also those before it was queued again; a page counts them all."""
    clock = ManualClock()
    async with receiving(answering(500)) as place:
        hook = retrying(place.url, retry_failed_calls=False)
        async with delivering(tmp_path / "patchbay.db", clock, hook) as bench:
            deliveries = Deliveries(bench.store, bench.directory)
            ids = await letters(bench, 3)
            place.answer = answering(503)
            clock.advance(1000)
            assert await deliveries.retry(OWNER, ids[:1]) == 1
            await bench.attempts(4)
            await bench.ended(DeliveryState.DEAD, 3)
            found, total = await shown(deliveries, OWNER)
            assert ([each.delivery.id for each in found], total) == (ids[::-1], 3)
            assert [[one.status for one in each.attempts] for each in found] == [[500], [500], [500, 503]]
            assert [(each.url, each.event) for each in found] == [(place.url, EventKind.MESSAGE_POSTED)] * 3
            page, total = await shown(deliveries, OWNER, offset=1, count=1)
            assert ([each.delivery.id for each in page], total) == ([ids[1]], 3)
            assert await deliveries.dead_letters(OWNER, None) == ids


async def test_rights(tmp_path: Path) -> None:
    """Whoever may manage the hook may; to others it is not there, and all hooks at once need the full right."""
    async with receiving(answering(500)) as place:
        hook = retrying(place.url, retry_failed_calls=False)
        async with delivering(tmp_path / "patchbay.db", ManualClock(), hook) as bench:
            deliveries = Deliveries(bench.store, bench.directory)
            [one] = await letters(bench, 1)
            for actor in (OWNER, ADMIN, MAKER):
                assert (await shown(deliveries, actor))[1] == 1
                assert isinstance(await deliveries.dead_letter(actor, one), Shown)
            for actor in (EDITOR, VIEWER):
                assert await deliveries.page(actor, HOOK) == Fault(f"There is no hook {HOOK!r}.")
                assert isinstance(await deliveries.dead_letters(actor, HOOK), Fault)
                missing = Fault(f"There is no delivery {written_id(one)}.")
                assert await deliveries.dead_letter(actor, one) == missing
                assert await deliveries.retry(actor, [one]) == missing
            assert isinstance(await deliveries.page(MAKER, None), Fault)
            assert isinstance(await deliveries.dead_letters(MAKER, None), Fault)
            assert (await bench.store.counts()).dead == 1
            place.answer = answering(200)
            assert await deliveries.retry(MAKER, [one]) == 1
            await bench.ended(DeliveryState.DELIVERED)
            assert await deliveries.retry(OWNER, [one]) == 0


async def test_what_lost_its_address_stays(tmp_path: Path) -> None:
    """A letter whose address was removed is still shown, and not queued again."""
    async with receiving(answering(500)) as place:
        hook = retrying(place.url, retry_failed_calls=False)
        async with delivering(tmp_path / "patchbay.db", ManualClock(), hook) as bench:
            deliveries = Deliveries(bench.store, bench.directory)
            [one] = await letters(bench, 1)
            await bench.edit_hook(urls=("http://127.0.0.1:1/other",))
            [letter], _ = await shown(deliveries, OWNER)
            assert (letter.url, letter.delivery.state) == (None, DeliveryState.DEAD)
            assert await deliveries.retry(OWNER, [one]) == 0


@pytest.mark.parametrize("text", ["", "dlv_", "91", "dlv_9x", "dlv_-1", "dlv_٣", "dlv_" + "9" * 30, "DLV_1"])
def test_what_is_no_id(text: str) -> None:
    """Only an id as lists write it is one; everything else may be a hook's name."""
    assert read_id(text) is None


def test_an_id_reads_as_written() -> None:
    """What a list shows can be typed."""
    assert read_id(written_id(DeliveryId(91))) == 91
