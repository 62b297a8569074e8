"""What a person reads in a room."""

from collections.abc import Mapping

from msgspec import Struct, field

from storage.clock import Millis
from storage.ids import IntegrationId, MessageId, OrgId, RoomId, UserId


class Message(Struct, frozen=True, kw_only=True, gc=False, array_like=True):
    """One message as it stands now; `attachments` and `custom_fields` are plain JSON."""

    id: MessageId
    org_id: OrgId
    room_id: RoomId
    at: Millis
    user_id: UserId
    username: str
    name: str
    text: str
    thread_id: MessageId | None = None
    alias: str | None = None
    avatar: str | None = None
    emoji: str | None = None
    attachments: tuple[Mapping[str, object], ...] = ()
    integration_id: IntegrationId | None = None
    """The hook that made it; shown as the `bot` mark (`rocketchat.md` §5.2)."""
    parse_urls: bool = True
    groupable: bool = True
    custom_fields: Mapping[str, object] | None = None
    file: Mapping[str, object] | None = None
    """`{_id, name, type, size}` of an uploaded file."""
    reactions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Emoji to the user names that chose it."""
    edited_at: Millis | None = None
    edited_by: tuple[UserId, str] | None = None
    updated_at: Millis
    calls_everybody: bool = False
    """Its `@all` or `@here` counts as a mention: whoever said it had the right to."""
    hops: int = 0
    """How many hooks this message has come through; ends loops (decision 46)."""
    notice: bool = False
    """Said by the server itself: no outgoing hook hears of it, so that none is called about its own failures."""
    version: int = 1
    """Grows with every change; a change of an older version is refused."""
