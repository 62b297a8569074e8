"""Taking connections, each counted before the next is taken.

asyncio's own server takes as many at once as its queue is long, before any is counted, and writes a trace for each that
finds no descriptor.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

import structlog

from bot.log import Seldom
from bot.web.connections import Connection, Connections
from bot.web.protocol import Http

AT_ONCE: Final = 64
"""Connections taken in one turn of the loop."""
RETRY_S: Final = 1.0
"""How long none are taken after the system had no descriptor or memory for one."""

_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Listener:
    """Takes the connections of a listening socket, which belongs to whoever opened it."""

    def __init__(self, listening: socket.socket, connections: Connections, make: Callable[[], Http]) -> None:
        self._socket = listening
        self._socket.setblocking(False)
        self._connections = connections
        self._make = make
        self._beginning: set[asyncio.Task[object]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._say_none = Seldom(structlog.get_logger("patchbay.connections").error, "no connections can be taken")

    def start(self) -> None:
        """Begin, or go on."""
        self._retry = None
        asyncio.get_running_loop().add_reader(self._socket, self._take)

    def stop(self) -> None:
        """Take no more and close the socket."""
        asyncio.get_running_loop().remove_reader(self._socket)
        if self._retry is not None:
            self._retry.cancel()
        self._socket.close()

    def _take(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(AT_ONCE):
            if not self._connections.has_room():
                return  # some are being closed: in the next turn
            try:
                taken, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._say_none.happened(fault=error.strerror)
                loop.remove_reader(self._socket)
                self._retry = loop.call_later(RETRY_S, self.start)
                return
            connection = self._connections.admit(str(peer[0]), self._make)
            if connection is None:
                taken.close()
                continue
            task = loop.create_task(self._begin(taken, connection))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)

    async def _begin(self, taken: socket.socket, connection: Connection) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection, taken)
        except OSError:  # it ended before it began
            taken.close()
            self._connections.lost(connection)
