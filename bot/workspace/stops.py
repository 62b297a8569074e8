"""Which hooks stop where when somebody's rights change, and the line their history gets, so that nobody wonders."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from handlers.acting import Stopped, may_act_as, may_reach
from handlers.outgoing.events import OutgoingEvent
from storage.ids import IntegrationId, RoomId, UserId
from storage.records.changes import Changes
from storage.records.integration import Hook, HookField, IncomingHook, OutgoingHook, WantedHooks, direction
from storage.records.room import Room, RoomKind
from storage.records.user import User

_WIDE: Final = {
    "all_private_groups": "private rooms",
    "all_direct_messages": "direct rooms",
}
"""Words that stand for whole kinds of rooms, as answers call them."""

_MOST_NAMED: Final = 5
"""Rooms a reason names one by one."""


@dataclass(frozen=True, slots=True)
class _After:
    """What is about to be different: how somebody will be, and which room somebody will have left."""

    user: User | None = None
    left: tuple[RoomId, UserId] | None = None


_NOW: Final = _After()


class Stops:
    """Says what keeps hooks from their rooms, now or after a change that is not written yet."""

    def __init__(self, directory: Directory, fanout: Fanout) -> None:
        self._directory = directory
        self._fanout = fanout

    async def why(self, hook: Hook) -> str | None:
        """Say what keeps a hook from some of its rooms now; None when nothing does."""
        return await self._why(hook, _NOW)

    async def by_change(self, user: User) -> tuple[Stopped, ...]:
        """Return the hooks that stop when a user becomes what is given."""
        return await self._stopped(user.id, _After(user=user))

    async def by_leaving(self, room: Room, user: User) -> tuple[Stopped, ...]:
        """Return the hooks that stop when a user is out of a room."""
        return await self._stopped(user.id, _After(left=(room.id, user.id)))

    def told(self, by: User, stopped: Iterable[Stopped]) -> Changes:
        """Return what tells of stopped hooks: one line in the history of each outgoing one."""
        return Changes(facts=tuple(self._fanout.stopped(one.hook, by, _sentence(one)) for one in stopped))

    async def _stopped(self, user_id: UserId, after: _After) -> tuple[Stopped, ...]:
        found = []
        for hook in await self._hooks_of(user_id):
            why = await self._why(hook, after)
            if why is not None and why != await self._why(hook, _NOW):
                found.append(Stopped(hook, why))
        return tuple(found)

    async def _hooks_of(self, user_id: UserId) -> list[Hook]:
        """Return the enabled hooks that somebody made or that post as them, oldest first."""
        org, theirs = self._directory.org, dict[IntegrationId, Hook]()
        for field in (HookField.MAKER, HookField.USER):
            wanted = WantedHooks(org_id=org, equal=((HookField.ENABLED, True), (field, user_id)))
            theirs |= {hook.id: hook async for hook in self._directory.every_hook(wanted)}
        return sorted(theirs.values(), key=lambda hook: (hook.created_at, hook.id))

    # --- one hook -----------------------------------------------------------------------------------

    async def _why(self, hook: Hook, after: _After) -> str | None:
        maker, poster = await self._user(hook.created_by[0], after), await self._user(hook.user_id, after)
        name = hook.created_by[1]
        if isinstance(hook, IncomingHook) and poster is not None and not may_act_as(maker, poster, direction(hook)):
            return f"its maker {name} may not let it post as {hook.username}"
        shut = [label for label, inside in await self._places(hook, maker, after) if not _reaches(hook, maker, inside)]
        if shut:
            return f"its maker {name} may not {_verb(hook)} {_list(shut)}"
        if isinstance(hook, IncomingHook) and poster is not None:
            away = [label for label, inside in await self._places(hook, poster, after) if not inside]
            if away:
                return f"{hook.username}, whom it posts as, is not in {_list(away)}"
        return None

    async def _places(self, hook: Hook, user: User | None, after: _After) -> list[tuple[str, bool]]:
        """Return the places of a hook that are not public, each with whether somebody is in it."""
        if isinstance(hook, OutgoingHook) and not OutgoingEvent(hook.event).uses_channels:
            return [("what happens everywhere", False)]
        found = []
        for channel in hook.channels:
            if channel in _WIDE:
                found.append((_WIDE[channel], False))
            elif channel.startswith("@"):
                found.append((channel, await self._is_of(channel[1:], hook, user)))
            elif channel.startswith("#"):
                room = await self._directory.room_called(channel[1:])
                if room is not None and room.kind is not RoomKind.PUBLIC:
                    found.append((channel, await self._is_inside(room, user, after)))
        return found

    async def _is_of(self, name: str, hook: Hook, user: User | None) -> bool:
        """Tell whether a direct room is one of somebody's: of an incoming hook it lies between poster and person."""
        if user is None:
            return False
        other = await self._directory.user(UserId(name)) or await self._directory.user_named(name)
        is_poster = isinstance(hook, IncomingHook) and user.id == hook.user_id
        return is_poster or (other is not None and other.id == user.id)

    async def _is_inside(self, room: Room, user: User | None, after: _After) -> bool:
        if user is None or after.left == (room.id, user.id):
            return False
        return await self._directory.is_inside(room, user.id)

    async def _user(self, user_id: UserId, after: _After) -> User | None:
        if after.user is not None and after.user.id == user_id:
            return after.user
        return await self._directory.user(user_id)


def _reaches(hook: Hook, maker: User | None, inside: bool) -> bool:
    return may_reach(maker, direction(hook), public=False, inside=inside)


def _verb(hook: Hook) -> str:
    return "enter" if isinstance(hook, IncomingHook) or OutgoingEvent(hook.event).uses_channels else "hear"


def _list(labels: list[str]) -> str:
    more = len(labels) - _MOST_NAMED
    return ", ".join(labels[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _sentence(stopped: Stopped) -> str:
    noun = "in" if isinstance(stopped.hook, IncomingHook) else "out"
    return f"Stopped: {stopped.why}; an admin can take it over: {noun} adopt {stopped.hook.id}"
