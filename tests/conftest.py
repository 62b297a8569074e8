"""Fixtures every kind of test may ask for, and the search of the whole run's output for secrets."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import whole_run
from tests.whole_run import pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_runtest_logreport", "pytest_sessionfinish", "pytest_terminal_summary", "server"]

whole_run.begin()  # before anything else is imported

if TYPE_CHECKING:
    from tests.server import Server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator["Server"]:
    """A fresh server with its owner logged in."""
    from tests.server import serving  # most tests need no server: they should not pay for importing one

    async with serving(tmp_path / "data") as running:
        yield running


@pytest.fixture(autouse=True)
def patient_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let chats wait longer for an answer: a stall of the disk is no slow command, which is answered elsewhere."""
    chat_doors = sys.modules.get("bot.web.chat_doors")
    if chat_doors is not None:
        monkeypatch.setattr(chat_doors, "ACK_S", 2.0)
