"""The native App in Rocket.Chat's own engine (rocketchat.md §11.1, decision 63)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from click.testing import CliRunner

from bot.cli import cli
from storage.records.workspace import Workspace, WorkspaceKind
from tests.connected import SECRET, connect, link
from tests.scenarios.clients.rocketchat_server import ANN, Session, choose, needs_engine, preview, rocketchat, run
from tests.server import Server

pytestmark = needs_engine

DEFAULT_URL = "https://hooks.example.test"
PLACE = "Administration → Apps → Patchbay → Settings"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The App as `patchbay rocketchat-app build` packages it."""
    target = tmp_path_factory.mktemp("app") / "patchbay.zip"
    result = CliRunner().invoke(cli, ["rocketchat-app", "build", "-o", str(target), "--url", DEFAULT_URL])
    assert result.exit_code == 0, result.output
    return target


def settings(url: str, *, workspace: str = "w1", secret: str = SECRET) -> dict[str, str]:
    """What an administrator enters."""
    return {"server_url": url, "workspace_id": workspace, "shared_secret": secret}


@asynccontextmanager
async def answering(handler: Handler) -> AsyncIterator[str]:
    """Run something at the App's address that is no Patchbay, or a sick one."""
    app = web.Application()
    app.router.add_post("/commands/rocketchat-app", handler)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


async def test_the_engine_loads_the_package(package: Path) -> None:
    """The App is enabled, its commands are registered with previews, and its settings hide the secret."""
    session = await rocketchat(package)
    assert session.status == "auto_enabled"
    assert session.info["iconFileContent"].startswith("data:image/png;base64,")
    assert [(each["command"], each["providesPreview"]) for each in session.commands] == [
        ("hook", True),
        ("integrations", True),
    ]
    assert session.settings["server_url"]["packageValue"] == DEFAULT_URL
    assert session.settings["shared_secret"]["type"] == "password"
    assert [each["packageValue"] for each in session.settings.values()] == [DEFAULT_URL, "", ""]
    assert not any(each["public"] for each in session.settings.values())
    shown = {each[key] for each in session.settings.values() for key in ("i18nLabel", "i18nDescription")}
    shown |= {each[key] for each in session.commands for key in ("i18nParamsExample", "i18nDescription")}
    assert shown <= session.texts["en"].keys()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {},
            f"Not done. Patchbay is not set up here: an administrator enters address, workspace and secret in {PLACE}.",
        ),
        (
            settings("hooks.example.test"),
            "Not done. The address of the Patchbay server must look like https://hooks.example.com; "
            f"an administrator can correct it in {PLACE}.",
        ),
    ],
)
async def test_an_app_that_is_not_set_up_says_what_to_do(package: Path, given: dict[str, str], said: str) -> None:
    """Whoever types first learns what is missing; nothing is sent, and a preview stays empty."""
    session = await rocketchat(package, run("help"), preview("in"), settings=given)
    assert session.steps[0].only.text == said
    assert session.steps[0].only.to == "@ann"
    assert session.steps[1].preview == {"i18nTitle": "preview_title", "items": []}
    assert session.requests == []


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            '{"error":"no"}',
            "Not done. Patchbay did not accept this server's signature: an administrator checks workspace and secret "
            f"in {PLACE}, and the clocks of both servers.",
        ),
        (
            400,
            "{}",
            "Not done. Patchbay does not understand this App; an administrator builds it anew with "
            "`patchbay rocketchat-app build` and updates it here.",
        ),
        (404, "", "Not done. There is no Patchbay at {url}; an administrator checks the address in " + PLACE + "."),
        (413, "", "Not done. The line is too long for Patchbay; write a shorter one."),
        (429, "", "Not done. Too many commands in a short time; wait a minute, then try again."),
        (
            503,
            "",
            "Not done. Patchbay has a fault (status 503); try again in a minute. "
            "If it stays, an administrator looks into the server's log.",
        ),
        *(
            (
                status,
                body,
                f"Not done. The answer (status {status}) is none of a Patchbay server; "
                f"an administrator checks the address in {PLACE}.",
            )
            for status, body in (
                (200, "<html>Welcome</html>"),
                (200, "null"),
                (200, "{}"),
                (200, '{"answers":[null]}'),
                (200, '{"answers":[{"to":"room"}]}'),
                (302, ""),
            )
        ),
    ],
)
async def test_a_refusal_or_a_strange_answer_is_explained(package: Path, status: int, body: str, said: str) -> None:
    """Each ends in one sentence that says what to do, to the caller alone, and a preview stays empty."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text=body, content_type="application/json")

    async with answering(handler) as url:
        session = await rocketchat(package, run("help"), preview("in"), settings=settings(url))
    assert session.steps[0].only.text == said.replace("{url}", url)
    assert session.steps[0].only.to == "@ann"
    assert session.steps[1].preview == {"i18nTitle": "preview_title", "items": []}
    assert session.steps[1].shown == []


async def test_a_server_that_is_away_is_named(package: Path) -> None:
    """The sentence names the address, and what to do."""
    url = f"http://127.0.0.1:{unused_port()}"
    session = await rocketchat(package, run("help"), settings=settings(url))
    assert session.steps[0].only.text == (
        f"Not done. Patchbay cannot be reached at {url}; try again in a minute. "
        f"If it stays away, an administrator checks the server, and the address in {PLACE}."
    )


async def test_a_late_answer_is_no_reason_to_repeat_the_command(package: Path) -> None:
    """After 10 s the caller is told that the command may have run (complaint 6)."""
    done = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await done.wait()
        return web.Response()

    async with answering(handler) as url:
        session = await rocketchat(package, run("help"), settings=settings(url), patience=0.02)
        done.set()
    assert session.requests[0]["timeout"] == 10_000
    assert session.steps[0].only.text == (
        "Not done. Patchbay did not answer within 10 s. "
        "The command may have been done all the same: look before you repeat it."
    )


async def test_only_what_is_plainly_for_the_room_is_posted(package: Path) -> None:
    """An answer with another receiver, or none, may be a secret: the caller alone reads it, in the same thread."""

    async def handler(_: web.Request) -> web.Response:
        said = [
            {"to": "room", "text": "note"},
            {"to": "caller", "text": "mine"},
            {"to": "Room", "text": "?"},
            {"text": "!"},
        ]
        return web.json_response({"answers": said})

    async with answering(handler) as url:
        session = await rocketchat(package, run("in list"), settings=settings(url), thread="t1")
    assert [(each.to, each.text) for each in session.steps[0].shown] == [
        ("room", "note"),
        ("@ann", "mine"),
        ("@ann", "?"),
        ("@ann", "!"),
    ]
    assert {(each.sender, each.thread, each.room) for each in session.steps[0].shown} == {
        ("patchbay.bot", "t1", "rOps")
    }


async def test_the_secret_is_neither_sent_nor_shown(package: Path) -> None:
    """It signs, and that is all: no request, message or preview holds it."""

    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=401)

    async with answering(handler) as url:
        session = await rocketchat(package, run("help"), preview("in"), settings=settings(url))
    assert SECRET not in repr((session.steps, session.requests))
    assert len(session.requests) == 2


# --- against the bot ----------------------------------------------------------------------------------


@pytest.fixture
async def workspace(server: Server) -> Workspace:
    """The Rocket.Chat server as the bot knows it; its ann is the bot's owner."""
    made = await connect(server, WorkspaceKind.ROCKETCHAT_APP)
    await link(server, made, ANN["id"], "owner")
    return made


def entered(server: Server, workspace: Workspace, *, secret: str = SECRET) -> dict[str, str]:
    """Return the settings for a workspace; the slash at the end of an address is no mistake."""
    return settings(f"{server.url}/", workspace=workspace.team_id, secret=secret)


async def here(server: Server, params: str) -> str:
    """Return what the same line answers in a room of the bot's own."""
    answer = await server.post("commands.run", {"command": "hook", "params": params, "roomId": "GENERAL"})
    return str(answer["result"])


def only(session: Session) -> list[str]:
    """Return the one message of each step, all of them to ann alone."""
    assert {step.only.to for step in session.steps} == {"@ann"}
    return [step.only.text for step in session.steps]


async def test_help_and_lists_are_the_same_as_in_a_room_of_the_bot(
    server: Server, workspace: Workspace, package: Path
) -> None:
    """One command language: the App shows the bot's own words, to the caller alone."""
    session = await rocketchat(package, run("help"), run("in list"), settings=entered(server, workspace))
    assert only(session) == [await here(server, "help"), await here(server, "in list")]


async def test_a_preview_completes_and_a_chosen_one_runs(server: Server, workspace: Workspace, package: Path) -> None:
    """What is offered after the typed line can be picked, and runs instead of what is typed."""
    given = entered(server, workspace)
    offered = (await rocketchat(package, preview("in l"), settings=given)).steps[0].preview
    assert offered is not None
    assert offered["i18nTitle"] == "preview_title"
    assert [item["value"] for item in offered["items"]][:2] == ["in l", "in list"]
    chosen = await rocketchat(package, choose(offered["items"][1], "in l"), settings=given)
    assert only(chosen) == [await here(server, "in list")]


async def test_quoted_words_arrive_as_they_were_typed(server: Server, workspace: Workspace, package: Path) -> None:
    """Rocket.Chat takes the quotes off before the App sees the words; the error shows the whole word again."""
    lines = [
        'in show "night builds"',
        "in show it's",
        "in show “größe 💥”",
        'in show ""',
        'in show "say \\"hi there\\""',
    ]
    session = await rocketchat(package, *map(run, lines), settings=entered(server, workspace))
    for line, said in zip(lines, only(session), strict=True):
        assert said == await here(server, line)


async def test_a_hook_is_removed_from_the_app(server: Server, workspace: Workspace, package: Path) -> None:
    """The confirmation is typed, and the room the hook posted to reads who did it."""
    given = entered(server, workspace)
    (asked,) = only(await rocketchat(package, run("in remove first-hook"), settings=given))
    code = asked.partition("/hook confirm ")[2].split()[0]
    (done,) = only(await rocketchat(package, run(f"confirm {code} first-hook"), settings=given))
    assert done.startswith("Done")
    assert (await server.get("integrations.list"))["integrations"] == []
    assert "owner" in (await server.room_messages())[0]["msg"]


async def test_somebody_who_is_not_linked_is_told_how(server: Server, workspace: Workspace, package: Path) -> None:
    """The name over there proves nothing."""
    eve = {"id": "uEve", "username": "owner"}
    session = await rocketchat(package, run("in list"), user=eve, settings=entered(server, workspace))
    assert session.steps[0].only.to == "@owner"
    assert "user link" in session.steps[0].only.text


@pytest.mark.parametrize("wrong", [{"shared_secret": "another-secret"}, {"workspace_id": "nobody"}])
async def test_wrong_settings_are_explained(
    server: Server, workspace: Workspace, package: Path, wrong: dict[str, str]
) -> None:
    """The bot's refusal does not tell which of the two is wrong, and the App names both."""
    session = await rocketchat(package, run("help"), settings={**entered(server, workspace), **wrong})
    assert only(session) == [
        "Not done. Patchbay did not accept this server's signature: an administrator checks workspace and secret "
        f"in {PLACE}, and the clocks of both servers."
    ]


async def test_a_request_that_is_sent_again_does_nothing(server: Server, workspace: Workspace, package: Path) -> None:
    """Every request has an id of its own; somebody who records one gets the old answer and moves nothing."""
    session = await rocketchat(
        package, run("in remove first-hook"), run("in remove first-hook"), settings=entered(server, workspace)
    )
    first, second = only(session)
    assert first != second  # the code of the confirmation is a new one
    recorded = session.requests[0]
    async with server.http.post(recorded["url"], data=recorded["content"], headers=recorded["headers"]) as response:
        answers = (await response.json())["answers"]
    assert [answer["text"] for answer in answers] == [first]
