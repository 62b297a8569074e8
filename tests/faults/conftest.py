"""The honeypot: a port of this machine that nothing may connect to; the run fails when anybody does.

What keeps a server away from it is the test's business: in `test_honeypot.py` an allow list with other ports of this
machine; in `test_endpoints.py`, where 127.0.0.1 is allowed with every port, that nobody follows a redirect.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

Address = tuple[object, ...]
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


@dataclass
class Honeypot:
    """Listens on every address of this machine, IPv4 and IPv6, and remembers who came."""

    port: int
    families: tuple[socket.AddressFamily, ...]
    _touched: list[Address] = field(default_factory=list)
    _own: list[Address] = field(default_factory=list)

    def listen(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, peer = listener.accept()
                self._touched.append(peer)
                connection.close()

    def strangers(self) -> list[Address]:
        """Return who came, those included who still wait to be accepted: a connection of ours comes behind them."""
        for family in self.families:
            with socket.create_connection((LOOPBACK[family], self.port), timeout=5) as visit:
                self._own.append(visit.getsockname())
                visit.recv(1)
        heard = self._touched.copy()
        assert [own for own in self._own if own not in heard] == [], "the honeypot does not hear who comes"
        return [peer for peer in heard if peer not in self._own]


def _listeners() -> list[socket.socket]:
    first = socket.create_server(("0.0.0.0", 0))
    listeners = [first]
    with suppress(OSError):  # a machine without IPv6 has nothing to protect there
        listeners.append(socket.create_server(("::", first.getsockname()[1]), family=socket.AF_INET6))
    return listeners


@pytest.fixture(scope="session")
def honeypot() -> Iterator[Honeypot]:
    """One for the whole run."""
    listeners = _listeners()
    pot = Honeypot(listeners[0].getsockname()[1], tuple(listener.family for listener in listeners))
    threads = [threading.Thread(target=pot.listen, args=(listener,), daemon=True) for listener in listeners]
    for thread in threads:
        thread.start()
    assert pot.strangers() == []
    try:
        yield pot
        strangers = pot.strangers()
    finally:
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in threads:
            thread.join()
    assert strangers == [], "the honeypot was reached"
