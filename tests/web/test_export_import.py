"""`export` and `import` as somebody in a chat uses them, on a real server (decisions 66, 67)."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from handlers.command import Answer, Door, Place
from handlers.portable.writing import written
from storage.clock import Millis
from storage.ids import ROCKET_CAT, UserId
from storage.records.audit import AuditFilter, AuditRow
from storage.records.changes import Changes
from storage.records.integration import IncomingHook, OutgoingHook
from storage.records.user import User
from tests.server import Server, serving

TERMINAL = Door(name="terminal")
CROWD = Door(name="crowd", public_lines=True, whispers=False)
UNSIGNED = Door(name="mattermost", signed=False)
PLACE = Place(channel="GENERAL")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(tmp_path) as running:
        yield running


async def owner(server: Server) -> User:
    user = await server.services.directory.user(UserId(server.owner["X-User-Id"]))
    assert user is not None
    return user


async def say(server: Server, line: str, *, door: Door = TERMINAL, private: dict[str, str] | None = None) -> Answer:
    return await server.services.flow.run(await owner(server), PLACE, line, door, private=private)


async def confirmed(server: Server, line: str, *, private: dict[str, str] | None = None) -> tuple[Answer, Answer]:
    """Run a line and confirm what it asks; returns the question and the answer."""
    asked = await say(server, line, private=private)
    assert asked.code == "confirm", asked.text
    return asked, await say(server, asked.buttons[0].line)


async def audit(server: Server, command: str) -> list[AuditRow]:
    rows, _ = await server.services.store.audit_rows(AuditFilter(org_id=server.services.directory.org, command=command))
    return rows


async def fetch(server: Server, method: str, url: str, **more: Any) -> tuple[int, str]:
    async with server.http.request(method, url, **more) as response:
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        return response.status, await response.text()


def address_in(text: str) -> str:
    found = re.search(r"http\S+/(?:exports|forms)/\S+", text)
    assert found, text
    return found[0]


async def exported(server: Server, line: str = "export") -> str:
    """Return the file a command gives."""
    _, done = await confirmed(server, line)
    status, text = await fetch(server, "POST", address_in(done.text))
    assert status == 200, text
    return text


async def add_hooks(server: Server) -> tuple[IncomingHook, OutgoingHook]:
    made_in = await server.services.hooks.create(
        await owner(server),
        {
            "type": "webhook-incoming",
            "name": "ci",
            "enabled": True,
            "username": "rocket.cat",
            "channel": "#general",
            "scriptEnabled": False,
        },
    )
    made_out = await server.services.hooks.create(
        await owner(server),
        {
            "type": "webhook-outgoing",
            "name": "deploys",
            "enabled": True,
            "username": "rocket.cat",
            "channel": "#general",
            "event": "sendMessage",
            "urls": ["http://127.0.0.1:9/in?key=canary-url"],
            "triggerWords": ["!deploy"],
            "token": "canary-out-token",
            "scriptEnabled": False,
        },
    )
    assert isinstance(made_in, IncomingHook)
    assert isinstance(made_out, OutgoingHook)
    return made_in, made_out


async def test_an_export_is_taken_once_and_holds_no_secret(server: Server) -> None:
    """Looking at the address uses nothing up, its button gives the file, and a second press nothing."""
    hook, out = await add_hooks(server)
    asked, done = await confirmed(server, "export")
    assert asked.text.startswith("Warning [confirm]. Export 3 hooks without secrets?")
    assert done.secret
    assert done.public_text
    address = address_in(done.text)
    assert address not in done.public_text
    for _ in range(2):
        status, page = await fetch(server, "GET", address)
        assert (status, "Download" in page, "canary" in page) == (200, True, False)
    async with server.http.post(address) as response:
        text = await response.text()
        assert response.status == 200
        assert response.headers["Content-Disposition"].startswith("attachment; filename=")
    assert f'id: "{hook.id}"' in text or f"id: {hook.id}" in text
    for secret in (hook.token, out.token, "canary-url"):
        assert secret
        assert secret not in text
    status, page = await fetch(server, "POST", address)
    assert (status, "taken already" in page) == (410, True)
    status, _ = await fetch(server, "GET", f"{server.url}/exports/nothing")
    assert status == 404
    [row] = await audit(server, "export")
    assert (row.line, row.outcome) == ("export", "done")


async def test_an_export_ends_with_the_right_to_it(server: Server) -> None:
    """Who is no admin any more takes nothing from an address made before; nor does anybody after 10 minutes."""
    mia = await server.user("mia", "admin")
    user = await server.services.directory.user(UserId(mia["X-User-Id"]))
    assert user is not None
    said = await server.services.flow.run(user, PLACE, "export -y --noun in", TERMINAL)
    await server.post("users.update", {"userId": user.id, "data": {"roles": ["user"]}})
    status, page = await fetch(server, "POST", address_in(said.text))
    assert (status, "incoming:" in page) == (410, False)
    refused = await server.services.flow.run(
        (await server.services.directory.user(user.id)) or user, PLACE, "export", TERMINAL
    )
    assert refused.code == "forbidden"


async def test_noun_chooses_one_direction(server: Server) -> None:
    """`--noun` leaves the other list out of the file."""
    await add_hooks(server)
    assert "outgoing:" not in await exported(server, "export --noun in")
    assert "incoming:" not in await exported(server, "export --noun out")


async def test_a_file_is_told_then_written_as_one(server: Server) -> None:
    """A changed, a new and an unchanged hook: told field by field, applied on confirmation, noted in their rooms."""
    hook, out = await add_hooks(server)
    await server.post("channels.create", {"name": "ops"})
    text = (
        (await exported(server))
        .replace("name: ci", "name: ci-two")
        .replace('rooms: ["#general"]', 'rooms: ["#ops"]', 1)
    )
    text += '  - name: fresh\n    event: sendMessage\n    urls: ["http://127.0.0.1:9/x"]\n'
    before = await server.services.directory.hooks()
    told = await say(server, "import --document ? --dry-run", private={"document": text})
    assert told.code == "dry-run", told.text
    assert "name: ci → ci-two" in told.text
    assert "outgoing hook fresh" in told.text
    assert await server.services.directory.hooks() == before

    asked, done = await confirmed(server, "import --document ?", private={"document": text})
    assert "1 new, 1 changed, 2 unchanged" in asked.text
    assert done.text.startswith("Done. Imported 1 new, 1 changed, 2 unchanged.")
    hooks = {each.name: each for each in await server.services.directory.hooks()}
    assert hooks["fresh"].token
    assert hooks["fresh"].token in done.text
    assert done.secret
    changed = hooks["ci-two"]
    assert (changed.id, changed.version, changed.token) == (hook.id, hook.version + 1, hook.token)
    assert hooks["deploys"] == out
    first, *_ = await server.room_messages()
    assert "imported" in first["msg"]
    assert "ci-two" in first["msg"]
    again = await say(server, "import --document ?", private={"document": await exported(server)})
    assert again.text.startswith("Done. Nothing to import: 4 unchanged")


async def test_the_audit_tells_the_import_and_not_its_content(server: Server) -> None:
    """One row for the file, one for each hook it touched, and in none a word of it."""
    hook, _ = await add_hooks(server)
    text = (await exported(server)).replace("name: ci", "name: canary-name")
    block = f"import ```yaml\n{text}```"
    await confirmed(server, block)
    rows = await audit(server, "import")
    assert [row.object_id for row in rows if row.object_kind == "incoming hook"] == [hook.id]
    assert {row.line for row in rows} == {"import --document ?"}


async def test_new_hooks_post_at_the_address_shown_once(server: Server) -> None:
    """The importer reads the address of a new incoming hook, and it works."""
    text = 'patchbay: 1\nincoming:\n  - name: night\n    rooms: ["#general"]\n'
    _, done = await confirmed(server, f"import ```\n{text}```")
    found = re.search(r"http\S+/hooks/\S+", done.text)
    assert found
    async with server.http.post(found[0], json={"text": "hello"}) as response:
        assert response.status == 200
    assert (await server.room_messages())[0]["msg"] == "hello"


async def test_a_removed_hook_comes_back_under_its_address(server: Server) -> None:
    """With its secrets in the file, sender and receiver need not be told anything, and deliveries flow again."""
    hook, out = await add_hooks(server)
    text = written(await server.services.directory.hooks(), now=server.services.clock.now(), masked=False)
    me = await owner(server)
    for each, way in ((hook, "webhook-incoming"), (out, "webhook-outgoing")):
        await server.services.hooks.remove(me, {"type": way, "integrationId": each.id})
    await confirmed(server, "import --document ?", private={"document": text})
    for each in (hook, out):
        found = await server.services.directory.hook(each.id)
        assert found is not None
        assert replace(found, updated_at=each.updated_at, updated_by=each.updated_by) == each
    async with server.http.post(f"{server.url}/hooks/{hook.id}/{hook.token}", json={"text": "!deploy"}) as response:
        assert response.status == 200
    counts = await server.services.store.counts(out.id)
    assert counts.queued + counts.dead >= 1
    page = await server.services.store.passed([out.id, hook.id], 5)
    assert hook.id in page


async def test_users_are_never_written(server: Server) -> None:
    """A hook that posts as a person makes that person no bot, unlike one made by a command (decision 67)."""
    await server.user("ann")
    text = 'patchbay: 1\nincoming:\n  - {name: as-ann, rooms: ["#general"], post_as: ann}\n'
    await confirmed(server, f"import ```\n{text}```")
    ann = await server.services.directory.user_named("ann")
    assert ann is not None
    assert not ann.is_bot


async def test_what_cannot_be_done_is_told_by_line_and_nothing_is_written(server: Server) -> None:
    """One wrong hook keeps the whole file out; each fault says its line."""
    text = (
        'patchbay: 1\nincoming:\n  - name: good\n    rooms: ["#general"]\n'
        '  - name: lost\n    rooms: ["#nowhere"]\n  - name: help\n    rooms: ["#general"]\n'
        "  - name: odd\n    chanel: x\noutgoing:\n  - name: inner\n    event: sendMessage\n"
        '    urls: ["http://169.254.169.254/x?canary=1"]\n'
    )
    said = await say(server, f"import ```\n{text}```")
    assert said.code == "invalid"
    assert said.text.startswith("Not done [invalid]. Nothing was changed. 4 things")
    for piece in (
        "line 6: rooms: Invalid room",
        "line 7: name: Invalid name",
        'line 10: "chanel"',
        "line 14: urls: Invalid URLs",
    ):
        assert piece in said.text
    assert "canary" not in said.text
    assert "The rest would be: 1 new." in said.text
    assert "good" not in {hook.name for hook in await server.services.directory.hooks()}


async def test_what_changed_since_the_export_is_told(server: Server) -> None:
    """A stale version is a conflict, which `--overwrite` overrides."""
    hook, _ = await add_hooks(server)
    text = (await exported(server)).replace("name: ci", "name: ci-old")
    changed = replace(hook, name="ci-new", version=hook.version + 1)
    await server.services.store.commit(Changes(put_hooks=(changed,)))
    server.services.directory.clear()
    said = await say(server, "import --document ?", private={"document": text})
    assert said.code == "conflict"
    assert "version 1 here, 2 stored" in said.text
    _, done = await confirmed(server, "import --overwrite --document ?", private={"document": text})
    assert done.text.startswith("Done. Imported 1 changed")


async def test_a_change_between_question_and_answer_is_asked_again(server: Server) -> None:
    """What was confirmed was another outcome: nothing is written, the question comes anew."""
    hook, _ = await add_hooks(server)
    text = (await exported(server)).replace("name: ci", "name: ci-two").replace("version:", "# version:")
    text = re.sub(r"- id: (\S+)\n    # version: \d+", r"- id: \1", text)
    asked = await say(server, "import --document ?", private={"document": text})
    changed = replace(hook, alias="new", version=hook.version + 1)
    await server.services.store.commit(Changes(put_hooks=(changed,)))
    server.services.directory.clear()
    again = await say(server, asked.buttons[0].line)
    assert again.code == "confirm"
    assert "changed since you were asked" in again.text


async def test_the_form_takes_a_file_that_no_line_could_hold(server: Server) -> None:
    """`import` alone gives an address; the page has a text area, and answers with what would happen."""
    said = await say(server, "import")
    assert said.secret
    address = address_in(said.text)
    _, page = await fetch(server, "GET", address)
    assert "<textarea" in page
    hooks = "".join(f'  - {{name: n{n}, rooms: ["#general"], token: {"t" * 40}{n:04d}}}\n' for n in range(1, 301))
    text = f"patchbay: 1\nincoming:\n{hooks}".replace("\n", "\r\n")
    assert len(text) > 8_000
    status, page = await fetch(server, "POST", address, data={"document": text})
    assert status == 200, page
    code = re.search(r"confirm ([A-Z0-9]{6})", page)
    assert code, page
    done = await say(server, f"confirm {code[1]}")
    assert done.text.startswith("Done. Imported 300 new.")


async def test_more_new_secrets_than_an_answer_can_show_are_refused(server: Server) -> None:
    """An address shown once must not be cut off: the server's command line takes such a file."""
    hooks = "".join(f'  - {{name: n{n}, rooms: ["#general"]}}\n' for n in range(26))
    said = await say(server, f"import ```\npatchbay: 1\nincoming:\n{hooks}```")
    assert said.code == "limited"
    assert "patchbay import" in said.text


async def test_secrets_do_not_go_through_a_public_line(server: Server) -> None:
    """A file with a token is refused where others read along; without one it is taken."""
    text = 'patchbay: 1\nincoming:\n  - {name: n, rooms: ["#general"], token: canarycanarycanarycanary}\n'
    said = await say(server, f"import ```\n{text}```", door=CROWD)
    assert said.code == "forbidden"
    assert "canary" not in said.text
    assert (
        await say(server, f"import ```\n{text.replace(', token: canarycanarycanarycanary', '')}```", door=CROWD)
    ).code == "confirm"


@pytest.mark.parametrize("line", ["import {0}x", "import {0} more", "import {0} --nope", "in show {0} x", "import {1}"])
async def test_no_problem_repeats_what_a_block_holds(server: Server, line: str) -> None:
    """A line that is not understood is shown up to the mistake, but never the content of a block in it."""
    text = "patchbay: 1\nincoming:\n  - {name: n, token: canarycanarycanarycanary}"
    said = await say(server, line.format(f"```\n{text}```", text))
    assert said.code in ("usage", "unknown")
    assert "canary" not in said.text


async def test_unsigned_doors_and_lesser_roles_run_neither(server: Server) -> None:
    """Both need an admin and a door that proves who types (decisions 62, 67)."""
    for line in ("export", "import"):
        assert (await say(server, line, door=UNSIGNED)).code == "forbidden"
    await server.user("ed")
    ed = await server.services.directory.user_named("ed")
    assert ed is not None
    for line in ("export", "import"):
        assert (await server.services.flow.run(ed, PLACE, line, TERMINAL)).code == "forbidden"


async def test_hooks_of_a_file_are_found_by_name_where_no_id_is_given(server: Server) -> None:
    """So importing a file written by hand twice makes nothing twice; a name of two hooks is told."""
    text = 'patchbay: 1\nincoming:\n  - {name: hand, rooms: ["#general"]}\n'
    await confirmed(server, f"import ```\n{text}```")
    assert "1 unchanged" in (await say(server, f"import ```\n{text}```")).text
    [first] = [hook for hook in await server.services.directory.hooks() if hook.name == "hand"]
    assert first.user_id == ROCKET_CAT
    await server.services.store.commit(
        Changes(new_hooks=(replace(first, id=type(first.id)("65e2f0b72dd9f928ada3e400")),))
    )
    server.services.directory.clear()
    said = await say(server, f"import ```\n{text}```")
    assert "2 hooks have this name" in said.text
    assert Millis(0) < first.created_at
