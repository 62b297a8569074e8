"""One story through every door: the same lines do the same, and secrets come by each door's private way (§2.9, 1)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from tests.doors import DOORS, through
from tests.scenarios.receiver import Sent, receiving
from tests.story import WRONG, Story, told

UNSIGNED = ("mattermost", "trigger-word")
NEVER_UNSIGNED = ("user list", "user invite eve", "user role @ann viewer", "user link", "export", "import", "import -y")


def refusing(_: Sent) -> web.Response:
    """Play a tool that refuses whatever comes."""
    return web.json_response({"why": "bad pixel"}, status=400)


@asynccontextmanager
async def story_of(door: str, folder: Path) -> AsyncIterator[Story]:
    async with receiving(refusing) as tool, through(door, folder) as opened:
        server = opened.stage.server
        ops = (await server.post("channels.create", {"name": "ops"}))["channel"]["_id"]
        await server.post("channels.invite", {"roomId": ops, "userId": opened.stage.who["X-User-Id"]})
        yield Story(opened, tool)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reference(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The story as it goes over REST."""
    async with story_of("commands.run", tmp_path_factory.mktemp("reference") / "data") as story:
        await told(story)
    return story


@pytest.mark.parametrize("door", [name for name in DOORS if name != "commands.run"])
async def test_the_same_lines_do_the_same_through_every_door(door: str, reference: Story, tmp_path: Path) -> None:
    """After each line hooks, rooms, what rooms read and the audit are the same, apart from the door's name."""
    async with story_of(door, tmp_path / "data") as story:
        await told(story)
    for here, there in zip(story.steps, reference.steps, strict=True):
        assert here == there


async def test_the_story_is_told_to_its_end(reference: Story) -> None:
    """Every right line has its effect and every wrong one none, or equal doors would prove little."""
    verdicts = {step.line: step.verdict for step in reference.steps}
    refused = [line for line, verdict in verdicts.items() if verdict.startswith("Not done")]
    # a name that is not exact, and an undo behind a removal, which none can take back
    assert len(refused) == len(WRONG) + 2
    nothing = [step.line for step in reference.steps if step.verdict.startswith("Not done") and step.audit]
    assert nothing == []
    done = [row[1] for step in reference.steps for row in step.audit]
    assert [row[6] for step in reference.steps for row in step.audit] == ["done"] * len(done)
    assert set(done) >= {
        "in add",
        "in edit",
        "in test",
        "in disable",
        "in enable",
        "in rotate-token",
        "in replay",
        "in remove",
        "out add",
        "out remove",
        "dead retry",
        "dead discard",
        "mute",
        "room mute",
        "room create",
        "room archive",
    }
    assert list(reference.steps[-1].hooks) == ["first-hook"]


@pytest.mark.parametrize("door", UNSIGNED)
async def test_doors_without_signature_refuse_people_and_files(door: str, tmp_path: Path) -> None:
    """Whoever has the token can be anybody: `user`, `export` and `import` do nothing there (decisions 60, 62)."""
    async with story_of(door, tmp_path / "data") as story:
        await story.hand_out("in add ci-alerts --room #ops")
        await story.say("in list")
        for line in NEVER_UNSIGNED:
            await story.say(line)
    before, *after = story.steps[1:]
    assert [step.verdict for step in after] == ["Not done [forbidden]"] * len(NEVER_UNSIGNED)
    for step in after:
        assert (step.audit, step.hooks, [said for said in step.messages.values() if said]) == ([], before.hooks, [])


@pytest.mark.parametrize("door", [name for name in DOORS if name not in UNSIGNED])
async def test_proven_doors_run_them(door: str, tmp_path: Path) -> None:
    """What an unsigned door refuses is no more than that: elsewhere an admin may."""
    async with story_of(door, tmp_path / "data") as story:
        for line in ("user list", "user show @ann", "export -y"):
            assert not (await story.say(line)).text.startswith("Not done"), line


@pytest.mark.parametrize("door", DOORS)
async def test_what_is_shown_once_comes_by_the_private_way_of_the_door(door: str, tmp_path: Path) -> None:
    """The caller gets the address; neither the room here, nor the one over there, nor anybody else reads it."""
    async with story_of(door, tmp_path / "data") as story:
        server = story.door.stage.server
        await story.hand_out("in add ci-alerts --room #ops")
        address = await story.hand_out("in rotate-token ci-alerts", confirm="")
        await story.post(address, "it works")
        everybody = [*await server.room_messages(story.door.stage.desk), *await server.room_messages()]
        ops = await server.services.directory.room_named("ops")
        assert ops is not None
        everybody += await server.room_messages(ops.id)
        others = await server.get("im.list")
    tokens = story.issued.values()
    assert not [token for token in tokens if token in str(everybody) + "".join(said.room for said in story.whispers)]
    assert others["ims"] == []
    if door == "trigger-word":
        assert all("sent to @" in said.room for said in story.whispers)
    else:
        assert [said.room for said in story.whispers] == [""] * 2
