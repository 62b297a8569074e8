"""The door of terminals and scripts: who may, what it takes, what it answers (decision 68)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.server import Server, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running


async def token(server: Server, who: dict[str, str] | None = None) -> str:
    """Make a personal access token."""
    made = await server.post("users.generatePersonalAccessToken", {"tokenName": "terminal"}, who=who)
    return str(made["token"])


async def ask(
    server: Server, bearer: str | None, body: object, path: str = "/commands/terminal"
) -> tuple[int, dict[str, Any]]:
    """Send one request; returns status and answer."""
    headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
    async with server.http.post(server.url + path, json=body, headers=headers) as response:
        return response.status, await response.json()


async def test_a_line_is_answered_to_its_token(server: Server) -> None:
    """The answer has everything a terminal shows, also as data."""
    status, said = await ask(server, await token(server), {"line": "in list"})
    assert status == 200
    assert sorted(said) == ["buttons", "code", "data", "form", "mark", "private", "text"]
    assert (said["mark"], said["code"], said["private"], said["form"]) == ("Done", "ok", True, None)
    assert "first-webhook" in said["text"] or said["data"]


async def test_only_a_personal_token_opens_the_door(server: Server) -> None:
    """A session of a browser, half a header and nothing are all the same refusal, on both addresses."""
    good = await token(server)
    session = server.owner["X-Auth-Token"]
    for path in ("/commands/terminal", "/commands/terminal/complete"):
        for bearer in (None, "", session, good[:-1], good + "x", "x" * 5000):
            status, said = await ask(server, bearer, {"line": "help"}, path)
            assert (status, said["status"]) == (401, "error"), (path, bearer)
        assert (await ask(server, good, {"line": "help"}, path))[0] == 200


async def test_a_line_runs_with_the_rights_of_its_person(server: Server) -> None:
    """A viewer is told which role is needed, as in every chat."""
    ann = await server.user("ann")
    hook = await server.get("integrations.list")
    name = hook["integrations"][0]["name"]
    _, said = await ask(server, await token(server, ann), {"line": f'in remove "{name}"'})
    assert said["mark"] == "Not done"
    assert said["code"] in {"forbidden", "unknown"}


async def test_a_confirmation_is_asked_and_given_by_line(server: Server) -> None:
    """The buttons are the lines a terminal can type; the name is typed behind the code."""
    bearer = await token(server)
    hook = (await server.get("integrations.list"))["integrations"][0]
    _, asked = await ask(server, bearer, {"line": f"in remove {hook['_id']}", "root": "patchbay hook"})
    assert asked["code"] == "confirm"
    assert [button["label"] for button in asked["buttons"]][-1] == "Cancel"
    assert f"patchbay hook {asked['data']['command']}" in asked["text"]
    _, done = await ask(server, bearer, {"line": asked["data"]["command"]})
    assert done["mark"] == "Done", done
    assert (await server.get("integrations.list"))["integrations"] == []


async def test_lines_may_be_meant_for_a_room_the_person_is_in(server: Server) -> None:
    """A room that is not there and one that is private sound alike."""
    await server.post("groups.create", {"name": "secret-room"})
    ann = await server.user("ann")
    bearer = await token(server, ann)
    for room, expected in (("#general", 200), ("general", 200), ("#secret-room", 400), ("#no-room", 400)):
        status, said = await ask(server, bearer, {"line": "help", "room": room})
        assert status == expected, room
        if status == 400:
            assert said["error"] == "There is no such room, or you are not in it."


async def test_a_public_answer_is_posted_in_the_room_it_is_meant_for(server: Server) -> None:
    """`--public` shows the room what the person sees."""
    _, said = await ask(server, await token(server), {"line": "status --public", "room": "#general"})
    assert said["private"] is False
    newest = (await server.room_messages())[0]
    assert (newest["msg"], newest["u"]["username"]) == (said["text"], "rocket.cat")


async def test_a_half_typed_line_is_completed(server: Server) -> None:
    """From the same declarations as everywhere."""
    path = "/commands/terminal/complete"
    bearer = await token(server)
    _, said = await ask(server, bearer, {"line": "in li", "cursor": 5}, path)
    (offer,) = [one for one in said["suggestions"] if one["insert"] == "list"]
    assert sorted(offer) == ["hint", "insert", "kind", "label", "start"]
    assert offer["start"] == 3
    _, whole = await ask(server, bearer, {"line": "in li"}, path)
    assert whole == said
    for cursor in (-5, 9999):
        assert (await ask(server, bearer, {"line": "in li", "cursor": cursor}, path))[0] == 200


async def test_completion_tells_roles_to_admins_alone(server: Server) -> None:
    """Names of people come with their roles for admins, and with nothing for others."""
    line = {"line": "room create ops --invite @ow"}
    for bearer, hint in (
        (await token(server), "owner"),
        (await token(server, await server.user("ed", "editor")), "who is in it from the start"),
    ):
        _, said = await ask(server, bearer, line, "/commands/terminal/complete")
        (offer,) = said["suggestions"]
        assert (offer["label"], offer["hint"]) == ("@owner", hint)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        "in list",
        {},
        {"line": 5},
        {"line": "help", "room": 5},
        {"line": "help", "cursor": "1"},
        {"line": "help", "cursor": True},
        {"line": "help", "values": []},
        {"line": "help", "values": {"a": 1}},
        {"line": "help", "values": None},
        {"line": "help", "root": "x" * 201},
        {"line": "help", "id": 5},
        {"line": "help", "root": "\n"},
        {"line": "help", "root": 5},
    ],
)
async def test_a_body_that_is_no_line_is_refused(server: Server, body: object) -> None:
    """With a sentence, and never by a fault of the server."""
    status, said = await ask(server, await token(server), body)
    assert status == 400
    assert said["error"]


async def test_a_body_beyond_the_limit_is_refused(server: Server) -> None:
    """A line has 8,000 characters at most; a body is not read to find that out."""
    assert (await ask(server, await token(server), {"line": "x" * 70_000}))[0] == 413


async def test_lines_are_limited_like_calls(tmp_path: Path) -> None:
    """The limit of the REST interface holds for each person, with its text and header."""
    async with serving(tmp_path, api_rate_per_minute=20) as server:
        bearer = await token(server)
        answers = [await ask(server, bearer, {"line": "help"}) for _ in range(21)]
        assert [status for status, _ in answers] == [200] * 20 + [429]
        assert "error-too-many-requests" in answers[-1][1]["error"]


async def test_a_request_that_comes_twice_runs_once(server: Server) -> None:
    """A client whose connection broke may send it again: it is answered as before, for its own person only."""
    bearer = await token(server)
    hook = (await server.get("integrations.list"))["integrations"][0]
    _, asked = await ask(server, bearer, {"line": f"in remove {hook['_id']}"})
    confirm = {"line": asked["data"]["command"], "id": "one-request"}
    _, first = await ask(server, bearer, confirm)
    assert first["mark"] == "Done", first
    assert (await ask(server, bearer, confirm))[1] == first
    _, other = await ask(server, await token(server, await server.user("ann")), confirm)
    assert other["mark"] == "Not done"


async def test_nobody_speaks_in_the_voice_of_the_bot(server: Server) -> None:
    """What lines of a public answer begin with is a word or two, and no name in it calls people."""
    bearer = await token(server)
    posts = {"line": "help --public", "room": "#general"}
    for root in ("Your account is locked: https://evil.example", "@all", "x" * 31, "one two three", "a\u00a0b"):
        status, _ = await ask(server, bearer, {**posts, "root": root})
        assert status == 400, root
    assert (await ask(server, bearer, {**posts, "root": "patchbay hook"}))[0] == 200
    await ask(server, bearer, {"line": 'in add "@all now" --room #general'})
    listed = {"line": "in list --public", "room": "#general"}
    assert (await ask(server, bearer, listed))[0] == 200
    run = {"command": "hook", "params": "in list --public", "roomId": "GENERAL"}
    await server.post("commands.run", run)
    shown = [one for one in await server.room_messages() if "all now" in one["msg"]]
    assert len(shown) == 3
    assert [one["mentions"] for one in shown] == [[], [], []]
