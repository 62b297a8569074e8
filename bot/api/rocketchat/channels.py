"""`channels.*`: public rooms."""

from bot.api.rocketchat.calls import listing, post
from bot.api.rocketchat.rooms_of_kind import RoomsOfKind
from storage.records.room import RoomKind

_CHANNELS = RoomsOfKind(RoomKind.PUBLIC, "channels", "channel")

CALLS = (
    *_CHANNELS.calls(),
    listing("channels.list.joined", _CHANNELS.list_joined),
    post("channels.join", _CHANNELS.join),
)
