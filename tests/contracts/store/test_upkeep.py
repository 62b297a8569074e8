"""Retention, backup, re-encryption and noticing other processes, while the store is in use."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from storage.clock import Millis
from storage.errors import VaultError
from storage.ids import GENERAL, EventSeq, IntegrationId, MessageId, timed_id
from storage.ports import Store
from storage.records.audit import AuditFilter
from storage.records.changes import Changes, Fact
from storage.records.delivery import DeliveryState
from storage.records.user import Token, TokenKind
from tests.clock import ManualClock
from tests.contracts.store.engine import KEY, OTHER_KEY, SqliteEngine
from tests.contracts.store.test_audit import row as audit_row
from tests.contracts.store.test_connected import workspace
from tests.contracts.store.test_pending import proposal
from tests.contracts.store.units import attempt, claim, dedup, event, fact, queue_up, request, settle
from tests.records import ANN, NOON, ORG, incoming, message, outgoing

DAY_MS = 24 * 3600 * 1000


async def purge_all(store: Store, now: int) -> int:
    """Purge slice by slice until nothing goes; returns how much went in all."""
    gone = 0
    while slice_ := await store.purge(Millis(now)):
        gone += slice_
    return gone


@pytest.mark.parametrize(
    ("what", "days"),
    [
        ("request", 30),
        ("attempt", 30),
        ("dedup", 8),
        ("event", 7),
        ("delivered", 30),
        ("dead", 90),
        ("session", 1),
        ("audit", 365),
        ("pending", 1),
    ],
)
async def test_everything_goes_at_its_age(store: Store, clock: ManualClock, what: str, days: int) -> None:
    """Each kind of row is there until its age and gone after (decision 33)."""
    await store.commit(Changes(new_hooks=(incoming(), outgoing()), facts=(fact(),)))
    kept = await store.last_event()
    session = Token(
        hash=b"s" * 16, user_id=ANN, kind=TokenKind.SESSION, name=None, last_part="", created_at=NOON,
        expires_at=Millis(NOON + DAY_MS),
    )  # fmt: skip
    asked = proposal(expires_at=NOON)
    await store.commit(
        Changes(request=request(), dedup=dedup(), new_tokens=(session,), audit=(audit_row(0),), pending_put=(asked,))
    )
    await queue_up(store, outgoing(), ["a", "b"])
    if what in ("delivered", "dead"):
        for leased in (await claim(store, NOON)).leases:
            await settle(store, leased, NOON, state=DeliveryState(what), tried=False)
    if what == "attempt":
        (leased, _) = (await claim(store, NOON)).leases
        await settle(store, leased, NOON)

    async def there() -> bool:
        match what:
            case "request":
                return bool(await store.requests(incoming().id))
            case "attempt":
                return (await store.attempts([outgoing().id]))[1] > 0
            case "dedup":
                return (await store.commit(Changes(dedup=dedup(at=NOON + days * DAY_MS)))).duplicate
            case "event":
                return await store.event(kept) is not None
            case "audit":
                return (await store.audit_rows(AuditFilter(org_id=ORG)))[1] > 0
            case "pending":
                return await store.pending_end(asked.kind, asked.key) is not None
            case "session":
                return bool(await store.tokens_of(ANN))
            case _:
                # the last delivery stays, so that no number is given twice
                return (await store.deliveries(state=DeliveryState(what)))[1] == 2

    await purge_all(store, NOON + days * DAY_MS)
    assert await there()
    await purge_all(store, NOON + days * DAY_MS + 1)
    assert not await there()


async def test_an_old_request_goes_however_many_busy_hooks_there_are(store: Store) -> None:
    """Requests that took the places of older ones do not stand between the purge and an old one (decision 33)."""
    quiet, later = incoming(id=IntegrationId("65e2f0b72dd9f928ada3e440")), Millis(NOON + 31 * DAY_MS)
    busy = [incoming(id=IntegrationId(f"{number:024x}")) for number in range(3)]
    await store.commit(Changes(new_hooks=(*busy, quiet)))

    async def receive(at: Millis) -> None:
        requests = [request(id=timed_id(at), integration_id=hook.id, at=at) for hook in busy for _ in range(200)]
        await asyncio.gather(*[store.commit(Changes(request=one)) for one in requests])

    await receive(NOON)
    await store.commit(Changes(request=request(id=timed_id(NOON), integration_id=quiet.id)))
    await receive(later)
    await purge_all(store, later)
    assert await store.requests(quiet.id) == []
    assert [await store.requests_count(hook.id) for hook in busy] == [200] * 3


async def test_a_purge_goes_in_slices_and_ends(store: Store) -> None:
    """One call removes a bounded number of rows; calling until nothing goes removes all that is old."""
    await store.commit(Changes(facts=tuple(fact() for _ in range(1200))))
    later = NOON + 8 * DAY_MS
    assert 0 < await store.purge(Millis(later)) <= 1000
    await purge_all(store, later)
    assert [one.seq for one in await store.events_after(EventSeq(0))] == [1200]


async def test_what_a_removed_hook_left_is_swept(store: Store, clock: ManualClock) -> None:
    """Attempts of a removed hook are out of sight at once and go with the next purge."""
    await store.commit(Changes(new_hooks=(incoming(), outgoing())))
    await queue_up(store, outgoing(), "a")
    (leased,) = (await claim(store, clock.steady())).leases
    await settle(store, leased, clock.steady())
    ((written,), _) = await store.attempts([outgoing().id])
    await store.commit(Changes(drop_hooks=(outgoing().id, incoming().id)))
    assert await store.attempt(written.id) is None
    assert await purge_all(store, clock.now()) == 1
    assert await purge_all(store, clock.now()) == 0


async def test_numbers_go_on_after_a_purge(
    store: Store, reopen: Callable[[], Awaitable[Store]], clock: ManualClock
) -> None:
    """Neither events nor deliveries ever get a number again, also when everything old is gone (resumable streams)."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "abc")
    leases = (await claim(store, clock.steady())).leases
    for leased in leases:
        await settle(store, leased, clock.steady())
    last = await store.last_event()
    for _ in range(3):
        await purge_all(store, NOON + 100 * DAY_MS)
    store = await reopen()
    assert await store.last_event() == last
    await queue_up(store, outgoing(), "d")
    (fresh,) = (await claim(store, clock.steady())).leases
    assert fresh.event.seq == last + 1
    assert fresh.delivery.id > max(one.delivery.id for one in leases)


async def test_events_of_waiting_deliveries_stay(store: Store, clock: ManualClock) -> None:
    """An old event stays while a delivery still needs it; others of its age go."""
    await store.commit(Changes(new_hooks=(outgoing(),), facts=(fact(body={"text": "old"}),)))
    await queue_up(store, outgoing(), ["needed"])
    await store.commit(Changes(facts=(fact(body={"text": "last"}),)))
    await purge_all(store, NOON + 60 * DAY_MS)
    assert [one.body["text"] for one in await store.events_after(EventSeq(0))] == ["needed", "last"]
    assert [one.event.body["text"] for one in (await claim(store, clock.steady())).leases] == ["needed"]


async def test_needed_events_do_not_hide_what_can_go(store: Store) -> None:
    """However many old events are still needed, those behind them go with the same purge."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), ["needed"] * 1100)
    await store.commit(Changes(facts=tuple(fact(body={"text": "old"}) for _ in range(20))))
    await store.commit(Changes(facts=(fact(at=NOON + 8 * DAY_MS, body={"text": "fresh"}),)))
    assert await store.purge(Millis(NOON + 8 * DAY_MS)) == 20
    left = await store.events_after(EventSeq(0), limit=2000)
    assert [one.body["text"] for one in left] == ["needed"] * 1100 + ["fresh"]


async def test_a_backup_made_while_writing_is_whole(store: Store, engine: SqliteEngine, tmp_path: Path) -> None:
    """A copy taken under load holds everything acknowledged before it, opens and passes the check."""
    for number in range(30):
        body = request(body=bytes(20_000))
        await store.commit(
            Changes(
                new_hooks=(incoming(),) if number == 0 else (), request=body,
                new_messages=(message(id=MessageId(f"before{number}")),), facts=(fact(),),
            )
        )  # fmt: skip
    target = tmp_path / "copies" / "copy.db"
    target.parent.mkdir()
    seen: list[tuple[int, int]] = []
    backup = asyncio.ensure_future(store.backup(target, lambda done, pages: seen.append((done, pages))))
    for number in range(100):
        await store.commit(Changes(new_messages=(message(id=MessageId(f"during{number}")),), facts=(fact(),)))
    await backup
    assert seen[-1][0] == seen[-1][1] > 0
    assert [file.name for file in target.parent.iterdir()] == ["copy.db"]
    copy = SqliteEngine(target, engine.clock).open()
    try:
        assert await copy.check() == []
        assert await copy.message(MessageId("before29")) == message(id=MessageId("before29"))
        assert await copy.hook(incoming().id) == incoming()
        _, total = await copy.messages(GENERAL)
        assert 30 <= total <= 130
        await copy.commit(Changes(new_messages=(message(id=MessageId("after")),)))
    finally:
        await copy.close()


async def test_a_sound_store_has_no_faults(store: Store) -> None:
    """The check of a store in use finds nothing."""
    await store.commit(Changes(new_hooks=(incoming(),), request=request(body=bytes(100_000))))
    assert await store.check() == []


async def test_resealing_makes_the_old_key_useless(store: Store, engine: SqliteEngine) -> None:
    """After rotation the new key alone opens everything and the old one nothing; lookups do not change (8, 30)."""
    await store.commit(Changes(new_hooks=(incoming(secret="shh"), outgoing()), request=request(body=b"kept")))
    await store.commit(Changes(put_hooks=(outgoing(version=2, token="new"),)))
    await store.commit(Changes(new_workspaces=(workspace(),), pending_put=(proposal(),)))
    answered, silent = attempt(delivery_id=None, response="kept"), attempt(delivery_id=None)
    await store.commit(Changes(facts=(Fact(event=event(), stopped=(silent, answered)),)))
    for _ in range(250):
        await store.commit(Changes(request=request()))
    looked_up = store.lookup("x")
    await store.close()
    both = SqliteEngine(engine.path, engine.clock, keys=(OTHER_KEY, KEY)).open()
    seen: list[tuple[int, int]] = []
    changed = (await both.reseal(lambda done, total: seen.append((done, total)))).changed
    assert changed == 2 + 2 + 200 + 1 + 1 + 2
    assert seen[-1] == (changed + 1, changed + 1)  # the attempt without an answer has nothing to seal
    assert (await both.reseal()).changed == 0
    await both.close()
    new = SqliteEngine(engine.path, engine.clock, keys=(OTHER_KEY,)).open()
    try:
        assert await new.hook(incoming().id) == incoming(secret="shh")
        assert await new.hook_version(outgoing().id, 1) == outgoing()
        assert len(await new.requests(incoming().id, count=1000)) == 200
        assert {one.response for one in (await new.attempts([outgoing().id]))[0]} == {None, "kept"}
        assert new.lookup("x") == looked_up
        assert await new.workspaces(ORG) == [workspace()]
        assert await new.pending(proposal().kind, proposal().key) == proposal()
    finally:
        await new.close()
    with pytest.raises(VaultError, match="PATCHBAY_ENCRYPTION_KEY"):
        engine.open()


async def test_writes_of_another_process_are_noticed_once(store: Store, engine: SqliteEngine) -> None:
    """A commit from elsewhere is reported once; own commits never are (decision 28)."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    assert not await store.changed_elsewhere()
    beside = engine.open(serving=False)
    try:
        assert not await beside.changed_elsewhere()
        await beside.commit(Changes(new_hooks=(incoming(),)))
        assert not await beside.changed_elsewhere()
        await store.commit(Changes(new_messages=(message(),)))
        assert await store.changed_elsewhere()
        assert not await store.changed_elsewhere()
    finally:
        await beside.close()
    assert await store.hook(incoming().id) == incoming()


async def test_nothing_is_queued_on_old_knowledge(store: Store, engine: SqliteEngine, clock: ManualClock) -> None:
    """A hook removed or changed by another process takes effect with the very next commit and claim."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), "a")
    (leased,) = (await claim(store, clock.steady())).leases
    beside = engine.open(serving=False)
    await beside.commit(Changes(put_hooks=(replace(outgoing(), name="new", version=2),)))
    await queue_up(store, outgoing(), "b")
    assert [one.hook.name for one in (await claim(store, clock.steady())).leases] == ["new"]
    await beside.commit(Changes(drop_hooks=(outgoing().id,)))
    await beside.close()
    assert (await settle(store, leased, clock.steady())).fenced
    await queue_up(store, outgoing(), "c")
    assert (await store.deliveries(state=DeliveryState.QUEUED))[1] == 0
