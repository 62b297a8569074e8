"""Wrong, missing and swapped credentials, and the same request many times at once."""

import asyncio
from collections import Counter
from typing import Any  # bodies are parsed JSON
from urllib.parse import urlsplit

from storage.records.hook_request import Verdict
from tests.faults import stage
from tests.server import Server

AT_ONCE = 64
UNKNOWN = {"success": False, "error": "Invalid integration id or token provided."}
LOGIN_NEEDED = {"status": "error", "message": "You must be logged in to do this."}


async def incoming(server: Server, name: str) -> tuple[str, str]:
    """Make an incoming hook; return its id and token."""
    made = await server.post(
        "integrations.create",
        {
            "type": "webhook-incoming",
            "name": name,
            "enabled": True,
            "username": "rocket.cat",
            "channel": "#general",
            "scriptEnabled": False,
        },
    )
    return made["integration"]["_id"], made["integration"]["token"]


async def answer(server: Server, place: str, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    async with server.http.post(server.url + place, json={"text": "x"}, headers=headers) as response:
        return response.status, await response.json()


async def test_swapped_and_wrong_hook_tokens(server: Server) -> None:
    """A hook is opened by its own token only; every other answer is the same, whether the hook exists or not."""
    (first, key), (second, other_key) = await incoming(server, "one"), await incoming(server, "two")
    out = await stage.hook_calling(server, "https://bot.example.test/in", token="s3cret")
    owner, session = server.owner["X-User-Id"], server.owner["X-Auth-Token"]
    swapped = {
        "the other hook's token": f"{first}/{other_key}",
        "its token, the other hook": f"{second}/{key}",
        "an outgoing hook": f"{out}/s3cret",
        "an id that is none": f"{'f' * 24}/{key}",
        "in capitals": f"{first}/{key.swapcase()}",
        "cut": f"{first}/{key[:-1]}",
        "longer": f"{first}/{key}x",
        "twice": f"{first}/{key}{key}",
        "token and id swapped": f"{key}/{first}",
        "id as token": f"{first}/{first}",
        "a login token": f"{first}/{session}",
        "a user and a login token": f"{owner}/{session}",
        "a user between, the wrong token": f"{first}/{owner}/{other_key}",
        "a blank behind": f"{first}/{key}%20",
        "a NUL behind": f"{first}/{key}%00",
        "null": f"{first}/null",
        "undefined": f"{first}/undefined",
        "a hash": f"{first}/%23",
    }
    answers = {name: await answer(server, f"/hooks/{place}") for name, place in swapped.items()}
    assert {name: told for name, told in answers.items() if told != (404, UNKNOWN)} == {}
    for extra in ("sample", "info"):
        async with server.http.get(f"{server.url}/hooks/{extra}/{first}/{other_key}") as response:
            assert response.status == 404
    for extra in ("add", "remove"):
        assert (await answer(server, f"/hooks/{extra}/{first}/{other_key}"))[0] == 404
    assert (await answer(server, f"/hooks/{first}"))[0] == 404
    assert await server.room_messages() == []
    assert await answer(server, f"/hooks/{first}/{key}") == (200, {"success": True})


async def test_swapped_and_wrong_logins(server: Server) -> None:
    """A user id and a token of somebody else, or half of a pair, log nobody in."""
    ann, bob = await server.user("ann"), await server.user("bob")
    hook, key = await incoming(server, "one")
    personal = (await server.post("users.generatePersonalAccessToken", {"tokenName": "t"}, who=ann))["token"]
    ann_id, token = ann["X-User-Id"], ann["X-Auth-Token"]
    pairs = {
        "her id, his token": (ann_id, bob["X-Auth-Token"]),
        "his id, her token": (bob["X-User-Id"], token),
        "his id, her personal token": (bob["X-User-Id"], personal),
        "owner's id, her token": (server.owner["X-User-Id"], token),
        "the bot, her token": ("rocket.cat", token),
        "the bot, no token": ("rocket.cat", ""),
        "her name, her token": ("ann", token),
        "her id twice": (ann_id, ann_id),
        "swapped": (token, ann_id),
        "only the id": (ann_id, None),
        "only the token": (None, token),
        "nothing": (None, None),
        "empty": ("", ""),
        "cut": (ann_id, token[:-1]),
        "longer": (ann_id, token + "x"),
        "in capitals": (ann_id, token.swapcase()),
        "a hook's": (hook, key),
        "her id, a hook's token": (ann_id, key),
        "undefined": ("undefined", "undefined"),
    }
    told = {}
    for name, (user, given) in pairs.items():
        headers = {"X-User-Id": user, "X-Auth-Token": given}
        sent = {key: value for key, value in headers.items() if value is not None}
        told[name] = await answer(server, "/api/v1/chat.postMessage", sent)
    assert {name: got for name, got in told.items() if got != (401, LOGIN_NEEDED)} == {}
    assert (await server.get("me", who={"X-User-Id": ann_id, "X-Auth-Token": personal}))["username"] == "ann"
    await server.post("logout", who=ann)
    assert (await server.api("GET", "me", who=ann))[0] == 401
    assert (await server.get("me", who=bob))["username"] == "bob"


async def test_the_same_request_many_times_at_once(server: Server) -> None:
    """64 identical requests at once are all accepted, make one message and one delivery, and history tells which."""
    out = await stage.hook_calling(server, "http://127.0.0.1:9/", retry_failed_calls=False)
    posts = (stage.post(server, "hello", **{"webhook-id": "one"}) for _ in range(AT_ONCE))
    answers = await asyncio.gather(*posts)
    assert answers == [(200, {"success": True})] * AT_ONCE
    assert [message["msg"] for message in await server.room_messages()].count("hello") == 1
    deliveries = await server.services.store.deliveries(hook_id=out)
    assert deliveries[1] == 1
    hook = urlsplit(server.hook).path.split("/")[2]
    requests = await server.services.store.requests(hook, count=100)  # type: ignore[arg-type] # as the address has it
    assert Counter(one.verdict for one in requests) == {Verdict.POSTED: 1, Verdict.DUPLICATE: AT_ONCE - 1}
    (posted,) = [one for one in requests if one.verdict is Verdict.POSTED]
    assert len(posted.message_ids) == 1


async def test_the_same_id_with_other_bodies_at_once(server: Server) -> None:
    """Of 64 bodies under one id exactly one is posted; the others are told the same."""
    posts = (stage.post(server, f"m{number}", **{"Idempotency-Key": "one"}) for number in range(AT_ONCE))
    assert await asyncio.gather(*posts) == [(200, {"success": True})] * AT_ONCE
    assert len(await server.room_messages()) == 1


async def test_the_same_chosen_message_id_at_once(server: Server) -> None:
    """64 messages under one id of the client's choice make one message."""
    message = {"message": {"_id": "chosen0001", "rid": "GENERAL", "msg": "hello"}}
    answers = await asyncio.gather(*(server.api("POST", "chat.sendMessage", message) for _ in range(AT_ONCE)))
    assert {status for status, _ in answers} == {200}
    assert len(await server.room_messages()) == 1
