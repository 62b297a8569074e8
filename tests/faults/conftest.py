"""The honeypot: a port of this machine on nobody's allow list; the run fails when anybody connects to it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest


@dataclass
class Honeypot:
    """Listens on every address of this machine, IPv4 and IPv6, and remembers who came."""

    port: int
    touched: list[str] = field(default_factory=list)

    def listen(self, listener: socket.socket) -> None:
        """Take connections until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, peer = listener.accept()
                connection.close()
                self.touched.append(str(peer))


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
    pot = Honeypot(listeners[0].getsockname()[1])
    threads = [threading.Thread(target=pot.listen, args=(listener,), daemon=True) for listener in listeners]
    for thread in threads:
        thread.start()
    with socket.create_connection(("127.0.0.1", pot.port), timeout=5) as proof:  # it does hear who comes
        own = str(proof.getsockname())
        proof.recv(1)
    try:
        yield pot
    finally:
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for thread in threads:
            thread.join()
    assert pot.touched == [own], "the honeypot was reached"
