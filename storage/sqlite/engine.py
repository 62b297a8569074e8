"""Everything that writes, by name: what the writer runs on its connection, in whichever process it lives."""

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from storage.clock import Clock, Millis
from storage.errors import Moved, Uncertain
from storage.ids import DeliveryId
from storage.records.changes import NOTHING, Changes, Committed
from storage.records.queue import Claimed, Settle, Settled
from storage.sqlite import check_value, message_retention, sealed, upkeep
from storage.sqlite.apply import Applier, Scopes
from storage.sqlite.checkpoint import Checkpointer
from storage.sqlite.connect import BUSY_TIMEOUT_S
from storage.sqlite.files import FileId, OpenFiles
from storage.sqlite.queue import ClaimOrder, Queue
from storage.sqlite.transactions import Transactions
from storage.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an engine is made with; plain enough to be sent to another process."""

    path: Path
    file: FileId
    """Which file lies there."""
    vault: Vault
    clock: Clock
    scopes: Scopes
    busy_timeout_s: float = BUSY_TIMEOUT_S
    serving: bool
    """It belongs to the one process that owns the queue."""
    recovering: bool
    """Leases found are void (decision 45); not when only the writer starts again."""


class Engine:
    """The operations; each runs inside a transaction of the writer's, on its connection."""

    def __init__(self, connection: sqlite3.Connection, opening: Opening) -> None:
        self._connection = connection
        self._vault = opening.vault
        self.files = OpenFiles(opening.path, opening.file)
        self._applier = Applier(opening.vault, opening.clock, opening.scopes)
        self._queue = Queue(opening.vault, opening.clock, self._applier)
        self._data_version = self._version()
        self._changed_elsewhere = False
        self._purged_to = 0
        if opening.recovering:
            self._queue.recover(connection)

    def look_around(self) -> None:
        """Drop what is remembered when another process has written; nothing is written on old knowledge.

        Raises Moved when the file is not there any more.
        """
        self.files.check()
        version = self._version()
        if version != self._data_version:
            self._changed_elsewhere = True
            self.forget()
            check_value.follow(self._connection, self._vault)  # `keys rotate` may have put a new one first
            self._data_version = version

    def look_back(self) -> None:
        """Look after a commit whether it went into the file that is there; raise Uncertain when that is not so."""
        try:
            self.files.check()
        except Moved as error:
            text = f"It is not certain whether this was stored; repeat it with the same id. {error}"
            raise Uncertain(text) from error

    def forget(self) -> None:
        """Drop what is remembered about stored rows."""
        self._applier.forget()
        self._queue.forget()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    # --- operations ---------------------------------------------------------------------------------

    def commit(self, units: Sequence[Changes]) -> list[Committed]:
        return self._applier.apply(self._connection, units)

    def settle(self, settles: Sequence[Settle]) -> list[Settled]:
        return self._queue.settle(self._connection, settles)

    def claim(self, order: ClaimOrder) -> Claimed:
        return self._queue.claim(self._connection, order)

    def replay_dead(self, ids: Sequence[DeliveryId], also: Changes) -> int:
        return self._with(also, self._queue.replay_dead(self._connection, ids))

    def discard_dead(self, ids: Sequence[DeliveryId], also: Changes) -> int:
        return self._with(also, self._queue.discard_dead(self._connection, ids))

    def hasten(self, ids: Sequence[DeliveryId], also: Changes) -> int:
        return self._with(also, self._queue.hasten(self._connection, ids))

    def _with(self, also: Changes, count: int) -> int:
        """Write what belongs to a change of the queue, unless nothing was changed."""
        if count and also != NOTHING:
            self._applier.apply(self._connection, [also])
        return count

    def expire_held(self) -> int:
        return self._queue.expire_held(self._connection)

    def execute(self, statement: str, values: Sequence[object]) -> int:
        return self._connection.execute(statement, values).rowcount

    def probe(self, at: Millis, filler: bytes) -> None:
        """Write something of a size."""
        self._connection.execute(
            "INSERT INTO probe (id, at, filler) VALUES (1, ?, ?)"
            " ON CONFLICT DO UPDATE SET at = excluded.at, filler = excluded.filler",
            (at, filler),
        )

    def purge(self, now: Millis) -> int:
        return upkeep.purge(self._connection, now) + upkeep.sweep(self._connection)

    def purge_events(self, now: Millis) -> tuple[int, bool]:
        """Remove one slice of old events; returns how many went and whether there is more to look at."""
        gone, self._purged_to = upkeep.purge_events(self._connection, now, self._purged_to)
        return gone, bool(self._purged_to)

    def purge_messages(self, now: Millis) -> int:
        return message_retention.purge_messages(self._connection, now)

    def reseal(self, after: sealed.Place) -> tuple[sealed.Place | None, int, int]:
        return sealed.reseal(self._connection, vault=self._vault, after=after)

    def present(self) -> None:
        """Do nothing; that it was done shows that the file is there."""

    def changed_elsewhere(self) -> bool:
        """Tell whether another process has written since this was last asked."""
        changed, self._changed_elsewhere = self._changed_elsewhere, False
        return changed


def start(connection: sqlite3.Connection, opening: Opening) -> tuple[Transactions, Callable[[], None]]:
    """Make an engine on a connection; returns what commits for it, and what ends it and closes the connection."""
    engine = Engine(connection, opening)
    transactions = Transactions(
        connection, engine, began=engine.look_around, committed=engine.look_back, rolled_back=engine.forget
    )
    checkpointer: Checkpointer | None = None
    if opening.serving:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        checkpointer = Checkpointer(opening.path, transactions.turn, engine.files)

    def end() -> None:
        if checkpointer is not None:
            checkpointer.close()
        connection.close()

    return transactions, end
