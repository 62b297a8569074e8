"""Long work on the event loop, done in slices: between two of them everybody else has a turn."""

import asyncio

SLICE_S = 0.002
"""Seconds of work after which the loop goes on with what else is due: a request takes some turns of the loop, and waits
for a slice at each of them."""


class Slices:
    """Says when a slice is over; one for each piece of work, made where it begins."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._until = self._clock() + SLICE_S

    async def rest(self) -> None:
        """Let others have their turn if the slice is over; to be called after each small step."""
        if self._clock() >= self._until:
            await asyncio.sleep(0)
            self._until = self._clock() + SLICE_S
