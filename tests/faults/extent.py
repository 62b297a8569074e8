"""How long the fault suite runs: bounded by default, at full length with `FAULTS=full`; chance comes from a seed."""

import os
import random

FULL = os.environ.get("FAULTS") == "full"


def of(bounded: int, full: int) -> int:
    """Return how much to do in this run."""
    return full if FULL else bounded


def chance() -> random.Random:
    """Return a source of chance whose seed pytest prints beside a failure; `FAULTS_SEED` repeats a run."""
    seed = int(os.environ.get("FAULTS_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"FAULTS_SEED={seed}")
    return random.Random(seed)
