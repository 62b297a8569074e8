"""Post what a receiver answered: in whose name, and into which room (`rocketchat.md` §7.1)."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.flows.notices import Notices
from bot.workspace.directory import Directory
from bot.workspace.posting import INVALID_CHANNEL, Posting, Prepared
from handlers.errors import Fault
from handlers.message import Defaults, DraftFault, read_draft
from handlers.outgoing import steps
from storage.ids import RoomId
from storage.records.changes import NOTHING, Changes
from storage.records.integration import OutgoingHook
from storage.records.user import User

ARCHIVED = "error-room-archived"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What became of an answer, and what to write for it."""

    step: str
    changes: Changes
    message_id: str | None = None
    error: str | None = None


class Respond:
    """Turns answers into messages; nothing is written before the caller's settle."""

    def __init__(self, directory: Directory, posting: Posting, notices: Notices, *, max_chars: int) -> None:
        self._directory = directory
        self._posting = posting
        self._notices = notices
        self._max_chars = max_chars

    async def prepare(
        self,
        hook: OutgoingHook,
        content: Mapping[str, object],
        *,
        room_id: RoomId | None,
        username: str,
        hops: int,
    ) -> Response:
        """Prepare an answer's message; `room_id` and `username` are those of the event."""
        draft = read_draft(content, Defaults(hook.alias, hook.avatar, hook.emoji), max_chars=self._max_chars)
        if isinstance(draft, DraftFault):
            return _failed(draft.error)
        poster = await self._poster(hook, username)
        if poster is None:
            return _failed(f"The user {hook.username}, whom the webhook posts as, is not there any more.")
        note = None
        if hook.impersonate_user and not _is_named(poster, username):
            note = f"Posted as {poster.username}: the webhook may not post as {username}."
        prepared: Prepared | Fault = INVALID_CHANNEL
        place = ""
        named = next(iter(draft.destinations), hook.target_room)
        for place in filter(None, (named, room_id)):
            prepared = await self._posting.prepare(draft, poster, [place], hook=hook, hops=hops)
            if prepared != INVALID_CHANNEL:
                break
        if isinstance(prepared, Fault):
            told = NOTHING
            if prepared.code == ARCHIVED:
                told = await self._notices.archived(hook, await self._shown(place))
            return _failed(prepared.bracketed, told)
        return Response(
            step=steps.RESPONSE_POSTED, changes=prepared.changes, message_id=prepared.messages[0].id, error=note
        )

    async def _shown(self, place: str) -> str:
        room = await self._directory.room(RoomId(place))
        return f"#{room.name}" if room is not None and room.name else place

    async def _poster(self, hook: OutgoingHook, username: str) -> User | None:
        """Return who posts: with `impersonateUser` the event's user, if the hook's maker may act as them."""
        if hook.impersonate_user:
            user = await self._directory.user_named(username)
            if user is not None and user.active and await self._directory.acts_as(hook, user):
                return user
        user = await self._directory.user_named(hook.username)
        return user if user is not None and user.active else None


def _is_named(user: User, username: str) -> bool:
    return user.username.casefold() == username.casefold()


def _failed(error: str, changes: Changes = NOTHING) -> Response:
    return Response(step=steps.POSTING_FAILED, changes=changes, error=error)
