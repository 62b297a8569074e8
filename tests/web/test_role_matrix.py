"""Every command × role × own or foreign object × in its room or not: who may, who may not, and then nothing changes."""

import itertools
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from handlers.command import Answer, Door, Place, Unlinked, load_commands
from storage.ids import IntegrationId, RoomId, UserId
from storage.records.account import AccountLink
from storage.records.audit import AuditFilter
from storage.records.changes import Changes, Fact
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook
from storage.records.room import Room
from storage.records.user import Role, User
from storage.records.workspace import Workspace, WorkspaceKind
from tests.clock import ManualClock
from tests.command_talk import person
from tests.connected import connect
from tests.contracts.store.units import attempt, event, request
from tests.delivering import Receiver, answering, receiving, until
from tests.records import NOON, incoming, outgoing, user
from tests.roles import ROLES, TABLE, About, Row
from tests.server import Server, serving

SLACK = Door(name="slack")


@dataclass
class Stage:
    """One caller, a room they are in and one they are not, and somebody else whose things are there, too."""

    server: Server
    chat: Workspace
    caller: User | Unlinked
    me: User
    """Whose the own things are: the caller, or for somebody unlinked a viewer."""
    other: User
    rooms: Mapping[bool, Room]
    url: str
    messages: dict[bool, str] = field(default_factory=dict)
    dying: dict[tuple[bool, bool], OutgoingHook] = field(default_factory=dict)
    letters: dict[IntegrationId, list[str]] = field(default_factory=dict)
    said: Mapping[str, object] = field(default_factory=dict)
    """The body of an event that fired hooks."""
    number: int = 0
    """Of the cell."""

    async def typed(self, line: str) -> Answer:
        """Run a line in the channel of this cell, where nothing of an earlier one waits."""
        place = Place(channel=f"C{self.number}", workspace=self.chat.id)
        return await self.server.services.flow.run(self.caller, place, line, SLACK, sender=(self.chat.id, "U1"))

    async def settings_of(self, *, own: bool, member: bool) -> dict[str, str]:
        """Make the things of one cell anew, and return what their lines are filled in with."""
        store, services = self.server.services.store, self.server.services
        self.number += 1
        number, org, room = self.number, services.directory.org, self.rooms[member]
        maker = self.me if own else self.other
        whose = {"org_id": org, "created_by": (maker.id, maker.username), "channels": (f"#{room.name}",)}
        ids = [IntegrationId(secrets.token_hex(12)) for _ in range(4)]
        to = {"urls": (self.url,), "trigger_words": ("!never",)}
        hooks = (
            incoming(id=ids[0], name=f"in-{number}", token=secrets.token_hex(20), **whose),
            incoming(id=ids[1], name=f"in-off-{number}", token=secrets.token_hex(20), enabled=False, **whose),
            outgoing(id=ids[2], name=f"out-{number}", **to, **whose),
            outgoing(id=ids[3], name=f"out-off-{number}", enabled=False, **to, **whose),
        )
        people = tuple(
            user(id=UserId(secrets.token_hex(8)), org_id=org, username=name, role=Role.EDITOR, active=active)
            for name, active in ((f"person{number}", True), (f"sleeper{number}", False))
        )
        kept = request(integration_id=ids[0])
        call = attempt(integration_id=ids[2], delivery_id=None, url_hash=store.lookup(self.url), failed=True)
        await store.commit(Changes(new_hooks=hooks, new_users=people))
        await store.commit(
            Changes(
                request=kept, facts=(Fact(event=event(org_id=org, room_id=room.id, body=self.said), stopped=(call,)),)
            )
        )
        now = [(one, await store.room(one.id)) for one in self.rooms.values()]
        rooms = tuple(replace(one, version=found.version + 1) for one, found in now if found is not None)
        links = (AccountLink(workspace_id=self.chat.id, external_id="U1", user_id=self.me.id, linked_at=NOON),)
        await store.commit(Changes(add_links=links, put_rooms=rooms))
        services.directory.clear()
        dying = self.dying[own, member]
        letters = self.letters[dying.id] or ["dlv_0"]
        return {
            "new": f"new-{number}",
            "room": str(room.name),
            "url": self.url,
            "in": ids[0],
            "in_off": ids[1],
            "out": ids[2],
            "out_off": ids[3],
            "request": kept.id,
            "call": call.id,
            "message": self.messages[member],
            "dying": dying.id,
            "letter": letters[-1],
            "person": people[0].username,
            "sleeper": people[1].username,
            "document": f"patchbay: 1\nincoming:\n- name: imported-{number}\n  rooms: ['#general']\n",
        }

    async def state(self) -> object:
        """Return everything a refused line could have changed."""
        services = self.server.services
        services.directory.clear()
        rooms = await services.directory.rooms()
        return (
            await services.directory.hooks(),
            await services.directory.users(),
            rooms,
            [(await services.store.messages(room.id, count=1))[1] for room in rooms],
            await services.store.links_of(self.me.id),
            (await services.store.deliveries(count=1))[1],
            (await services.store.deliveries(state=DeliveryState.DEAD, count=1))[1],
        )

    async def audited(self) -> list[str]:
        """Return the commands that were written down, newest first."""
        org = self.server.services.directory.org
        rows, _ = await self.server.services.store.audit_rows(AuditFilter(org_id=org), count=500)
        return [row.command for row in rows]


@asynccontextmanager
async def stage(folder: Path, role: str) -> AsyncIterator[Stage]:
    async with receiving(answering(200)) as tool, serving(folder, ManualClock()) as server:
        await server.user("bob", "admin")
        if role != "owner":
            await server.user("ann", "viewer" if role == "unlinked" else role)
        me, other = await person(server, "owner" if role == "owner" else "ann"), await person(server, "bob")
        bob = await server.login("bob")
        rooms = {}
        for member, name in ((True, "inside"), (False, "outside")):
            members = ["rocket.cat", *([me.username] if member else [])]
            made = (await server.post("groups.create", {"name": name, "members": members}, who=bob))["group"]
            found = await server.services.directory.room(RoomId(made["_id"]))
            assert found is not None
            rooms[member] = found
        chat = await connect(server, WorkspaceKind.SLACK)
        nobody = Unlinked(workspace=chat.id, external_id="U1", name=me.username)
        staged = Stage(server, chat, nobody if role == "unlinked" else me, me, other, rooms, tool.url)
        for member, room in rooms.items():
            sent = await server.post("chat.postMessage", {"roomId": room.id, "text": "look"}, who=bob)
            staged.messages[member] = sent["message"]["_id"]
        await _letters(staged, tool, bob)
        yield staged


async def _letters(staged: Stage, tool: Receiver, bob: dict[str, str]) -> None:
    """Let deliveries die of hooks of both people in both rooms; the hooks are off afterwards, so nothing moves."""
    services = staged.server.services
    store = services.store
    tool.answer = answering(400)
    for own, member in itertools.product((True, False), repeat=2):
        maker, room = staged.me if own else staged.other, staged.rooms[member]
        hook = outgoing(
            id=IntegrationId(secrets.token_hex(12)),
            name=f"dying-{own}-{member}",
            org_id=services.directory.org,
            channels=(f"#{room.name}",),
            # heard by somebody's who may hear everything: whose it is to be may not be in the room
            created_by=(staged.other.id, staged.other.username),
            urls=(tool.url,),
            trigger_words=("!die",),
        )
        await store.commit(Changes(new_hooks=(hook,)))
        services.directory.clear()
        for _ in range(3):
            await staged.server.post("chat.postMessage", {"roomId": room.id, "text": "!die"}, who=bob)

        async def dead(hook: OutgoingHook = hook) -> bool:
            return (await store.deliveries(hook_id=hook.id, state=DeliveryState.DEAD))[1] == 3

        await until(dead)
        found, _ = await store.deliveries(hook_id=hook.id)
        fired = await store.event(found[0].event_seq)
        assert fired is not None
        staged.said = fired.body
        off = replace(hook, enabled=False, created_by=(maker.id, maker.username), version=hook.version + 1)
        await store.commit(Changes(put_hooks=(off,)))
        staged.dying[own, member] = off
        staged.letters[hook.id] = [f"dlv_{one.id}" for one in found]
    tool.answer = answering(200)


def test_every_command_has_its_row() -> None:
    """Whoever adds a command says here who may run it."""
    assert {command.words for command in load_commands()} == TABLE.keys()


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_what(role: str, tmp_path: Path) -> None:
    """Each cell gets the answer of the table; what is refused changes nothing, what is done is written down once."""
    wrong: list[str] = []
    async with stage(tmp_path / "data", role) as staged:
        for words, row in TABLE.items():
            for own in (True, False) if row.about.by_owner else (False,):
                for member in (True, False) if row.about.by_room else (False,):
                    cell = f"{words}, {'own' if own else 'foreign'}, {'in' if member else 'not in'} the room"
                    wrong += [f"{cell}: {what}" for what in await _judged(staged, words, row, role, own, member)]
    assert wrong == []


async def _judged(staged: Stage, words: str, row: Row, role: str, own: bool, member: bool) -> list[str]:
    """Run one cell, and return what is wrong about it."""
    settings = await staged.settings_of(own=own, member=member)
    before, rows = await staged.state(), await staged.audited()
    expected = row.expected(role, own=own, member=member)
    line = row.line.format(**settings)
    answer = await staged.typed(line)
    if answer.code == "confirm" and expected == "ok" and isinstance(answer.data, dict):
        if (await staged.state(), await staged.audited()) != (before, rows):
            return ["asking changed something"]
        answer = await staged.typed(str(answer.data["command"]))
    if answer.code != expected:
        return [f"{answer.code} instead of {expected}: {answer.text[:300]}"]
    if answer.code == "unknown" and row.about is not About.NOTHING:
        missing = {name: _missing(name, value) for name, value in settings.items()}
        nothing = (await staged.typed(row.line.format(**missing))).text
        for name, value in settings.items():
            nothing = nothing.replace(missing[name], value)
        if nothing != answer.text:
            return [f"it is told from what is not there: {answer.text!r}, {nothing!r}"]
    written = (await staged.audited())[: len(await staged.audited()) - len(rows)]
    if row.writes and expected == "ok":
        if settings["letter"] in line:
            staged.letters[staged.dying[own, member].id].pop()
        return [] if set(written) == {words} else [f"it was written down as {written}"]
    after = await staged.state()
    return [f"it changed something, {written}"] if written or after != before else []


def _missing(name: str, value: str) -> str:
    """Return a name or id of the same length that nothing has; what a line is not about stays."""
    match name:
        case "in" | "in_off" | "out" | "out_off" | "dying":
            return secrets.token_hex(12)
        case "letter":
            return "dlv_" + "8" * (len(value) - len("dlv_"))
        case "room":
            return "nowhere"[: len(value)]
        case "message":
            return value[::-1]
        case _:
            return value
