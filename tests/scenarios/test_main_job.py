"""The main job from the first start on: a printed line, a room, an outgoing hook, and a server killed in between."""

import asyncio
import shutil
import subprocess
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from tests.delivering import until
from tests.process import ServerProcess, environment
from tests.scenarios.clients.rocketchat import Rocket, connected
from tests.scenarios.receiver import Sent, receiving
from tests.scenarios.stored import rows

TOKEN = "s3cret-of-deployer"


def paste(line: str) -> str:
    """Run a line in a shell, as a person does who pastes it."""
    direct = environment({"no_proxy": "127.0.0.1"})
    return subprocess.run(line, shell=True, env=direct, capture_output=True, text=True, timeout=30, check=True).stdout


def deploying(sent: Sent) -> web.Response:
    """Answer as a bot that takes orders."""
    assert sent.json["token"] == TOKEN
    return web.json_response({"text": sent.json["text"].replace("!deploy", "deploying")})


def printed(server: ServerProcess, word: str) -> str:
    """Return the line of the first start's lines that begins with a word."""
    (line,) = [line.strip() for line in server.first_start_lines if line.strip().startswith(word)]
    return line


async def texts(rocket: Rocket) -> list[str]:
    """Return what stands in #general, oldest first."""
    return [message["msg"] for message in reversed(await rocket.channels_history("GENERAL"))]


async def see(rocket: Rocket, text: str) -> None:
    """Wait until a text stands in #general."""

    async def seen() -> bool:
        return text in await texts(rocket)

    await until(seen)


@pytest.mark.skipif(shutil.which("curl") is None, reason="the printed line needs curl")
async def test_the_main_job(tmp_path: Path) -> None:
    """The printed line posts, a trigger word is answered, and what was posted before `kill -9` is still delivered."""
    data, port = tmp_path / "data", unused_port()
    settings = {"PATCHBAY_ALLOW_TARGETS": f"127.0.0.1:{port}"}

    with ServerProcess(data, settings) as server:
        password = printed(server, "Password").split()[1]
        assert await asyncio.to_thread(paste, printed(server, "curl")) == '{"success":true}'
        async with connected(server.url, "owner", password) as rocket:
            assert await texts(rocket) == ["Hello from curl"]
            async with receiving(deploying, port) as bot:
                made = await rocket.integrations_create(
                    "webhook-outgoing",
                    "deployer",
                    True,
                    "rocket.cat",
                    "#general",
                    False,
                    event="sendMessage",
                    urls=[bot.url],
                    triggerWords=["!deploy"],
                    token=TOKEN,
                    retryFailedCalls=True,
                    retryCount=6,
                )
                hook_id = made["integration"]["_id"]
                await rocket.chat_post_message("!deploy api", channel="#general")
                assert (await bot.arrived()).json["trigger_word"] == "!deploy"
                await see(rocket, "deploying api")

            await rocket.chat_post_message("!deploy web", channel="#general")

            async def failed_once() -> bool:
                return any(entry.get("error") for entry in await rocket.integrations_history(hook_id))

            await until(failed_once)
        server.kill()
        issued = (TOKEN, password, printed(server, "curl").rpartition("/")[2].strip("'"))
        written = server.errors
        assert "attempt" in written
        assert [secret for secret in issued if secret in written] == []

    async with receiving(deploying, port) as bot:
        with ServerProcess(data, settings) as server:
            assert server.first_start_lines == []
            async with connected(server.url, "owner", password) as rocket:
                assert (await bot.arrived()).json["text"] == "!deploy web"
                await see(rocket, "deploying web")
                said = ["Hello from curl", "!deploy api", "deploying api", "!deploy web", "deploying web"]
                assert await texts(rocket) == said
            assert server.stop() == 0

    assert rows(data, "SELECT count(*) FROM message") == [(len(said),)]
    assert rows(data, "SELECT count(*) FROM delivery WHERE state IN ('queued', 'dead')") == [(0,)]
