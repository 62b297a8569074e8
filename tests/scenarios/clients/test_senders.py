"""Raw requests as real senders make them (`rocketchat.md` §5.4): payloads captured from the tools themselves."""

import json
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from tests.scenarios.stored import message_row
from tests.server import Server
from tests.shared import shared

FORM = "application/x-www-form-urlencoded"


def captured(service: str, name: str) -> tuple[bytes, dict[str, str]]:
    """Return a captured body and the headers it came with."""
    meta = json.loads(shared("payloads", service, "meta.json").read_text(encoding="utf-8"))
    return shared("payloads", service, name).read_bytes(), meta["files"][name]["headers"]


async def send(server: Server, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    """Post a body to the first hook."""
    async with server.http.post(server.hook, data=body, headers=headers) as response:
        return response.status, await response.json()


async def let_senders_choose(server: Server) -> None:
    """Switch the override flag of the first hook on, as its owner does for senders that name a channel."""
    (hook,) = (await server.get("integrations.list"))["integrations"]
    changed = {
        "integrationId": hook["_id"],
        "channel": "#general",
        "overrideDestinationChannelEnabled": True,
        **{key: hook[key] for key in ("type", "scriptEnabled", "name", "enabled")},
    }
    status, answer = await server.api("PUT", "integrations.update", changed)
    assert status == 200, answer


async def make_room(server: Server, name: str) -> str:
    """Make a public room and return its id."""
    return cast(str, (await server.post("channels.create", {"name": name}))["channel"]["_id"])


CAPTURED = {
    "apprise": (
        ("rocketchat_incoming", "captured_apprise_rocketchat.json"),
        {"msg": "Build failed\r\njob **42** broke"},
        {},
    ),
    "uptime-kuma": (
        ("rocketchat_incoming", "captured_rocket_kuma_up.json"),
        {"msg": "Uptime Kuma Alert", "alias": "Kuma", "emoji": ":bear:"},
        {"color": "#32cd32", "title_link": "https://status.example.org/dashboard/7"},
    ),
    "alertmanager-slack": (
        ("slack_incoming", "captured_alertmanager_0.25_firing.json"),
        {"msg": "", "alias": "Alertmanager"},
        {"title": "DiskFull", "text": "db1 disk 96% <full> & rising db2 disk 91% "},
    ),
    "apprise-mattermost": (
        ("slack_incoming", "captured_apprise_mattermost.json"),
        {"msg": "Build failed\r\njob **42** broke", "alias": "Apprise"},
        {},
    ),
    "uptime-kuma-mattermost": (
        ("slack_incoming", "captured_mattermost_kuma_up.json"),
        {"msg": "", "alias": "api-gateway Kuma", "emoji": ":bear:"},
        {"title": "api-gateway service went up!", "title_link": "https://api.example.org/health"},
    ),
    "uptime-kuma-slack": (
        ("slack_incoming", "captured_slack_kuma_up.json"),
        {"msg": "[api-gateway] [✅ Up] 200 - OK @all", "alias": "Kuma", "emoji": ":bear:"},
        {
            "color": "#2eb886",
            "text": "*api-gateway*\n*Message*\n[api-gateway] [✅ Up] 200 - OK @all\n"
            "*Time (Europe/Berlin)*\n2026-11-20 17:09:00\n[Visit site](https://api.example.org/health)",
        },
    ),
}


@pytest.mark.parametrize("sender", CAPTURED)
async def test_captured_requests(server: Server, tmp_path: Path, sender: str) -> None:
    """A request of a real tool stands in the room it names as that tool meant it, in both ways to send a body."""
    source, message, attachment = CAPTURED[sender]
    body, headers = captured(*source)
    room = await make_room(server, "ops")
    await let_senders_choose(server)

    as_form = urlencode({"payload": body.decode()}).encode()
    for data, content_type in ((body, headers["Content-Type"]), (as_form, FORM)):
        assert await send(server, data, {**headers, "Content-Type": content_type}) == (200, {"success": True})

    posted = await server.room_messages(room)
    assert len(posted) == 2
    for shown in posted:
        assert {key: shown[key] for key in message} == message
        first = shown["attachments"][0] if attachment else {}
        assert {key: first[key] for key in attachment} == attachment
        assert message_row(tmp_path / "data", shown["_id"])["user"] == "rocket.cat"


async def test_senders_that_name_a_channel_need_the_flag(server: Server) -> None:
    """Without the override flag a request that names a channel is refused with the reason."""
    body, headers = captured("rocketchat_incoming", "captured_rocket_kuma_up.json")

    status, answer = await send(server, body, headers)

    assert (status, answer["error"]) == (400, "overriding destination channel is disabled for this integration")
    assert await server.room_messages() == []


async def test_uptime_kuma_without_an_emoji(server: Server) -> None:
    """An emoji field left empty in its form is the same as none."""
    body = {"text": "down", "username": "Kuma", "icon_emoji": "", "attachments": [{"title": "api", "text": "500"}]}

    assert await send(server, json.dumps(body).encode(), {"Content-Type": "application/json"}) == (
        200,
        {"success": True},
    )
    (posted,) = await server.room_messages()
    assert posted.get("emoji", "") == ""


async def test_alertmanager_native_receiver(server: Server, tmp_path: Path) -> None:
    """Its call of `chat.postMessage` with a bot's two headers is posted with fields and buttons.

    It reads `success` of the answer even at 200.
    """
    bot = await server.user("alertmanager", "bot")
    made = await server.post("users.generatePersonalAccessToken", {"tokenName": "alerts"}, who=bot)
    who = {"X-User-Id": bot["X-User-Id"], "X-Auth-Token": made["token"]}
    fields = [
        {"title": "severity", "value": "critical", "short": True},
        {"title": "instance", "value": "db1:9100", "short": False},
    ]
    actions = [{"type": "button", "text": "Silence", "url": "http://alertmanager.example:9093/#/silences/new"}]
    alert = {
        "title": "[FIRING:1] DiskFull",
        "title_link": "http://alertmanager.example:9093/#/alerts?receiver=chat",
        "text": "db1 disk 96%",
        "color": "red",
        "fields": fields,
        "actions": actions,
    }

    answer = await server.post(
        "chat.postMessage",
        {
            "channel": "#general",
            "emoji": ":fire:",
            "avatar": "https://alertmanager.example/icon.png",
            "attachments": [alert],
        },
        who=who,
    )

    assert answer["success"] is True
    (posted,) = await server.room_messages()
    assert posted["attachments"] == [alert]
    stored = message_row(tmp_path / "data", posted["_id"])
    assert (stored["user"], stored["avatar"]) == (bot["X-User-Id"], "https://alertmanager.example/icon.png")


JENKINS = {
    "text": "api » main #812 failed",
    "attachments": [
        {"title": "api » main #812", "title_link": "https://ci.example.test/job/812", "color": "red", "text": "test"}
    ],
}


async def test_jenkins_with_a_webhook(server: Server) -> None:
    """Its connection test posts without channel; its builds name one and one of emoji and avatar."""
    headers = {"Content-Type": "application/json; charset=UTF-8"}
    room = await make_room(server, "builds")
    test = json.dumps({"text": "Jenkins: test of the connection"}).encode()
    assert await send(server, test, headers) == (200, {"success": True})

    await let_senders_choose(server)
    for picture in ({"emoji": ":red_circle:"}, {"avatar": "https://ci.example.test/icon.png"}):
        build = json.dumps({**JENKINS, "channel": "#builds", **picture}).encode()
        assert await send(server, build, headers) == (200, {"success": True})

    assert [message["msg"] for message in await server.room_messages()] == ["Jenkins: test of the connection"]
    second, first = await server.room_messages(room)
    assert (first["msg"], first["emoji"], second["avatar"]) == (
        JENKINS["text"],
        ":red_circle:",
        "https://ci.example.test/icon.png",
    )


async def test_jenkins_with_a_login(server: Server, tmp_path: Path) -> None:
    """Its other way logs in and calls `chat.postMessage`; an emoji needs no special right."""
    jenkins = await server.user("jenkins")

    answer = await server.post(
        "chat.postMessage", {**JENKINS, "channel": "#general", "emoji": ":red_circle:"}, who=jenkins
    )

    assert (answer["success"], answer["channel"]) == (True, "#general")
    (posted,) = await server.room_messages()
    assert posted["attachments"][0]["title_link"] == "https://ci.example.test/job/812"
    assert message_row(tmp_path / "data", posted["_id"])["user"] == jenkins["X-User-Id"]
