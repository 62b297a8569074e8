"""What people do with messages that stand in a room already: edit, delete, react."""

import asyncio
from weakref import WeakValueDictionary

from bot.workspace.allotment import Allotment
from bot.workspace.directory import Directory
from bot.workspace.fanout import Fanout
from bot.workspace.posting import INVALID_CHANNEL, Posting
from handlers.errors import Fault
from handlers.mentions import names_everybody
from handlers.message import MESSAGE_TOO_LONG
from handlers.names import emoji_name
from storage.clock import Clock
from storage.errors import Gone, Stale
from storage.ids import MessageId
from storage.ports import Ledger
from storage.ports import Messages as MessageStore
from storage.records.changes import Changes, Fact
from storage.records.event import EventKind
from storage.records.message import Message
from storage.records.room import Room
from storage.records.user import Role, User
from storage.records.version import revised

WRONG_ROOM = Fault("The room id provided does not match where the message is from.")
CHANGED = Fault("Somebody else changed this message meanwhile; look at it again and repeat.")
MOST_REACTIONS = 100
"""Different emoji one message may carry."""


class Messages:
    """Each method checks the caller's right, then commits one unit of work."""

    def __init__(
        self,
        directory: Directory,
        store: MessageStore,
        ledger: Ledger,
        fanout: Fanout,
        posting: Posting,
        clock: Clock,
        allotment: Allotment,
        max_chars: int,
    ) -> None:
        self._directory = directory
        self._store = store
        self._ledger = ledger
        self._fanout = fanout
        self._posting = posting
        self._clock = clock
        self._allotment = allotment
        self._max_chars = max_chars
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def find(self, actor: User, message_id: str) -> tuple[Message, Room] | Fault:
        """Find a message the caller may read."""
        message = await self._store.message(MessageId(message_id))
        room = await self._directory.room(message.room_id) if message else None
        if message is None or room is None or not await self._posting.may_enter(room, actor):
            return _not_found(message_id)
        return message, room

    async def edit(self, actor: User, room_id: str, message_id: str, text: str) -> Message | Fault:
        """Change the text of one's own message; admins may change any."""
        async with self._turn(message_id):
            return await self._edit(actor, room_id, message_id, text)

    async def _edit(self, actor: User, room_id: str, message_id: str, text: str) -> Message | Fault:
        found = await self._mine(actor, room_id, message_id, "Editing")
        if isinstance(found, Fault):
            return found
        message, room = found
        if spent := self._allotment.spent(message.user_id):
            return spent
        if len(text) > self._max_chars:
            return Fault(code=MESSAGE_TOO_LONG)
        now = self._clock.now()
        calls = names_everybody(text) and await self._posting.may_call_everybody(actor, room)
        edited = revised(
            message,
            text=text,
            calls_everybody=calls,
            edited_at=now,
            edited_by=(actor.id, actor.username),
            updated_at=now,
        )
        author = await self._directory.user(message.user_id) or actor
        fact = await self._fanout.message(edited, room, author, edited=True)
        return await self._put(edited, fact)

    async def delete(self, actor: User, room_id: str, message_id: str) -> Message | Fault:
        """Remove one's own message; admins may remove any."""
        found = await self._mine(actor, room_id, message_id, "Deleting")
        if isinstance(found, Fault):
            return found
        message, room = found
        fact = self._fanout.plain(EventKind.MESSAGE_DELETED, actor, {"_id": message.id}, room)
        files = (str(message.file["_id"]),) if message.file else ()
        await self._ledger.commit(Changes(drop_messages=(message.id,), drop_uploads=files, facts=(fact,)))
        return message

    async def react(self, actor: User, message_id: str, emoji: str, *, add: bool | None = None) -> Message | Fault:
        """Add or take back a reaction; without `add` it is switched (Rocket.Chat's `setReaction`)."""
        async with self._turn(message_id):
            return await self._react(actor, message_id, emoji, add)

    async def _react(self, actor: User, message_id: str, emoji: str, add: bool | None) -> Message | Fault:
        found = await self.find(actor, message_id)
        if isinstance(found, Fault):
            return found
        message, room = found
        if spent := self._allotment.spent(actor.id):
            return spent
        if await self._directory.member(room.id, actor.id) is None or room.archived:
            return INVALID_CHANNEL
        name = emoji_name(emoji)
        if name is None:
            return Fault("Invalid emoji provided.", "error-not-allowed")
        names = message.reactions.get(name, ())
        wanted = actor.username not in names if add is None else add
        left = tuple(one for one in names if one != actor.username)
        reactions = {**message.reactions, name: (*left, actor.username) if wanted else left}
        reactions = {key: value for key, value in reactions.items() if value}
        if len(reactions) > MOST_REACTIONS:
            return Fault("This message has too many different reactions.", "error-not-allowed")
        changed = revised(message, reactions=reactions, updated_at=self._clock.now())
        shown = await self._fanout.message(changed, room, actor)
        fact = self._fanout.plain(EventKind.MESSAGE_REACTED, actor, shown.event.body, room)
        return await self._put(changed, fact)

    def _turn(self, message_id: str) -> asyncio.Lock:
        """Return what lets one change of a message in at a time: each writes the whole message it has read."""
        return self._turns.setdefault(message_id, asyncio.Lock())

    async def _put(self, message: Message, fact: Fact) -> Message | Fault:
        try:
            await self._ledger.commit(Changes(put_messages=(message,), facts=(fact,)))
        except Gone:
            return _not_found(message.id)
        except Stale:
            return CHANGED
        return message

    async def _mine(self, actor: User, room_id: str, message_id: str, what: str) -> tuple[Message, Room] | Fault:
        found = await self.find(actor, message_id)
        if isinstance(found, Fault):
            return found
        message, room = found
        if room.id != room_id:
            return WRONG_ROOM
        if message.user_id != actor.id and not actor.role.at_least(Role.ADMIN):
            return Fault(f"{what} not allowed", "error-action-not-allowed")
        return message, room


def _not_found(message_id: str) -> Fault:
    return Fault(f'No message found with the id of "{message_id}".')
