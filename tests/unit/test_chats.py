"""Connected chats: what is taken, what is asked of Slack, what is refused (decision 61)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.outbound import Outbound
from bot.workspace.chats import Chats, NewChat
from handlers.errors import Fault
from handlers.targets import AllowList
from storage.records.audit import AuditFilter
from storage.records.workspace import Workspace, WorkspaceKind
from tests.people import People, people_at

SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
BOT = "xoxb-17653672481-19874698323"


@dataclass
class Stage:
    people: People
    chats: Chats

    async def add(self, chat: NewChat) -> Workspace | Fault:
        return await self.chats.add(self.people.owner, chat, door="cli")

    async def remove(self, ref: str) -> Workspace | Fault:
        return await self.chats.remove(self.people.owner, ref, door="cli")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    allow = AllowList.parse("127.0.0.1")
    async with people_at(tmp_path / "patchbay.db") as people, Outbound(allow) as outbound:
        yield Stage(people, Chats(people.store, people.directory, outbound, people.clock, allow))


@asynccontextmanager
async def slack(answer: object, status: int = 200) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """Play Slack's interface; yields its address and the calls it got."""
    calls: list[dict[str, Any]] = []

    async def auth_test(request: web.Request) -> web.Response:
        calls.append({"auth": request.headers["Authorization"], "body": await request.text()})
        return web.json_response(answer, status=status)

    app = web.Application()
    app.router.add_post("/api/auth.test", auth_test)
    async with TestServer(app, host="127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.port}/api/", calls


def new(kind: WorkspaceKind = WorkspaceKind.SLACK, **values: Any) -> NewChat:
    return NewChat(**{"kind": kind, "name": "Slack", "secret": SECRET, **values})


async def test_slack_says_once_which_team_a_bot_token_belongs_to(stage: Stage) -> None:
    """The team id need not be looked up by hand, and is Slack's word, not the operator's."""
    async with slack({"ok": True, "team_id": "T061EG9R6", "team": "Shop"}) as (url, calls):
        made = await stage.add(new(bot_token=BOT, base_url=url))
    assert isinstance(made, Workspace)
    assert made.team_id == "T061EG9R6"
    assert calls == [{"auth": f"Bearer {BOT}", "body": "{}"}]
    assert await stage.chats.all() == [made]
    assert (made.secret, made.bot_token, made.base_url) == (SECRET, BOT, url.rstrip("/"))
    assert SECRET not in repr(made)
    assert BOT not in repr(made)


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ({"ok": False, "error": "invalid_auth"}, 200, "Slack does not take the bot token: invalid_auth"),
        ({"ok": False, "error": "<b>" + BOT}, 200, "Slack does not take the bot token."),
        ({"ok": True, "team_id": 5}, 200, "Slack does not take the bot token."),
        ([], 200, "Slack answered auth.test with 200 and no answer of its own."),
        ({"ok": True}, 503, "Slack answered auth.test with 503 and no answer of its own."),
    ],
)
async def test_a_bot_token_slack_does_not_take_connects_nothing(
    stage: Stage, answer: object, status: int, text: str
) -> None:
    """The sentence says why, and repeats nothing that came over the wire but Slack's own word."""
    async with slack(answer, status) as (url, _):
        made = await stage.add(new(bot_token=BOT, base_url=url))
    assert isinstance(made, Fault)
    assert made.reason == text
    assert await stage.chats.all() == []


async def test_a_team_that_is_not_the_tokens_is_refused(stage: Stage) -> None:
    """Two different workspaces mixed up would trust the wrong one."""
    async with slack({"ok": True, "team_id": "T1"}) as (url, _):
        made = await stage.add(new(bot_token=BOT, base_url=url, team_id="T2"))
    assert isinstance(made, Fault)
    assert made.reason == "The bot token belongs to the team T1, not to T2."


async def test_an_address_that_may_not_be_called_is_not_asked(stage: Stage) -> None:
    """The guard of outgoing calls holds here too (security.md §1)."""
    for url in ("http://10.0.0.5/api", "ftp://slack.example", "http://127.0.0.2:9/api"):
        made = await stage.add(new(bot_token=BOT, base_url=url))
        assert isinstance(made, Fault), url
        assert (made.reason or "").startswith("The base address: ")


async def test_every_kind_says_how_its_team_is_known(stage: Stage) -> None:
    """Slack, Mattermost and Rocket.Chat bring an id of their own; the App is told one by us."""
    for kind in (WorkspaceKind.SLACK, WorkspaceKind.MATTERMOST, WorkspaceKind.ROCKETCHAT):
        assert isinstance(await stage.add(new(kind, name=kind.value)), Fault), kind
        assert isinstance(await stage.add(new(kind, name=kind.value, team_id="T1")), Workspace), kind
    app = await stage.add(new(WorkspaceKind.ROCKETCHAT_APP, name="App"))
    assert isinstance(app, Workspace)
    assert app.team_id == app.id


@pytest.mark.parametrize(
    "values",
    [
        {"name": ""},
        {"name": " x"},
        {"name": "a\nb"},
        {"name": "x" * 201},
        {"team_id": "T\x1b[2J"},
        {"secret": "short"},
        {"secret": "with space in it"},
        {"secret": "pässword-pässword"},
        {"bot_token": "xoxb-1\r\nHost: evil"},
    ],
)
async def test_names_and_secrets_that_could_not_be_meant_are_refused(stage: Stage, values: dict[str, Any]) -> None:
    """Nothing is stored, and no secret stands in the sentence."""
    made = await stage.add(new(**{"team_id": "T1", **values}))
    assert isinstance(made, Fault)
    assert all(value not in (made.reason or "") for key, value in values.items() if key in ("secret", "bot_token"))
    assert await stage.chats.all() == []


async def test_a_name_or_a_team_is_connected_once(stage: Stage) -> None:
    """Of two at once one is made: a request's team must mean one workspace."""
    made = await asyncio.gather(*(stage.add(new(team_id="T1", name=f"Slack {n}")) for n in range(2)))
    assert sorted(isinstance(one, Fault) for one in made) == [False, True]
    again = await stage.add(new(team_id="T2", name=(await stage.chats.all())[0].name.upper()))
    assert isinstance(again, Fault)


async def test_a_chat_is_removed_by_name_or_id(stage: Stage) -> None:
    """A name counts whatever its case; one that is not there is a refusal."""
    one = await stage.add(new(team_id="T1", name="One"))
    two = await stage.add(new(team_id="T2", name="Two"))
    assert isinstance(two, Workspace)
    assert await stage.remove("ONE") == one
    assert await stage.remove(two.id) == two
    assert isinstance(await stage.remove("One"), Fault)
    assert await stage.chats.all() == []


async def test_connecting_and_disconnecting_stand_in_the_audit(stage: Stage) -> None:
    """Who, what, which, through which door; no secret (decision 68)."""
    made = await stage.add(new(team_id="T1", bot_token=None, name="Shop EU"))
    assert isinstance(made, Workspace)
    await stage.add(new(team_id="T1"))  # refused: nothing happened
    await stage.remove("shop eu")
    rows, total = await stage.people.store.audit_rows(AuditFilter(org_id=stage.people.owner.org_id))
    assert total == 2
    assert [(row.actor_name, row.door, row.line, row.object_id) for row in rows] == [
        ("olga", "cli", 'workspace remove slack "Shop EU"', made.id),
        ("olga", "cli", 'workspace add slack "Shop EU"', made.id),
    ]
    assert SECRET not in str(rows)
