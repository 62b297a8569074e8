"""Measures how long others wait while a server does something: asks for its health all the time, from a thread."""

import asyncio
import socket
import threading
import time
from collections.abc import Awaitable
from contextlib import closing
from http.client import HTTPConnection
from typing import TypeVar
from urllib.parse import urlsplit

WAIT_S = 30.0

T = TypeVar("T")


class Prober:
    """Use as an async context manager; `during` does something and tells the longest wait it caused."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url).netloc
        self._stop = threading.Event()
        self._turn = threading.Condition()
        self._begun = 0
        self._finished = 0
        self._since = 0.0
        self._longest = 0.0
        self._thread = threading.Thread(target=self._probe, daemon=True)

    async def __aenter__(self) -> "Prober":
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await asyncio.to_thread(self._thread.join)

    async def during(self, work: Awaitable[T]) -> tuple[T, float]:
        """Return what the work returns, and the longest part of a probe's wait that lies after its beginning."""
        await asyncio.to_thread(self._start)
        result = await work
        return result, await asyncio.to_thread(self._longest_wait)

    def _start(self) -> None:
        with self._turn:
            self._since, self._longest = time.perf_counter(), 0.0

    def _longest_wait(self) -> float:
        """Wait for the probe under way, whose wait is the one in question, and for one that begins after it."""
        with self._turn:
            last = self._begun + 1
            assert self._turn.wait_for(lambda: self._finished >= last, WAIT_S), "the server answers no probe"
            return self._longest

    def _probe(self) -> None:
        with closing(HTTPConnection(self._address, timeout=WAIT_S)) as connection:
            connection.connect()
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._stop.is_set():
                with self._turn:
                    self._begun += 1
                began = time.perf_counter()
                connection.request("GET", "/health")
                connection.getresponse().read()
                ended = time.perf_counter()
                with self._turn:
                    self._finished += 1
                    self._longest = max(self._longest, ended - max(began, self._since))
                    self._turn.notify_all()
