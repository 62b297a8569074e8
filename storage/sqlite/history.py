"""Queries for what happened: attempts, requests to incoming hooks, deliveries and the queue's counts."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from storage.clock import Millis
from storage.ids import IntegrationId, LaneId
from storage.plain_json import read, write
from storage.records.delivery import Attempt, Delivery
from storage.records.hook_request import HookRequest, Passed
from storage.records.integration import Sight
from storage.records.outage import Outage
from storage.records.queue import Counts
from storage.sqlite import listed_hooks, rows
from storage.sqlite.apply import dedup_digest
from storage.sqlite.reads import marks
from storage.vault import Vault

Connection = sqlite3.Connection

_NOT_REMOVED = "integration_id NOT IN (SELECT integration_id FROM removed)"
"""Attempts of removed integrations are swept later, but seen no more."""


def attempts(
    connection: Connection,
    vault: Vault,
    hook_ids: Sequence[str],
    since: int | None,
    failed: bool | None,
    ascending: bool,
    offset: int,
    count: int,
) -> tuple[list[Attempt], int]:
    where, values = f"integration_id IN ({marks(hook_ids)}) AND {_NOT_REMOVED}", list[object](hook_ids)
    for condition, value in (("updated_at >= ?", since), ("failed = ?", failed)):
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
    order = "ASC" if ascending else "DESC"
    total = connection.execute(f"SELECT count(*) FROM attempt WHERE {where}", values).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE {where} ORDER BY updated_at {order}, id {order}"
        " LIMIT ? OFFSET ?",
        (*values, count, offset),
    )
    return [rows.attempt_from(row, vault) for row in found], total


def accepted(connection: Connection, hook_id: str, key: str) -> bool:
    digest = dedup_digest(IntegrationId(hook_id), key)
    return connection.execute("SELECT 1 FROM dedup WHERE key = ?", (digest,)).fetchone() is not None


def attempt(connection: Connection, vault: Vault, attempt_id: str) -> Attempt | None:
    row = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE id = ? AND {_NOT_REMOVED}", (attempt_id,)
    ).fetchone()
    return rows.attempt_from(row, vault) if row else None


def attempts_of(connection: Connection, vault: Vault, delivery_ids: Sequence[int]) -> list[Attempt]:
    found = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE delivery_id IN ({marks(delivery_ids)}) AND {_NOT_REMOVED}"
        " ORDER BY updated_at, rowid",
        delivery_ids,
    )
    return [rows.attempt_from(row, vault) for row in found]


def stopped_of(connection: Connection, vault: Vault, seq: int) -> list[Attempt]:
    found = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE event_seq = ? AND delivery_id IS NULL AND {_NOT_REMOVED}"
        " ORDER BY rowid",
        (seq,),
    )
    return [rows.attempt_from(row, vault) for row in found]


def attempt_posting(connection: Connection, vault: Vault, message_id: str) -> Attempt | None:
    row = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE message_id = ? AND {_NOT_REMOVED}", (message_id,)
    ).fetchone()
    return rows.attempt_from(row, vault) if row else None


def requests(
    connection: Connection,
    vault: Vault,
    hook_id: str,
    since: int | None,
    verdict: str | None,
    offset: int,
    count: int,
) -> list[HookRequest]:
    found = connection.execute(
        f"SELECT {rows.REQUEST_COLUMNS} FROM hook_request WHERE integration_id = ?1"
        " AND (?2 IS NULL OR at >= ?2) AND (?3 IS NULL OR verdict = ?3) ORDER BY number DESC LIMIT ?4 OFFSET ?5",
        (hook_id, since, verdict, count, offset),
    )
    return [rows.request_from(row, vault) for row in found]


def requests_count(connection: Connection, hook_id: str, since: int | None, verdict: str | None) -> int:
    found = connection.execute(
        "SELECT count(*) FROM hook_request WHERE integration_id = ?1"
        " AND (?2 IS NULL OR at >= ?2) AND (?3 IS NULL OR verdict = ?3)",
        (hook_id, since, verdict),
    )
    return int(found.fetchone()[0])


def request(connection: Connection, vault: Vault, request_id: str) -> HookRequest | None:
    row = connection.execute(f"SELECT {rows.REQUEST_COLUMNS} FROM hook_request WHERE id = ?", (request_id,)).fetchone()
    return rows.request_from(row, vault) if row else None


def request_posting(connection: Connection, vault: Vault, hook_id: str, message_id: str) -> HookRequest | None:
    # a hook keeps few requests, so looking at each of them costs less than an index that every post would pay for
    row = connection.execute(
        f"SELECT {rows.REQUEST_COLUMNS} FROM hook_request WHERE integration_id = ? AND instr(message_ids, ?)"
        " ORDER BY number DESC LIMIT 1",
        (hook_id, write(message_id)),
    ).fetchone()
    return rows.request_from(row, vault) if row else None


_PASSED = """
SELECT json_group_array(json_array(hook.value, (
  SELECT json_array(max(at), sum(failed)) FROM (
    SELECT * FROM (SELECT at, verdict = 'refused' AS failed FROM hook_request
      WHERE integration_id = hook.value ORDER BY number DESC LIMIT ?2)
    UNION ALL
    SELECT * FROM (SELECT updated_at, failed FROM attempt
      WHERE integration_id = hook.value ORDER BY updated_at DESC, id DESC LIMIT ?2)))))
FROM json_each(?1) AS hook"""
"""One row for all of it: each row that is stepped hands the interpreter's lock over (delivery.md §8)."""


def passed(connection: Connection, hook_ids: Sequence[IntegrationId], last: int) -> dict[IntegrationId, Passed]:
    found = connection.execute(_PASSED, (write(hook_ids), last)).fetchone()[0]
    return {
        IntegrationId(hook_id): Passed(Millis(last_at), failures)
        for hook_id, (last_at, failures) in read(found)
        if last_at is not None
    }


_DELIVERIES = "FROM delivery d LEFT JOIN lane l ON l.id = d.lane_id"


class Wanted(NamedTuple):
    """Which deliveries to show, as `storage.ports.Queue.deliveries` explains; None leaves a condition out."""

    hook_id: str | None = None
    state: str | None = None
    since: int | None = None
    org: str | None = None
    sight: Sight | None = None
    message_ids: Sequence[str] | None = None
    reason: str | None = None


def deliveries(connection: Connection, wanted: Wanted, offset: int, count: int) -> tuple[list[Delivery], int]:
    messages = wanted.message_ids
    not_seen, seen, of_seen = _maybe(wanted.org), "", None
    if wanted.sight is not None:  # of one organisation anyway
        (seen, of_seen), not_seen = listed_hooks.seen(wanted.sight, wanted.org), None
    conditions, values = ["TRUE"], list[object]()
    for condition, given in (
        ("d.integration_id = ?", _maybe(wanted.hook_id)),
        ("d.state = ?", _maybe(wanted.state)),
        ("d.id >= ?", None if wanted.since is None else (_first_since(connection, wanted.since),)),
        ("d.integration_id NOT IN (SELECT id FROM integration WHERE org_id <> ?)", not_seen),
        (f"d.integration_id IN (SELECT id FROM integration WHERE {seen})", of_seen),
        (f"d.event_seq IN (SELECT event_seq FROM message WHERE id IN ({marks(messages or ())}))", messages),
        ("instr(lower(d.reason), lower(?))", _maybe(wanted.reason)),
    ):
        if given is not None:
            conditions.append(condition)
            values += given
    where = " AND ".join(conditions)
    total = connection.execute(f"SELECT count(*) {_DELIVERIES} WHERE {where}", values).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.DELIVERY_COLUMNS} {_DELIVERIES} WHERE {where} ORDER BY d.id DESC LIMIT ? OFFSET ?",
        (*values, count, offset),
    )
    return [rows.delivery_from(row) for row in found], total


def _maybe(value: object) -> tuple[object, ...] | None:
    return None if value is None else (value,)


def _first_since(connection: Connection, since: int) -> int:
    """Return the id from which on deliveries were queued since a time: found by halving, as ids follow time."""
    low, high = connection.execute(
        "SELECT coalesce((SELECT min(id) FROM delivery), 1), coalesce((SELECT max(id) FROM delivery), 0) + 1"
    ).fetchone()
    while low < high:
        middle = (low + high) // 2
        found = connection.execute(
            "SELECT created_at FROM delivery WHERE id >= ? ORDER BY id LIMIT 1", (middle,)
        ).fetchone()
        if found is not None and found[0] < since:
            low = middle + 1
        else:
            high = middle
    return int(low)


def delivery(connection: Connection, delivery_id: int) -> Delivery | None:
    row = connection.execute(f"SELECT {rows.DELIVERY_COLUMNS} {_DELIVERIES} WHERE d.id = ?", (delivery_id,)).fetchone()
    return rows.delivery_from(row) if row else None


def deliveries_of(connection: Connection, seq: int) -> list[Delivery]:
    found = connection.execute(
        f"SELECT {rows.DELIVERY_COLUMNS} {_DELIVERIES} WHERE d.event_seq = ? ORDER BY d.id", (seq,)
    )
    return [rows.delivery_from(row) for row in found]


def outages(connection: Connection) -> dict[LaneId, Outage]:
    found = connection.execute(f"SELECT {rows.OUTAGE_COLUMNS} FROM outage")
    return dict(rows.outage_from(row) for row in found)


def counts(connection: Connection, hook_id: str | None) -> Counts:
    # an index holds all of this; looking at a million rows would not be quick
    queued, first, lanes = connection.execute(
        "SELECT count(*), min(id), count(DISTINCT lane_id) FROM delivery"
        " WHERE state = 'queued' AND lane_id IN (SELECT id FROM lane WHERE ?1 IS NULL OR integration_id = ?1)",
        (hook_id,),
    ).fetchone()
    held = connection.execute(
        "SELECT count(*) FROM delivery WHERE state = 'queued'"
        " AND lane_id IN (SELECT id FROM lane WHERE held AND (?1 IS NULL OR integration_id = ?1))",
        (hook_id,),
    ).fetchone()[0]
    oldest = connection.execute("SELECT created_at FROM delivery WHERE id = ?", (first,)).fetchone()
    dead = connection.execute(
        "SELECT count(*) FROM delivery WHERE state = 'dead' AND (?1 IS NULL OR integration_id = ?1)", (hook_id,)
    ).fetchone()[0]
    return Counts(
        queued=queued,
        dead=dead,
        oldest_queued_at=None if oldest is None else Millis(oldest[0]),
        lanes=lanes,
        held=held,
    )
