"""Bring back what was written while the clock was ahead: it would wait, or last, for as long as that was.

Inside a process waits follow a clock that never steps, but the next process starts it from the wall clock.
"""

import sqlite3

from storage.clock import Millis
from storage.records.pending import LONGEST_MS
from storage.sqlite.lanes import IDLE

_QUEUED = "state = 'queued' AND lane_id IN (SELECT id FROM lane)"
_LATE_LANES = f"SELECT id FROM lane WHERE next_at > ? AND next_at < {IDLE}"

_WAITS = (
    # a wait was planned when the delivery was written last, so their distance is the step, or what the receiver asked
    f"""
UPDATE delivery SET available_at = ?1 + max(0, available_at - updated_at), updated_at = ?1
WHERE {_QUEUED} AND available_at > ?1 AND updated_at > ?1""",
    # where a lane is ordered its head's wait is the lane's
    """
UPDATE lane SET not_before = ?1 + max(0, not_before - (SELECT max(?1, updated_at) FROM delivery
  WHERE id = (SELECT min(id) FROM delivery WHERE lane_id = lane.id AND state = 'queued')))
WHERE not_before > ?1 AND EXISTS (SELECT 1 FROM delivery WHERE lane_id = lane.id AND state = 'queued')""",
    # how long a disabled hook's deliveries are held counts from here
    "UPDATE lane SET held_at = ?1 WHERE held_at > ?1",
    f"UPDATE delivery SET updated_at = ?1 WHERE {_QUEUED} AND updated_at > ?1 AND lane_id IN"
    " (SELECT id FROM lane WHERE held)",
    "UPDATE outage SET since = min(since, ?1), last_failed_at = min(last_failed_at, ?1), told_at = min(told_at, ?1)",
)
_LASTS = "UPDATE pending SET expires_at = ?1 + ?2 WHERE ended IS NULL AND expires_at > ?1 + ?2"


def bring_back(connection: sqlite3.Connection, steady: Millis, wall: Millis) -> list[int]:
    """Let nothing queued wait longer than was planned from now on, and nothing pending last longer than such things do.

    Returns the lanes that wait for a time yet, whose next time is to be found anew. Costs a step through what waits.
    """
    for statement in _WAITS:
        connection.execute(statement, (steady,))
    connection.execute(_LASTS, (wall, LONGEST_MS))
    return [row[0] for row in connection.execute(_LATE_LANES, (steady,))]
