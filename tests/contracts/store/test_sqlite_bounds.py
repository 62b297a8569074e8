"""What the writer commits, reads and answers at once is bounded in bytes, and nothing is lost at the bounds."""

import pytest

from storage.ids import EventSeq, IntegrationId, MessageId
from storage.ports import Store
from storage.records.changes import Changes
from storage.sqlite import queue, reads, sealed
from storage.sqlite.transactions import BATCH_BYTES, BATCH_ROWS, Job, batches
from storage.sqlite.weight import weigh
from tests.clock import ManualClock
from tests.contracts.store.engine import KEY, OTHER_KEY, SqliteEngine
from tests.contracts.store.units import claim, fact, queue_up, request, texts
from tests.records import incoming, message, outgoing


def job(weight: int) -> Job:
    return Job(len, ((),), weight=weight)


@pytest.mark.parametrize(
    ("weights", "sizes"),
    [
        ([100] * 600, [BATCH_ROWS, BATCH_ROWS, 600 - 2 * BATCH_ROWS]),
        ([BATCH_BYTES // 2] * 5, [2, 2, 1]),
        ([1, 3 * BATCH_BYTES, 1, 1], [1, 1, 2]),
        ([], []),
    ],
    ids=["by count", "by bytes", "a large one alone", "nothing"],
)
def test_a_commit_holds_a_bounded_number_of_bytes(weights: list[int], sizes: list[int]) -> None:
    """Jobs are committed in their order, as many as fit; 256 of a megabyte each are no one commit."""
    jobs = [job(weight) for weight in weights]
    found = list(batches(jobs))
    assert [len(batch) for batch in found] == sizes
    assert [one for batch in found for one in batch] == jobs


def test_a_unit_weighs_what_its_texts_do() -> None:
    """Texts count wherever they stand: in records, in lists, in what a client made up."""
    text = "x" * 10_000
    plain = weigh(Changes(new_messages=(message(text=""),)))
    for heavy in (
        Changes(new_messages=(message(text=text),)),
        Changes(new_messages=(message(text="", custom_fields={"a": [{"b": text}]}),)),
        Changes(new_messages=(message(text=""),), request=request(body=text.encode())),
        Changes(new_messages=(message(text=""),), put_hooks=(outgoing(trigger_words=(text,)),)),
    ):
        assert 10_000 <= weigh(heavy) - plain < 12_000


async def test_a_claim_answers_with_a_bounded_number_of_bytes(
    store: Store, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large events come in several claims, in their order and each once; one that is larger than all comes alone."""
    monkeypatch.setattr(queue, "CLAIM_BYTES", 3_000)
    ordered = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"), name="other", urls=("https://other.test/",))
    await store.commit(Changes(new_hooks=(outgoing(), ordered)))
    wanted = [f"{number} {'x' * 1_200}" for number in range(5)]
    await queue_up(store, outgoing(), wanted)
    await queue_up(store, ordered, ["y" * 9_000])
    found: list[object] = []
    claims = 0
    while leases := (await claim(store, clock.steady())).leases:
        assert len(leases) <= 3
        found += texts(leases)
        claims += 1
    assert claims >= 2
    assert [text for text in found if text in wanted] == wanted
    assert len(found) == 6


async def test_a_page_of_events_holds_a_bounded_number_of_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads on finds every event, a few at a time."""
    monkeypatch.setattr(reads, "EVENTS_BYTES", 3_000)
    for number in range(7):
        await store.commit(Changes(facts=(fact(body={"text": f"{number}{'x' * 1_200}"}),)))
    await store.commit(Changes(facts=(fact(body={"text": "y" * 9_000}),)))
    pages, seen = 0, list[EventSeq]()
    while page := await store.events_after(seen[-1] if seen else EventSeq(0)):
        assert len(page) <= 3
        seen += [event.seq for event in page]
        pages += 1
    assert (seen, pages >= 3) == (list(range(1, 9)), True)


async def test_a_slice_that_is_sealed_again_holds_a_bounded_number_of_bytes(
    store: Store, engine: SqliteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large bodies of kept requests are sealed again in several transactions, all of them."""
    monkeypatch.setattr(sealed, "RESEAL_BYTES", 30_000)
    await store.commit(Changes(new_hooks=(incoming(),)))
    for number in range(12):
        await store.commit(Changes(request=request(id=f"r{number}", body=b"x" * 10_000)))
    await store.close()
    both = SqliteEngine(engine.path, engine.clock, keys=(OTHER_KEY, KEY)).open()
    looked: list[int] = []
    assert (await both.reseal(lambda done, _: looked.append(done))).changed >= 12
    assert len(looked) > 5
    assert (await both.reseal()).changed == 0
    await both.close()
    alone = SqliteEngine(engine.path, engine.clock, keys=(OTHER_KEY,)).open()
    assert len(await alone.requests(incoming().id)) == 12
    assert await alone.message(MessageId("none")) is None
    await alone.close()
