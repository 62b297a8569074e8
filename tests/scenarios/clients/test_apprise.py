"""`apprise` with `rocket://` addresses in all three modes; it counts status 200 alone as sent."""

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest
from apprise import Apprise, NotifyType
from apprise.plugins.rocketchat import NotifyRocketChat

from tests.scenarios.stored import message_row, rows
from tests.server import PASSWORD, Server

# the first address makes apprise import every plug-in it has, old modules included
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

TEXT = "Build failed\r\njob **42** broke"


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    # it waits 5.5 s between two targets unless told not to
    monkeypatch.setattr(NotifyRocketChat, "request_rate_per_sec", 0)


async def notify(server: Server, credentials: str, targets: str = "", options: str = "") -> bool:
    """Send a notice from an address as people write it; tell whether apprise calls it sent."""
    client = Apprise()
    host = server.url.removeprefix("http://")
    assert client.add(f"rocket://{credentials}@{host}/{targets}{options}")
    sent = await asyncio.to_thread(
        client.notify, body="job **42** broke", title="Build failed", notify_type=NotifyType.FAILURE
    )
    return bool(sent)


def webhook(server: Server) -> str:
    """Return the hook as its addresses carry it: `ID/TOKEN`."""
    return server.hook.partition("/hooks/")[2]


async def token_of(server: Server, who: dict[str, str]) -> str:
    """Make a personal token and return it as the credentials of an address."""
    made = await server.post("users.generatePersonalAccessToken", {"tokenName": "apprise"}, who=who)
    return f"{who['X-User-Id']}:{made['token']}"


async def test_webhook_mode(server: Server, tmp_path: Path) -> None:
    """A notice with its picture stands in the hook's room, posted as the hook's user."""
    assert await notify(server, webhook(server))

    (message,) = await server.room_messages()
    assert message["msg"] == TEXT
    assert message["avatar"].endswith("apprise-failure-128x128.png")
    assert message_row(tmp_path / "data", message["_id"])["user"] == "rocket.cat"


async def test_webhook_mode_with_targets(server: Server, tmp_path: Path) -> None:
    """Rooms and people named in the address are reached once the hook lets senders choose, and not before."""
    targets = "#deploys/@ann"
    room = (await server.post("channels.create", {"name": "deploys"}))["channel"]["_id"]
    ann = await server.user("ann")
    assert not await notify(server, webhook(server), targets)

    (hook,) = (await server.get("integrations.list"))["integrations"]
    keys = ("type", "scriptEnabled", "name", "enabled")
    changed = {"channel": "#general", "overrideDestinationChannelEnabled": True, **{key: hook[key] for key in keys}}
    status, answer = await server.api("PUT", "integrations.update", {"integrationId": hook["_id"], **changed})
    assert status == 200, answer
    assert await notify(server, webhook(server), targets)

    (posted,) = await server.room_messages(room)
    (direct,) = (await server.get("im.list", who=ann))["ims"]
    (heard,) = (await server.get("im.history", who=ann, roomId=direct["_id"]))["messages"]
    assert posted["msg"] == heard["msg"] == TEXT
    assert await server.room_messages() == []
    assert rows(tmp_path / "data", "SELECT count(*) FROM message") == [(2,)]


async def test_basic_mode(server: Server, tmp_path: Path) -> None:
    """A person's name and password post without a picture, and the session ends after the notice."""
    ann = await server.user("ann")
    data = tmp_path / "data"
    sessions = rows(data, "SELECT count(*) FROM token")

    assert await notify(server, f"ann:{quote(PASSWORD)}", "#general")

    (message,) = await server.room_messages()
    assert (message["msg"], message.get("avatar")) == (TEXT, None)
    assert message_row(data, message["_id"])["user"] == ann["X-User-Id"]
    assert rows(data, "SELECT count(*) FROM token") == sessions


async def test_basic_mode_with_a_wrong_password(server: Server) -> None:
    """A wrong password posts nothing, and apprise says so."""
    await server.user("ann")

    assert not await notify(server, "ann:wrong", "#general")
    assert await server.room_messages() == []


@pytest.mark.parametrize(
    ("role", "options", "sent"),
    [
        ("bot", "", True),
        ("user", "?avatar=no", True),
        ("user", "", False),
    ],
)
async def test_token_mode(server: Server, tmp_path: Path, role: str, options: str, sent: bool) -> None:
    """Token mode sends a picture, for which a user needs the role `bot` (decision 20)."""
    sender = await server.user("sender", role)

    assert await notify(server, await token_of(server, sender), "#general", options) is sent

    messages = await server.room_messages()
    assert [message["msg"] for message in messages] == [TEXT] * sent
    for message in messages:
        stored = message_row(tmp_path / "data", message["_id"])
        assert stored["user"] == sender["X-User-Id"]
        assert ("avatar" in stored) == (role == "bot")
