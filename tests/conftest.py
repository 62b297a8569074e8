"""Fixtures every kind of test may ask for."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.server import Server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator["Server"]:
    """A fresh server with its owner logged in."""
    from tests.server import serving  # most tests need no server: they should not pay for importing one

    async with serving(tmp_path / "data") as running:
        yield running
