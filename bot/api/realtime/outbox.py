"""Frames on their way to one client: a bounded queue, so that a slow reader costs little and is cut off."""

import asyncio
from collections import deque


class Outbox:
    """Holds frames until the socket takes them."""

    def __init__(self, *, most_frames: int, most_bytes: int) -> None:
        self._most_frames = most_frames
        self._most_bytes = most_bytes
        self._frames: deque[str] = deque()
        self._bytes = 0
        self._finished = False
        self._changed = asyncio.Event()

    def put(self, frame: str) -> bool:
        """Take a frame; False when the client is too far behind. A single long frame always finds room."""
        if self._finished:
            return True
        full = len(self._frames) >= self._most_frames or self._bytes + len(frame) > self._most_bytes
        if self._frames and full:
            return False
        self._frames.append(frame)
        self._bytes += len(frame)
        self._changed.set()
        return True

    def finish(self) -> None:
        """Drop what is queued and take nothing more."""
        self._finished = True
        self._frames.clear()
        self._changed.set()

    async def next(self) -> str | None:
        """Wait for the next frame; None when there will be none."""
        while not self._frames and not self._finished:
            self._changed.clear()
            await self._changed.wait()
        if self._finished:
            return None
        frame = self._frames.popleft()
        self._bytes -= len(frame)
        return frame
