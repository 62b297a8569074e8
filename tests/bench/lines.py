"""What a measurement ends in: lines with a value, what it is compared with, and the bar it must meet."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import quantiles


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The figure must reach the limit."""

    limit: float

    def met(self, value: float) -> bool:
        return value >= self.limit

    def __str__(self) -> str:
        return f"≥ {self.limit:g}"


@dataclass(frozen=True, slots=True)
class AtMost:
    """The figure must not pass the limit."""

    limit: float

    def met(self, value: float) -> bool:
        return value <= self.limit

    def __str__(self) -> str:
        return f"≤ {self.limit:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure; with a `peer` (measured in the same run) the bar is for their ratio, else for the value itself."""

    what: str
    value: float
    unit: str
    bar: AtLeast | AtMost | None = None
    """None: told for the reader, not judged."""
    peer: float | None = None
    peer_name: str = ""
    note: str = ""
    faults: str = ""
    """What went wrong while it was measured: answers that refuse come fast, so with any the bar is not met."""

    @property
    def ratio(self) -> float | None:
        return None if self.peer is None else self.value / self.peer if self.peer else float("inf")

    @property
    def ok(self) -> bool:
        if self.bar is None:
            return True
        return not self.faults and self.bar.met(self.value if self.ratio is None else self.ratio)

    @property
    def verdict(self) -> str:
        return "" if self.bar is None else "ok" if self.ok else "FAIL"

    def as_json(self) -> dict[str, object]:
        bar = None if self.bar is None else str(self.bar)
        return {**asdict(self), "bar": bar, "ratio": self.ratio, "verdict": self.verdict}


@dataclass(frozen=True, slots=True)
class Figure:
    """What one module measured; `lost` counts acknowledged posts and deliveries that were not found afterwards."""

    lines: tuple[Line, ...]
    lost: int = 0


def p99(values: Sequence[float]) -> float:
    """Return the 99th percentile; 0 of nothing."""
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else sum(values)
