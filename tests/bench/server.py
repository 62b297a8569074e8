"""The server under test: a real process, on a data folder, with quiet logs and no rate limits."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.bench.children import call
from tests.process import ServerProcess

PASSWORD = "correct horse battery"
SETTINGS = {
    "PATCHBAY_LOG_LEVEL": "warning",
    "PATCHBAY_ALLOW_TARGETS": "127.0.0.1",
    "PATCHBAY_OWNER_PASSWORD": PASSWORD,
}


@dataclass(frozen=True, slots=True)
class Workspace:
    """A data folder the first start has filled."""

    data: Path
    hook_path: str
    """Path of the incoming hook that posts to `#general`."""

    def copied(self, name: str) -> "Workspace":
        """Return a copy beside it; no server may run on this one."""
        target = self.data.with_name(name)
        shutil.copytree(self.data, target)
        return Workspace(target, self.hook_path)

    @property
    def wal_mb(self) -> float:
        """Return the size of the write-ahead log."""
        file = self.data / "patchbay.db-wal"
        return file.stat().st_size / 1e6 if file.exists() else 0.0


def serving(data: Path, more: Mapping[str, str] | None = None) -> ServerProcess:
    """Return the server of a data folder, to be entered."""
    return ServerProcess(data, {**SETTINGS, **(more or {})})


def first_start(data: Path) -> Workspace:
    """Fill a data folder by starting a server on it, posting once, and stopping it."""
    with serving(data) as server:
        found = re.search(r"/hooks/\w+/\w+", "\n".join(server.first_start_lines))
        assert found is not None, server.first_start_lines
        call("POST", server.url + found[0], {"text": "first"})
        server.stop()
    return Workspace(data, found[0])


def login(url: str) -> dict[str, str]:
    """Log in as the owner; return the headers of the session."""
    data = call("POST", f"{url}/api/v1/login", {"user": "owner", "password": PASSWORD})["data"]
    return {"X-User-Id": data["userId"], "X-Auth-Token": data["authToken"]}


def outgoing_hook(url: str, owner: dict[str, str], target: str, channel: str = "#general") -> str:
    """Make a hook that calls `target` for every message in a room; return its id."""
    wanted = {
        "type": "webhook-outgoing",
        "name": "bench",
        "enabled": True,
        "event": "sendMessage",
        "username": "rocket.cat",
        "channel": channel,
        "urls": [target],
        "scriptEnabled": False,
    }
    return str(call("POST", f"{url}/api/v1/integrations.create", wanted, owner)["integration"]["_id"])


def peak_memory_mb(pid: int) -> float:
    """Return the most memory a server's processes have held; 0 where the system does not tell."""
    return _memory_mb(pid, "VmHWM")


def memory_mb(pid: int) -> float:
    """Return the memory a server's processes hold now; 0 where the system does not tell."""
    return _memory_mb(pid, "VmRSS")


def _memory_mb(pid: int, what: str) -> float:
    """Add up a process and its children: the writer is one of them."""
    status, children = Path(f"/proc/{pid}/status"), Path(f"/proc/{pid}/task/{pid}/children")
    if not status.exists():
        return 0.0
    found = re.search(rf"{what}:\s+(\d+) kB", status.read_text(encoding="utf-8"))
    own = int(found[1]) * 1024 / 1e6 if found else 0.0
    others = children.read_text(encoding="utf-8").split() if children.exists() else []
    return own + sum(_memory_mb(int(child), what) for child in others)
