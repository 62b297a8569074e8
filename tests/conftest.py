"""Fixtures every kind of test may ask for, and the search of the whole run's output for secrets."""

import sys
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import whole_run
from tests.whole_run import pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary

__all__ = ["pytest_runtest_logreport", "pytest_sessionfinish", "pytest_terminal_summary", "server"]

whole_run.begin()  # before anything else is imported

if TYPE_CHECKING:
    from tests.server import Server


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write half characters of what a test printed and logged as escapes: workers pass reports on as UTF-8."""
    report = yield
    report.sections = [
        (title, text.encode("utf-8", "backslashreplace").decode("utf-8")) for title, text in report.sections
    ]
    return report


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
