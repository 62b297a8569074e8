"""`groups.*`: private rooms, which only their members know of."""

from bot.api.rocketchat.rooms_of_kind import RoomsOfKind
from storage.records.room import RoomKind

CALLS = RoomsOfKind(RoomKind.PRIVATE, "groups", "group").calls()
