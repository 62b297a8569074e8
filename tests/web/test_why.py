"""`why LINK` on a real server: what made a message, and who may know (decision 59)."""

import gzip
from collections.abc import AsyncIterator

import pytest

from bot.workspace.hook_options import Options
from handlers.commands.why import read_link
from storage.clock import Millis
from storage.ids import IntegrationId
from storage.records.workspace import WorkspaceKind
from tests.command_talk import person, typed, typed_there
from tests.connected import connect
from tests.delivering import Receiver, answering, receiving, until
from tests.hook_door import Door, door
from tests.hook_stage import OUTGOING
from tests.server import Server

CANARY = "canary-in-the-body"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def _newest(server: Server, room_id: str = "GENERAL") -> str:
    return str((await server.room_messages(room_id))[0]["_id"])


async def _posted(hook: Door, **headers: str) -> str:
    """Send something with a secret in it and return the id of the message."""
    body = {"text": "build failed", "note": "for editors", "api_key": CANARY}
    assert (await hook.send(body, {"User-Agent": "GitHub-Hookshot/1", **headers}))[0] == 200
    return await _newest(hook.server)


async def _outgoing(server: Server, receiver: Receiver, **changes: object) -> IntegrationId:
    made = await server.post("integrations.create", {**OUTGOING, "urls": [receiver.url], **changes})
    return IntegrationId(made["integration"]["_id"])


async def test_a_message_of_a_hook_tells_its_request(server: Server) -> None:
    """Hook, sender by its headers, verdicts, timing; body and headers without their secrets."""
    hook = await door(server, name="ci")
    message = await _posted(hook, **{"X-GitHub-Event": "push", "Idempotency-Key": "k1", "X-Secret": CANARY})
    request = (await hook.requests())[0]
    answer = await typed(server, "owner", f"why {server.services.base_url}/channel/general?msg={message}")
    assert answer.text.startswith(f"Message {message} in #general: posted by incoming hook ci ({hook.id})\n")
    for line in (
        "by: @rocket.cat",
        "sender: GitHub-Hookshot/1, event push",
        "signature: not asked for",
        "format: rocketchat, found by auto",
        "duplicates: the first with its id; a repeat is not posted",
        "caused: no deliveries",
    ):
        assert line in answer.text.splitlines()
    assert f"as request {request.id}" in answer.text
    assert " ms until it was stored" in answer.text
    assert ('"note": "for editors"' in answer.text, CANARY in repr(answer), hook.token in repr(answer)) == (
        True,
        False,
        False,
    )
    assert (answer.secret, (await typed(server, "owner", f"why {message} --public")).private) == (True, True)


async def test_members_see_verdicts_and_only_editors_the_body(server: Server) -> None:
    """A viewer in the room reads who sent it and what was decided, not what came (decision 59)."""
    hook = await door(server, name="ci")
    message = await _posted(hook)
    await server.user("vic")
    await server.user("ed", "editor")
    seen = await typed(server, "vic", f"why {message}")
    assert ("sender: GitHub-Hookshot/1" in seen.text, "for editors" in repr(seen), seen.secret) == (True, False, False)
    assert "replay" not in seen.text
    assert "for editors" in (await typed(server, "ed", f"why {message}")).text


async def test_the_owner_of_a_hook_sees_what_came(server: Server) -> None:
    """Whoever made it does, whatever the role is now."""
    maker = await server.user("ann", "editor")
    made = await server.post(
        "integrations.create",
        {"type": "webhook-incoming", "name": "mine", "enabled": True, "username": "ann", "channel": "#general"}
        | {"scriptEnabled": False},
        who=maker,
    )
    message = await _posted(Door(server, made["integration"]["_id"], made["integration"]["token"]))
    await typed(server, "owner", "user role @ann viewer -y")
    assert "for editors" in (await typed(server, "ann", f"why {message}")).text


async def test_who_is_not_in_the_room_learns_nothing(server: Server) -> None:
    """Neither an admin nor somebody of another chat; the text is that of a message which does not exist."""
    group = (await server.post("groups.create", {"name": "secret"}))["group"]
    said = (await server.post("chat.postMessage", {"channel": "#secret", "text": "x"}))["message"]["_id"]
    await server.user("mia", "admin")
    hidden = await typed(server, "mia", f"why {said}")
    missing = await typed(server, "mia", "why 8sXvB2dhW3pTmKz5q")
    assert (hidden.code, hidden.text.replace(said, "ID")) == (
        "unknown",
        missing.text.replace("8sXvB2dhW3pTmKz5q", "ID"),
    )
    assert "in #secret: written by @owner" in (await typed(server, "owner", f"why {said}")).text
    chat = await connect(server, WorkspaceKind.SLACK)
    assert (await typed_there(server, chat, "U1", f"why {said}")).code == "forbidden"
    assert group["name"] == "secret"


async def test_deliveries_it_caused_stand_with_their_state(server: Server, receiver: Receiver) -> None:
    """With the hook's name for those who may see that hook, and what was left out because of a mute."""
    await _outgoing(server, receiver, name="tool")
    muted = await _outgoing(server, receiver, name="quiet")
    until_ms = Millis(server.services.clock.now() + 3_600_000)
    done = await server.services.hooks.edit(
        await person(server, "owner"),
        muted,
        Options(muted_until=until_ms),
    )
    assert done is not None
    await server.post("chat.postMessage", {"channel": "#general", "text": "go"})
    message = await _newest(server)
    await receiver.called()

    async def settled() -> bool:
        return "delivered · dlv_" in (await typed(server, "owner", f"why {message}")).text

    await until(settled)
    text = (await typed(server, "owner", f"why {message}")).text
    assert "caused: 2 deliveries" in text
    assert "· out tool · 1 try" in text
    assert "- not called · out quiet · muted" in text
    await server.user("vic")
    hidden = (await typed(server, "vic", f"why {message}")).text
    assert ("tool" in hidden, hidden.count("a hook you may not see")) == (False, 2)


async def test_an_answer_says_which_call_it_answers(server: Server, receiver: Receiver) -> None:
    """The message of an outgoing hook leads to the call, and to the message the call was about."""
    receiver.answer = answering(json={"text": "deployed"})
    hook = await _outgoing(server, receiver, triggerWords=["!deploy"])
    await server.post("chat.postMessage", {"channel": "#general", "text": "!deploy"})

    async def answered() -> bool:
        return bool((await server.room_messages())[0]["msg"] == "deployed")

    await until(answered)
    about, message = (await server.room_messages())[1]["_id"], await _newest(server)
    text = (await typed(server, "owner", f"why {message}")).text
    assert f"in #general: the answer to a call of outgoing hook ops-bot ({hook})" in text
    assert "call: 200, " in text
    assert f"about: {server.services.base_url}/channel/general?msg={about}" in text
    assert "delivery: dlv_" in text


async def test_a_compressed_body_is_read(server: Server) -> None:
    """Format and body are told of what was inside."""
    hook = await door(server, name="ci")
    packed = gzip.compress(b'{"text": "packed", "blocks": [{"type": "divider"}]}')
    await hook.send_raw(packed, "application/json", {"Content-Encoding": "gzip"})
    text = (await typed(server, "owner", f"why {await _newest(server)}")).text
    assert ("format: slack, found by auto" in text, '"text": "packed"' in text) == (True, True)


async def test_a_replayed_request_is_told(server: Server) -> None:
    """The message a replay posts says so; the command `why` proposes is the one that made it."""
    hook = await door(server, name="ci")
    first = (await typed(server, "owner", f"why {await _posted(hook)}")).text
    line = first.rpartition("Next: /hook ")[2].partition(" · ")[0]
    assert line == f"in replay {hook.id} {(await hook.requests())[0].id}"
    assert (await typed(server, "owner", line)).code == "ok"
    again = (await typed(server, "owner", f"why {await _newest(server)}")).text
    assert "how: posted again by a replay" in again
    assert "sender: GitHub-Hookshot/1" in again


async def test_a_request_that_is_not_kept_is_said(server: Server) -> None:
    """A hook that keeps none, and a hook that is gone."""
    hook = await door(server, name="ci")
    await hook.edit(Options(keep_requests=False))
    message = await _posted(hook)
    assert "request: no longer kept (this hook keeps none)" in (await typed(server, "owner", f"why {message}")).text
    await server.post("integrations.remove", {"type": "webhook-incoming", "integrationId": hook.id})
    assert "posted by a hook that was removed" in (await typed(server, "owner", f"why {message}")).text


@pytest.mark.parametrize(
    ("text", "message_id"),
    [
        ("8sXvB2dhW3pTmKz5q", "8sXvB2dhW3pTmKz5q"),
        ("https://x.test/channel/ops?msg=abc", "abc"),
        ("https://x.test/group/ops?layout=embedded&msg=abc", "abc"),
        ("/channel/ops?msg=abc", "abc"),
        ("https://x.test/channel/ops", None),
        ("https://x.test/?msg=a%20b", None),
        ("https://[x/?msg=a", None),
        ("a b", None),
        ("x" * 65, None),
    ],
)
def test_links_are_read_as_clients_copy_them(text: str, message_id: str | None) -> None:
    """Whatever the kind of the room; hostile ones are none."""
    assert read_link(text) == message_id


async def test_the_slash_words_stand_for_their_commands(server: Server) -> None:
    """`/why LINK` is `/hook why LINK`, and what it proposes goes on with `/hook` (decision 59)."""
    await server.post("chat.postMessage", {"channel": "#general", "text": "hello"})
    message = await _newest(server)
    run = {"command": "why", "roomId": "GENERAL", "params": f" {message}"}
    result = (await server.post("commands.run", run))["result"]
    assert "written by @owner, through no hook" in result
    assert "Next: /hook " in result
    refused = (await server.post("commands.run", {**run, "params": "-h"}))["result"]
    assert refused.startswith("why LINK - ")
    preview = await server.get("commands.preview", command="why", params=f"{message} --j", roomId="GENERAL")
    assert [item["value"] for item in preview["preview"]["items"]] == [f"{message} --json"]
