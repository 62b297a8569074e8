"""A hook whose sealed row is damaged: shown as that through every door, and nobody else's hook suffers from it."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bot.cli import cli
from tests.command_talk import confirmed, typed
from tests.hook_door import Door, door
from tests.server import Server, serving


@pytest.fixture
async def damaged(tmp_path: Path) -> AsyncIterator[tuple[Server, Door, Door]]:
    """Run a server with a sound hook, and one whose sealed part is another's."""
    async with serving(tmp_path / "data") as server:
        broken = await door(server, name="broken", channel="#general")
        other = await door(server, name="other")
        sound = await door(server, name="sound")
        swap(server, broken.id, other.id)
        yield server, broken, sound


def swap(server: Server, one: str, other: str) -> None:
    """Exchange what is sealed of two hooks."""
    with closing(sqlite3.connect(server.services.folder / "patchbay.db")) as connection, connection:
        sealed = dict(connection.execute("SELECT id, sealed FROM integration WHERE id IN (?, ?)", (one, other)))
        connection.executemany(
            "UPDATE integration SET sealed = ? WHERE id = ?", [(sealed[one], other), (sealed[other], one)]
        )
    server.services.directory.clear()


async def command(*words: str) -> Result:
    """Run a command beside the server."""
    return await asyncio.to_thread(CliRunner().invoke, cli, words)


async def test_it_is_listed_as_damaged(damaged: tuple[Server, Door, Door]) -> None:
    """Over REST, in lines, in the command line and in an export, beside the others."""
    server, broken, sound = damaged
    listed = {one["name"]: one for one in (await server.get("integrations.list"))["integrations"]}
    assert {name: one.get("damaged", False) for name, one in listed.items()} == {
        "first-hook": False, "broken": True, "other": True, "sound": False
    }  # fmt: skip
    assert "token" not in listed["broken"]
    assert listed["sound"]["token"] == sound.token
    assert (await server.get("integrations.get", integrationId=broken.id))["integration"]["damaged"] is True
    lines = (await typed(server, "owner", "in list")).text.splitlines()
    assert any("broken" in line and "damaged" in line for line in lines)
    assert "damaged" in (await typed(server, "owner", "in show broken")).text
    assert "damaged" not in (await typed(server, "owner", "in show sound")).text
    data = str(server.services.folder)
    shown = json.loads((await command("hook", "list", "--json", "--data", data)).output)
    assert {one["name"]: one["damaged"] for one in shown} == {
        "first-hook": False, "broken": True, "other": True, "sound": False
    }  # fmt: skip
    result = await command("hook", "show", broken.id, "--data", data)
    assert result.exit_code == 0, result.output
    assert "damaged" in result.output
    assert f"/hooks/{broken.id}" not in result.output


async def test_an_export_leaves_it_out_with_a_note(damaged: tuple[Server, Door, Door], tmp_path: Path) -> None:
    """The file can be imported all the same."""
    server, broken, _ = damaged
    data, file = str(server.services.folder), tmp_path / "hooks.yaml"
    result = await command("export", "-o", str(file), "--data", data)
    assert result.exit_code == 0, result.output
    assert f"# broken ({broken.id}) is left out: what is sealed of it is damaged." in file.read_text()
    result = await command("import", "--dry-run", str(file), "--data", data)
    assert result.exit_code == 0, result.output


async def test_it_takes_no_posts_and_no_changes(damaged: tuple[Server, Door, Door]) -> None:
    """Each try is told what is wrong; the sound hook posts."""
    server, broken, sound = damaged
    status, answer = (await broken.send({"text": "lost"}))[:2]
    assert status == 500
    assert "damaged" in str(answer)
    assert (await sound.send({"text": "kept"}))[0] == 200
    said = await typed(server, "owner", "in edit broken --name renamed")
    assert "damaged" in said.text
    assert "damaged" in (await confirmed(server, "owner", "in rotate-token broken")).text


async def test_what_changes_many_hooks_passes_it_by(damaged: tuple[Server, Door, Door]) -> None:
    """A room is renamed with it, and when its row is put right all is as before."""
    server, broken, _ = damaged
    await server.post("channels.rename", {"roomId": "GENERAL", "name": "lobby"})
    other = next(one for one in (await server.get("integrations.list"))["integrations"] if one["name"] == "other")
    swap(server, broken.id, other["_id"])
    found = (await server.get("integrations.get", integrationId=broken.id))["integration"]
    assert (found["channel"], found["token"]) == (["#lobby"], broken.token)
    assert (await broken.send({"text": "again"}))[0] == 200


async def test_it_can_be_removed_and_found(damaged: tuple[Server, Door, Door]) -> None:
    """`db check` names the row; once both are removed the file is sound, and a start works with either."""
    server, broken, _ = damaged
    data = server.services.folder
    checked = await command("db", "check", "--data", str(data))
    assert checked.exit_code == 1
    assert f"integration:{broken.id}: what is sealed there cannot be opened" in checked.output
    for one in (await server.get("integrations.list"))["integrations"]:
        if one.get("damaged"):
            await server.post("integrations.remove", {"type": "webhook-incoming", "integrationId": one["_id"]})
    assert len((await server.get("integrations.list"))["integrations"]) == 2
    assert (await command("db", "check", "--data", str(data))).exit_code == 0
