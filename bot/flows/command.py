"""Run one line for one person from any door: who it is, what they may ask, what follows from the answer.

Doors turn requests into these values and answers into their system's shapes; a press of a button and a submitted
form are the same call with another line.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, tzinfo
from typing import Final

from bot.flows.desks import Caller, Kit, Served, check, load_desks
from bot.flows.last_lists import LastLists
from bot.flows.repeats import Repeats
from handlers.command import Answer, CommandContext, Commands, Door, Place, Unlinked, load_commands
from handlers.complete import Suggestion, complete
from handlers.dialect import mentioned
from handlers.dispatch import execute, permits
from handlers.errors import Fault
from handlers.permissions import permissions
from storage.clock import Millis
from storage.errors import after_effect
from storage.ids import UserId, WorkspaceId
from storage.records.changes import NOTHING, Changes
from storage.records.user import Role, User
from storage.records.workspace import Workspace

ROOT: Final = "/hook"
MOST_MENTIONS: Final = 20
"""User ids of one line that are looked up."""


class CommandFlow:
    """The one way a line is run; holds the declarations and the callers' last lists."""

    def __init__(self, kit: Kit, zone: tzinfo = UTC) -> None:
        """Raise `ValueError` when a command's declaration is wrong or what it needs is missing."""
        self.commands: Commands = load_commands()
        self._kit = kit
        self._zone = zone
        self._desks = load_desks()
        check(self.commands, self._desks)
        self._lists = LastLists(kit.clock)
        self._repeats = Repeats(kit.store, kit.clock)

    async def who(self, workspace: Workspace, external_id: str, name: str = "") -> User | Unlinked:
        """Return who a user of another chat is here: by the link of their id, never by a name (decision 60)."""
        link = await self._kit.store.linked(self._kit.directory.org, workspace.id, external_id)
        user = await self._kit.directory.user(link.user_id) if link else None
        if user is not None and user.active:
            return user
        return Unlinked(workspace=workspace.id, external_id=external_id, name=name, viewer=workspace.unlinked_viewer)

    async def run(
        self,
        principal: User | Unlinked,
        place: Place,
        line: str,
        door: Door,
        *,
        request_id: str | None = None,
        sender: tuple[str, str] | None = None,
        private: Mapping[str, str] | None = None,
        typed: bool = True,
        root: str = ROOT,
    ) -> Answer:
        """Run a line without its root and return the answer; rooms it concerns have read their note by then.

        A repeated `request_id` (per door, workspace and person) is answered as before and does nothing: ids of triggers
        and messages are no secrets, and the answer may be one. `sender` is workspace and user id in another chat.
        `private` are a form's values. A line of a button or form is not `typed`.
        Raises StorageError when the state cannot be read or written.
        """

        async def once(also: Changes) -> Answer:
            caller = self._caller(principal, place, door, sender)
            context = await self._context(caller, line if typed else "", root, private or {}, also)
            answer = await execute(line.strip(), context, self.commands, typed=typed)
            if answer.rows or answer.listed:
                self._lists.keep(_key(caller), answer)
            with after_effect():
                await self._leave_notes(caller.user, answer)
            return answer

        if request_id is None:
            return await once(NOTHING)
        whose = sender[1] if sender else _key(self._caller(principal, place, door, sender))[0]
        key = f"{door.name}:{place.workspace or ''}:{whose}:{request_id}"
        return await self._repeats.once(key, None if isinstance(principal, Unlinked) else principal.id, once)

    async def complete(
        self, principal: User | Unlinked, place: Place, line: str, cursor: int, door: Door
    ) -> list[Suggestion]:
        """Return at most ten ways to go on with a line without its root (commands.md §2.7)."""
        context = await self._context(self._caller(principal, place, door, None), "", ROOT, {}, NOTHING)
        return await complete(line, cursor, context=context, commands=self.commands)

    async def whisper(self, user: User, text: str) -> bool:
        """Send somebody a direct message of `rocket.cat`, for doors that cannot answer one person alone."""
        return await self._post(f"@{user.id}", text)

    def permitted(self, principal: User | Unlinked, place: Place, door: Door, words: str) -> bool:
        """Tell whether somebody may run a command at all, for doors that show buttons."""
        noun, _, verb = words.partition(" ")
        command = self.commands.find(noun, verb or None)
        caller = self._caller(principal, place, door, None)
        return command is not None and permits(command, self._bare(caller))

    def _caller(self, principal: User | Unlinked, place: Place, door: Door, sender: tuple[str, str] | None) -> Caller:
        if isinstance(principal, User):
            return Caller(user=principal, place=place, door=door, sender=sender)
        stand_in = User(
            id=UserId(""),
            org_id=self._kit.directory.org,
            username=principal.name or principal.external_id,
            name=principal.name,
            role=Role.VIEWER,
            created_at=Millis(0),
        )
        known = sender or (principal.workspace, principal.external_id)
        return Caller(user=stand_in, place=place, door=door, sender=known, unlinked=principal)

    def _bare(self, caller: Caller) -> CommandContext:
        unlinked = caller.unlinked is not None
        return CommandContext(
            actor=caller.user,
            permissions=frozenset() if unlinked else permissions(caller.user),
            services=Served(self._desks, self._kit, caller),
            now=self._kit.clock.now(),
            zone=self._zone,
            place=caller.place,
            door=caller.door,
            sender=caller.sender,
            unlinked=caller.unlinked,
        )

    async def _context(
        self, caller: Caller, line: str, root: str, private: Mapping[str, str], also: Changes
    ) -> CommandContext:
        return replace(
            self._bare(caller),
            root=root,
            mentions=await self._mentions(line, caller),
            also=also,
            last_list=self._lists.rows(_key(caller)),
            private=private,
        )

    async def _mentions(self, line: str, caller: Caller) -> dict[str, str]:
        """Say who the users a line mentions are here."""
        workspace = caller.place.workspace
        found: dict[str, str] = {}
        if workspace is None:
            return found
        for external_id in mentioned(line, caller.door.dialect)[:MOST_MENTIONS]:
            link = await self._kit.store.linked(self._kit.directory.org, WorkspaceId(workspace), external_id)
            user = await self._kit.directory.user(link.user_id) if link else None
            if user is not None:
                found[external_id] = user.username
        return found

    async def _leave_notes(self, user: User, answer: Answer) -> None:
        same = dict.fromkeys(answer.note_channels, answer.room_note) if answer.room_note is not None else {}
        for channel, note in (*same.items(), *answer.room_notes):
            if channel not in (f"@{user.id}", f"@{user.username}"):  # the caller has the answer already
                await self._post(channel, note)

    async def _post(self, destination: str, text: str) -> bool:
        """Post a notice, where `rocket.cat` may: a note is no reason to enter a private room."""
        prepared = await self._kit.posting.notice(text, destination)
        if isinstance(prepared, Fault):
            return False
        await self._kit.store.commit(prepared.changes)
        return True


def _key(caller: Caller) -> tuple[str, str]:
    """Return whose last list it is, and where."""
    return caller.user.id or ":".join(caller.sender or ()), caller.place.key
