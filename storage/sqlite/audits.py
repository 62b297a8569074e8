"""Audit rows in their table: appended with what they tell of, read by conditions that an index serves."""

import sqlite3
from collections.abc import Sequence
from dataclasses import fields

from storage.records.audit import AuditFilter, AuditRow
from storage.sqlite.bulk import insert_rows
from storage.sqlite.rows import columns

_COLUMNS = columns(fields(AuditRow))
_NAMES = _COLUMNS.split(", ")


def append(connection: sqlite3.Connection, rows: Sequence[AuditRow]) -> None:
    """Write audit rows."""
    insert_rows(
        connection, f"INSERT INTO audit ({_COLUMNS})", [[getattr(row, name) for name in _NAMES] for row in rows]
    )


def audit_rows(
    connection: sqlite3.Connection, wanted: AuditFilter, offset: int, count: int
) -> tuple[list[AuditRow], int]:
    where, values = _condition(wanted)
    total = connection.execute(f"SELECT count(*) FROM audit WHERE {where}", values).fetchone()[0]
    found = connection.execute(
        f"SELECT {_COLUMNS} FROM audit WHERE {where} ORDER BY at DESC, seq DESC LIMIT ? OFFSET ?",
        (*values, count, offset),
    )
    return [AuditRow(**dict(row)) for row in found], total


def _condition(wanted: AuditFilter) -> tuple[str, list[object]]:
    conditions, values = ["org_id = ?"], list[object]([wanted.org_id])
    if wanted.actor_id is not None:
        conditions.append("actor_id = ?")
        values.append(wanted.actor_id)
    if wanted.since is not None:
        conditions.append("at >= ?")
        values.append(wanted.since)
    if wanted.object is not None:
        conditions.append("(object_id = ? OR object_name = ? COLLATE NOCASE)")
        values += [wanted.object, wanted.object]
    if wanted.command is not None:
        pattern = _like(wanted.command)
        conditions.append("(command LIKE ? ESCAPE '!' OR command LIKE ? ESCAPE '!')")
        # without a star a noun alone means all its verbs
        values += [pattern, pattern if "*" in wanted.command else f"{pattern} %"]
    return " AND ".join(conditions), values


def _like(pattern: str) -> str:
    escaped = "".join(f"!{one}" if one in "!%_" else one for one in " ".join(pattern.split()))
    return escaped.replace("*", "%")
