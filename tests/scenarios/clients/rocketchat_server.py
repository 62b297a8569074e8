"""A Rocket.Chat server that has the App installed: the real Apps-Engine in Node, what people saw as values."""

import asyncio
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.process import ROOT, environment

DRIVER = Path(__file__).parent / "apps_engine" / "server.js"
MODULES = ROOT / ".venv" / "node" / "node_modules"
ENGINE = MODULES / "@rocket.chat" / "apps-engine"
WITHIN_S = 60

ANN = {"id": "uAnn", "username": "ann", "name": "Ann"}
OPS = {"id": "rOps", "slugifiedName": "ops", "displayName": "ops", "type": "c"}


def _missing() -> str | None:
    if shutil.which("node") is None:
        return "Node is not installed, and Rocket.Chat's Apps-Engine runs in nothing else"
    if not ENGINE.exists():
        return f"Rocket.Chat's Apps-Engine is not in {MODULES}; `make setup-dev` installs it where npm is"
    return None


needs_engine = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")


@dataclass(frozen=True)
class Shown:
    """One message: to the room, or to one person alone."""

    to: str
    text: str
    room: str
    sender: str
    thread: str | None


@dataclass(frozen=True)
class Step:
    """What one thing somebody did made visible."""

    shown: list[Shown]
    preview: dict[str, Any] | None = None

    @property
    def only(self) -> Shown:
        """Return the one message of the step."""
        (message,) = self.shown
        return message


@dataclass(frozen=True)
class Session:
    """All that came of a plan."""

    info: dict[str, Any]
    status: str
    commands: list[dict[str, Any]]
    settings: dict[str, dict[str, Any]]
    texts: dict[str, dict[str, str]]
    steps: list[Step]
    requests: list[dict[str, Any]] = field(repr=False)


def run(params: str, command: str = "hook") -> dict[str, str]:
    """Type `/command params` and send it."""
    return {"do": "run", "command": command, "params": params}


def preview(params: str, command: str = "hook") -> dict[str, str]:
    """Type `/command params` and wait."""
    return {"do": "preview", "command": command, "params": params}


def choose(item: Mapping[str, str], params: str = "", command: str = "hook") -> dict[str, object]:
    """Pick one of the previews shown for what is typed."""
    return {"do": "choose", "command": command, "params": params, "item": dict(item)}


async def rocketchat(
    package: Path,
    *steps: Mapping[str, object],
    settings: Mapping[str, str] | None = None,
    user: Mapping[str, str] = ANN,
    room: Mapping[str, str] = OPS,
    thread: str | None = None,
    patience: float = 1,
) -> Session:
    """Install a package, fill in its settings, and do some things in a room; `patience` cuts time-outs short."""
    plan = {
        "package": str(package),
        "settings": dict(settings or {}),
        "user": dict(user),
        "room": dict(room),
        "steps": [dict(step) for step in steps],
        "patience": patience,
        **({"thread": thread} if thread else {}),
    }
    node = await asyncio.create_subprocess_exec(
        "node",
        str(DRIVER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment({"NODE_PATH": str(MODULES)}),
        cwd=MODULES.parent,  # from where the engine's sandbox looks for what an App requires
    )
    try:
        out, errors = await asyncio.wait_for(node.communicate(json.dumps(plan).encode()), WITHIN_S)
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
    assert node.returncode == 0, errors.decode(errors="replace")
    found = json.loads(out)
    assert found["errors"] == [], "the App threw, and nobody was told"
    return Session(
        info=found["info"],
        status=found["status"],
        commands=found["commands"],
        settings={setting["id"]: setting for setting in found["settings"]},
        texts=found["texts"],
        steps=[Step([Shown(**each) for each in step["shown"]], step.get("preview")) for step in found["steps"]],
        requests=found["requests"],
    )
