"""Look host names up with the system's resolver, without letting a slow one hold the process."""

import asyncio
import socket
import threading

MAX_LOOKUPS = 32


class SystemResolver:
    """Resolve names in daemon threads of their own.

    `getaddrinfo` cannot be interrupted. In the event loop's small pool a few dead name servers would starve
    every other lookup, and a pool would hold the process at its end. One name never takes a second thread
    while the first still waits.
    """

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(MAX_LOOKUPS)
        self._running: dict[str, asyncio.Task[list[str]]] = {}

    async def __call__(self, host: str) -> list[str]:
        """Return the addresses of a name; OSError when it has none. Others may share the lookup."""
        task = self._running.get(host)
        if task is None:
            task = self._running[host] = asyncio.create_task(self._look_up(host))
            task.add_done_callback(lambda done: self._forget(host, done))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Stop waiting for lookups; their threads end by themselves or with the process."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, host: str, task: asyncio.Task[list[str]]) -> None:
        del self._running[host]
        if not task.cancelled():
            task.exception()  # seen: whoever asked may be gone by now

    async def _look_up(self, host: str) -> list[str]:
        async with self._slots:
            loop = asyncio.get_running_loop()
            answer: asyncio.Future[list[str]] = loop.create_future()
            threading.Thread(target=_in_thread, args=(loop, answer, host), daemon=True).start()
            return await answer


def _in_thread(loop: asyncio.AbstractEventLoop, answer: "asyncio.Future[list[str]]", host: str) -> None:
    addresses: list[str] = []
    error: OSError | None = None
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        addresses = [str(info[4][0]) for info in infos]
    except OSError as failed:
        error = failed
    except UnicodeError as failed:  # Python's own codec refuses some names before anyone is asked
        error = OSError(str(failed))

    def hand_over() -> None:
        if answer.done():
            return
        if error:
            answer.set_exception(error)
        else:
            answer.set_result(addresses)

    try:
        loop.call_soon_threadsafe(hand_over)
    except RuntimeError:
        return  # the loop has ended: nobody waits any more
