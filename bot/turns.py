"""Waiting for a shared slot: who wants one while its share is full waits, and takes it as soon as there is room."""

import asyncio
from collections import OrderedDict

from storage.shares import Path, Shares

MOST_WAITING = 1_000
"""Who comes when so many wait is told at once that there is no turn: each holds a task and what it would send."""


class NoTurn(OSError):
    """There was no slot free in time."""


class Turns:
    """Slots that are waited for, the longest wait first among those whose share has room."""

    def __init__(self, total: int) -> None:
        self._shares = Shares(total)
        self._waiting: OrderedDict[asyncio.Future[None], Path] = OrderedDict()

    async def take(self, path: Path) -> None:
        """Take a slot, waiting for it; raises NoTurn when too many wait already."""
        if self._shares.room(path) > 0:
            self._shares.take(path)
            return
        if len(self._waiting) >= MOST_WAITING:
            raise NoTurn
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = path
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had been given before its taker was gone
                self.leave(path)
            raise
        finally:
            self._waiting.pop(turn, None)

    def leave(self, path: Path) -> None:
        """Give a slot back, to whoever waits longest and may have it."""
        self._shares.leave(path)
        for turn, wanted in list(self._waiting.items()):
            if not self._shares.free:
                return
            if not turn.done() and self._shares.room(wanted) > 0:
                self._shares.take(wanted)
                turn.set_result(None)
