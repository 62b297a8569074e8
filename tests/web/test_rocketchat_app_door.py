"""The door of the native Rocket.Chat App: signed requests, once each (decisions 60 to 63)."""

import gzip
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from handlers.chat.rocketchat_app import HEADERS, MAX_BODY_BYTES
from handlers.signing import v0
from storage.records.workspace import Workspace, WorkspaceKind
from tests.clock import ManualClock
from tests.connected import SECRET, connect, disconnect, link
from tests.server import Server, serving

UNAUTHENTICATED = (401, {"success": False, "error": "unauthenticated"})
ANN = {"id": "uAnn", "username": "ann"}


@dataclass
class Stage:
    """A server, a connected Rocket.Chat server, and somebody over there who is the owner here."""

    server: Server
    clock: ManualClock
    workspace: Workspace
    requests: int = 0

    def body(self, text: str, **changes: object) -> bytes:
        """Write a request as the App does, with an id of its own."""
        self.requests += 1
        request = {
            "version": 1,
            "kind": "command",
            "workspace": self.workspace.team_id,
            "request_id": f"{self.requests:032x}",
            "command": "hook",
            "text": text,
            "user": ANN,
            "room": {"id": "rOps"},
            "thread_id": None,
        }
        return json.dumps({**request, **changes}).encode()

    def signed(self, body: bytes, *, secret: str = SECRET, late_s: int = 0) -> dict[str, str]:
        """Return the headers the App signs a body with."""
        timestamp = self.clock.now() // 1000 - late_s
        return v0.sign(secret.encode(), timestamp=timestamp, body=body, headers=HEADERS)

    async def send(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, Any]:
        """Send a request; returns status and answer."""
        url = f"{self.server.url}/commands/rocketchat-app"
        async with self.server.http.post(url, data=body, headers=dict(headers)) as response:
            assert response.content_type == "application/json"
            return response.status, await response.json()

    async def say(self, text: str, **changes: object) -> str:
        """Type a line and return what the caller alone is shown."""
        body = self.body(text, **changes)
        status, answer = await self.send(body, self.signed(body))
        assert status == 200, answer
        (said,) = answer["answers"]
        assert said["to"] == "caller"
        return str(said["text"])

    async def previews(self, text: str, **changes: object) -> list[str]:
        """Return the lines that are offered for a half-typed one."""
        body = self.body(text, kind="preview", **changes)
        status, answer = await self.send(body, self.signed(body))
        assert status == 200, answer
        return [item["value"] for item in answer["items"]]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = ManualClock()
    async with serving(tmp_path / "data", clock) as server:
        workspace = await connect(server, WorkspaceKind.ROCKETCHAT_APP)
        await link(server, workspace, ANN["id"], "owner")
        yield Stage(server, clock, workspace)


async def test_a_linked_person_acts_as_their_user(stage: Stage) -> None:
    """The answer is the one the same person gets in a room here."""
    run = {"command": "hook", "params": "in list", "roomId": "GENERAL"}
    here = await stage.server.post("commands.run", run)
    assert await stage.say("in list") == here["result"]


async def test_a_person_who_is_not_linked_may_only_learn_how_to(stage: Stage) -> None:
    """A name proves nothing: whoever is called like the owner over there is still nobody here."""
    stranger = {"id": "uEve", "username": "owner"}
    assert "user link" in await stage.say("in list", user=stranger)
    assert (await stage.say("help", user=stranger)).startswith("What you may type")


async def test_what_is_wrong_with_a_proof_is_not_told(stage: Stage) -> None:
    """Unknown workspace, wrong secret, changed body, old and missing signature are one answer."""
    body = stage.body("help")
    good = stage.signed(body)
    unknown = stage.body("help", workspace="nobody")
    nameless = b"[]"
    cases = [
        (body, {}),
        (body, {HEADERS.signature: good[HEADERS.signature]}),
        (body, stage.signed(body, secret="another-secret")),
        (body, stage.signed(body, late_s=301)),
        (body, stage.signed(body, late_s=-301)),
        (body + b" ", good),
        (unknown, stage.signed(unknown)),
        (nameless, stage.signed(nameless)),
        (gzip.compress(body), {**good, "Content-Encoding": "gzip"}),
    ]
    for sent, headers in cases:
        assert await stage.send(sent, headers) == UNAUTHENTICATED
    assert (await stage.send(body, good))[0] == 200


async def test_a_secret_of_another_kind_of_workspace_opens_nothing(stage: Stage) -> None:
    """A site whose outgoing webhook is connected cannot sign as the App."""
    other = "another-secret"
    await connect(stage.server, WorkspaceKind.ROCKETCHAT, team_id=stage.workspace.team_id, secret=other)
    body = stage.body("help")
    assert await stage.send(body, stage.signed(body, secret=other)) == UNAUTHENTICATED


async def test_a_repeated_request_is_answered_as_before_and_does_nothing(stage: Stage) -> None:
    """For 10 minutes a request id counts once; the same line with another id is another wish."""
    body = stage.body("in remove first-hook")
    _, first = await stage.send(body, stage.signed(body))
    assert "confirm" in first["answers"][0]["text"]
    stage.clock.advance(4 * 60 * 1000)
    assert (await stage.send(body, stage.signed(body)))[1] == first
    assert await stage.say("in remove first-hook") != first["answers"][0]["text"]


async def test_a_confirmed_command_takes_effect(stage: Stage) -> None:
    """Remove asks for the name; with it the hook is gone, and the room it posted to reads who did it."""
    asked = await stage.say("in remove first-hook")
    code = asked.partition("/hook confirm ")[2].split()[0]
    assert (await stage.say(f"confirm {code} first-hook")).startswith("Done")
    assert (await stage.server.get("integrations.list"))["integrations"] == []
    note = (await stage.server.room_messages())[0]
    assert (note["u"]["username"], "owner" in note["msg"]) == ("rocket.cat", True)


async def test_the_word_that_was_typed_is_the_one_answers_name(stage: Stage) -> None:
    """Who types /integrations is told to go on with /integrations."""
    assert "/integrations confirm" in await stage.say("in remove first-hook", command="integrations")


async def test_previews_are_lines_to_go_on_with(stage: Stage) -> None:
    """The typed line comes first, then what completes it; a whole word is followed by what comes after it."""
    assert (await stage.previews("in l"))[:2] == ["in l", "in list"]
    after = await stage.previews("in")
    assert after[0] == "in"
    assert "in list" in after
    assert await stage.previews("zzz") == ["zzz"]
    assert 0 < len(await stage.previews("")) <= 10


async def test_previews_run_nothing_and_show_nothing_foreign(stage: Stage) -> None:
    """Somebody who is not linked is offered no name of a hook."""
    assert "in show first-hook" in await stage.previews("in show f")
    assert await stage.previews("in show f", user={"id": "uEve", "username": "eve"}) == ["in show f"]


@pytest.mark.parametrize("changes", [{"version": 2}, {"kind": "press"}, {"request_id": None}, {"user": None}])
async def test_another_version_of_the_app_is_told(stage: Stage, changes: dict[str, object]) -> None:
    """A signed request the server cannot read is 400, which the App explains."""
    body = stage.body("help", **changes)
    assert (await stage.send(body, stage.signed(body)))[0] == 400


async def test_a_body_beyond_any_line_is_refused(stage: Stage) -> None:
    """It is not even read to its end."""
    body = stage.body("x" * MAX_BODY_BYTES)
    assert (await stage.send(body, stage.signed(body)))[0] == 413


async def test_a_person_has_the_rate_of_the_interface(tmp_path: Path) -> None:
    """Beyond it 429, which the App explains; somebody else goes on."""
    clock = ManualClock()
    async with serving(tmp_path / "data", clock, api_rate_per_minute=30) as server:
        stage = Stage(server, clock, await connect(server, WorkspaceKind.ROCKETCHAT_APP))
        bodies = [stage.body("help") for _ in range(31)]
        statuses = [(await stage.send(body, stage.signed(body)))[0] for body in bodies]
        assert statuses == [200] * 30 + [429]
        assert await stage.say("help", user={"id": "uTom", "username": "tom"})


async def test_a_removed_workspace_is_nobody(stage: Stage) -> None:
    """Disconnecting it ends its rights at once."""
    body = stage.body("help")
    await disconnect(stage.server, stage.workspace)
    assert await stage.send(body, stage.signed(body)) == UNAUTHENTICATED
