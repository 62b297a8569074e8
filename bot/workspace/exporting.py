"""Writes an export piece by piece: the hooks may be very many, and nobody else should wait for them."""

from collections.abc import AsyncIterator
from dataclasses import replace

from bot.slices import Slices
from bot.workspace.directory import Directory
from bot.workspace.hooks import Hooks
from handlers.portable.writing import entry, heading, list_heading, listed
from storage.clock import Millis
from storage.records.integration import BY_NAME, Direction, HookField
from storage.records.user import User


async def export_pieces(
    hooks: Hooks, directory: Directory, user: User, *, now: Millis, only: Direction | None
) -> AsyncIterator[str]:
    """Return the file of the hooks a user sees, without secrets; a piece holds one hook."""
    slices = Slices()
    yield heading(now, masked=True)
    for key, way in listed(only):
        mine = replace(hooks.seen(user, order=BY_NAME), equal=((HookField.DIRECTION, way),))
        empty = True
        async for hook in directory.every_hook(mine):
            if empty and not hook.damaged:
                yield list_heading(key, empty=False)
            empty = empty and hook.damaged
            await slices.rest()
            yield entry(hook, masked=True)
        if empty:
            yield list_heading(key, empty=True)
