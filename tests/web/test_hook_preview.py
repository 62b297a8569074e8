"""`out preview` and the beginnings of names on a real server: what is shown, to whom, and that nothing is written."""

import pytest

from handlers.command import Answer, Door, Place
from storage.ids import IntegrationId, RoomId, UserId
from storage.records.audit import AuditFilter
from storage.records.integration import OutgoingHook
from tests.command_talk import person
from tests.server import Server

SLACK = Door(name="slack")
CANARY = "canary-77c1d20e"


async def types(server: Server, line: str, *, who: str = "owner", **private: str) -> Answer:
    """Run a line of somebody, whatever comes of it."""
    user = await person(server, who)
    return await server.services.flow.run(user, Place(channel="C1", workspace="w1"), line, SLACK, private=private)


async def does(server: Server, line: str, *, who: str = "owner", **private: str) -> Answer:
    """Run a line that succeeds."""
    answer = await types(server, line, who=who, **private)
    assert answer.code == "ok", answer.text
    return answer


@pytest.mark.parametrize("noun", ["in", "out"])
async def test_an_edit_takes_a_unique_beginning_of_a_name(server: Server, noun: str) -> None:
    """Three letters are enough where one hook has them; two are listed with ids, and what loses something refuses."""
    how = "--room #general" if noun == "in" else "--event sendMessage --url ?"
    for name in ("builds-one", "builds-two", "alerts"):
        await does(server, f"{noun} add {name} {how}", url="https://a.example/1")
    answer = await does(server, f"{noun} edit ALE --alias Alarm")
    assert "hook alerts (" in answer.text
    stored = {hook.name: hook for hook in await server.services.directory.hooks()}
    assert [stored[name].alias for name in ("alerts", "builds-one", "builds-two")] == ["Alarm", None, None]
    twice = await types(server, f"{noun} edit builds --alias B")
    assert (twice.code, '"builds" means 2 hooks.' in twice.text) == ("ambiguous", True)
    assert all(f"{name} ({stored[name].id})" in twice.text for name in ("builds-one", "builds-two"))
    assert (await types(server, f"{noun} edit al --alias B")).code == "unknown"
    for verb in ("remove", "rotate-token", "disable"):
        refused = await types(server, f"{noun} {verb} ale")
        assert (refused.code, "only the beginning of a name" in refused.text) == ("ambiguous", True), verb


async def _outgoing(server: Server, name: str) -> OutgoingHook:
    found = [hook for hook in await server.services.directory.hooks() if hook.name == name]
    stored = await server.services.store.hook(IntegrationId(found[0].id))
    assert isinstance(stored, OutgoingHook)
    return stored


async def _written(server: Server) -> object:
    """Return everything a preview must leave alone."""
    store, services = server.services.store, server.services
    rows, _ = await store.audit_rows(AuditFilter(org_id=services.directory.org))
    return rows, await store.deliveries(count=1), await server.room_messages(), await services.directory.hooks()


async def test_a_preview_shows_the_call_and_makes_none(server: Server) -> None:
    """Method, host, our headers and the payload; token, signature and path are nowhere, and nothing is written."""
    line = "out add bot --event sendMessage --room #general --trigger !go --trigger '!a b' --sign --url ?"
    await does(server, line, url=f"https://tool.example.test/{CANARY} https://two.example.test/x")
    hook, before = await _outgoing(server, "bot"), await _written(server)
    answer = await does(server, "out preview bot --text '!a b ``` now'")
    assert answer.private
    assert isinstance(answer.data, dict)
    payload, headers = answer.data["payload"], answer.data["headers"]
    assert answer.data["calls"] == ["POST https://tool.example.test/…", "POST https://two.example.test/…"]
    assert (payload["token"], payload["trigger_word"], payload["text"]) == ("***", "!a b", "!a b ``` now")
    assert (payload["channel_name"], payload["user_name"]) == ("general", "owner")
    assert list(headers) == [
        "Content-Type",
        "User-Agent",
        "X-Patchbay-Hops",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    assert (headers["webhook-id"], headers["webhook-signature"]) == ("***", "***")
    assert "POST https://tool.example.test/…\n" in answer.text
    assert '"token": "***",' in answer.text
    assert (answer.text.count("```"), answer.text.splitlines()[-1]) == (2, "Next: /hook out test bot")
    for secret in (CANARY, str(hook.token), hook.signing_keys[0].key, "v1,"):
        assert secret not in f"{answer}"
    sampled = await does(server, f"out preview {hook.id}")
    assert '"text": "!go test of bot by owner"' in sampled.text
    assert await _written(server) == before


async def test_a_preview_says_which_words_would_fire(server: Server) -> None:
    """A text without a trigger word makes no call: the answer says so, in the words of the rule that holds."""
    await does(
        server, "out add bot --event sendMessage --trigger !go --trigger '!a b' --url ?", url="https://a.example/1"
    )
    for text in ("hello", "!GO", "so !go"):
        answer = await does(server, f"out preview bot --text '{text}'")
        assert "This text would not fire bot, so nothing would be called." in answer.text
        assert "A message must begin with !go or !a b; upper and lower case count." in answer.text
        assert "POST" not in answer.text
    await does(server, "out edit bot --anywhere")
    assert "POST https://a.example/…" in (await does(server, "out preview bot --text 'so !go'")).text
    assert "A message must hold !go or !a b;" in (await does(server, "out preview bot --text hello")).text
    await does(server, "out disable bot -y")
    assert "bot is switched off. Until that ends it calls nothing." in (await does(server, "out preview bot")).text


@pytest.mark.parametrize(
    "event", ["fileUploaded", "roomJoined", "roomLeft", "roomArchived", "roomCreated", "userCreated"]
)
async def test_a_preview_tells_of_every_event(server: Server, event: str) -> None:
    """Each has its own payload; what has no text takes none."""
    more = " --target-room #general" if event == "userCreated" else ""
    await does(server, f"out add bot --event {event}{more} --url ?", url="https://a.example/1")
    answer = await does(server, "out preview bot")
    assert isinstance(answer.data, dict)
    assert (answer.data["payload"]["user_name"], f"on {event}, shown" in answer.text) == ("owner", True)
    refused = await types(server, "out preview bot --text hello")
    assert refused.code == ("ok" if event == "fileUploaded" else "usage")


async def test_a_preview_is_for_who_may_see_the_hook(server: Server) -> None:
    """To everybody else it is missing, in the words for one that never was."""
    await server.user("vic", "viewer")
    await server.user("ed", "editor")
    await does(server, "out add theirs --event sendMessage --url ?", url="https://a.example/1")
    for who in ("vic", "ed"):
        hidden, missing = [await types(server, f"out preview {name}", who=who) for name in ("theirs", "thears")]
        assert (hidden.code, hidden.text) == ("unknown", missing.text.replace("thears", "theirs"))


@pytest.mark.parametrize("event", ["sendMessage", "fileUploaded", "roomJoined"])
async def test_a_preview_shows_nothing_of_a_room_its_reader_has_left(server: Server, event: str) -> None:
    """The maker of a hook sees its call after leaving the private room, without what is in that room's record."""
    ed = await server.user("ed", "editor")
    made = (await server.post("groups.create", {"name": "vault", "members": ["ed"]}))["group"]
    room_id = RoomId(made["_id"])
    await does(server, f"out add bot --event {event} --room #vault --url ?", who="ed", url="https://a.example/1")
    inside = await does(server, "out preview bot", who="ed")
    assert room_id in inside.text
    await server.post("groups.kick", {"roomId": room_id, "userId": UserId(ed["X-User-Id"])})
    outside = await does(server, "out preview bot", who="ed")
    assert "You are not in its room, so nothing of that is shown." in outside.text
    assert room_id not in f"{outside}"
    assert isinstance(outside.data, dict)
    assert (outside.data["payload"]["channel_id"], outside.data["payload"]["channel_name"]) == ("***", "***")
