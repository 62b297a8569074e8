"""What the suite needs of a storage engine: opening it, and opening it again on what it kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from storage.clock import Clock
from storage.ports import Store
from storage.records.integration import OutgoingHook
from storage.sqlite.store import SqliteStore, open_store
from storage.vault import Vault

KEY = bytes(range(32))
OTHER_KEY = bytes(range(32, 64))


def scopes(hook: OutgoingHook) -> Iterable[str]:
    """Listen to exactly the channels the hook names."""
    return hook.channels


class Engine(Protocol):
    """Opens stores on one place; each opened store sees what the ones before it wrote."""

    def open(self, *, serving: bool = True) -> Store: ...


class SqliteEngine:
    """SQLite on a file of the test."""

    def __init__(self, path: Path, clock: Clock, *, keys: tuple[bytes, ...] = (KEY,)) -> None:
        self.path = path
        self.clock = clock
        self.keys = keys

    def open(self, *, serving: bool = True) -> SqliteStore:
        return open_store(self.path, Vault(self.keys), self.clock, scopes, serving=serving, busy_timeout_s=0.05)

    def bytes_on_disk(self) -> bytes:
        """Return everything the engine has written: the file, its WAL and its index."""
        return b"".join(file.read_bytes() for file in sorted(self.path.parent.glob(self.path.name + "*")))
