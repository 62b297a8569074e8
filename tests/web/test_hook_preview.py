"""`out preview` and the beginnings of names on a real server: what is shown, to whom, and that nothing is written."""

import pytest

from handlers.command import Answer, Door, Place
from storage.ids import IntegrationId, RoomId, UserId
from storage.records.audit import AuditFilter
from storage.records.integration import OutgoingHook
from tests.command_talk import person
from tests.server import Server

SLACK = Door(name="slack")
CANARY = "canary-77c1d20e"


async def types(server: Server, line: str, *, who: str = "owner", **private: str) -> Answer:
    """Run a line of somebody, whatever comes of it."""
    user = await person(server, who)
    return await server.services.flow.run(user, Place(channel="C1", workspace="w1"), line, SLACK, private=private)


async def does(server: Server, line: str, *, who: str = "owner", **private: str) -> Answer:
    """Run a line that succeeds."""
    answer = await types(server, line, who=who, **private)
    assert answer.code == "ok", answer.text
    return answer


@pytest.mark.parametrize("noun", ["in", "out"])
async def test_an_edit_takes_a_unique_beginning_of_a_name(server: Server, noun: str) -> None:
    """Three letters are enough where one hook has them; two are listed with ids, and what loses something refuses."""
    how = "--room #general" if noun == "in" else "--event sendMessage --url ?"
    for name in ("builds-one", "builds-two", "alerts"):
        await does(server, f"{noun} add {name} {how}", url="https://a.example/1")
    answer = await does(server, f"{noun} edit ALE --alias Alarm")
    assert "hook alerts (" in answer.text
    stored = {hook.name: hook for hook in await server.services.directory.hooks()}
    assert [stored[name].alias for name in ("alerts", "builds-one", "builds-two")] == ["Alarm", None, None]
    twice = await types(server, f"{noun} edit builds --alias B")
    assert (twice.code, '"builds" means 2 hooks.' in twice.text) == ("ambiguous", True)
    assert all(f"{name} ({stored[name].id})" in twice.text for name in ("builds-one", "builds-two"))
    assert (await types(server, f"{noun} edit al --alias B")).code == "unknown"
    for verb in ("remove", "rotate-token", "disable"):
        refused = await types(server, f"{noun} {verb} ale")
        assert (refused.code, "only the beginning of a name" in refused.text) == ("ambiguous", True), verb
