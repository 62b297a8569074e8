"""The grep bar over the whole run: it knows what every process issues, and fails a run that shows any of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from storage.ids import hook_token
from tests import whole_run
from tests.process import ServerProcess

SPILLING = """
from tests.whole_run import pytest_runtest_logreport, pytest_sessionfinish, pytest_terminal_summary
from tests import whole_run
whole_run.begin()
"""


def test_what_servers_issue_is_known(tmp_path: Path) -> None:
    """The first hook's token, made in a process of its own, and what this one makes."""
    with ServerProcess(tmp_path / "data") as server:
        (line,) = [line for line in server.first_start_lines if "/hooks/" in line]
        assert server.stop() == 0
    token = line.split("/hooks/")[1].split("/")[1].split("'")[0].strip()
    assert {token, hook_token()} <= whole_run.issued()


@pytest.mark.parametrize("text", ["{}", "token={}&x", "/hooks/1/{}", "x{}y", "'{}'"])
def test_a_secret_is_found_whatever_stands_around_it(text: str) -> None:
    """Its line is told, without it."""
    token = hook_token()
    (hit,) = whole_run.found({token, "y" * 43}, ["nothing\n", text.format(token) + "\n"])
    assert token not in hit
    assert token[-4:] in hit
    assert whole_run.found({token}, [text.format(token[:-1]) + "\n"]) == []


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(("shown", "code"), [("token", 1), ("token[:30]", 0)])
def test_a_run_that_prints_a_secret_fails(tmp_path: Path, shown: str, code: int, workers: int) -> None:
    """Although each of its tests passes, here or in a worker of pytest-xdist."""
    (tmp_path / "conftest.py").write_text(SPILLING)
    test = f"from storage.ids import hook_token\n\ndef test_it():\n    token = hook_token()\n    print({shown})\n"
    (tmp_path / "test_spilling.py").write_text(test)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-n", str(workers), "--rootdir", str(tmp_path)),
            *("-c", os.devnull, str(tmp_path)),
        ],
        cwd=tmp_path,
        env={**{k: v for k, v in os.environ.items() if "XDIST" not in k}, "PYTHONPATH": str(whole_run.ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "1 passed" in done.stdout) == (code, True), done.stdout + done.stderr
    assert f"1 secrets issued, {code} found" in done.stdout
