"""Whether commits succeed, as their answers show: the store is in trouble from one that failed to one that did not."""

from collections.abc import Sequence
from typing import Final

from storage.condition import Condition
from storage.errors import Corrupt, Unavailable
from storage.sqlite.engine import Engine
from storage.sqlite.transactions import Job

CAUSE: Final = "commit"
MOST_PROBED: Final = 1 << 20
"""Bytes a probe writes at most to find out whether there is room again; more is not asked of a commit either."""

_WRITING: Final = frozenset({Engine.commit, Engine.settle, Engine.probe})
"""What writes something whenever it is done; a claim that finds nothing due succeeds on a full disk, too."""


class CommitHealth:
    """Reports commits that fail, until one of as many bytes succeeds: a smaller one may find the last free page."""

    def __init__(self, condition: Condition) -> None:
        self._condition = condition
        self.failed_bytes = 0
        """What a commit has to hold to show that all is well again; 0 while it is."""

    def take(self, jobs: Sequence[Job]) -> None:
        """Learn from the answers to what was committed together; refusals of single ones, as of a name in use, tell
        nothing.
        """
        fault = next((job.error for job in jobs if isinstance(job.error, Unavailable | Corrupt)), None)
        if fault is not None:
            # probes do not raise what they are measured by
            failed = sum(job.weight for job in jobs if job.operation is not Engine.probe)
            self.failed_bytes = max(1, self.failed_bytes, min(MOST_PROBED, failed))
            self._condition.report(CAUSE, f"The last commit failed [{fault.code}].")
        elif self.failed_bytes:
            written = sum(job.weight for job in jobs if job.error is None and job.operation in _WRITING)
            if written >= self.failed_bytes:
                self.failed_bytes = 0
                self._condition.clear(CAUSE)
