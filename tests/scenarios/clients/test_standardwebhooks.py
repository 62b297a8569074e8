"""`standardwebhooks`: its verifier on what we sign, and its signer against a hook with a secret."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

from bot.workspace.hook_options import Options
from storage.clock import SystemClock
from storage.ids import UserId
from storage.records.integration import Hook, IncomingHook, OutgoingHook
from tests.scenarios.receiver import Receiver, Sent, receiving, silent
from tests.scenarios.stored import rows
from tests.server import Server

OUTGOING = {
    "type": "webhook-outgoing",
    "name": "signed",
    "enabled": True,
    "event": "sendMessage",
    "username": "rocket.cat",
    "channel": "#general",
    "token": "s3cret",
    "scriptEnabled": False,
    "retryFailedCalls": True,
    "retryCount": 6,
}


async def edit(server: Server, hook_id: str, options: Options) -> Hook:
    """Set what the REST schema does not know, as the owner."""
    owner = await server.services.directory.user(UserId(server.owner["X-User-Id"]))
    assert owner is not None
    edited = await server.services.hooks.edit(owner, hook_id, options)
    assert isinstance(edited, IncomingHook | OutgoingHook), edited
    return edited


async def new_key(server: Server, hook_id: str) -> str:
    """Give an outgoing hook a fresh signing key and return it."""
    edited = await edit(server, hook_id, Options(signing_key="new"))
    assert isinstance(edited, OutgoingHook)
    return edited.signing_keys[0].key


async def hook_calling(server: Server, receiver: Receiver) -> str:
    """Make an outgoing hook that calls the receiver and return its id."""
    made = await server.post("integrations.create", {**OUTGOING, "urls": [receiver.url]})
    return str(made["integration"]["_id"])


async def say(server: Server, text: str) -> None:
    """Post what the hook hears."""
    await server.post("chat.postMessage", {"channel": "#general", "text": text})


async def test_what_we_sign_is_verified(server: Server) -> None:
    """The library accepts our headers and refuses them for another body or key."""
    async with receiving() as receiver:
        hook_id = await hook_calling(server, receiver)
        key = await new_key(server, hook_id)
        await say(server, "grüße aus ops")
        sent = await receiver.arrived()

    assert Webhook(key).verify(sent.body, sent.headers)["text"] == "grüße aus ops"
    with pytest.raises(WebhookVerificationError):
        Webhook(key).verify(sent.body.replace(b"ops", b"dev"), sent.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 43 + "=").verify(sent.body, sent.headers)


async def test_rotation_sends_both_signatures(server: Server) -> None:
    """While a key is replaced, receivers with the old and with the new one accept the same request."""
    async with receiving() as receiver:
        hook_id = await hook_calling(server, receiver)
        old = await new_key(server, hook_id)
        new = await new_key(server, hook_id)
        await say(server, "rotated")
        sent = await receiver.arrived()

    assert old != new
    assert len(sent.headers["webhook-signature"].split()) == 2
    for key in (old, new):
        assert Webhook(key).verify(sent.body, sent.headers)["text"] == "rotated"


async def test_a_retry_keeps_its_id(server: Server) -> None:
    """A call that is tried again carries the same id and a signature that holds, so a receiver can drop doubles."""
    failing = [500, 503]

    def answer(sent: Sent) -> web.Response:
        return web.Response(status=failing.pop(0)) if failing else silent(sent)

    async with receiving(answer) as receiver:
        hook_id = await hook_calling(server, receiver)
        key = await new_key(server, hook_id)
        await say(server, "again")
        await say(server, "another")
        calls = [await receiver.arrived() for _ in range(4)]

    ids: dict[str, set[str]] = {}
    for sent in calls:
        text = Webhook(key).verify(sent.body, sent.headers)["text"]
        ids.setdefault(text, set()).add(sent.headers["webhook-id"])
    assert {text: len(found) for text, found in ids.items()} == {"again": 1, "another": 1}
    assert ids["again"] != ids["another"]


async def test_a_hook_with_a_secret(server: Server, tmp_path: Path) -> None:
    """What the library signs is posted once; unsigned, altered and stale requests are refused with 401."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    hook_id = server.hook.split("/")[-2]
    await edit(server, hook_id, Options(secret=secret))
    body = json.dumps({"text": "signed by the sender"})

    async def send(data: str, message_id: str = "msg_1", *, age: timedelta = timedelta()) -> int:
        at = datetime.fromtimestamp(SystemClock().now() // 1000, UTC) - age
        headers = {
            "Content-Type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(secret).sign(message_id, at, body),
        }
        async with server.http.post(server.hook, data=data.encode(), headers=headers) as response:
            assert (await response.json())["success"] is (response.status == 200)
            return response.status

    assert await send(body) == 200
    assert await send(body) == 200  # the sender's retry
    assert await send(body.replace("sender", "forger"), "msg_2") == 401
    assert await send(body, "msg_3", age=timedelta(minutes=6)) == 401
    async with server.http.post(server.hook, json={"text": "unsigned"}) as response:
        assert (response.status, (await response.json())["error"]) == (401, "invalid-signature")

    assert [message["msg"] for message in await server.room_messages()] == ["signed by the sender"]
    verdicts = rows(tmp_path / "data", "SELECT verdict, status FROM hook_request ORDER BY number")
    assert verdicts == [("posted", 200), ("duplicate", 200), *[("refused", 401)] * 3]
