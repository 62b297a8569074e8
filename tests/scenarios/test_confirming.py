"""Questions through every door: answered once, by who was asked, in time, for what it was then (§2.5, §2.9, 7)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from storage.clock import Millis
from storage.records.audit import AuditFilter
from tests.doors import DOORS, through
from tests.doorway import AnyDoor, Said

ASK = "in rotate-token first-hook"
MINUTES_5 = Millis(5 * 60_000)
PRESSES = 64


@pytest.fixture(params=list(DOORS))
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyDoor]:
    """Each door in turn, with an admin who types."""
    async with through(request.param, tmp_path / "data") as opened:
        yield opened


async def done(door: AnyDoor) -> list[str]:
    """Return the commands that were written down as done."""
    server = door.stage.server
    rows, _ = await server.services.store.audit_rows(AuditFilter(org_id=server.services.directory.org))
    return [row.command for row in rows if row.command != "user link"]


async def token(door: AnyDoor) -> str:
    """Return the token of the one hook there is."""
    hooks = (await door.stage.server.get("integrations.list"))["integrations"]
    return str(hooks[0]["token"])


def read(said: Said) -> str:
    """Return what the room reads where it reads along, else what the caller does."""
    return said.room or said.text


async def test_a_question_is_answered_once(door: AnyDoor) -> None:
    """The first yes does it; the same again is told that it is done."""
    before = await token(door)
    asked = await door.say(ASK)
    assert (await token(door), await done(door)) == (before, [])
    assert "/hooks/" in (await door.confirm(asked)).text
    after = await token(door)
    again = read(await door.confirm(asked))
    assert again.startswith("Not done [expired]")
    assert "was used already" in again
    assert (await token(door), await done(door)) == (after, ["in rotate-token"])
    assert after != before


async def test_somebody_elses_yes_is_refused(door: AnyDoor) -> None:
    """An admin, too, cannot answer what another was asked; the question stays good for that one."""
    other = await door.other()
    asked = await door.say(ASK)
    before = await token(door)
    refused = read(await other.say(f"confirm {asked.code}"))
    assert refused.startswith("Not done [forbidden]")
    assert "is for whoever asked" in refused
    assert (await token(door), await done(door)) == (before, [])
    assert "/hooks/" in (await door.confirm(asked)).text
    await other.close()


async def test_a_question_expires(door: AnyDoor) -> None:
    """After five minutes it is over, and says so."""
    before = await token(door)
    asked = await door.say(ASK)
    door.stage.clock.advance(MINUTES_5)
    late = read(await door.confirm(asked))
    assert late.startswith("Not done [expired]")
    assert "older than 5 min" in late
    assert (await token(door), await done(door)) == (before, [])


async def test_what_changed_meanwhile_is_asked_again(door: AnyDoor) -> None:
    """The old yes does nothing to what is another thing now; the new question works."""
    before = await token(door)
    asked = await door.say(ASK)
    assert (await door.say("in edit first-hook --alias Builds")).text.startswith("Done")
    again = await door.confirm(asked)
    assert "It changed since you were asked" in again.text
    assert (await token(door), await done(door)) == (before, ["in edit"])
    if door.has_buttons and not again.buttons:
        assert "/hooks/" in (await door.say(f"confirm {again.code}")).text
    else:
        assert "/hooks/" in (await door.confirm(again)).text
    assert "replaced" in read(await door.say(f"confirm {asked.code}"))


async def test_of_many_presses_at_the_same_moment_one_does_it(door: AnyDoor) -> None:
    """One token is made, one row is written, one note is left, and all others are told that it is done."""
    asked = await door.say(ASK)
    notes = len(await door.stage.server.room_messages())
    answers = [read(said) for said in await asyncio.gather(*(door.confirm(asked) for _ in range(PRESSES)))]
    refused = [text for text in answers if text.startswith("Not done [expired]")]
    assert len(refused) == PRESSES - 1
    assert all("was used already" in text or "confirmed a moment ago" in text for text in refused)
    assert await done(door) == ["in rotate-token"]
    assert len(await door.stage.server.room_messages()) == notes + 1


async def test_a_destructive_question_needs_the_name(door: AnyDoor) -> None:
    """No button supplies it and `-y` does not skip it; a wrong name is told, the right one removes."""
    asked = await door.say("in remove first-hook -y")
    assert [label for label in asked.buttons if label.startswith("Remove")] == []
    assert "[invalid]" in read(await door.say(f"confirm {asked.code}"))
    assert "must match exactly" in read(await door.say(f"confirm {asked.code} First-hook"))
    assert await done(door) == []
    assert (await door.say(f"confirm {asked.code} first-hook")).text.startswith("Done")
    assert await done(door) == ["in remove"]
