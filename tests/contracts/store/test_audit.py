"""Who did what by command: written with its effect, found by who, what, when and which object, per organisation."""

from dataclasses import replace
from typing import Any  # the changes are any fields of the record built

import pytest

from storage.clock import Millis
from storage.errors import Taken
from storage.ids import OrgId, UserId
from storage.ports import Store
from storage.records.audit import AuditFilter, AuditRow
from storage.records.changes import Changes
from tests.records import ANN, NOON, ORG, message

OTHER = OrgId("0b7e2c9a-0000-4000-8000-000000000002")
BOB = UserId("bob")


def row(number: int, **changes: Any) -> AuditRow:
    """Build the row of Ann disabling a hook."""
    plain = AuditRow(
        id=f"audit{number}", org_id=ORG, at=Millis(NOON + number), actor_id=ANN, actor_name="ann", door="slack",
        place="room:GENERAL", command="in disable", line="in disable ci", object_kind="in", object_id="65e2",
        object_name="CI alerts", outcome="done",
    )  # fmt: skip
    return replace(plain, **changes)


ROWS = (
    row(0),
    row(1, actor_id=BOB, actor_name="bob"),
    row(2, command="in remove", object_id="77ff", object_name="100%_sure"),
    row(3, command="invite", object_kind=None, object_id=None, object_name=None),
    row(4, actor_id=None, actor_name="slack:U123", command="out add", outcome="refused"),
)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [4, 3, 2, 1, 0]),
        ({"actor_id": ANN}, [3, 2, 0]),
        ({"actor_id": UserId("nobody")}, []),
        ({"command": "in disable"}, [1, 0]),
        ({"command": "IN"}, [2, 1, 0]),
        ({"command": "in *"}, [2, 1, 0]),
        ({"command": "in*"}, [3, 2, 1, 0]),
        ({"command": "*add"}, [4]),
        ({"command": "in_disable"}, []),
        ({"command": "%"}, []),
        ({"since": NOON + 3}, [4, 3]),
        ({"object": "65e2"}, [4, 1, 0]),
        ({"object": "ci ALERTS"}, [4, 1, 0]),
        ({"object": "100%_sure"}, [2]),
        ({"object": "65E2"}, []),
        ({"actor_id": ANN, "command": "in", "since": NOON + 1, "object": "77ff"}, [2]),
    ],
)
async def test_rows_are_found_by_every_condition(store: Store, wanted: dict[str, Any], found: list[int]) -> None:
    """Conditions are joined; the newest row comes first, and the total counts what matches."""
    await store.commit(Changes(audit=ROWS))
    assert await store.audit_rows(AuditFilter(org_id=ORG, **wanted)) == ([ROWS[number] for number in found], len(found))


async def test_rows_are_paged(store: Store) -> None:
    """A page is a part of the same order, with the total of all pages."""
    await store.commit(Changes(audit=ROWS))
    assert await store.audit_rows(AuditFilter(org_id=ORG), offset=1, count=2) == ([ROWS[3], ROWS[2]], 5)


async def test_another_organisation_sees_nothing(store: Store) -> None:
    """Rows are shown to their own organisation only (decision 6)."""
    await store.make_organisation(OTHER, "Other", NOON)
    theirs = row(9, org_id=OTHER)
    await store.commit(Changes(audit=(row(0), theirs)))
    assert await store.audit_rows(AuditFilter(org_id=OTHER)) == ([theirs], 1)
    assert await store.audit_rows(AuditFilter(org_id=ORG, object="65e2")) == ([row(0)], 1)


async def test_a_row_is_written_with_its_effect(store: Store) -> None:
    """What could not be written leaves no row that says it was."""
    await store.commit(Changes(new_messages=(message(),)))
    with pytest.raises(Taken):
        await store.commit(Changes(new_messages=(message(),), audit=(row(0),)))
    assert await store.audit_rows(AuditFilter(org_id=ORG)) == ([], 0)
