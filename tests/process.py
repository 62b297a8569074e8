"""The real `patchbay` command in processes of its own: a server that is always ended, and single commands."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests import whole_run

ROOT = Path(__file__).resolve().parents[1]
READY = "Patchbay is ready at "
PATCHBAY = (sys.executable, "-m", "bot")
QUIET = {"PATCHBAY_HOOK_RATE_PER_MINUTE": "0", "PATCHBAY_API_RATE_PER_MINUTE": "0"}
"""Settings that keep tests out of the rate limits."""


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment without the settings of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PATCHBAY_")}
    return {**kept, **(settings or {})}


def patchbay(
    *arguments: str | Path, settings: Mapping[str, str] | None = None, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; `typed` is its standard input."""
    done = subprocess.run(
        [*PATCHBAY, *map(str, arguments)],
        cwd=ROOT,
        env=environment(settings),
        input=typed,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    whole_run.keep(done.stderr)
    return done


def children(pid: int) -> list[int]:
    """Return the processes a process has started from its main thread, as the writer is."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class ServerProcess:
    """`patchbay serve --port 0` on a data folder, from its ready line until it is stopped or killed."""

    def __init__(self, data: Path, settings: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.settings = {**QUIET, **(settings or {})}
        self.url = ""
        self.first_start_lines: list[str] = []
        """What it printed before the ready line: empty but for the first start."""

    def __enter__(self) -> Self:
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [*PATCHBAY, "serve", "--port", "0", "--data", str(self.data)],
            cwd=ROOT,
            env=environment(self.settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        try:
            self._wait_until_ready()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def errors(self) -> str:
        """Return everything it has written to standard error."""
        descriptor = self._errors.fileno()  # no seek: the server shares the place it writes at
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode(errors="replace")

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would; its writer finishes what it has in hand."""
        self._process.kill()
        self._process.wait(timeout=10)

    def kill_writer(self) -> list[int]:
        """End the process that writes its database with SIGKILL, whatever it has in hand; return who was killed."""
        killed = children(self.pid)
        for child in killed:
            os.kill(child, signal.SIGKILL)
        return killed

    def stop(self) -> int:
        """End it with SIGTERM; returns its exit code, and raises when it takes over 10 s."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=10)

    def _wait_until_ready(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(READY):
                self.url = line.removeprefix(READY).strip()
                return
            self.first_start_lines.append(line.rstrip("\n"))
        raise AssertionError(f"the server ended with {self._process.wait()} before it was ready:\n{self.errors}")

    def _end(self) -> None:
        if self._process.poll() is None:
            self.kill()
        if self._process.stdout is not None:
            self._process.stdout.close()
        whole_run.keep(self.errors)
        self._errors.close()
