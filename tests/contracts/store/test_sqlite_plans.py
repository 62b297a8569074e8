"""Questions about single things go by an index: a million rows must not cost more than ten (delivery.md §8)."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from typing import Any  # what a column holds

import pytest

from storage.clock import Millis
from storage.ids import OrgId, UserId
from storage.records.audit import AuditFilter
from storage.records.integration import Direction, Sight
from storage.records.pending import PendingKind
from storage.sqlite import audits, connected, history, message_retention, pendings, reads
from storage.vault import Vault
from tests.contracts.store.engine import SqliteEngine

VAULT = Vault([bytes(32)], b"lookup")
ORG = OrgId("o")
SIGHT = Sight(user_id=UserId("u"), own_of=frozenset(Direction))


class Explaining(sqlite3.Connection):
    """Remembers how SQLite goes about every statement."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.row_factory = sqlite3.Row
        self.plans: list[str] = []

    def execute(self, statement: str, values: Any = (), /) -> sqlite3.Cursor:
        self.plans += [row["detail"] for row in super().execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        return super().execute(statement, values)


QUESTIONS: dict[str, Callable[[sqlite3.Connection], object]] = {
    "attempts of deliveries": lambda file: history.attempts_of(file, VAULT, [1, 2]),
    "hooks not called": lambda file: history.stopped_of(file, VAULT, 1),
    "the call that posted": lambda file: history.attempt_posting(file, VAULT, "m"),
    "the request that posted": lambda file: history.request_posting(file, VAULT, "h", "m"),
    "requests": lambda file: history.requests(file, VAULT, "h", 1, "posted", 0, 10),
    "attempts": lambda file: history.attempts(file, VAULT, ["h"], 1, True, False, 0, 10),
    "what a room keeps no longer": lambda file: message_retention.purge_messages(file, 1),
    "the oldest of a room": lambda file: file.execute(message_retention.OLDEST, ("r", 1)),
    "the age of a room": lambda file: file.execute(message_retention.OLDEST_AT, ("r",)),
    "replies to what goes": lambda file: file.execute(message_retention.REPLIES, ("[]", 1)),
    "what retention removed": lambda file: reads.room_removals(file, ["r"]),
    "an event's number": lambda file: reads.event_posting(file, "m"),
    "an event's deliveries": lambda file: history.deliveries_of(file, 1),
    "a hook's deliveries": lambda file: history.deliveries(file, history.Wanted("h"), 0, 10),
    "a hook's dead letters": lambda file: history.deliveries(file, history.Wanted("h", "dead"), 0, 10),
    "some hooks' deliveries": lambda file: history.deliveries(file, history.Wanted(org="o", sight=SIGHT), 0, 10),
    "what messages caused": lambda file: history.deliveries(file, history.Wanted(message_ids=["m"]), 0, 10),
    "deliveries since": lambda file: history.deliveries(file, history.Wanted(since=1), 0, 10),
    "calls by an old token": lambda file: reads.previous_calls(file, [("h", b"x")]),
    "something pending": lambda file: pendings.pending(file, VAULT, PendingKind.FORM, "k", Millis(1)),
    "the newest pending": lambda file: pendings.pending_of(file, VAULT, PendingKind.UNDO, "u", "p", Millis(1)),
    "an end": lambda file: pendings.pending_end(file, VAULT, PendingKind.FORM, "k", Millis(1)),
    "audit": lambda file: audits.audit_rows(file, AuditFilter(org_id=ORG), 0, 10),
    "audit since": lambda file: audits.audit_rows(file, AuditFilter(org_id=ORG, since=Millis(1)), 0, 10),
    "audit of a person": lambda file: audits.audit_rows(file, AuditFilter(org_id=ORG, actor_id=UserId("u")), 0, 10),
    "audit of an object": lambda file: audits.audit_rows(file, AuditFilter(org_id=ORG, object="o"), 0, 10),
    "a team's workspace": lambda file: connected.workspace_of_team(file, VAULT, "o", "slack", "T"),
    "an account": lambda file: connected.linked(file, "o", "w", "U"),
    "a user's accounts": lambda file: connected.links_of(file, "u"),
}
SMALL = ("removed", "CONSTANT", "json_each")
"""What holds a handful of rows, or none but the question itself, and may be looked through."""
WHOLE = ("room_keeping",)
"""Indexes that hold nothing but what is asked for."""


@pytest.mark.parametrize("question", QUESTIONS)
async def test_no_question_looks_through_a_table(engine: SqliteEngine, question: str) -> None:
    """Each part of each statement searches by an index; sorting is left to what one hook or object has."""
    await engine.open().close()
    with closing(sqlite3.connect(engine.path, factory=Explaining)) as file:
        QUESTIONS[question](file)
        assert file.plans
        scans = [
            plan
            for plan in file.plans
            if plan.startswith("SCAN") and plan.split()[1] not in SMALL and plan.split()[-1] not in WHOLE
        ]
    assert scans == []
