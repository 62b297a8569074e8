"""The writer dies after its commit and before its answer, once for each kind of change: nothing stays wrong."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any  # what the directory finds is of every kind

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from msgspec import structs

from bot.workspace.directory import Directory
from handlers.outgoing.events import OutgoingEvent
from storage.clock import Millis
from storage.errors import StorageError, Uncertain
from storage.ids import GENERAL, ROCKET_CAT, EventSeq, IntegrationId, MessageId, RoomId, UserId, WorkspaceId
from storage.ports import Store
from storage.records.account import AccountLink
from storage.records.audit import AuditRow
from storage.records.changes import Changes, Dedup, Fact, PreviousCall
from storage.records.delivery import DeliveryState
from storage.records.event import EventKind, NewEvent
from storage.records.pending import Pending, PendingKey, PendingKind, PendingOf
from storage.records.room import Member, RoomKind
from storage.records.upload import Upload
from storage.records.user import Role, Token, TokenKind
from storage.records.workspace import Workspace, WorkspaceKind
from storage.sqlite import apart
from storage.sqlite.engine import Engine
from tests.contracts.store.units import request
from tests.faults import dying_writer
from tests.faults.stage import ended, hook_calling, post
from tests.records import NOON, incoming, message, outgoing, room, user
from tests.server import Server, serving

BOB = UserId("bob")
OPS = RoomId("OPS")
NO_CHANGE = {"look_around", "look_back", "forget"}
"""What the engine does that is no operation."""
FAR = Millis(4_000_000_000_000)
IN, OUT, GONE = (IntegrationId(f"65e2f0b72dd9f928ada3e4{number}") for number in ("a1", "a2", "a3"))


@dataclass
class Stage:
    """A server whose writer dies when it is told to, and what it has heard."""

    server: Server
    order: Path
    answers: Callable[[int], None]
    """Says with which status the receiver answers."""
    refusing: str
    """The address of a receiver that answers with that status."""
    called: asyncio.Event
    events: list[EventSeq] = field(default_factory=list)

    @property
    def store(self) -> Store:
        return self.server.services.store

    @property
    def directory(self) -> Directory:
        return self.server.services.directory

    def ours(self, record: Any) -> Any:
        """Let a record belong to the organisation of the server."""
        return replace(record, org_id=self.directory.org)


Act = Callable[[Stage], Awaitable[object]]


@dataclass(frozen=True)
class Case:
    """How a kind of change is caused."""

    act: Act
    shows: bool = False
    """What the server remembers is wrong after it, unless it is read anew."""


def writes(build: Callable[[Stage], Changes], *, shows: bool = False) -> Case:
    return Case(lambda stage: stage.store.commit(build(stage)), shows=shows)


def text(number: int, stage: Stage) -> Any:
    return message(id=MessageId(f"m{number}"), user_id=BOB, org_id=stage.directory.org, text=f"text {number}")


def fact(stage: Stage) -> Fact:
    event = NewEvent(kind=EventKind.MESSAGE_REACTED, org_id=stage.directory.org, at=NOON, room_id=GENERAL, json="{}")
    return Fact(event=event)


def token(name: str, stage: Stage) -> Token:
    key = stage.store.lookup(name)
    return Token(hash=key, user_id=BOB, kind=TokenKind.PERSONAL, name=name, last_part="abcd", created_at=NOON)


def upload(number: int, stage: Stage) -> Upload:
    return Upload(
        id=f"up{number}", org_id=stage.directory.org, room_id=GENERAL, user_id=BOB, name="a.txt", size=1,
        type="text/plain", confirmed=True, created_at=NOON,
    )  # fmt: skip


def pending(key: str) -> Pending:
    kind = PendingKind.PROPOSAL
    return Pending(kind=kind, key=key, user_id=BOB, place=f"room:{key}", body="{}", expires_at=FAR)


def workspace(number: int, stage: Stage) -> Workspace:
    return Workspace(
        id=WorkspaceId(f"w{number}"), org_id=stage.directory.org, kind=WorkspaceKind.SLACK, name=f"Acme {number}",
        team_id=f"T{number}", secret="s", bot_token=None, base_url=None, unlinked_viewer=False, created_at=NOON,
    )  # fmt: skip


def link(number: int) -> AccountLink:
    return AccountLink(
        workspace_id=WorkspaceId("w1"), external_id=f"U{number}", external_name="bob.s", user_id=BOB, linked_at=NOON
    )


def row(stage: Stage) -> AuditRow:
    return AuditRow(
        id="audit1", org_id=stage.directory.org, at=NOON, actor_id=BOB, actor_name="bob", door="slack",
        place="room:GENERAL", command="in disable", line="in disable ci", object_kind="in", object_id="65e2",
        object_name="CI", outcome="done",
    )  # fmt: skip


def bob(stage: Stage, **changes: Any) -> Any:
    return stage.ours(user(id=BOB, username="bob", name="Bob", role=Role.EDITOR, **changes))


def ops(stage: Stage, **changes: Any) -> Any:
    return stage.ours(room(id=OPS, name="ops", owner_id=BOB, kind=RoomKind.PRIVATE, **changes))


def in_hook(stage: Stage, **changes: Any) -> Any:
    return stage.ours(incoming(id=IN, name="in", created_by=(BOB, "bob"), **changes))


def out_hook(stage: Stage, hook_id: IntegrationId = OUT, **changes: Any) -> Any:
    plain = {
        "name": f"out {hook_id}",
        "created_by": (BOB, "bob"),
        "channels": ("#general",),
        "trigger_words": ("never",),
    }
    return stage.ours(outgoing(**{"id": hook_id, "urls": ("http://127.0.0.1:9/",), **plain, **changes}))


async def begin(stage: Stage) -> None:
    """Store what the cases change."""
    await stage.store.commit(
        Changes(
            new_users=(bob(stage),),
            new_rooms=(ops(stage),),
            add_members=(
                Member(room_id=OPS, user_id=BOB, joined_at=NOON),
                Member(room_id=GENERAL, user_id=BOB, joined_at=NOON),
            ),
            new_hooks=(in_hook(stage), out_hook(stage), out_hook(stage, GONE)),
            new_messages=(text(1, stage), text(2, stage)),
            new_tokens=(token("kept", stage), token("dropped", stage)),
            new_uploads=(upload(1, stage),),
            pending_put=tuple(map(pending, ("clear", "take", "fill", "try"))),
            new_workspaces=(workspace(1, stage), workspace(2, stage)),
            add_links=(link(1),),
        )
    )


async def dead(stage: Stage, number: int) -> list[Any]:
    """Return the numbers of so many dead letters."""
    stage.answers(400)
    hook = await hook_calling(stage.server, stage.refusing, retry_failed_calls=False, name=f"dead {number}")
    for _ in range(number):
        await post(stage.server, "! try")
    return [one.id for one in await ended(stage.server, hook, DeliveryState.DEAD, number)]


async def replay_dead(stage: Stage) -> None:
    await stage.store.replay_dead(await dead(stage, 1))


async def discard_dead(stage: Stage) -> None:
    await stage.store.discard_dead(await dead(stage, 2))


async def hasten(stage: Stage) -> None:
    stage.answers(503)
    hook = await hook_calling(stage.server, stage.refusing, name="later")
    await post(stage.server, "! later")
    found, _ = await stage.store.deliveries(hook_id=hook)
    await stage.store.hasten([one.id for one in found])


async def delivered(stage: Stage) -> None:
    """Post what calls the receiver, and wait until it was called."""
    stage.answers(200)
    stage.called.clear()
    name = f"delivered {len(stage.events)}"
    hook = await hook_calling(stage.server, stage.refusing, name=name)
    assert (await post(stage.server, "! now"))[0] in (200, 503)  # it may be claimed in the commit that stores it
    await ended(stage.server, hook, DeliveryState.DELIVERED)
    assert stage.called.is_set()


COMMITS: dict[str, Case] = {
    "dedup": writes(lambda s: Changes(dedup=Dedup(integration_id=IN, key="id-1", body_hash=b"x", at=NOON))),
    "request": writes(lambda s: Changes(request=request(integration_id=IN))),
    "new_messages": writes(lambda s: Changes(new_messages=(text(3, s),))),
    "chosen_ids": writes(lambda s: Changes(new_messages=(text(4, s),), chosen_ids=True)),
    "put_messages": writes(lambda s: Changes(put_messages=(structs.replace(text(1, s), version=2),))),
    "drop_messages": writes(lambda s: Changes(drop_messages=(MessageId("m2"),))),
    "new_users": writes(lambda s: Changes(new_users=(s.ours(user(id=UserId("eve"), username="eve")),)), shows=True),
    "put_users": writes(lambda s: Changes(put_users=(bob(s, active=False, version=2),)), shows=True),
    "new_rooms": writes(lambda s: Changes(new_rooms=(s.ours(room(id=RoomId("NEW"), name="new")),)), shows=True),
    "put_rooms": writes(lambda s: Changes(put_rooms=(ops(s, topic="other", version=2),)), shows=True),
    "add_rooms": writes(lambda s: Changes(add_rooms=(s.ours(room(id=RoomId("ADDED"), name="added")),)), shows=True),
    "add_members": writes(
        lambda s: Changes(add_members=(Member(room_id=OPS, user_id=ROCKET_CAT, joined_at=NOON),)), shows=True
    ),
    "drop_members": writes(lambda s: Changes(drop_members=((OPS, BOB),)), shows=True),
    "new_hooks": writes(
        lambda s: Changes(new_hooks=(out_hook(s, IntegrationId("65e2f0b72dd9f928ada3e4a9")),)), shows=True
    ),
    "put_hooks": writes(lambda s: Changes(put_hooks=(out_hook(s, enabled=False, version=2),)), shows=True),
    "drop_hooks": writes(lambda s: Changes(drop_hooks=(GONE,)), shows=True),
    "new_tokens": writes(lambda s: Changes(new_tokens=(token("fresh", s),)), shows=True),
    "drop_tokens": writes(lambda s: Changes(drop_tokens=(s.store.lookup("dropped"),)), shows=True),
    "new_uploads": writes(lambda s: Changes(new_uploads=(upload(2, s),))),
    "put_uploads": writes(lambda s: Changes(put_uploads=(replace(upload(2, s), version=2),))),
    "drop_uploads": writes(lambda s: Changes(drop_uploads=("up1",))),
    "facts": writes(lambda s: Changes(facts=(fact(s),))),
    "pending_clear": writes(lambda s: Changes(pending_clear=(PendingOf(PendingKind.PROPOSAL, BOB, "room:clear"),))),
    "pending_take": writes(lambda s: Changes(pending_take=(PendingKey(PendingKind.PROPOSAL, "take"),))),
    "pending_put": writes(lambda s: Changes(pending_put=(pending("put"),))),
    "pending_fill": writes(lambda s: Changes(pending_fill=(pending("fill"),))),
    "pending_try": writes(lambda s: Changes(pending_try=(PendingKey(PendingKind.PROPOSAL, "try"),))),
    "audit": writes(lambda s: Changes(audit=(row(s),))),
    "new_workspaces": writes(lambda s: Changes(new_workspaces=(workspace(3, s),))),
    "put_workspaces": writes(lambda s: Changes(put_workspaces=(replace(workspace(1, s), name="Other", version=2),))),
    "drop_workspaces": writes(lambda s: Changes(drop_workspaces=(WorkspaceId("w2"),))),
    "add_links": writes(lambda s: Changes(add_links=(link(2),))),
    "drop_links": writes(lambda s: Changes(drop_links=((WorkspaceId("w1"), "U1"),))),
    "previous_call": writes(lambda s: Changes(previous_call=PreviousCall(integration_id=IN, hash=b"x", at=NOON))),
}
OPERATIONS: dict[str, Case] = {
    "settle": Case(delivered),
    "claim": Case(delivered),
    "replay_dead": Case(replay_dead),
    "discard_dead": Case(discard_dead),
    "hasten": Case(hasten),
    "expire_held": Case(lambda stage: stage.store.expire_held()),
    "execute": Case(lambda stage: stage.store.touch_token(stage.store.lookup("kept"), NOON), shows=True),
    "probe": Case(lambda stage: stage.store.probe()),
    "purge": Case(lambda stage: stage.store.purge(NOON)),
    "purge_events": Case(lambda stage: stage.store.purge(NOON)),
    "purge_messages": Case(lambda stage: stage.store.purge(NOON)),
    "reseal": Case(lambda stage: stage.store.reseal()),
    "present": Case(lambda stage: stage.store.present()),
    "changed_elsewhere": Case(lambda stage: stage.store.changed_elsewhere()),
}
CASES = {f"commit {name}": case for name, case in COMMITS.items()} | OPERATIONS


def test_every_kind_of_change_has_its_case() -> None:
    """A new field of a unit of work, or a new operation of the engine, needs one."""
    operations = {name for name, _ in inspect.getmembers(Engine, inspect.isfunction) if not name.startswith("_")}
    assert set(COMMITS) == set(Changes.__struct_fields__)
    assert set(OPERATIONS) | {"commit"} == operations - NO_CHANGE


@asynccontextmanager
async def stage_of(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    status = 200
    called = asyncio.Event()

    def answers(wanted: int) -> None:
        nonlocal status
        status = wanted

    async def take(_: web.Request) -> web.Response:
        called.set()
        return web.Response(status=status)

    order = folder / "order"
    monkeypatch.setattr(apart, "CHILD", dying_writer.MODULE)
    monkeypatch.setenv(dying_writer.ORDERED_BY, str(order))
    app = web.Application()
    app.router.add_post("/in", take)
    async with TestServer(app, host="127.0.0.1") as receiver, serving(folder / "data", apart=True) as server:
        yield Stage(server, order, answers, str(receiver.make_url("/in")), called)


async def listen(stage: Stage) -> None:
    """Note each event the stream tells of."""
    async with stage.server.services.stream.subscribe(EventSeq(0)) as subscription:
        while True:
            stage.events.append((await subscription.next()).seq)


async def found_by(directory: Directory) -> dict[str, Any]:
    """Return everything a directory knows, remembered or read."""
    users, rooms, hooks = await directory.users(), await directory.rooms(), await directory.hooks()
    found: dict[str, Any] = {
        "users": users,
        "rooms": rooms,
        "hooks": hooks,
    }
    for user_id in (BOB, ROCKET_CAT, UserId("eve")):
        found[f"user {user_id}"] = await directory.user(user_id)
        found[f"named {user_id}"] = await directory.user_named(user_id)
        found[f"rooms of {user_id}"] = await directory.rooms_of(user_id)
        found[f"in ops {user_id}"] = await directory.member(OPS, user_id)
    for room_id in (GENERAL, OPS, RoomId("NEW")):
        found[f"room {room_id}"] = await directory.room(room_id)
        found[f"room named {room_id}"] = await directory.room_named(room_id.lower())
        found[f"members {room_id}"] = await directory.members(room_id)
    for hook_id in (IN, OUT, GONE):
        found[f"hook {hook_id}"] = await directory.hook(hook_id)
    author, general = await directory.user(ROCKET_CAT), await directory.room(GENERAL)
    assert author is not None
    found["listening"] = await directory.listening(OutgoingEvent.SEND_MESSAGE, general, author)
    return found


async def known(stage: Stage, directory: Directory) -> dict[str, Any]:
    """Return everything a directory knows, with the tokens of the stage."""
    found = await found_by(directory)
    for name in ("kept", "dropped", "fresh"):
        found[f"token {name}"] = await directory.token(stage.store.lookup(name))
    return found


async def written_again(stage: Stage) -> None:
    """Wait until a writer goes on."""
    async with asyncio.timeout(30):
        while True:
            try:
                await stage.store.probe()
            except StorageError:
                await asyncio.sleep(0.01)
            else:
                return


async def die(stage: Stage, kind: str, case: Case) -> None:
    """Let the writer die on a kind of change, and check that nothing stays wrong."""
    before = await known(stage, stage.directory)
    stage.order.write_text(kind, "utf-8")
    try:
        async with asyncio.timeout(30):
            await case.act(stage)
    except Uncertain:
        pass
    async with asyncio.timeout(30):
        while stage.order.exists():  # noqa: ASYNC110 # another process takes it
            await asyncio.sleep(0.01)
    await written_again(stage)
    truth = await known(stage, Directory(stage.store, stage.directory.org))
    assert await known(stage, stage.directory) == truth
    assert not case.shows or before != truth, "the case changes nothing that is remembered"
    async with asyncio.timeout(10):
        while (stage.events[-1] if stage.events else 0) < await stage.store.last_event():  # noqa: ASYNC110 # the list signals nobody
            await asyncio.sleep(0.01)
    assert stage.events == sorted(set(stage.events))


@pytest.mark.timeout(300)
async def test_the_writer_dies_at_every_kind_of_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was stored and never answered is known right after, by lookups, listeners and the delivering side."""
    async with stage_of(tmp_path, monkeypatch) as stage:
        await begin(stage)
        listening = asyncio.create_task(listen(stage))
        for kind, case in CASES.items():
            try:
                await die(stage, kind, case)
            except BaseException as error:
                error.add_note(f"died at {kind}")
                raise
        listening.cancel()
        every: list[EventSeq] = []
        while page := await stage.store.events_after(every[-1] if every else EventSeq(0)):
            every += [event.seq for event in page]
        assert stage.events == every


async def test_a_caller_is_told_that_it_is_not_certain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was deactivated posts no more, a removed hook is shown no more, and a repeat with the same id is one post."""
    async with stage_of(tmp_path, monkeypatch) as stage:
        server = stage.server
        eve = await server.user("eve")
        hook = await hook_calling(server, stage.refusing, trigger_words=("never",))
        said, off = {"channel": "#general", "text": "hi"}, {"userId": eve["X-User-Id"], "activeStatus": False}
        assert (await server.api("POST", "chat.postMessage", said, who=eve))[0] == 200
        acts: dict[str, Callable[[], Awaitable[tuple[int, Any]]]] = {
            "commit put_users": lambda: server.api("POST", "users.setActiveStatus", off),
            "commit drop_hooks": lambda: server.api(
                "POST", "integrations.remove", {"type": "webhook-outgoing", "integrationId": hook}
            ),
            "commit dedup": lambda: post(server, "once", **{"webhook-id": "id-1"}),
        }
        for kind, act in acts.items():
            stage.order.write_text(kind, "utf-8")
            status, told = await act()
            assert (status, "it is not certain whether it was stored" in told["error"]) == (503, True), told
            await written_again(stage)
        assert (await server.api("POST", "chat.postMessage", said, who=eve))[0] == 401
        assert hook not in [one["_id"] for one in (await server.get("integrations.list"))["integrations"]]
        assert await post(server, "once", **{"webhook-id": "id-1"}) == (200, {"success": True})
        assert [one["msg"] for one in await server.room_messages()].count("once") == 1
