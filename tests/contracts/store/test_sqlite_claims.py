"""What a claim costs the writing process: as few statements as there is work, whoever else waits."""

from contextlib import closing

from storage.clock import Clock, Millis
from storage.ids import IntegrationId, UserId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook
from storage.records.queue import Claimed
from storage.sqlite.connect import connect
from storage.sqlite.engine import Engine, Opening
from storage.sqlite.files import file_id
from storage.sqlite.lanes import IDLE, TURNS
from storage.sqlite.queue import ClaimOrder
from storage.vault import Vault
from tests.clock import ManualClock
from tests.contracts.store.engine import KEY, SqliteEngine, scopes
from tests.contracts.store.units import LEASE_MS, claim, queue_up, settle
from tests.records import outgoing

CREATORS = 30
MINUTE_MS = 60_000


def hook_of(number: int) -> OutgoingHook:
    return outgoing(id=IntegrationId(f"{number:024x}"), created_by=(UserId(f"u{number}"), f"u{number}"))


async def waiting(store: Store, clock: Clock) -> None:
    """Let one delivery of each creator wait for its next try."""
    for number in range(CREATORS):
        hook = hook_of(number)
        await store.commit(Changes(new_hooks=(hook,)))
        await queue_up(store, hook, ["a"])
    for leased in (await claim(store, clock.steady())).leases:
        at = clock.steady() + MINUTE_MS
        await settle(store, leased, clock.steady(), state=DeliveryState.QUEUED, retry_at=at, reason="500")


def counted(engine: SqliteEngine, *, now: int, limit: int) -> tuple[Claimed, list[str]]:
    """Claim on a connection of our own; return the answer and the statements it took."""
    statements: list[str] = []
    found = file_id(engine.path)
    assert found is not None
    with closing(connect(engine.path)) as connection:
        opening = Opening(
            path=engine.path,
            file=found,
            vault=Vault([KEY]),
            clock=engine.clock,
            scopes=scopes,
            serving=False,
            recovering=False,
        )
        writes = Engine(connection, opening)
        connection.set_trace_callback(statements.append)
        claimed = writes.claim(_order(now, limit))
        connection.set_trace_callback(None)
    return claimed, statements


def _order(now: int, limit: int) -> ClaimOrder:
    return ClaimOrder(now=Millis(now), limit=limit, busy={}, in_hand=(), lease_ms=LEASE_MS, lane_leases=16)


async def test_creators_whose_deliveries_wait_cost_no_statements(
    store: Store, engine: SqliteEngine, clock: ManualClock
) -> None:
    """One finds out that nothing is due, and when something is."""
    await waiting(store, clock)
    claimed, statements = counted(engine, now=clock.steady(), limit=100)
    assert claimed == Claimed(leases=(), next_at=Millis(clock.steady() + MINUTE_MS))
    assert len(statements) == 1, statements


async def test_each_creators_lanes_are_found_by_whether_they_are_silent(store: Store, engine: SqliteEngine) -> None:
    """With the first time of each kind, whatever number of lanes there is of it; held and idle ones are left out."""
    with closing(connect(engine.path)) as connection:
        connection.executemany(
            "INSERT INTO lane (integration_id, url_hash, creator, ordered, held, silent, next_at)"
            " VALUES (?, x'00', ?, 0, ?, ?, ?)",
            [
                (f"h{n}", f"u{n % 7}", n % 5 == 0, n % 7 in (1, 2) and n % 3 == 0, IDLE if n % 11 == 0 else 1_000 - n)
                for n in range(60)
            ]
            + [("h99", "u99", 0, 1, 5)],
        )
        kinds = connection.execute(
            "SELECT creator, silent, min(next_at) FROM lane WHERE held = 0 AND next_at < ? GROUP BY 1, 2 ORDER BY 1, 2",
            (IDLE,),
        ).fetchall()
        assert [tuple(row) for row in connection.execute(TURNS)] == [tuple(row) for row in kinds]
    assert 7 < len(kinds) < 16


async def test_a_claim_ends_when_it_has_what_it_asked_for(
    store: Store, engine: SqliteEngine, clock: ManualClock
) -> None:
    """Creators who are not reached are not asked for; the rest stays due."""
    await waiting(store, clock)
    now = clock.steady() + MINUTE_MS
    claimed, one = counted(engine, now=now, limit=1)
    assert (len(claimed.leases), claimed.next_at) == (1, now)
    assert sum(statement.startswith("\nSELECT id, integration_id") for statement in one) == 1
