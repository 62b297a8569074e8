"""Private input from end to end: what a command asks for, given at a terminal or on a one-time page (§2.6)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from handlers.command import Answer, Call, Command, Commands, Form, FormField, Noun, Place
from handlers.slots import Flag
from handlers.values import ValueType
from storage.records.user import Role
from tests.server import Server, serving

CANARY = "canary-90ab-key"
ISSUED = "canary-issued-44"


async def put(call: Call) -> Answer:
    """Tell how long the key is, or hand out another one."""
    key = call.values.secret("key") or ""
    if call.values.switch("swap"):
        return Answer(f"Done. Yours is {ISSUED}.", secret=True)
    return Answer(f"Done. A key of {len(key)} characters is in the safe.")


SAFE = Noun(
    name="safe",
    summary="keeps keys",
    commands=(
        Command(
            noun="safe",
            verb="put",
            summary="puts a key in",
            role=Role.VIEWER,
            flags=(
                Flag(name="key", summary="the key itself", type=ValueType.TEXT, secret=True),
                Flag(name="swap", summary="hands out another one"),
            ),
            examples=("safe put --key ?",),
            run=put,
        ),
    ),
)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        known = running.services.flow.commands
        running.services.flow.commands = Commands([*known.nouns, SAFE])
        yield running


async def run(server: Server, bearer: str, **body: object) -> dict[str, Any]:
    """Run a line at the terminal's door."""
    headers = {"Authorization": f"Bearer {bearer}"}
    async with server.http.post(f"{server.url}/commands/terminal", json=body, headers=headers) as response:
        assert response.status == 200
        answer: dict[str, Any] = await response.json()
        return answer


async def test_a_terminal_asks_for_what_is_secret_and_sends_it_beside_the_line(server: Server) -> None:
    """The line keeps its `?`; the value reaches the command and comes back in no answer."""
    made = await server.post("users.generatePersonalAccessToken", {"tokenName": "terminal"})
    asked = await run(server, made["token"], line="safe put --key ?")
    assert [(one["name"], one["secret"], one["required"]) for one in asked["form"]["fields"]] == [("key", True, True)]
    done = await run(server, made["token"], line=asked["form"]["line"], values={"key": CANARY})
    assert done["text"].startswith(f"Done. A key of {len(CANARY)} characters")
    assert CANARY not in str(done)


async def address(server: Server, line: str) -> str:
    """Make the address of a form for Ann."""
    await server.user("ann")
    ann = await server.services.directory.user_named("ann")
    assert ann is not None
    form = Form("safe put", line, (FormField("key", "key", hint="the key itself", secret=True),))
    return await server.services.forms.make(form, ann, Place(channel="GENERAL"), "rocketchat")


async def test_a_page_completes_the_line_it_was_made_for(server: Server) -> None:
    """Without a login: the address is the proof; it works once."""
    page = await address(server, "safe put --key ?")
    async with server.http.get(page) as response:
        assert response.status == 200
        assert "safe put --key ?" in await response.text()
    async with server.http.post(page, data={"key": CANARY}) as response:
        text = await response.text()
    assert f"A key of {len(CANARY)} characters" in text
    assert CANARY not in text
    async with server.http.post(page, data={"key": CANARY}) as response:
        assert response.status == 410


async def test_what_is_shown_once_goes_to_the_person_and_not_to_the_page(server: Server) -> None:
    """It comes as a direct message of `rocket.cat`; rooms hear nothing."""
    page = await address(server, "safe put --swap --key ?")
    async with server.http.post(page, data={"key": CANARY}) as response:
        text = await response.text()
    assert ISSUED not in text
    assert "sent to you directly" in text
    ann = await server.login("ann")
    (direct,) = (await server.get("im.list", who=ann))["ims"]
    messages = (await server.get("im.history", who=ann, roomId=direct["_id"]))["messages"]
    assert [message["msg"] for message in messages] == [f"Done. Yours is {ISSUED}."]
    assert ISSUED not in str(await server.room_messages())
