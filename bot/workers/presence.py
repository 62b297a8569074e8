"""Watches whether what the server has opened lies where it lay: database, uploads, key file."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

import structlog

from storage.condition import Condition
from storage.errors import Moved, StorageError
from storage.ports import Upkeep

EVERY_S: Final = 1.0
"""A file that was taken away is told of within this time; writes are refused from the very next one on."""

_UPLOADS: Final = "The folder of uploaded files is gone; put it back, until then none can be sent or fetched."
_KEY_FILE: Final = (
    "The key file is gone; put it back, without it the next start opens no secret. The keys in use stay until then."
)

log = structlog.get_logger()

Look = Callable[[], Awaitable[str | None]]
"""Says in a sentence what is missing and what to do; None while all is there."""


class Presence:
    """Tells once of each thing that is gone, in the log and to whoever asks whether the server is ready, and once when
    it is back."""

    name = "presence"

    def __init__(self, looks: Mapping[str, Look], condition: Condition) -> None:
        self._looks = looks
        self._condition = condition
        self._gone: dict[str, str] = {}

    async def run(self) -> None:
        """Look again and again until cancelled."""
        while True:
            for what, look in self._looks.items():
                self._tell(what, await look())
            await asyncio.sleep(EVERY_S)

    def _tell(self, what: str, why: str | None) -> None:
        if why is None:
            if self._gone.pop(what, None) is not None:
                self._condition.clear(what)
                log.info("present", what=what)
            return
        if self._gone.get(what) != why:
            self._gone[what] = why
            self._condition.report(what, why)
            log.error("missing", what=what, reason=why)


def database(store: Upkeep) -> Look:
    """Look whether the database is where it was opened; other faults of it are told elsewhere."""

    async def look() -> str | None:
        try:
            await store.present()
        except Moved as error:
            return str(error)
        except StorageError:
            return None
        return None

    return look


def uploads(folder: Path) -> Look:
    """Look whether the folder of uploaded files is there."""

    async def look() -> str | None:
        return None if folder.is_dir() else _UPLOADS

    return look


def key_file(path: Path) -> Look:
    """Look whether the key file is there."""

    async def look() -> str | None:
        return None if path.is_file() else _KEY_FILE

    return look
