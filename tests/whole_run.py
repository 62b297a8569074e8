"""The grep bar over a whole run (`security.md` §3): what any of its processes issued stands in none of their outputs.

Each process notes what it issues in a file (`tests.issued`); what tests print and log and what servers and commands
write to standard error is kept in another. At the end the one is looked for in the other, and a hit fails the run.
"""

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.issued import sitecustomize

ROOT = Path(__file__).resolve().parents[1]
_RUNS = re.compile(rf"[\w-]{{{sitecustomize.SHORTEST},}}", re.ASCII)

_folder: list[tempfile.TemporaryDirectory[str]] = []


def begin() -> None:
    """Have this process and all it starts note what they issue."""
    folder = tempfile.TemporaryDirectory(prefix="patchbay-run-")
    _folder.append(folder)
    os.environ[sitecustomize.FILE] = str(_issued())
    own = [str(ROOT / "tests" / "issued"), str(ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
    sitecustomize.install()


def keep(text: str) -> None:
    """Keep what a process has put out."""
    if _folder and text:
        with _outputs().open("a", encoding="utf-8", errors="replace") as file:
            file.write(f"{text}\n")


def issued() -> set[str]:
    """Return everything the processes of this run have issued so far."""
    return set(_issued().read_text(encoding="utf-8").split()) if _folder and _issued().exists() else set()


def found(secrets: set[str], lines: Iterable[str]) -> list[str]:
    """Return the lines that hold a secret, with all but its end."""
    lengths = {len(secret) for secret in secrets}
    hits = []
    for line in lines:
        for run in _RUNS.findall(line):
            for length in lengths:
                for place in range(len(run) - length + 1):
                    if (secret := run[place : place + length]) in secrets:
                        hits.append(line.strip().replace(secret, f"[…{secret[-4:]}]")[:500])
    return hits


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what a test has printed and logged; the last of its reports has it all."""
    if report.when == "teardown":
        for _, text in report.sections:
            keep(text)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for each secret in everything that was kept; fail the run when one is there."""
    if not _folder or not _outputs().exists():
        return
    secrets = issued()
    with _outputs().open(encoding="utf-8") as lines:
        hits = found(secrets, lines)
    size = _outputs().stat().st_size
    session.config.stash[_SAID] = [
        f"{len(secrets):,} secrets issued, {len(hits)} found in {size / 1e6:.1f} MB",
        *hits[:20],
    ]
    if hits:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was looked for, and where something was found."""
    for line in config.stash.get(_SAID, []):
        terminalreporter.write_line(line)


_SAID = pytest.StashKey[list[str]]()


def _issued() -> Path:
    return Path(_folder[0].name) / "issued"


def _outputs() -> Path:
    return Path(_folder[0].name) / "outputs"
