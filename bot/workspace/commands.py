"""Slash commands typed in this workspace's rooms: what they may ask of it, and where their answers go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from importlib.metadata import version
from typing import Protocol

from bot.workspace.directory import Directory
from bot.workspace.ephemeral import Ephemeral, EphemeralMessages
from bot.workspace.hooks import Hooks
from bot.workspace.posting import INVALID_THREAD, Posting, plain
from handlers.command import Answer, CommandContext, StatusFacts, Traffic, load_commands
from handlers.complete import Names, complete
from handlers.dispatch import execute
from handlers.errors import UNAUTHORIZED, Fault
from handlers.permissions import permissions
from storage import ports
from storage.clock import Clock, iso
from storage.ids import ROCKET_CAT, IntegrationId, MessageId, RoomId, timed_id
from storage.records.integration import Hook, direction
from storage.records.queue import Counts
from storage.records.room import Room
from storage.records.user import Role, User

RECENT = 10
"""How many of a hook's last calls or requests its failures are counted in."""


class DoorStore(ports.Ledger, ports.History, ports.Queue, ports.Messages, Protocol):
    """What commands read beside the directory, and where their notes are written."""


@dataclass(frozen=True, slots=True)
class SlashCommand:
    """A word that may follow the slash."""

    command: str
    params: str
    description: str


SLASH_COMMANDS = tuple(
    SlashCommand(name, "noun verb …", "Webhooks: list, show, remove them, see how they do")
    for name in ("hook", "integrations")
)
"""The root and its alias (decision 16), in the order they are listed."""


class CommandDoor:
    """Runs a typed line for a user; `ephemeral` carries the answers that only the caller reads."""

    def __init__(
        self, store: DoorStore, directory: Directory, hooks: Hooks, posting: Posting, clock: Clock, zone: tzinfo = UTC
    ) -> None:
        self._store = store
        self._directory = directory
        self._hooks = hooks
        self._posting = posting
        self._clock = clock
        self._zone = zone
        self._commands = load_commands()
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
        self, user: User, room: Room, command: SlashCommand, params: str, *, thread_id: str | None = None
    ) -> str:
        """Run a line and return the answer; only the caller reads it, or the room where the command says so.

        Rooms a change affects get their note in the name of `rocket.cat` (commands.md §2.3).
        """
        context = CommandContext(
            actor=user,
            room=room,
            permissions=permissions(user),
            services=_Desk(self._store, self._directory, self._hooks, user),
            now=self._clock.now(),
            zone=self._zone,
            root=f"/{command.command}",
        )
        answer = await execute(params.strip(), context, self._commands)
        if answer.private:
            self.ephemeral.send(user.id, self._ephemeral(room, answer.text, thread_id))
        else:
            await self._post(room.id, answer.text, thread_id)
        await self._leave_notes(user, answer)
        return answer.text

    async def preview(self, user: User, params: str) -> list[str]:
        """Return the lines a half-typed one may become, at most ten."""
        line, held = params.lstrip(), permissions(user)
        rooms = await self._directory.rooms_of(user.id)
        names = Names(await self._hooks.visible(user), [room.name for room in rooms if room.name])
        suggestions = complete(
            line,
            len(line),
            commands=self._commands,
            permits=lambda command: command.allows(user, held),
            names=names,
        )
        return [line[: suggestion.start] + suggestion.insert for suggestion in suggestions]

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

    async def _leave_notes(self, user: User, answer: Answer) -> None:
        if answer.room_note is None:
            return
        for channel in answer.note_channels:
            if channel not in (f"@{user.id}", f"@{user.username}"):  # the caller has the answer already
                await self._post(channel, answer.room_note, None)

    async def _post(self, destination: str, text: str, thread_id: str | None) -> None:
        """Post as `rocket.cat`, where that may post: a note is no reason to enter a private room."""
        sender = await self._directory.user(ROCKET_CAT)
        if sender is None:
            return
        prepared = await self._posting.prepare(plain(text, thread_id=thread_id), sender, [destination])
        if not isinstance(prepared, Fault):
            await self._store.commit(prepared.changes)


class _Desk:
    """What commands may ask, for one user: implements `handlers.command.Services`."""

    def __init__(self, store: DoorStore, directory: Directory, hooks: Hooks, user: User) -> None:
        self._store = store
        self._directory = directory
        self._hooks = hooks
        self._user = user

    async def hooks(self) -> Sequence[Hook]:
        return await self._hooks.visible_by_name(self._user)

    async def traffic(self, hook_ids: Sequence[IntegrationId]) -> Mapping[IntegrationId, Traffic]:
        found = await self._store.passed(hook_ids, RECENT)
        return {hook_id: Traffic(passed.last_at, passed.failures) for hook_id, passed in found.items()}

    async def remove_hook(self, hook: Hook) -> str | None:
        current = await self._directory.hook(hook.id)
        if current is None or current.version != hook.version:
            return "Somebody else changed it meanwhile; look at it again and repeat."
        removed = await self._hooks.remove(self._user, {"type": direction(hook).value, "integrationId": hook.id})
        return removed.bracketed if isinstance(removed, Fault) else None

    async def queue_counts(self, hook_id: IntegrationId | None = None) -> Counts:
        return await self._store.counts(hook_id)

    async def status(self) -> StatusFacts:
        last = await self._store.passed([hook.id for hook in await self.hooks()], 1)
        failing = frozenset(hook_id for hook_id, passed in last.items() if passed.failures)
        return StatusFacts(version("patchbay"), await self._store.counts(), failing)

    async def holders(self, role: Role) -> Sequence[str]:
        users = await self._directory.users()
        return [user.username for user in users if user.active and user.type == "user" and user.role.at_least(role)]
