"""Doors of other chats under attack: what proves one thing must not pass for another, nor one person for another."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
from aiohttp import web

from handlers.chat_adapter import Request
from storage.clock import Millis
from tests import chats
from tests.clock import ManualClock
from tests.connected import link
from tests.records import NOON
from tests.web.test_chat_doors import TEAMS, USERS, Stage, staged, text_of

MALLORY = "m" * 26


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path / "data", bot_token="botId:bot-token-canary") as found:
        yield found


async def dialog_of(stage: Stage, user_id: str) -> tuple[str, str]:
    """Let somebody open a dialog; return its address and the state that passes through their hands."""
    await stage.say("mattermost", f"in edit {stage.first} --verify ?", user_id=user_id)
    opened = await stage.api.arrived()
    return str(opened.json["url"]), str(opened.json["dialog"]["state"])


async def test_the_ticket_of_a_dialog_types_no_line_for_somebody_else(stage: Stage) -> None:
    """A body that is a JSON object and a form at once would prove itself by the one and speak by the other."""
    await stage.server.user("mallory", "admin")
    await link(stage.server, stage.workspaces["mattermost"], MALLORY, "mallory")
    address, state = await dialog_of(stage, MALLORY)
    form = urlencode(
        {
            "command": "/hook",
            "text": "in add forged --room #general",
            "team_id": chats.MM_TEAM,
            "channel_id": chats.MM_CHANNEL,
            "user_id": USERS["mattermost"],
            "z": "",
        }
    )
    both = {"type": "dialog_submission", "state": state, "user_id": MALLORY, "channel_id": chats.MM_CHANNEL}
    request = chats.mattermost_json({**both, "x": f"&{form}"}, address.partition("?")[2])
    status, _ = await stage.send("/commands/mattermost", request)
    assert status in (400, 401)
    assert "forged" not in await stage.hook_names()


async def test_the_ticket_of_a_dialog_completes_no_line_for_somebody_else(stage: Stage) -> None:
    """What a plugin may ask is proven by the token alone: offers name what their person may see."""
    await stage.server.user("mallory", "admin")
    await link(stage.server, stage.workspaces["mattermost"], MALLORY, "mallory")
    _, state = await dialog_of(stage, MALLORY)
    asked = {
        "user_input": "/hook in li",
        "team_id": chats.MM_TEAM,
        "user_id": USERS["mattermost"],
        "channel_id": chats.MM_CHANNEL,
        "team": chats.MM_TEAM,
    }
    body = {"type": "dialog_submission", "state": state, "user_id": MALLORY, "channel_id": chats.MM_CHANNEL}
    request = chats.mattermost_json(body, urlencode(asked))
    status, _ = await stage.send("/commands/mattermost/complete", request, "GET")
    assert status in (400, 401)


@pytest.mark.parametrize("door", ["mattermost", "rocketchat"])
async def test_a_repeat_tells_nobody_else_what_was_shown_once(stage: Stage, door: str) -> None:
    """Ids of triggers and messages are no secrets: under another person's name they are another request."""
    line = f"in rotate-token {stage.first} -y"

    def typed(user_id: str) -> Request:
        if door == "rocketchat":
            return chats.rocketchat_message(line, message_id="known1", user_id=user_id)
        return chats.mattermost_command(line, trigger_id="known1", user_id=user_id)

    assert (await stage.send(f"/commands/{door}", typed(USERS[door])))[0] == 200
    if door == "rocketchat":
        assert f"/hooks/{stage.first}/" in (await stage.api.arrived()).json["text"]
    _, body = await stage.send(f"/commands/{door}", typed(MALLORY))
    assert "user link" in text_of(json.loads(body))


async def test_a_signature_in_capitals_is_the_same_request(stage: Stage) -> None:
    """Hex has two cases: a request without a trigger, sent again with the other one, does nothing again."""
    form = {
        "team_id": TEAMS["slack"],
        "user_id": USERS["slack"],
        "channel_id": "G8PSS9T3V",
        "command": "/hook",
        "text": f"in rotate-token {stage.first} -y",
        "response_url": stage.late,
    }
    request = stage.resigned(Request((), urlencode(form).encode()))
    first = await stage.send("/commands/slack", request)
    capitals = tuple((n, f"v0={v[3:].upper()}" if v.startswith("v0=") else v) for n, v in request.headers)
    again = await stage.send("/commands/slack", replace(request, headers=capitals))
    assert first == again


async def test_a_request_is_known_as_long_as_its_signature_is_good(tmp_path: Path) -> None:
    """Signed by a clock five minutes ahead, it can be sent again ten minutes later; it does nothing then."""
    clock = ManualClock(NOON - NOON % 1000)
    async with staged(tmp_path / "data", clock=clock) as stage:
        typed = chats.slack_command("in add early --room #general", response_url=stage.late)
        request = chats.slack_signed(typed.body, now=Millis(clock.now() + 300_000))
        first = await stage.send("/commands/slack", request)
        clock.advance(600_000)
        again = await stage.send("/commands/slack", request)
        assert (first[0], again) == (200, first)
        clock.advance(1)
        assert (await stage.send("/commands/slack", request))[0] == 401


async def test_a_hostile_answer_to_a_dialog_hides_no_answer_of_ours(stage: Stage) -> None:
    """JSON no parser gets to the end of counts as a refusal: the person is given the page instead."""
    stage.api.answer = lambda _: web.Response(body=b"[" * 60_000, content_type="application/json")
    said = text_of(await stage.say("mattermost", f"in edit {stage.first} --verify ?"))
    assert "/forms/" in said
