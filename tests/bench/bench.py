"""What every measurement gets: where its data lies, how thorough to be, what the loader can do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.bench.disk import at_rest
from tests.bench.lines import Figure

BODY = '{"text":"[api] build @n of main passed in 3 min 12 s: 412 tests, 3 skipped; deployed to staging by ann"}'
"""What senders post in every measurement that does not need another body."""


@dataclass(frozen=True, slots=True)
class Bench:
    """One run of the harness."""

    folder: Path
    """On a real disk; removed at the end."""
    quick: bool
    ceiling: float
    """Requests a second the loader sends to a receiver that does next to nothing."""

    def pick(self, full: int, quick: int) -> int:
        """Return the size of something for this run."""
        return quick if self.quick else full

    def rest(self) -> float:
        """Wait until the disk has done what is left of the work before; return the seconds it took."""
        return at_rest(self.folder, self.pick(15, 1), self.pick(180, 1))

    def data(self, name: str) -> Path:
        """Return a data folder of its own."""
        return self.folder / name


Measurement = Callable[[Bench], Figure]
