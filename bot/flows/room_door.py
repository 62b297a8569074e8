"""Slash commands typed in this workspace's own rooms, over REST or the socket (decision 57)."""

from dataclasses import dataclass, replace
from typing import Final, Protocol

from bot.flows.command import ROOT, CommandFlow
from bot.workspace.directory import Directory
from bot.workspace.ephemeral import Ephemeral, EphemeralMessages
from bot.workspace.forms import Forms
from bot.workspace.posting import INVALID_THREAD, Posting
from handlers.chat_text import harmless
from handlers.command import Dialect, Door, Place
from handlers.errors import UNAUTHORIZED, Fault
from handlers.roots import SHORT
from storage.clock import Clock, iso
from storage.errors import after_effect
from storage.ids import ROCKET_CAT, MessageId, RoomId, timed_id
from storage.ports import Ledger, Messages
from storage.records.room import Room
from storage.records.user import User

DOOR: Final = Door(name="rooms", dialect=Dialect.ROCKETCHAT)
"""Whoever types is logged in, and nobody else reads the line."""


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A word that may follow the slash."""

    command: str
    params: str
    description: str
    stands_for: str = ""
    """The words of the command it is short for; of the root none."""

    @property
    def root(self) -> str:
        """Return what the lines an answer proposes begin with."""
        return ROOT if self.stands_for else f"/{self.command}"

    def line(self, params: str) -> str:
        """Return the line without root that is meant."""
        return f"{self.stands_for} {params}" if self.stands_for else params


SLASH_COMMANDS: Final = (
    *(
        SlashCommand(name, "noun verb …", "Webhooks: list, show, change them, see how they do")
        for name in ("hook", "integrations")
    ),
    SlashCommand("why", "message link", "Webhooks: what made a message, and what it caused", SHORT["why"]),
    SlashCommand(
        "deliveries", "[--in|--out HOOK] …", "Webhooks: what is delivered, waits or failed", SHORT["deliveries"]
    ),
)
"""The root and its alias (decision 16), then the words for single commands (decision 59), as they are listed."""


class RoomStore(Ledger, Messages, Protocol):
    """Where threads are looked up and answers for a room are written."""


class RoomDoor:
    """Runs a typed line for a user; `ephemeral` carries the answers that only the caller reads."""

    def __init__(
        self,
        flow: CommandFlow,
        store: RoomStore,
        directory: Directory,
        posting: Posting,
        forms: Forms,
        clock: Clock,
    ) -> None:
        self._flow = flow
        self._store = store
        self._directory = directory
        self._posting = posting
        self._forms = forms
        self._clock = clock
        self.ephemeral = EphemeralMessages()

    @staticmethod
    def find(name: str) -> SlashCommand | None:
        """Find a slash command by its name, whatever the case."""
        return next((known for known in SLASH_COMMANDS if known.command == name.lower()), None)

    async def place(self, user: User, room_id: str, thread_id: str | None = None) -> Room | Fault:
        """Return the room to run a command in, if the user may enter it and the thread is there (§11)."""
        room = await self._directory.room(RoomId(room_id))
        if room is None or not await self._posting.may_enter(room, user):
            return UNAUTHORIZED
        if thread_id:
            parent = await self._store.message(MessageId(thread_id))
            if parent is None or parent.room_id != room.id:
                return INVALID_THREAD
        return room

    async def run(
        self,
        user: User,
        room: Room,
        command: SlashCommand,
        params: str,
        *,
        thread_id: str | None = None,
        request_id: str | None = None,
    ) -> str:
        """Run a line and return the answer; only the caller reads it, or the room where the command says so."""
        place = Place(channel=room.id, room=room, thread=thread_id)
        line = command.line(params.strip())
        # a client may send one id with everything: only the same line of the same person is a repeat
        request = request_id and f"{user.id}:{room.id}:{request_id}:{line}"
        answer = await self._flow.run(user, place, line.strip(), DOOR, request_id=request, root=command.root)
        if answer.form is not None:
            # clients here have no dialogs: a page takes the private input once (decision 66)
            address = await self._forms.make(answer.form, user, place, DOOR.name)
            answer = replace(answer, text=f"{answer.text}\nOpen (10 min, once): {address}", private=True)
        if answer.private:
            self.ephemeral.send(user.id, self._ephemeral(room, answer.text, thread_id))
        else:
            with after_effect():
                await self._post(room, user, answer.text, thread_id)
        return answer.text

    async def preview(self, user: User, room: Room, command: SlashCommand, params: str) -> list[str]:
        """Return what the words behind a slash command may become, at most ten ways."""
        line = command.line(params.lstrip())
        before = len(command.line(""))
        place = Place(channel=room.id, room=room)
        suggestions = await self._flow.complete(user, place, line, len(line), DOOR)
        return [line[before : suggestion.start] + suggestion.insert for suggestion in suggestions]

    def _ephemeral(self, room: Room, text: str, thread_id: str | None) -> Ephemeral:
        now = self._clock.now()
        thread = {"tmid": thread_id} if thread_id else {}
        return {
            "_id": timed_id(now),
            "rid": room.id,
            "msg": text,
            "ts": iso(now),
            "u": {"_id": ROCKET_CAT, "username": ROCKET_CAT},
            "private": True,
            "groupable": False,
            **thread,
        }

    async def _post(self, room: Room, user: User, text: str, thread_id: str | None) -> None:
        """Post as `rocket.cat`; where that may not, the caller alone reads the answer."""
        # names of hooks must not call people
        prepared = await self._posting.notice(harmless(text), room.id, thread_id=thread_id)
        if isinstance(prepared, Fault):
            self.ephemeral.send(user.id, self._ephemeral(room, text, thread_id))
        else:
            await self._store.commit(prepared.changes)
