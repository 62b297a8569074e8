"""Lists hooks: what is asked for is found and put in order by an index, and only a page of it is read and opened."""

import sqlite3
from collections.abc import Sequence

from storage.ids import IntegrationId
from storage.plain_json import read, write
from storage.records.integration import Direction, Hook, HookField, HookOutline, HookTally, Sight, WantedHooks
from storage.sqlite import rows
from storage.sqlite.reads import marks
from storage.vault import Vault

Connection = sqlite3.Connection

_LISTED = "integration INDEXED BY integration_listed"
"""Holds every column that is asked for below: rows, each with its sealed part, are not looked at."""
_BY_AGE = "integration INDEXED BY integration_by_age"
"""For all hooks in the order they were made in: nothing is sorted."""
_BY_MAKER = "integration INDEXED BY integration_by_maker"
"""For those of one person, who makes a few hundred at most."""

_LAST_FAILED = """CASE direction
  WHEN 'webhook-incoming' THEN
    (SELECT verdict = 'refused' FROM hook_request WHERE integration_id = integration.id ORDER BY number DESC LIMIT 1)
  ELSE (SELECT failed FROM attempt WHERE integration_id = integration.id ORDER BY updated_at DESC, id DESC LIMIT 1)
END"""
"""Whether the last request or attempt of a hook failed."""

_LAST = "\U0010ffff"
"""Behind every character a name can hold."""


def page(connection: Connection, vault: Vault, wanted: WantedHooks, offset: int, count: int) -> tuple[list[Hook], int]:
    return of_ids(connection, vault, _ids(connection, wanted, offset, count)), _total(connection, wanted)


def ids(connection: Connection, wanted: WantedHooks) -> list[str]:
    return _ids(connection, wanted, 0, -1)


def bodies(connection: Connection, hook_ids: Sequence[str]) -> list[str]:
    # one step of SQLite and one value: each row that is stepped hands the interpreter's lock over
    found = connection.execute(
        "SELECT json_group_array(body) FROM json_each(?) CROSS JOIN integration ON integration.id = json_each.value",
        (write(hook_ids),),
    ).fetchone()
    texts: list[str] = read(found[0])
    return texts


def outlines(connection: Connection, wanted: WantedHooks, offset: int, count: int) -> list[HookOutline]:
    where, values = _where(wanted)
    found = connection.execute(
        "SELECT json_group_array(json_array(id, name, direction)) FROM"
        f" (SELECT id, name, direction FROM {_index(wanted)} WHERE {where} ORDER BY {_order(wanted)} LIMIT ? OFFSET ?)",
        (*values, count, offset),
    ).fetchone()
    return _outlines(found[0])


def of_ids(connection: Connection, vault: Vault, hook_ids: Sequence[str]) -> list[Hook]:
    found = connection.execute(
        f"SELECT {rows.HOOK_COLUMNS} FROM integration WHERE id IN (SELECT value FROM json_each(?))", (write(hook_ids),)
    )
    hooks = {row["id"]: rows.hook_from(row, vault) for row in found}
    return [hooks[hook_id] for hook_id in hook_ids if hook_id in hooks]


def tally(connection: Connection, wanted: WantedHooks, now: int) -> HookTally:
    where, values = _where(wanted)
    found = connection.execute(
        "SELECT count(*) FILTER (WHERE direction = 'webhook-incoming') AS incoming,"
        " count(*) FILTER (WHERE direction = 'webhook-outgoing') AS outgoing,"
        " count(*) FILTER (WHERE state = 'off') AS off, count(*) FILTER (WHERE state = 'expired') AS expired,"
        " count(*) FILTER (WHERE state = 'muted') AS muted FROM (SELECT direction,"
        " CASE WHEN NOT enabled THEN 'off' WHEN expires_at <= ? THEN 'expired' WHEN muted_until > ? THEN 'muted' END"
        f" AS state FROM {_index(wanted)} WHERE {where})",
        (now, now, *values),
    ).fetchone()
    return HookTally(**found)


def failing(connection: Connection, wanted: WantedHooks, count: int) -> tuple[list[HookOutline], int]:
    where, values = _where(wanted)
    found = connection.execute(
        "SELECT json_group_array(json_array(id, name, direction)), max(total) FROM (SELECT *, count(*) OVER () AS total"
        f" FROM (SELECT id, name, direction, {_LAST_FAILED} AS failed FROM {_index(wanted)} WHERE {where}"
        f" ORDER BY {_order(wanted)}) WHERE failed LIMIT ?)",
        (*values, count),
    ).fetchone()
    return _outlines(found[0]), found[1] or 0


def _outlines(array: str) -> list[HookOutline]:
    return [
        HookOutline(id=IntegrationId(hook_id), name=name, direction=Direction(way))
        for hook_id, name, way in read(array)
    ]


def _ids(connection: Connection, wanted: WantedHooks, offset: int, count: int) -> list[str]:
    where, values = _where(wanted)
    found = connection.execute(
        f"SELECT json_group_array(id) FROM"
        f" (SELECT id FROM {_index(wanted, ids_only=True)} WHERE {where} ORDER BY {_order(wanted)} LIMIT ? OFFSET ?)",
        (*values, count, offset),
    ).fetchone()
    ids: list[str] = read(found[0])
    return ids


def _total(connection: Connection, wanted: WantedHooks) -> int:
    where, values = _where(wanted)
    return int(
        connection.execute(f"SELECT count(*) FROM {_index(wanted, ids_only=True)} WHERE {where}", values).fetchone()[0]
    )


def _index(wanted: WantedHooks, *, ids_only: bool = False) -> str:
    if wanted.sight is not None and not wanted.sight.all_of:
        return _BY_MAKER
    is_all = wanted == WantedHooks(org_id=wanted.org_id, sight=wanted.sight if _is_whole(wanted) else None)
    return _BY_AGE if ids_only and is_all else _LISTED


def _is_whole(wanted: WantedHooks) -> bool:
    return wanted.sight is None or wanted.sight.is_whole


def _order(wanted: WantedHooks) -> str:
    terms = [f"{name.value} {'ASC' if way > 0 else 'DESC'}" for name, way in wanted.order]
    if HookField.ID not in dict(wanted.order):
        # hooks that are equal in all of it stay in the order they were made in
        terms += ["created_at", "id"]
    return ", ".join(terms)


def _where(wanted: WantedHooks) -> tuple[str, list[object]]:
    conditions, values = ["org_id = ?"], list[object]([wanted.org_id])
    if wanted.sight is not None and not _is_whole(wanted):
        condition, more = seen(wanted.sight, None)
        conditions.append(condition)
        values += more
    for name, value in wanted.equal:
        conditions.append(f"{name.value} = ?")
        values.append(value)
    if wanted.part is not None:
        conditions.append("instr(folded, ?)")
        values.append(wanted.part.casefold())
    if wanted.begins is not None:
        folded = wanted.begins.casefold()
        conditions.append("folded >= ? AND folded < ?")
        values += [folded, folded + _LAST]
    if wanted.channels is not None:
        channels = [channel.casefold() for channel in wanted.channels]
        named = f"SELECT integration_id FROM integration_channel WHERE channel IN ({marks(channels)})"
        conditions.append(f"id IN ({named} AND is_target <= ?)")
        values += [*channels, wanted.targets_too]
    if wanted.silent_at is not None:
        conditions.append("(NOT enabled OR expires_at <= ?)")
        values.append(wanted.silent_at)
    return " AND ".join(conditions), values


def seen(sight: Sight, org: str | None) -> tuple[str, list[object]]:
    """Return the condition that a hook is in somebody's sight, and of an organisation, with its values."""
    every, own = sorted(sight.all_of), sorted(sight.own_of)
    mine = f"created_by = ? AND direction IN ({marks(own)})"
    condition = f"(direction IN ({marks(every)}) OR ({mine}))" if every else mine
    of_org = [] if org is None else [org]
    return f"{'org_id = ? AND ' if of_org else ''}{condition}", [*of_org, *every, sight.user_id, *own]
