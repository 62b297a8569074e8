"""`rocketchat-API`: everything it can ask of this server, checked in the room and in the database file."""

import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import FunctionType

import pytest
from aiohttp import web
from rocketchat_API.APIExceptions.RocketExceptions import (
    RocketApiException,
    RocketAuthenticationException,
    RocketBadStatusCodeException,
)
from rocketchat_API.rocketchat import RocketChat

from bot.api.rocketchat import all_calls
from tests.delivering import until
from tests.scenarios.clients.rocketchat import Rocket, connected, with_token
from tests.scenarios.receiver import receiving
from tests.scenarios.stored import message_row, rows
from tests.server import PASSWORD, Server

PNG = b"\x89PNG\r\n\x1a\n" + bytes(64)


@pytest.fixture
async def rocket(server: Server) -> AsyncIterator[Rocket]:
    """The owner's client."""
    async with connected(server.url) as client:
        yield client


@pytest.fixture
def data(tmp_path: Path, server: Server) -> Path:
    """The data folder of the running server."""
    return tmp_path / "data"


def test_every_call_both_sides_know_is_made_here() -> None:
    """No method of the client whose call this server offers is left out of this file."""
    offered = {call.name.partition("/")[0] for call in all_calls()}
    made = set(re.findall(r"(?:rocket|ann)\.(\w+)\(", Path(__file__).read_text(encoding="utf-8")))
    known = {
        name
        for name, method in inspect.getmembers(RocketChat, inspect.isfunction)
        if not name.startswith("_") and _calls(method) & offered
    }

    assert len(known) > 40
    assert not known - made


def _calls(method: FunctionType) -> set[str]:
    """Return the names of calls a method's source mentions; one of them stands in a constant."""
    source = inspect.getsource(inspect.unwrap(method)).replace("USERS_INFO", '"users.info"')
    return set(re.findall(r'"([a-z]+(?:\.\w+)*)/?"', source))


async def test_login_and_logout(server: Server, rocket: Rocket) -> None:
    """A name or an address logs in, a wrong password does not, and a session that logged out is over."""
    assert (await rocket.info())["version"] == "7.10.0"
    me = await rocket.me()
    assert me["username"] == "owner"
    await rocket.users_create("ann@example.test", "Ann", PASSWORD, "ann")
    with pytest.raises(RocketAuthenticationException):
        await rocket.login("ann", "not her password")

    async with connected(server.url, "ann@example.test") as ann:
        assert (await ann.me())["username"] == "ann"
        assert (await ann.logout())["status"] == "success"
        with pytest.raises(RocketBadStatusCodeException, match="logged in"):
            await ann.me()


async def test_integrations(server: Server, rocket: Rocket, data: Path) -> None:
    """An incoming hook is made, shown, changed, used and removed, each step as the contract answers it."""
    made = (
        await rocket.integrations_create(
            "webhook-incoming", "ci", True, "rocket.cat", "#general", False, alias="CI", emoji=":robot:"
        )
    )["integration"]
    hook_id = made["_id"]
    stands = {**made, "_updatedAt": made["_createdAt"]}  # which the answer that makes one leaves out
    assert (await rocket.integrations_get(hook_id))["integration"] == stands
    assert hook_id in [hook["_id"] for hook in await rocket.integrations_list(name="ci", type="webhook-incoming")]
    assert rows(data, "SELECT name, direction FROM integration WHERE id = ?", hook_id) == [("ci", "webhook-incoming")]

    updated = await rocket.integrations_update(
        "webhook-incoming", "ci builds", True, "rocket.cat", "#general", False, hook_id, alias="Builds"
    )
    assert (updated["integration"]["name"], updated["integration"]["token"]) == ("ci builds", made["token"])
    async with server.http.post(
        f"{server.url}/hooks/{hook_id}/{made['token']}", json={"text": "Build 812 failed"}
    ) as posted:
        assert (posted.status, await posted.json()) == (200, {"success": True})
    shown = (await rocket.channels_history("GENERAL"))[0]
    assert (shown["msg"], shown["alias"], shown["bot"]) == ("Build 812 failed", "Builds", {"i": hook_id})
    assert message_row(data, shown["_id"])["integration_id"] == hook_id

    removed = await rocket.integrations_remove("webhook-incoming", hook_id)
    assert removed["integration"]["name"] == "ci builds"
    assert rows(data, "SELECT id FROM integration WHERE id = ?", hook_id) == []
    with pytest.raises(RocketApiException, match="The integration does not exists"):
        await rocket.integrations_get(hook_id)


async def test_an_outgoing_hook_and_its_history(server: Server, rocket: Rocket, data: Path) -> None:
    """A trigger word calls the address, the answer is posted, and the history tells both."""
    async with receiving(lambda sent: web.json_response({"text": f"deploying for {sent.json['user_name']}"})) as bot:
        made = await rocket.integrations_create(
            "webhook-outgoing",
            "deployer",
            True,
            "rocket.cat",
            "#general",
            False,
            event="sendMessage",
            urls=[bot.url],
            triggerWords=["!deploy"],
            token="s3cret-of-deployer",
            retryFailedCalls=True,
            retryCount=6,
        )
        hook = made["integration"]
        await rocket.chat_post_message("!deploy api v2", channel="#general")
        sent = await bot.arrived()
        assert (sent.json["token"], sent.json["trigger_word"]) == ("s3cret-of-deployer", "!deploy")

        async def settled() -> bool:
            return bool(await rocket.integrations_history(hook["_id"]))

        await until(settled)

    shown = await rocket.channels_history("GENERAL")
    assert [message["msg"] for message in shown] == ["deploying for owner", "!deploy api v2"]
    (entry,) = await rocket.integrations_history(hook["_id"])
    assert (entry["finished"], entry.get("error"), entry["url"]) == (True, None, bot.url)
    assert entry["data"]["token"] == "***"
    assert rows(data, "SELECT step, status FROM attempt WHERE integration_id = ?", hook["_id"])[0][1] == 200

    await rocket.integrations_remove("webhook-outgoing", hook["_id"])
    assert await rocket.integrations_history(hook["_id"]) == []


async def test_channels(server: Server, rocket: Rocket, data: Path) -> None:
    """A public room goes through its whole life."""
    await server.user("ann")
    ann_id = (await rocket.users_info(username="ann"))["user"]["_id"]
    room = (await rocket.channels_create("deploys"))["channel"]
    assert (await rocket.channels_info(room["_id"]))["channel"]["name"] == "deploys"
    assert (await rocket.channels_info(channel="deploys"))["channel"]["_id"] == room["_id"]

    await rocket.channels_invite(room["_id"], ann_id)
    assert [member["username"] for member in await rocket.channels_members(channel="deploys")] == ["ann", "owner"]
    await rocket.channels_kick(room["_id"], ann_id)
    async with connected(server.url, "ann") as ann:
        await ann.channels_join(room["_id"], "")
        assert "deploys" in [joined["name"] for joined in await ann.channels_list_joined()]
        await ann.chat_post_message("shipped", room_id=room["_id"])
        await rocket.channels_set_read_only(room["_id"], True)
        with pytest.raises(RocketApiException, match="readonly"):
            await ann.chat_post_message("more", room_id=room["_id"])
        await ann.channels_leave(room["_id"])
    assert [member["username"] for member in await rocket.channels_members(room["_id"])] == ["owner"]

    await rocket.channels_rename(room["_id"], "releases")
    await rocket.channels_archive(room["_id"])
    assert rows(data, "SELECT name, read_only, archived FROM room WHERE id = ?", room["_id"]) == [("releases", 1, 1)]
    await rocket.channels_unarchive(room["_id"])
    assert "releases" in [listed["name"] for listed in await rocket.channels_list()]
    shown = await rocket.channels_history(room["_id"], count=10, inclusive=True)
    assert "shipped" in [message["msg"] for message in shown]


async def test_pages_are_walked_to_the_end(server: Server, rocket: Rocket) -> None:
    """The client reads a history page by page and misses or repeats nothing."""
    for number in range(7):
        await server.http.post(server.hook, json={"text": f"line {number}"})

    shown = await rocket.channels_history("GENERAL", count=3)

    assert [message["msg"] for message in shown] == [f"line {number}" for number in reversed(range(7))]
    assert len(await rocket.channels_history("GENERAL", count=3, max_count=5)) == 5


async def test_groups(server: Server, rocket: Rocket, data: Path) -> None:
    """A private room goes through its whole life and is hidden from others."""
    await server.user("ann")
    ann_id = (await rocket.users_info(username="ann"))["user"]["_id"]
    room = (await rocket.groups_create("secops", members=["ann"]))["group"]
    assert [member["username"] for member in await rocket.groups_members(room["_id"])] == ["ann", "owner"]
    await rocket.groups_kick(room["_id"], ann_id)
    async with connected(server.url, "ann") as ann:
        with pytest.raises(RocketApiException, match="does not match any group"):
            await ann.groups_info(room_name="secops")
        await rocket.groups_invite(room["_id"], ann_id)
        assert (await ann.groups_info(room["_id"]))["group"]["name"] == "secops"
        await ann.chat_post_message("only us", room_id=room["_id"])
        await ann.groups_leave(room["_id"])

    await rocket.groups_set_read_only(room["_id"], True)
    await rocket.groups_rename(room["_id"], "security")
    await rocket.groups_archive(room["_id"])
    row = rows(data, "SELECT name, kind, read_only, archived FROM room WHERE id = ?", room["_id"])
    assert row == [("security", "p", 1, 1)]
    await rocket.groups_unarchive(room["_id"])
    assert "only us" in [message["msg"] for message in await rocket.groups_history(room["_id"])]
    assert [listed["name"] for listed in await rocket.groups_list()] == ["security"]


async def test_direct_messages(server: Server, rocket: Rocket, data: Path) -> None:
    """Two users have one direct room, however it is opened."""
    await server.user("ann")
    room = (await rocket.dm_create("ann"))["room"]
    assert (await rocket.dm_create_multiple(["ann"]))["room"]["_id"] == room["_id"]
    await rocket.chat_post_message("psst", channel="@ann")

    async with connected(server.url, "ann") as ann:
        assert [direct["_id"] for direct in await ann.dm_list()] == [room["_id"]]
        (heard,) = await ann.dm_history(room["_id"])
    assert (heard["msg"], message_row(data, heard["_id"])["room"]) == ("psst", room["_id"])


async def test_chat(server: Server, rocket: Rocket, data: Path) -> None:
    """A message is posted, answered in a thread, read, changed, reacted to and deleted."""
    posted = await rocket.chat_post_message(
        "Deploy?", room_id="GENERAL", attachments=[{"color": "#2eb886", "fields": [{"title": "Env", "value": "prod"}]}]
    )
    message = posted["message"]
    assert message["attachments"][0]["fields"][0]["value"] == "prod"
    chosen = "a1b2c3d4e5f6"
    answer = {"rid": "GENERAL", "msg": "Go", "tmid": message["_id"], "_id": chosen}
    for _ in range(2):  # sent again, it stands there once
        assert (await rocket.chat_send_message(answer))["message"]["_id"] == chosen
    assert (await rocket.chat_get_message(chosen))["message"]["tmid"] == message["_id"]

    await rocket.chat_update("GENERAL", message["_id"], "Deploy v2?")
    await rocket.chat_react(message["_id"], "thumbsup")
    stored = message_row(data, message["_id"])
    assert (stored["text"], stored["edited_by"][1]) == ("Deploy v2?", "owner")
    assert list(stored["reactions"].values()) == [["owner"]]

    await rocket.chat_delete("GENERAL", chosen)
    assert [shown["_id"] for shown in await rocket.channels_history("GENERAL")] == [message["_id"]]
    assert rows(data, "SELECT id FROM message WHERE id = ?", chosen) == []


async def test_rooms_and_files(server: Server, rocket: Rocket, data: Path) -> None:
    """Rooms are found whatever their kind, and a file is sent in two steps and read back."""
    assert (await rocket.rooms_info(room_name="general"))["room"]["_id"] == "GENERAL"
    assert [room["_id"] for room in (await rocket.rooms_get())["update"]] == ["GENERAL"]

    file = (await rocket.rooms_media("GENERAL", ("graph.png", PNG, "image/png")))["file"]
    confirmed = await rocket.rooms_media_confirm("GENERAL", file["_id"], msg="the graph", description="load")
    message = (await rocket.channels_history("GENERAL"))[0]
    assert message["_id"] == confirmed["message"]["_id"]
    assert (message["msg"], message["file"]["name"]) == ("the graph", "graph.png")
    assert rows(data, "SELECT size, type, confirmed FROM upload WHERE id = ?", file["_id"]) == [
        (len(PNG), "image/png", 1)
    ]
    address = f"{server.url}/file-upload/{file['_id']}/graph.png"
    async with server.http.get(address, headers=server.owner) as read:
        assert (read.status, await read.read()) == (200, PNG)
    async with server.http.get(address) as stranger:
        assert stranger.status in (401, 403, 404)


async def test_users(server: Server, rocket: Rocket, data: Path) -> None:
    """A user is made, found, changed, shut out and let in again."""
    made = (await rocket.users_create("ann@example.test", "Ann", PASSWORD, "ann", roles=["user"]))["user"]
    assert (await rocket.users_info(user_id=made["_id"]))["user"]["username"] == "ann"
    assert {user["username"] for user in await rocket.users_list()} == {"ann", "owner", "rocket.cat"}

    await rocket.users_update(made["_id"], name="Ann Example", roles=["admin"], password="another fine password")
    async with connected(server.url, "ann", "another fine password") as ann:
        assert (await ann.me())["roles"] == ["admin"]
        await rocket.users_set_active_status(made["_id"], False)
        with pytest.raises(RocketBadStatusCodeException, match="logged in"):
            await ann.me()
    assert rows(data, "SELECT name, active FROM user WHERE id = ?", made["_id"]) == [("Ann Example", 0)]
    await rocket.users_set_active_status(made["_id"], True)
    async with connected(server.url, "ann", "another fine password") as ann:
        assert (await ann.me())["name"] == "Ann Example"


async def test_personal_tokens(server: Server, rocket: Rocket, data: Path) -> None:
    """A personal token works as a login until it is replaced or removed, and only its hash is stored."""
    calls = "users.generatePersonalAccessToken", "users.regeneratePersonalAccessToken"
    first, second = [(await rocket.call_api_post(call, tokenName="ci"))["token"] for call in calls]
    with pytest.raises(RocketApiException, match="error-token-already-exists"):
        await rocket.call_api_post(calls[0], tokenName="ci")
    user_id = (await rocket.me())["_id"]

    async with with_token(server.url, user_id, first) as replaced:
        with pytest.raises(RocketBadStatusCodeException, match="logged in"):
            await replaced.me()
    async with with_token(server.url, user_id, second) as holder:
        assert (await holder.me())["username"] == "owner"
        (listed,) = (await holder.call_api_get("users.getPersonalAccessTokens"))["tokens"]
        assert (listed["name"], listed["lastTokenPart"]) == ("ci", second[-len(listed["lastTokenPart"]) :])
        kept = rows(data, "SELECT name, last_part FROM token WHERE kind = 'personal'")
        assert kept == [("ci", listed["lastTokenPart"])]
        await rocket.call_api_post("users.removePersonalAccessToken", tokenName="ci")
        with pytest.raises(RocketBadStatusCodeException, match="logged in"):
            await holder.me()


async def test_commands(server: Server, rocket: Rocket, data: Path) -> None:
    """Slash commands are listed, shown, completed and run; what they remove is gone."""
    listed = (await rocket.call_api_get("commands.list"))["commands"]
    assert [command["command"] for command in listed] == ["hook", "integrations", "why", "deliveries"]
    assert (await rocket.call_api_get("commands.get", command="HOOK"))["command"] == listed[0]
    preview = await rocket.call_api_get("commands.preview", command="hook", params="in+", roomId="GENERAL")
    assert "in list" in " ".join(item["value"] for item in preview["preview"]["items"])

    (hook,) = await rocket.integrations_list()
    run = {"command": "hook", "roomId": "GENERAL"}
    assert hook["name"] in (await rocket.call_api_post("commands.run", params=" in list", **run))["result"]
    assert hook["token"] not in (await rocket.call_api_post("commands.run", params=f" {hook['_id']}", **run))["result"]
    item = {"id": "1", "type": "text", "value": "help"}
    assert (await rocket.call_api_post("commands.preview", previewItem=item, **run))["success"] is True
    with pytest.raises(RocketApiException, match="does not exist"):
        await rocket.call_api_post("commands.run", command="nonsense", roomId="GENERAL")
