"""Who did what by command, through which door: one row for each command that wrote something (commands.md §2.2)."""

from dataclasses import dataclass

from storage.clock import Millis
from storage.ids import OrgId, UserId

AUDIT_DAYS = 365
"""Days an audit row is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRow:
    """One command that was run; kept for a year."""

    id: str
    org_id: OrgId
    at: Millis
    actor_id: UserId | None
    """None for an account of another chat that is not linked."""
    actor_name: str
    door: str
    place: str
    command: str
    """Noun and verb, such as `in remove`."""
    line: str
    """What was typed, with every secret argument masked before it comes here."""
    object_kind: str | None = None
    object_id: str | None = None
    object_name: str | None = None
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which rows of an organisation to show; None leaves a condition out."""

    org_id: OrgId
    actor_id: UserId | None = None
    command: str | None = None
    """A pattern in which `*` stands for anything; without one, a command or its noun alone (`in`)."""
    since: Millis | None = None
    object: str | None = None
    """An object's exact id, or its name whatever the case."""
