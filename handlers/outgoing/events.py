"""The seven events an outgoing webhook can listen to, and the facts that cause them (`rocketchat.md` §6)."""

from enum import StrEnum

from storage.records.event import EventKind


class OutgoingEvent(StrEnum):
    """An event in the wire's words, with what the contract's table says about it."""

    __hash__ = str.__hash__  # every message asks for it, and an enumeration's own is not written in C

    SEND_MESSAGE = "sendMessage"
    FILE_UPLOADED = "fileUploaded"
    ROOM_JOINED = "roomJoined"
    ROOM_LEFT = "roomLeft"
    ROOM_ARCHIVED = "roomArchived"
    ROOM_CREATED = "roomCreated"
    USER_CREATED = "userCreated"

    @property
    def uses_channels(self) -> bool:
        """Tell whether the hook's channels count; otherwise it listens everywhere."""
        return self in _WITH_CHANNELS

    @property
    def uses_trigger_words(self) -> bool:
        """Tell whether a hook on this event may have trigger words."""
        return self is OutgoingEvent.SEND_MESSAGE

    @property
    def uses_target_room(self) -> bool:
        """Tell whether a hook on this event must name the room its answers go to."""
        return self is OutgoingEvent.USER_CREATED

    @property
    def kinds(self) -> frozenset[EventKind]:
        """Return the facts that cause this event."""
        return frozenset(kind for kind, event in _CAUSES.items() if event is self)

    @classmethod
    def of(cls, kind: EventKind) -> "OutgoingEvent | None":
        """Return the event a fact causes; None for facts no webhook hears of."""
        return _CAUSES.get(kind)


_WITH_CHANNELS = frozenset(
    {
        OutgoingEvent.SEND_MESSAGE,
        OutgoingEvent.FILE_UPLOADED,
        OutgoingEvent.ROOM_JOINED,
        OutgoingEvent.ROOM_LEFT,
    }
)

_CAUSES = {
    EventKind.MESSAGE_POSTED: OutgoingEvent.SEND_MESSAGE,
    EventKind.MESSAGE_EDITED: OutgoingEvent.SEND_MESSAGE,
    EventKind.FILE_UPLOADED: OutgoingEvent.FILE_UPLOADED,
    EventKind.ROOM_JOINED: OutgoingEvent.ROOM_JOINED,
    EventKind.ROOM_LEFT: OutgoingEvent.ROOM_LEFT,
    EventKind.ROOM_ARCHIVED: OutgoingEvent.ROOM_ARCHIVED,
    EventKind.ROOM_CREATED: OutgoingEvent.ROOM_CREATED,
    EventKind.USER_CREATED: OutgoingEvent.USER_CREATED,
}
