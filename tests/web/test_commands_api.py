"""Slash commands over REST (`rocketchat.md` §11, decisions 16 and 57)."""

from typing import Any

import pytest

from bot.workspace.ephemeral import Ephemeral
from storage.ids import UserId
from tests.server import Server

INCOMING = {
    "type": "webhook-incoming",
    "name": "ci",
    "enabled": True,
    "username": "rocket.cat",
    "channel": "#general",
    "scriptEnabled": False,
}
UNAUTHORIZED = (403, {"success": False, "error": "unauthorized"})
UNKNOWN = "The command provided does not exist (or is disabled)."


def _refused(error: str) -> tuple[int, dict[str, object]]:
    return 400, {"success": False, "error": error}


async def _run(server: Server, params: str, *, who: dict[str, str] | None = None, **more: str) -> str:
    body = {"command": "hook", "roomId": "GENERAL", "params": params, **more}
    answer: dict[str, Any] = await server.post("commands.run", body, who=who)
    assert answer.keys() == {"result", "success"}
    return str(answer["result"])


def _code(asked: str) -> str:
    """Return the code a confirmation asks for."""
    return asked.split(" confirm ")[1].split()[0]


# --- which commands there are -----------------------------------------------------------------------


async def test_the_root_and_its_alias_are_listed_in_order(server: Server) -> None:
    """Both names of the root, then the words for single commands, with what a client shows of them (16, 59)."""
    listed = await server.get("commands.list")
    assert [command["command"] for command in listed["commands"]] == ["hook", "integrations", "why", "deliveries"]
    assert (listed["offset"], listed["count"], listed["total"]) == (0, 4, 4)
    for command in listed["commands"]:
        assert (command["clientOnly"], command["providesPreview"]) == (False, True)
        assert await server.get("commands.get", command=command["command"].upper()) == {
            "command": command,
            "success": True,
        }


@pytest.mark.parametrize(
    ("query", "names", "total"),
    [
        ({"query": '{"command":"integrations"}'}, ["integrations"], 1),
        ({"query": '{"command":"integration"}'}, [], 0),
        ({"sort": '{"command":-1}', "count": "1"}, ["why"], 4),
        ({"offset": "1", "count": "1"}, ["integrations"], 4),
    ],
)
async def test_a_list_is_filtered_exactly_and_paged(
    server: Server, query: dict[str, str], names: list[str], total: int
) -> None:
    """`count` is the size of the page (§11)."""
    listed = await server.get("commands.list", who=server.owner, **query)
    assert [command["command"] for command in listed["commands"]] == names
    assert (listed["count"], listed["total"]) == (len(names), total)


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({}, 'The query param "command" must be provided.'),
        ({"command": "nope"}, "There is no command in the system by the name of: nope"),
    ],
)
async def test_get_needs_a_known_command(server: Server, query: dict[str, str], error: str) -> None:
    """The texts of §11."""
    assert await server.api("GET", "commands.get", who=server.owner, **query) == _refused(error)


# --- run --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "You must provide a command to run."),
        ({"command": 5, "params": 5}, "You must provide a command to run."),
        ({"command": "hook", "params": ["a"]}, "The parameters for the command must be a single string."),
        ({"command": "hook"}, "The room's id where to execute this command must be provided and be a string."),
        (
            {"command": "hook", "roomId": "GENERAL", "tmid": 5},
            "The tmid parameter when provided must be a string.",
        ),
        ({"command": "nope", "roomId": "nowhere"}, UNKNOWN),
        ({"command": "/hook", "roomId": "GENERAL"}, UNKNOWN),
        ({"command": "hook", "roomId": "GENERAL", "tmid": "none"}, "Invalid thread."),
    ],
)
async def test_run_refuses_in_the_order_of_the_contract(server: Server, body: dict[str, object], error: str) -> None:
    """Each text of §11, the first that applies."""
    assert await server.api("POST", "commands.run", body) == _refused(error)


async def test_a_room_one_may_not_enter_is_refused(server: Server) -> None:
    """Unknown and private rooms answer alike, for running and for previews."""
    ann = await server.user("ann")
    group = (await server.post("groups.create", {"name": "secrets"}))["group"]["_id"]
    for room_id in (group, "nowhere"):
        body = {"command": "hook", "roomId": room_id, "params": "status"}
        item = {**body, "previewItem": {"id": "1", "type": "text", "value": "status"}}
        assert await server.api("POST", "commands.run", body, who=ann) == UNAUTHORIZED
        assert await server.api("POST", "commands.preview", item, who=ann) == UNAUTHORIZED
        assert await server.api("GET", "commands.preview", who=ann, command="hook", roomId=room_id) == UNAUTHORIZED


async def test_a_run_answers_the_caller_alone(server: Server) -> None:
    """The result is also a notice on the caller's connections, and nothing stands in the room (decision 57)."""
    ann = await server.user("ann")
    parent = (await server.post("chat.postMessage", {"channel": "#general", "text": "help?"}))["message"]["_id"]
    before = await server.room_messages()
    heard: list[Ephemeral] = []
    others: list[Ephemeral] = []
    notices = server.services.commands.ephemeral
    stop = notices.subscribe(UserId(ann["X-User-Id"]), heard.append)
    notices.subscribe(UserId(server.owner["X-User-Id"]), others.append)
    result = await _run(server, " help in", who=ann, tmid=parent)
    assert result.startswith("in (also incoming")
    assert "Next: /hook help in VERB" in result
    notice = dict(heard[0])
    assert notice == {
        "_id": notice["_id"],
        "rid": "GENERAL",
        "msg": result,
        "ts": notice["ts"],
        "u": {"_id": "rocket.cat", "username": "rocket.cat"},
        "private": True,
        "groupable": False,
        "tmid": parent,
    }
    stop()
    await _run(server, "status", who=ann)
    assert (len(heard), others) == (1, [])
    assert await server.room_messages() == before


async def test_the_alias_and_an_empty_line_work(server: Server) -> None:
    """`/integrations` is the same root under its own name; no params at all mean `status`."""
    answer = await server.post("commands.run", {"command": "Integrations", "roomId": "GENERAL"})
    assert answer["result"].startswith("Patchbay ")
    assert "Next: /integrations help" in answer["result"]


async def test_a_hook_is_listed_shown_and_removed(server: Server) -> None:
    """The first commands work on the same hooks as REST; a removal leaves a note of `rocket.cat` in the room."""
    made = (await server.post("integrations.create", INCOMING))["integration"]
    hook_id = made["_id"]
    assert f"#1 on · ci · {hook_id} · #general" in await _run(server, "in list")
    shown = await _run(server, "in show ci")
    assert hook_id in shown
    assert made["token"] not in shown
    asked = await _run(server, "in remove ci")
    assert asked.startswith("Warning [confirm].")
    assert (await _run(server, f"confirm {_code(asked)} ci")).startswith("Done. Removed incoming hook ci")
    note = (await server.room_messages())[0]
    assert (note["u"]["username"], note["msg"]) == ("rocket.cat", "owner removed incoming hook ci.")
    status, _ = await server.api("GET", "integrations.get", integrationId=hook_id)
    assert status == 400


async def test_traffic_and_failures_are_told(server: Server) -> None:
    """A list shows when a hook was last used and how often that failed lately."""
    made = (await server.post("integrations.create", INCOMING))["integration"]
    assert "last traffic: none" in await _run(server, "in show ci")
    for body, status in (({"text": "x"}, 200), ({"text": "x", "channel": "#general"}, 400)):
        async with server.http.post(f"{server.url}/hooks/{made['_id']}/{made['token']}", json=body) as response:
            assert response.status == status
    shown = await _run(server, "in show ci")
    assert "last traffic: just now" in shown
    assert "failures: 1" in shown
    assert "Failing: ci" in await _run(server, "status")


async def test_who_may_not_remove_is_told_to_ask(server: Server) -> None:
    """A refusal names the role and nobody who has it; what the caller may not see does not exist for them."""
    await server.post("integrations.create", INCOMING)
    viewer, editor = await server.user("eve", "viewer"), await server.user("ed", "editor")
    assert "[forbidden]" in (refusal := await _run(server, "in remove ci", who=viewer))
    assert "you are viewer. Ask an admin." in refusal
    assert "@owner" not in refusal
    assert "[unknown]" in await _run(server, "in remove ci", who=editor)
    assert "[unknown]" in await _run(server, "in show ci", who=editor)


# --- preview ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "lines"),
    [
        (" i", ["import", "in"]),
        (" in s", ["in show"]),
        (" in show c", ["in show ci"]),
        (" in list --room #gen", ["in list --room #general"]),
        (" nothing like it", []),
    ],
)
async def test_a_preview_completes_the_line(server: Server, params: str, lines: list[str]) -> None:
    """Every item holds the whole line it would run, as text (§11)."""
    await server.post("integrations.create", INCOMING)
    answer = await server.get("commands.preview", command="hook", roomId="GENERAL", params=params)
    items = answer["preview"]["items"]
    assert [item["value"] for item in items] == lines
    assert all(item["type"] == "text" and item["id"] for item in items)
    assert isinstance(answer["preview"]["i18nTitle"], str)


async def test_a_preview_has_ten_items_at_most(server: Server) -> None:
    """More names than fit are cut, not refused."""
    for number in range(12):
        await server.post("integrations.create", {**INCOMING, "name": f"ci-{number}"})
    answer = await server.get("commands.preview", command="hook", roomId="GENERAL", params=" in show ci")
    assert len(answer["preview"]["items"]) == 10


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ({}, "You must provide a command to get the previews from."),
        (
            {"command": "hook"},
            "The room's id where the previews are being displayed must be provided and be a string.",
        ),
        ({"command": "nope", "roomId": "GENERAL"}, UNKNOWN),
    ],
)
async def test_a_preview_needs_command_and_room(server: Server, query: dict[str, str], error: str) -> None:
    """The texts of §11."""
    assert await server.api("GET", "commands.preview", who=server.owner, **query) == _refused(error)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"command": None}, "You must provide a command to run the preview item on."),
        (
            {"roomId": None},
            "The room's id where the preview is being executed in must be provided and be a string.",
        ),
        ({"previewItem": None}, "The preview item being executed must be provided."),
        ({"previewItem": {"id": "1"}}, "The preview item being executed is in the wrong format."),
        ({"previewItem": "status"}, "The preview item being executed is in the wrong format."),
        ({"triggerId": 5}, "The triggerId parameter when provided must be a string."),
        ({"tmid": 5}, "The tmid parameter when provided must be a string."),
        ({"tmid": "none"}, "Invalid thread."),
        ({"command": "nope"}, UNKNOWN),
    ],
)
async def test_a_preview_item_is_checked(server: Server, change: dict[str, object], error: str) -> None:
    """The texts of §11, in their order."""
    item = {"id": "1", "type": "text", "value": "status"}
    body = {"command": "hook", "roomId": "GENERAL", "previewItem": item, **change}
    assert await server.api("POST", "commands.preview", body) == _refused(error)


async def test_a_preview_item_runs_its_line(server: Server) -> None:
    """The answer reaches the caller as a notice; the call itself only says that it worked."""
    heard: list[Ephemeral] = []
    server.services.commands.ephemeral.subscribe(UserId(server.owner["X-User-Id"]), heard.append)
    item = {"id": "1", "type": "text", "value": "status"}
    body = {"command": "hook", "roomId": "GENERAL", "params": " sta", "previewItem": item}
    assert await server.post("commands.preview", body) == {"success": True}
    assert str(heard[0]["msg"]).startswith("Patchbay ")
