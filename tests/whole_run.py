"""The grep bar over a whole run (`security.md` §3): what any of its processes issued stands in none of their outputs.

Each process notes what it issues in a file (`tests.issued`); what tests print and log and what servers and commands
write to standard error is kept in others, one for each process that runs tests. At the end the one is looked for in the
others, and a hit fails the run. Where pytest-xdist shares the tests out, its workers write into the folder of the
process that started them, and that one looks.
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

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""This process's name among the workers of pytest-xdist; empty in the process a person started."""
_folder: list[tempfile.TemporaryDirectory[str] | Path] = []


def begin() -> None:
    """Have this process and all it starts note what they issue."""
    if _WORKER:
        _folder.append(Path(os.environ[sitecustomize.FILE]).parent)
        sitecustomize.install()
        return
    _folder.append(tempfile.TemporaryDirectory(prefix="patchbay-run-"))
    os.environ[sitecustomize.FILE] = str(_issued())
    own = [str(ROOT / "tests" / "issued"), str(ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join([*own, *filter(None, [os.environ.get("PYTHONPATH")])])
    sitecustomize.install()


def keep(text: str) -> None:
    """Keep what a process has put out."""
    if _folder and text:
        with (_place() / f"outputs{_WORKER}").open("a", encoding="utf-8", errors="replace") as file:
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
    """Keep what a test has printed and logged; the last of its reports has it all. Workers' reports come here, too."""
    if report.when == "teardown" and not _WORKER:
        for _, text in report.sections:
            keep(text)


@pytest.hookimpl(trylast=True)  # pytest-xdist ends its workers in its own
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Look for each secret in everything that was kept; fail the run when one is there."""
    if not _folder or _WORKER:
        return
    secrets, size, hits = issued(), 0, []
    for file in sorted(_place().glob("outputs*")):
        size += file.stat().st_size
        with file.open(encoding="utf-8") as lines:
            hits += found(secrets, lines)
    if not size:
        return
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


def _place() -> Path:
    (folder,) = _folder
    return folder if isinstance(folder, Path) else Path(folder.name)


def _issued() -> Path:
    return _place() / "issued"
