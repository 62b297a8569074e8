"""Rooms as commands see them: what they ask of the workspace, and how one is found and told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from handlers.answers import ROWS
from handlers.command import Call
from handlers.errors import Fault
from handlers.line import Problem, ProblemKind, one_line
from handlers.nearest import nearest
from handlers.references import resolve
from handlers.services import Need
from storage.clock import Millis
from storage.ids import RoomId
from storage.records.changes import Changes
from storage.records.room import Room, RoomKind

ROOM = "ROOM"
"""The argument that names a room."""


@dataclass(frozen=True, slots=True)
class RoomFacts:
    """What is going on in a room."""

    members: int = 0
    messages: int = 0
    last_at: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRoom:
    """A room somebody wants."""

    name: str
    private: bool = False
    read_only: bool = False
    invited: tuple[str, ...] = ()
    """User names, without `@`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What a room keeps of its messages; None is no bound of that kind."""

    keep_ms: int | None = None
    keep_last: int | None = None

    @classmethod
    def of(cls, room: Room) -> "Retention":
        return cls(keep_ms=room.keep_ms, keep_last=room.keep_last)

    @property
    def in_words(self) -> str:
        """Say which messages stay."""
        newest = None if self.keep_last is None else f"the newest {self.keep_last:,}"
        if self.keep_ms is None:
            return f"{newest} messages" if newest else "all messages"
        return f"messages of the last {lasting(self.keep_ms)}{f', at most {newest}' if newest else ''}"

    @property
    def flags(self) -> str:
        """Write it as `room retention` reads it."""
        bounds = [
            *([] if self.keep_ms is None else [f"--keep {lasting(self.keep_ms)}"]),
            *([] if self.keep_last is None else [f"--keep-last {self.keep_last}"]),
        ]
        return " ".join(bounds) or "--off"


def lasting(milliseconds: int) -> str:
    """Write a duration as one is typed: in the largest unit that is exact."""
    seconds = milliseconds // 1000
    for unit, sign in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds % unit == 0:
            return f"{seconds // unit}{sign}"
    return f"{seconds}s"


class RoomDesk(Protocol):
    """Public rooms, and private ones of the caller; changed with the caller's rights."""

    async def rooms(self) -> Sequence[Room]:
        """Return the rooms with names that the caller may see, by name."""
        ...

    async def facts(self, room_ids: Sequence[RoomId]) -> Mapping[RoomId, RoomFacts]: ...

    async def owners(self, room: Room) -> Sequence[str]:
        """Return the user names of those who own a room."""
        ...

    async def judge(self, new: NewRoom) -> Fault | None:
        """Return why a room may not be made, as far as that can be known before."""
        ...

    async def create(self, new: NewRoom, also: Changes) -> Room | Fault: ...

    async def archive(self, room: Room, *, archived: bool, note: str, also: Changes) -> Fault | None:
        """Close a room or open it again; the room reads the note first, while it still can."""
        ...

    async def beyond(self, room: Room, retention: Retention) -> int:
        """Return how many messages a room would not keep, as it is now."""
        ...

    async def removed(self, room: Room) -> int:
        """Return how many messages the retention of a room has removed so far."""
        ...

    async def retain(self, room: Room, retention: Retention, also: Changes) -> Fault | None:
        """Set what a room keeps."""
        ...


ROOMS: Need[RoomDesk] = Need("rooms")


@dataclass(frozen=True, slots=True)
class _Named:
    """A room as `resolve` looks at things."""

    id: str
    name: str
    room: Room


async def find_room(call: Call, *, whole: bool = False) -> Room | Problem:
    """Return the room that is named, else the one the line is typed in; `whole` refuses the beginning of a name."""
    text = call.values.text(ROOM)
    rooms = await call.services.of(ROOMS).rooms()
    if text is None:
        here = next((room for room in rooms if call.context.room and room.id == call.context.room.id), None)
        return here or Problem(
            kind=ProblemKind.USAGE,
            text="This is none of the rooms here; name one.",
            allowed=call.command.brief,
            next="room list",
        )
    named = [_Named(room.id, room.name or "", room) for room in rooms]
    found = resolve(text.removeprefix("#"), named)
    if not found.things:
        return Problem(
            kind=ProblemKind.UNKNOWN,
            text=f'There is no room "{one_line(text)}".',
            span=call.values.span(ROOM),
            suggestions=tuple(f"#{name}" for name in nearest(text.removeprefix("#"), (each.name for each in named))),
            allowed="the id or the name of one you may see",
            next="room list",
        )
    if len(found.things) > 1 or (found.by_prefix and whole):
        return Problem(
            kind=ProblemKind.AMBIGUOUS,
            text=f'"{one_line(text)}" is only the beginning of a name.',
            span=call.values.span(ROOM),
            allowed=", ".join(f"#{each.name} ({each.id})" for each in found.things[:ROWS]),
            next=f"{call.command.words} {found.things[0].id}",
        )
    return found.things[0].room


def state_of(room: Room) -> str:
    """Say in a word whether people can write into a room."""
    return "archived" if room.archived else "read-only" if room.read_only else "open"


def kind_of(room: Room) -> str:
    return "public" if room.kind is RoomKind.PUBLIC else "private"
