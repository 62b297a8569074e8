"""Which hooks listen where: the scopes a fact lies in, and those a hook covers (`rocketchat.md` §6).

A hook runs once for a fact when the two sets meet, however many scopes they share.
"""

from collections.abc import Sequence

from handlers.outgoing.events import OutgoingEvent
from storage.records.integration import OutgoingHook
from storage.records.room import Room, RoomKind
from storage.records.user import User

EVERYWHERE = "*"
"""The one scope of events without channels: they are heard everywhere, whatever the hook's channels say."""

NO_CHANNEL = ""
"""The scope of a hook without channels: every public room."""


def scopes_for(room: Room, participants: Sequence[User], author: User) -> frozenset[str]:
    """Return the scopes a fact in this room lies in, for events that use channels.

    `participants` are those of a direct room. Its author's name is left out, so `@ann` hears what is
    written to Ann; `@<id>` hears both ways.
    """
    if room.kind is RoomKind.DIRECT:
        ids = {f"@{user.id}" for user in participants}
        names = {f"@{user.username}" for user in participants if user.id != author.id}
        return frozenset({"all_direct_messages", *ids, *names})
    named = {f"#{room.id}", f"#{room.name}"}
    if room.kind is RoomKind.PRIVATE:
        return frozenset({"all_private_groups", *named})
    return frozenset({NO_CHANNEL, "all_public_channels", *named})


def hook_scopes(hook: OutgoingHook) -> tuple[str, ...]:
    """Return the scopes a hook covers, each once: what is stored to find it by."""
    if not OutgoingEvent(hook.event).uses_channels:
        return (EVERYWHERE,)
    return tuple(dict.fromkeys(filter(None, hook.channels))) or (NO_CHANNEL,)
