"""A second organisation in the same store: whatever is asked for, by any door, it is not there (decisions 6, 17)."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any  # answers are parsed JSON

import pytest

from storage.ids import EventSeq, IntegrationId, MessageId, RoomId, UserId
from storage.records.changes import Changes, Fact
from storage.records.event import EventKind, NewEvent
from storage.records.room import Member, RoomKind
from storage.records.upload import Upload
from storage.records.user import Token, TokenKind
from tests.hook_door import UNKNOWN
from tests.hook_stage import OTHER_ORG, STRANGER
from tests.records import NOON, hooks_in, incoming, message, outgoing, room
from tests.server import Server
from tests.web.test_realtime import connecting

PUBLIC = room(id=RoomId("theirPub1icR00m23"), org_id=OTHER_ORG, name="their-public", owner_id=STRANGER.id)
PRIVATE = room(
    id=RoomId("theirPr1vateR00m2"), org_id=OTHER_ORG, kind=RoomKind.PRIVATE, name="their-private", owner_id=STRANGER.id
)
MESSAGE = message(
    id=MessageId("theirMessageAbCd2"),
    org_id=OTHER_ORG,
    room_id=PUBLIC.id,
    user_id=STRANGER.id,
    username=STRANGER.username,
    text="their words",
)
_MADE_THERE: dict[str, Any] = {
    "org_id": OTHER_ORG,
    "user_id": STRANGER.id,
    "username": STRANGER.username,
    "created_by": (STRANGER.id, STRANGER.username),
    "channels": (),
}
INCOMING = incoming(id=IntegrationId("0123456789abcdef01234567"), name="their incoming", **_MADE_THERE)
OUTGOING = outgoing(
    id=IntegrationId("0123456789abcdef01234568"),
    name="their outgoing",
    urls=("https://theirs.example.test/in",),
    **_MADE_THERE,
)
UPLOAD = Upload(
    id="theirUp1oadAbCdE2",
    org_id=OTHER_ORG,
    room_id=PUBLIC.id,
    user_id=STRANGER.id,
    name="their-file.txt",
    size=5,
    type="application/octet-stream",
    confirmed=True,
    created_at=NOON,
)
SESSION = "their session token, 43 characters or so"

THEIRS = {
    "public": PUBLIC.id,
    "public_name": "their-public",
    "private": PRIVATE.id,
    "private_name": "their-private",
    "user": STRANGER.id,
    "username": STRANGER.username,
    "message": MESSAGE.id,
    "incoming": INCOMING.id,
    "outgoing": OUTGOING.id,
    "url": OUTGOING.urls[0],
    "upload": UPLOAD.id,
}
NOBODYS = {
    "public": "n0bodysPub1icR002",
    "public_name": "nobodys-public",
    "private": "n0bodysPr1vateR02",
    "private_name": "nobodys-private",
    "user": "n0bodyAtA11AbCdE2",
    "username": "nobody",
    "message": "n0bodysMessageAb2",
    "incoming": "0123456789abcdef01234569",
    "outgoing": "0123456789abcdef0123456a",
    "url": "https://nobodys.example.test/in",
    "upload": "n0bodysUp1oadAbC2",
}

Params = dict[str, Any]
GENERAL = "GENERAL"
_IN: Params = {"type": "webhook-incoming", "scriptEnabled": False, "name": "x", "enabled": True}
_OUT: Params = {**_IN, "type": "webhook-outgoing", "event": "sendMessage", "username": "rocket.cat"}
_URLS: Params = {"urls": ["https://ours.example.test"], "token": "t"}

CALLS: dict[str, list[tuple[str, str, Params]]] = {
    "reading rooms": [
        *(
            ("GET", f"{family}.{call}", {key: f"{{{kind}{suffix}}}"})
            for family, kind in (("channels", "public"), ("groups", "private"))
            for call in ("info", "history", "members")
            for key, suffix in (("roomId", ""), ("roomName", "_name"))
        ),
        ("GET", "rooms.info", {"roomId": "{public}"}),
        ("GET", "rooms.info", {"roomName": "{private_name}"}),
        ("GET", "im.history", {"roomId": "{private}"}),
    ],
    "changing rooms": [
        *(
            ("POST", f"{family}.{call}", {"roomId": f"{{{kind}}}", **more})
            for family, kind in (("channels", "public"), ("groups", "private"))
            for call, more in (
                ("invite", {"username": "rocket.cat"}),
                ("kick", {"username": "rocket.cat"}),
                ("leave", {}),
                ("archive", {}),
                ("unarchive", {}),
                ("rename", {"name": "ours-now"}),
                ("setReadOnly", {"readOnly": True}),
            )
        ),
        ("POST", "channels.join", {"roomName": "{public_name}"}),
        ("POST", "rooms.upload/{public}", {}),
        ("POST", "rooms.media/{private}", {}),
        ("POST", "rooms.mediaConfirm/{public}/{upload}", {}),
        ("POST", f"rooms.mediaConfirm/{GENERAL}/{{upload}}", {}),
    ],
    "messages": [
        *(
            ("POST", "chat.postMessage", {"channel": place, "text": "x"})
            for place in ("#{public_name}", "#{public}", "{private}", "@{username}", "@{user}", "{user}")
        ),
        ("POST", "chat.postMessage", {"roomId": ["{public}", GENERAL], "text": "x"}),
        ("POST", "chat.postMessage", {"channel": "#general", "text": "x", "tmid": "{message}"}),
        ("POST", "chat.sendMessage", {"message": {"rid": "{public}", "msg": "x"}}),
        ("POST", "chat.update", {"roomId": "{public}", "msgId": "{message}", "text": "ours"}),
        ("POST", "chat.delete", {"roomId": "{public}", "msgId": "{message}"}),
        ("GET", "chat.getMessage", {"msgId": "{message}"}),
        ("POST", "chat.react", {"messageId": "{message}", "emoji": "smile"}),
    ],
    "people": [
        ("GET", "users.info", {"userId": "{user}"}),
        ("GET", "users.info", {"username": "{username}"}),
        ("POST", "users.update", {"userId": "{user}", "data": {"name": "Ours"}}),
        ("POST", "users.setActiveStatus", {"userId": "{user}", "activeStatus": False}),
        ("POST", "im.create", {"username": "{username}"}),
        ("POST", "channels.invite", {"roomId": GENERAL, "userId": "{user}"}),
        ("POST", "channels.invite", {"roomId": GENERAL, "usernames": ["{username}"]}),
        ("POST", "channels.kick", {"roomId": GENERAL, "username": "{username}"}),
        ("POST", "login", {"user": "{username}", "password": "whatever it is"}),
    ],
    "webhooks": [
        *(("GET", "integrations.get", {"integrationId": f"{{{kind}}}"}) for kind in ("incoming", "outgoing")),
        ("GET", "integrations.history", {"id": "{outgoing}"}),
        ("POST", "integrations.clearHistory", {"integrationId": "{outgoing}"}),
        ("POST", "integrations.replayOutgoing", {"integrationId": "{outgoing}", "historyId": "x"}),
        ("POST", "integrations.remove", {"type": "webhook-incoming", "integrationId": "{incoming}"}),
        ("POST", "integrations.remove", {"type": "webhook-outgoing", "target_url": "{url}"}),
        ("PUT", "integrations.update", {**_IN, "integrationId": "{incoming}", "channel": "#general"}),
        ("PUT", "integrations.update", {**_OUT, **_URLS, "integrationId": "{outgoing}", "channel": "#general"}),
        ("PUT", "integrations.update", {**_OUT, **_URLS, "target_url": "{url}", "channel": "#general"}),
        ("POST", "integrations.create", {**_IN, "username": "rocket.cat", "channel": "#{public_name}"}),
        ("POST", "integrations.create", {**_IN, "username": "{username}", "channel": "#general"}),
        ("POST", "integrations.create", {**_OUT, **_URLS, "channel": "@{username}"}),
        ("POST", "integrations.create", {**_OUT, **_URLS, "channel": "#general", "username": "{username}"}),
    ],
    "commands": [
        ("POST", "commands.run", {"command": "hook", "roomId": "{public}", "params": "status"}),
        ("POST", "commands.run", {"command": "hook", "roomId": GENERAL, "params": "status", "tmid": "{message}"}),
        ("POST", "commands.run", {"command": "hook", "roomId": GENERAL, "params": "in show {incoming}"}),
        ("POST", "commands.run", {"command": "hook", "roomId": GENERAL, "params": "out remove {outgoing}"}),
        ("GET", "commands.preview", {"command": "hook", "roomId": "{private}", "params": "in"}),
    ],
}
"""Calls that name something; `{…}` is a name of THEIRS, or of NOBODYS."""

LISTS = (
    *("channels.list", "channels.list.joined", "groups.list", "im.list", "rooms.get"),
    *("users.list", "integrations.list"),
)

METHODS: list[tuple[str, list[Any]]] = [
    ("sendMessage", [{"rid": "{public}", "msg": "x"}]),
    ("setReaction", [":smile:", "{message}"]),
    ("getRoomIdByNameOrId", ["{public_name}"]),
    ("getRoomIdByNameOrId", ["{private}"]),
    ("getRoomNameById", ["{public}"]),
    ("joinRoom", ["{public}"]),
    ("createDirectMessage", ["{username}"]),
    ("stream-notify-room", ["{public}/typing", "owner", True]),
    ("slashCommand", [{"cmd": "hook", "params": "status", "msg": {"rid": "{private}"}}]),
    ("loadHistory", ["{public}"]),
    ("replayOutgoingIntegration", [{"integrationId": "{outgoing}", "historyId": "x"}]),
    ("clearIntegrationHistory", ["{outgoing}"]),
]


@pytest.fixture
async def shared(server: Server) -> AsyncIterator[Server]:
    """The server, whose store holds another organisation; its owner even stands among the members there."""
    store = server.services.store
    caller = UserId(server.owner["X-User-Id"])
    token = Token(
        hash=store.lookup(SESSION),
        user_id=STRANGER.id,
        kind=TokenKind.SESSION,
        name=None,
        last_part=SESSION[-4:],
        created_at=NOON,
    )
    await store.make_organisation(OTHER_ORG, "Theirs", NOON)
    await store.commit(Changes(new_users=(STRANGER,), new_rooms=(PUBLIC, PRIVATE), new_hooks=(INCOMING, OUTGOING)))
    inside = tuple(
        Member(room_id=place.id, user_id=user, joined_at=NOON, is_owner=True)
        for place in (PUBLIC, PRIVATE)
        for user in (STRANGER.id, caller)
    )
    await store.commit(Changes(add_members=inside, new_messages=(MESSAGE,), new_uploads=(UPLOAD,), new_tokens=(token,)))
    (server.services.folder / "uploads" / UPLOAD.id).write_bytes(b"their")
    server.services.directory.clear()
    before = await stored(server)
    yield server
    assert await stored(server) == before


async def stored(server: Server) -> list[object]:
    """Return everything of the other organisation."""
    store = server.services.store
    return [
        await store.user(STRANGER.id),
        *[await store.room(place.id) for place in (PUBLIC, PRIVATE)],
        *[await store.members(place.id) for place in (PUBLIC, PRIVATE)],
        *[(await store.messages(place.id))[0] for place in (PUBLIC, PRIVATE)],
        await hooks_in(store, OTHER_ORG),
        await store.upload(UPLOAD.id),
        await store.tokens_of(STRANGER.id),
    ]


def named(value: Any, names: Mapping[str, str]) -> Any:
    """Put names into a call."""
    match value:
        case str():
            return value.format_map(names)
        case dict():
            return {key: named(one, names) for key, one in value.items()}
        case list():
            return [named(one, names) for one in value]
        case _:
            return value


def unnamed(answer: object, names: Mapping[str, str]) -> str:
    """Return an answer with the names taken out again."""
    text = json.dumps(answer)
    for key, name in names.items():
        text = text.replace(f'"{name}"', f'"{key}"').replace(name, key)
    return text


async def ask(server: Server, method: str, call: str, params: Params, names: Mapping[str, str]) -> str:
    """Make a call about some names; returns its answer without them."""
    filled = named(params, names)
    body, query = (None, filled) if method == "GET" else (filled, {})
    return unnamed(await server.api(method, named(call, names), body, **query), names)


@pytest.mark.parametrize("family", CALLS)
async def test_what_another_organisation_has_is_answered_like_what_nobody_has(shared: Server, family: str) -> None:
    """Status and text do not tell a foreign id or name from one that was never used, and nothing changes."""
    for method, call, params in CALLS[family]:
        foreign = await ask(shared, method, call, params, THEIRS)
        assert foreign == await ask(shared, method, call, params, NOBODYS), (call, params)


async def test_lists_leave_out_other_organisations(shared: Server) -> None:
    """No list names anything foreign, although the caller is a member of those rooms."""
    for call in LISTS:
        shown = json.dumps(await shared.get(call))
        assert [name for name in THEIRS.values() if name in shown] == [], call


async def test_the_socket_knows_no_other_organisation(shared: Server) -> None:
    """Methods and subscriptions answer as for what nobody has."""
    async with connecting(shared, shared.owner) as bot:
        for method, params in METHODS:
            foreign, unknown = [
                unnamed({**await bot.ask(method, *named(params, names)), "id": ""}, names)
                for names in (THEIRS, NOBODYS)
            ]
            assert foreign == unknown, (method, params)
        for stream, event in (("stream-room-messages", "{public}"), ("stream-notify-room", "{public}/typing")):
            assert (await bot.hear(stream, named(event, THEIRS)))["msg"] == "nosub"
        assert "their" not in json.dumps(await bot.call("rooms/get"))


async def test_the_socket_is_not_told_what_happens_elsewhere(shared: Server) -> None:
    """An event of another organisation reaches nobody here, though it names the caller."""
    caller = UserId(shared.owner["X-User-Id"])
    async with connecting(shared, shared.owner) as bot:
        assert (await bot.hear("stream-notify-user", f"{caller}/rooms-changed"))["msg"] == "ready"
        left = NewEvent(
            kind=EventKind.ROOM_LEFT, org_id=OTHER_ORG, at=NOON, room_id=PUBLIC.id, user_id=caller, json="{}"
        )
        await shared.services.store.commit(Changes(facts=(Fact(event=left),)))
        await shared.post("channels.create", {"name": "ours"})
        (_, _, [what, room_json]) = await bot.event()
        assert (what, room_json.get("name")) == ("inserted", "ours")


async def test_foreign_addresses_open_nothing(shared: Server) -> None:
    """Hook, file and session of another organisation are unknown, whoever holds their secrets."""
    async with shared.http.post(f"{shared.url}/hooks/{INCOMING.id}/{INCOMING.token}", json={"text": "x"}) as response:
        assert (response.status, await response.json()) == (404, UNKNOWN)
    async with shared.http.get(f"{shared.url}/file-upload/{UPLOAD.id}/x", headers=shared.owner) as response:
        assert response.status == 404
        assert await response.json() == {"success": False, "error": "Resource not found"}
    stranger = {"X-User-Id": STRANGER.id, "X-Auth-Token": SESSION}
    assert (await shared.api("GET", "me", who=stranger))[0] == 401
    assert (await shared.api("POST", "login", {"resume": SESSION}, who={}))[0] == 401
    assert await shared.services.directory.token(shared.services.store.lookup(SESSION)) is None


async def test_our_messages_stay_here(shared: Server) -> None:
    """A message fires no hook of another organisation and resolves no name of its rooms and people."""
    said = await shared.post("chat.postMessage", {"channel": "#general", "text": "#their-public and @stranger"})
    assert (said["message"]["mentions"], said["message"]["channels"]) == ([], [])
    assert (await shared.services.store.deliveries(hook_id=OUTGOING.id))[1] == 0
    last = await shared.services.store.event(EventSeq(shared.services.stream.last))
    assert last is not None
    assert PUBLIC.id not in json.dumps(last.body)


async def test_unique_names_stay_unique_over_the_server(shared: Server) -> None:
    """A name or id another organisation uses is refused as taken, nothing is shown of its holder (decision 17)."""
    taken = "A channel with name 'their-public' exists [error-duplicate-channel-name]"
    ours = (await shared.post("channels.create", {"name": "ours"}))["channel"]
    calls: list[tuple[str, Params, str]] = [
        ("channels.create", {"name": "their-public"}, taken),
        ("channels.rename", {"roomId": ours["_id"], "name": "their-public"}, taken),
        (
            "chat.sendMessage",
            {"message": {"rid": GENERAL, "msg": "x", "_id": MESSAGE.id}},
            "This message id is already in use; choose another one.",
        ),
        (
            "users.create",
            {"username": "stranger", "name": "S", "email": "s@example.test", "password": "correct horse battery"},
            "stranger is already in use :( [error-field-unavailable]",
        ),
    ]
    for call, body, error in calls:
        status, answer = await shared.api("POST", call, body)
        assert (status, answer["error"]) == (400, error), call


async def test_only_public_rooms_are_named(server: Server) -> None:
    """A text that names a private room does not tell its id, not even where the author is inside."""
    await server.post("groups.create", {"name": "ops"})
    said = await server.post("chat.postMessage", {"channel": "#general", "text": "see #ops and #general"})
    assert said["message"]["channels"] == [{"_id": GENERAL, "name": "general"}]
