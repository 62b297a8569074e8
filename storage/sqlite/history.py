"""Queries for what happened: attempts, requests to incoming hooks, deliveries and the queue's counts."""

import sqlite3
from collections.abc import Sequence

from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.delivery import Attempt, Delivery
from storage.records.hook_request import HookRequest, Passed
from storage.records.queue import Counts
from storage.sqlite import rows
from storage.sqlite.apply import dedup_digest
from storage.sqlite.reads import marks
from storage.vault import Vault

Connection = sqlite3.Connection

_NOT_REMOVED = "integration_id NOT IN (SELECT integration_id FROM removed)"
"""Attempts of removed integrations are swept later, but seen no more."""


def attempts(
    connection: Connection, hook_ids: Sequence[str], ascending: bool, offset: int, count: int
) -> tuple[list[Attempt], int]:
    where = f"integration_id IN ({marks(hook_ids)}) AND {_NOT_REMOVED}"
    order = "ASC" if ascending else "DESC"
    total = connection.execute(f"SELECT count(*) FROM attempt WHERE {where}", hook_ids).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE {where} ORDER BY updated_at {order}, id {order}"
        " LIMIT ? OFFSET ?",
        (*hook_ids, count, offset),
    )
    return [rows.attempt_from(row) for row in found], total


def accepted(connection: Connection, hook_id: str, key: str) -> bool:
    digest = dedup_digest(IntegrationId(hook_id), key)
    return connection.execute("SELECT 1 FROM dedup WHERE key = ?", (digest,)).fetchone() is not None


def attempt(connection: Connection, attempt_id: str) -> Attempt | None:
    row = connection.execute(
        f"SELECT {rows.ATTEMPT_COLUMNS} FROM attempt WHERE id = ? AND {_NOT_REMOVED}", (attempt_id,)
    ).fetchone()
    return rows.attempt_from(row) if row else None


def requests(connection: Connection, vault: Vault, hook_id: str, offset: int, count: int) -> list[HookRequest]:
    found = connection.execute(
        f"SELECT {rows.REQUEST_COLUMNS} FROM hook_request WHERE integration_id = ?"
        " ORDER BY number DESC LIMIT ? OFFSET ?",
        (hook_id, count, offset),
    )
    return [rows.request_from(row, vault) for row in found]


def request(connection: Connection, vault: Vault, request_id: str) -> HookRequest | None:
    row = connection.execute(f"SELECT {rows.REQUEST_COLUMNS} FROM hook_request WHERE id = ?", (request_id,)).fetchone()
    return rows.request_from(row, vault) if row else None


_LAST_REQUESTS = (
    "SELECT at, verdict = 'refused' FROM hook_request WHERE integration_id = ? ORDER BY number DESC LIMIT ?"
)
_LAST_ATTEMPTS = (
    "SELECT updated_at, failed FROM attempt WHERE integration_id = ? ORDER BY updated_at DESC, id DESC LIMIT ?"
)


def passed(connection: Connection, hook_ids: Sequence[str], last: int) -> dict[str, Passed]:
    found = {}
    for hook_id in hook_ids:
        ends = [row for query in (_LAST_REQUESTS, _LAST_ATTEMPTS) for row in connection.execute(query, (hook_id, last))]
        if ends:
            found[hook_id] = Passed(Millis(max(at for at, _ in ends)), sum(failed for _, failed in ends))
    return found


_DELIVERIES = "FROM delivery d LEFT JOIN lane l ON l.id = d.lane_id"


def deliveries(
    connection: Connection, hook_id: str | None, state: str | None, offset: int, count: int
) -> tuple[list[Delivery], int]:
    conditions, values = ["TRUE"], []
    for column, value in (("d.integration_id", hook_id), ("d.state", state)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    where = " AND ".join(conditions)
    total = connection.execute(f"SELECT count(*) {_DELIVERIES} WHERE {where}", values).fetchone()[0]
    found = connection.execute(
        f"SELECT {rows.DELIVERY_COLUMNS} {_DELIVERIES} WHERE {where} ORDER BY d.id DESC LIMIT ? OFFSET ?",
        (*values, count, offset),
    )
    return [rows.delivery_from(row) for row in found], total


def delivery(connection: Connection, delivery_id: int) -> Delivery | None:
    row = connection.execute(f"SELECT {rows.DELIVERY_COLUMNS} {_DELIVERIES} WHERE d.id = ?", (delivery_id,)).fetchone()
    return rows.delivery_from(row) if row else None


def counts(connection: Connection, hook_id: str | None) -> Counts:
    # an index holds all of this; looking at a million rows would not be quick
    queued, first = connection.execute(
        "SELECT count(*), min(id) FROM delivery"
        " WHERE state = 'queued' AND lane_id IN (SELECT id FROM lane WHERE ?1 IS NULL OR integration_id = ?1)",
        (hook_id,),
    ).fetchone()
    oldest = connection.execute("SELECT created_at FROM delivery WHERE id = ?", (first,)).fetchone()
    dead = connection.execute(
        "SELECT count(*) FROM delivery WHERE state = 'dead' AND (?1 IS NULL OR integration_id = ?1)", (hook_id,)
    ).fetchone()[0]
    return Counts(queued=queued, dead=dead, oldest_queued_at=None if oldest is None else Millis(oldest[0]))
