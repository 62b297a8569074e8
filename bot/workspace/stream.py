"""The in-process event stream: everyone who waits for changes reads it from here, resumable by number."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from storage.errors import StorageError
from storage.ids import EventSeq
from storage.ports import Events
from storage.records.event import Event

BACKLOG = 1_000
"""Events a slow reader may fall behind before it is cut off and has to resume by number."""
BACKLOG_BYTES = 8 << 20
"""Bytes of their bodies, the same; a single event always finds room."""
RETRY_S = 0.5
"""Pause before the store is read again that could not be read."""


class StreamStore(Events, Protocol):
    """What the stream reads from."""

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> None: ...


class Lagged(Exception):  # it says what happened to the reader
    """The reader was too slow; resume from the last number it has seen."""


class Subscription:
    """One reader's place in the stream."""

    def __init__(self, after: EventSeq) -> None:
        self.last = after
        self._newest = after
        """The number of the last event taken, which may still wait to be read."""
        self._queue: asyncio.Queue[Event | None] = asyncio.Queue(BACKLOG)
        self._bytes = 0
        self._lagged = False

    def put(self, event: Event) -> None:
        """Take an event, or cut the reader off when it is too far behind."""
        if self._lagged or event.seq <= self._newest:
            return
        if self._queue.full() or (self._bytes and self._bytes + len(event.json) > BACKLOG_BYTES):
            self._lagged = True
            return
        self._queue.put_nowait(event)
        self._bytes += len(event.json)
        self._newest = event.seq

    def catch_up(self, missed: Sequence[Event]) -> None:
        """Take what was missed before what came meanwhile; both may hold the same event."""
        arrived = []
        while not self._queue.empty():
            arrived.append(self._queue.get_nowait())
        self._newest, self._bytes = self.last, 0
        for event in (*missed, *arrived):
            if event is None:
                self.stop()
            else:
                self.put(event)

    async def next(self) -> Event:
        """Wait for the next event; raise Lagged when some were missed."""
        if self._queue.empty() and self._lagged:
            raise Lagged
        event = await self._queue.get()
        if event is None:
            raise Lagged
        self.last = event.seq
        self._bytes -= len(event.json)
        return event

    def fall_behind(self) -> None:
        """Cut the reader off after what it has: more was missed than is kept for it."""
        self._lagged = True

    def stop(self) -> None:
        """Wake the reader for the last time."""
        self._lagged = True
        if self._queue.empty():
            self._queue.put_nowait(None)


class Stream:
    """Hands every committed event to every subscriber, in order, after it is durable."""

    def __init__(self, store: StreamStore, last: EventSeq) -> None:
        self._store = store
        self.last = last
        self._subscriptions: set[Subscription] = set()
        self._reading: asyncio.Task[None] | None = None
        self._is_behind = False
        self._closed = False
        self._elsewhere: list[Callable[[Sequence[Event]], None]] = []
        store.subscribe(self._heard)

    @asynccontextmanager
    async def subscribe(self, after: EventSeq | None = None) -> AsyncIterator[Subscription]:
        """Join the stream now, or after a number seen before: what was missed comes first."""
        subscription = Subscription(self.last if after is None else after)
        self._subscriptions.add(subscription)
        try:
            if after is not None:
                missed: list[Event] = []
                size = 0
                while page := await self._store.events_after(missed[-1].seq if missed else after):
                    missed += page
                    size += sum(len(event.json) for event in page)
                    if page[-1].seq >= self.last or len(missed) >= BACKLOG or size >= BACKLOG_BYTES:
                        break
                subscription.catch_up(missed)
                if missed and missed[-1].seq < self.last:
                    subscription.fall_behind()
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def on_elsewhere(self, listener: Callable[[Sequence[Event]], None]) -> None:
        """Tell a listener, too, what other processes have committed; it may hear events of our own with it."""
        self._elsewhere.append(listener)

    async def read_elsewhere(self) -> bool:
        """Publish events another process has committed (decision 28); tell whether there were any."""
        before = self.last
        while found := await self._store.events_after(self.last):
            for listener in self._elsewhere:
                listener(found)
            for event in found:
                self._publish(event)
        return self.last > before

    def read_on(self) -> None:
        """Read soon what was committed and not heard of, and try again until the store can be read."""
        self._is_behind = True
        if not self._closed and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._catch_up())

    def close(self) -> None:
        """End every subscription."""
        self._closed = True
        if self._reading is not None:
            self._reading.cancel()
        for subscription in self._subscriptions:
            subscription.stop()

    def _heard(self, events: Sequence[Event]) -> None:
        if events and events[0].seq > self.last + 1:
            # another process's events come first: reading brings those, then these, in order
            self.read_on()
            return
        for event in events:
            self._publish(event)

    async def _catch_up(self) -> None:
        while self._is_behind:
            self._is_behind = False
            try:
                await self.read_elsewhere()
            except StorageError:
                self._is_behind = True
                await asyncio.sleep(RETRY_S)

    def _publish(self, event: Event) -> None:
        if event.seq > self.last:
            self.last = event.seq
            for subscription in self._subscriptions:
                subscription.put(event)
