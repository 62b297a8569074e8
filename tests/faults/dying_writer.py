"""Runs as a server's writer and dies, once it is told to, after a commit and before its answer.

The file it is told by names an operation of the engine, and for a unit of work one of its fields:
`commit put_users`, `settle`, `claim`.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from storage.records.changes import Changes
from storage.records.queue import Claimed, Settle
from storage.sqlite import child
from storage.sqlite.transactions import Job
from storage.sqlite.wire import pack_results

MODULE = "tests.faults.dying_writer"
ORDERED_BY = "DYING_WRITER_ORDER"
"""Names the variable that holds the path of the file."""


def is_meant(job: Job, order: str) -> bool:
    """Tell whether a job is one to die after."""
    operation, _, field = order.partition(" ")
    if job.operation.__name__ != operation or job.error is not None:
        return False
    if isinstance(job.result, Claimed):
        return bool(job.result.leases)
    if not field:
        return True
    [item] = job.arguments
    changes = item.changes if isinstance(item, Settle) else item
    return isinstance(changes, Changes) and bool(getattr(changes, field))


def packed_or_dead(jobs: Sequence[Job]) -> bytes:
    """Write results as a writer does, unless this is the moment to die."""
    order = Path(os.environ[ORDERED_BY])
    if order.exists() and any(is_meant(job, order.read_text("utf-8")) for job in jobs):
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return pack_results(jobs)


if __name__ == "__main__":
    child.pack_results = packed_or_dead  # type: ignore[attr-defined] # where it asks for its answers
    child.main()
