"""Where the shared contracts lie: `../shared` beside the project, or `PATCHBAY_SHARED`."""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("PATCHBAY_SHARED") or Path(__file__).resolve().parents[1].parent / "shared")


def shared(*parts: str) -> Path:
    """Return a file of the shared contracts; skip the test that asks when it is absent."""
    path = ROOT.joinpath("reference", *parts)
    if not path.exists():
        pytest.skip(
            f"the shared contract file {'/'.join(parts)} is not here; set PATCHBAY_SHARED to its folder",
            allow_module_level=True,
        )
    return path


def lines(path: Path) -> list[dict[str, object]]:
    """Return the objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
