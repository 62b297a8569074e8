"""`audit`: who changed what by command, where and when (commands.md §2.2)."""

from collections.abc import Sequence
from typing import Protocol

from handlers.answers import ROWS, moment, plural
from handlers.command import Answer, Call, Command, Noun
from handlers.line import Problem, one_line
from handlers.paging import Row, listed, offset_of
from handlers.people import USERS, find_user
from handlers.services import HOOKS, Need
from handlers.slots import Flag
from handlers.values import ValueType
from storage.clock import Millis
from storage.records.audit import AuditFilter, AuditRow
from storage.records.user import Role


class AuditDesk(Protocol):
    """What commands have done."""

    async def rows(self, wanted: AuditFilter, *, offset: int, count: int) -> tuple[Sequence[AuditRow], int]:
        """Return a page of rows, newest first, and how many match in all; places are named as people know them."""
        ...


AUDIT: Need[AuditDesk] = Need("audit")

_WHO = Flag(name="who", summary="only what one person did", type=ValueType.USER, metavar="@USER")
_WHAT = Flag(
    name="what",
    summary="only these commands: a noun, a noun and a verb, or a pattern with *",
    type=ValueType.TEXT,
    metavar="PATTERN",
)
_SINCE = Flag(name="since", summary="only what was done from then on", type=ValueType.TIME, metavar="TIME")
_OBJECT = Flag(
    name="object",
    summary="only what was done to one thing: its id, its name, or a row of a list",
    type=ValueType.REFERENCE,
    metavar="REF",
    offers="things",
)


async def _run(call: Call) -> Answer | Problem:
    who = await find_user(call, _WHO.name, whole=True) if call.values.text(_WHO.name) else None
    if isinstance(who, Problem):
        return who
    since = call.values.number(_SINCE.name)
    wanted = AuditFilter(
        org_id=call.actor.org_id,
        actor_id=who.id if who else None,
        command=call.values.text(_WHAT.name),
        since=None if since is None else Millis(since),
        object=await _object(call),
    )
    found, total = await call.services.of(AUDIT).rows(wanted, offset=offset_of(call), count=ROWS)
    rows = [Row(row.object_id or row.id, _cells(call, row)) for row in found]
    return listed(call, plural(total, "change"), rows, total=total)


async def _object(call: Call) -> str | None:
    """Return the id of a hook or user that is there; what was removed is found by its id or name as typed."""
    reference = call.values.text(_OBJECT.name)
    if reference is None:
        return None
    hooks = (await call.services.of(HOOKS).find(reference)).things
    return hooks[0].id if len(hooks) == 1 else reference.removeprefix("@")


def _cells(call: Call, row: AuditRow) -> dict[str, str]:
    return {
        "state": row.outcome,
        "name": f"@{row.actor_name}" if row.actor_id else f"{one_line(row.actor_name)} (not linked)",
        "id": row.object_id or "–",
        "place": one_line(row.place if row.place == row.door else f"{row.place} ({row.door})", 60),
        "what": one_line(row.line, 120),
        "about": " ".join(filter(None, (row.object_kind, one_line(row.object_name or "")))) or "–",
        "when": moment(row.at, now=call.context.now, zone=call.context.zone),
    }


NOUN: Noun = Noun(
    name="audit",
    summary="who changed what by command",
    commands=(
        Command(
            noun="audit",
            verb=None,
            summary="lists what was changed by command, newest first, for a year",
            role=Role.ADMIN,
            flags=(_WHO, _WHAT, _SINCE, _OBJECT),
            pages=True,
            examples=("audit", "audit --who @ann --since -24h", 'audit --what "in remove" --object ci'),
            run=_run,
        ),
    ),
    needs=(AUDIT, USERS, HOOKS),
)
