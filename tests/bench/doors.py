"""The doors commands come through: the owner's account in each chat, and lines as each system sends them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Final
from urllib.parse import quote_plus, urlencode

from handlers.chat_adapter import ChatCommand, Request, load_adapters
from handlers.command import Mark
from storage.clock import SystemClock
from storage.ids import OrgId, WorkspaceId
from storage.ports import Store
from storage.records.account import AccountLink
from storage.records.changes import Changes
from storage.records.workspace import Workspace, WorkspaceKind
from tests import chats
from tests.bench.children import call
from tests.bench.load import Load, Signature
from tests.bench.server import login

CONNECTIONS: Final = 16
NO_HEADERS: Final[Mapping[str, str]] = {}
TYPED: Final = '{"line": "@line", "id": "@n"}'
SLACK: Final = Signature(secret=chats.SECRET, timestamp_header="X-Slack-Request-Timestamp", header="X-Slack-Signature")
APP: Final = Signature(secret=chats.SECRET, timestamp_header="X-Patchbay-Timestamp", header="X-Patchbay-Signature")


async def connect(store: Store, org: OrgId) -> None:
    """Connect a chat of each kind, where the sender of its sample request is linked to the owner."""
    owner, now = await store.user_named("owner"), SystemClock().now()
    assert owner is not None
    workspaces, links = [], []
    for name, adapter in load_adapters().items():
        sample = chats.SAMPLES[name]("help")
        sent = adapter.parse_command(sample)
        assert isinstance(sent, ChatCommand)
        own = WorkspaceId(name)
        workspaces.append(
            Workspace(
                id=own,
                org_id=org,
                kind=WorkspaceKind(name),
                name=name,
                team_id=adapter.team_of(sample) or "",
                secret=chats.SECRET,
                created_at=now,
            )
        )
        links.append(AccountLink(workspace_id=own, external_id=sent.user_id, user_id=owner.id, linked_at=now))
    await store.commit(Changes(new_workspaces=tuple(workspaces), add_links=tuple(links)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The doors of a running server, where the owner sends so many lines a second through each."""

    url: str
    session: Mapping[str, str]
    token: str
    """A personal access token, as a terminal sends it."""
    rate: float
    seconds: float

    def commands(self, lines: Sequence[str], late: str) -> dict[str, Load]:
        """Return a load of whole lines for each door, by its name; late answers go to the address `late`."""
        run = json.dumps({"command": "hook", "params": "@line", "roomId": "GENERAL", "triggerId": "@n"})
        app = chats.app_command("@line").body.decode().replace("0" * 32, "@hex")
        message = chats.rocketchat_message("@line", message_id="@n").body.decode()
        slack = chats.slack_command("@line", trigger_id="@n", response_url=late)
        mattermost = chats.mattermost_command("@line", trigger_id="@n", response_url=late)
        typed, in_form = tuple(map(_in_json, lines)), tuple(map(_in_form, lines))
        return {
            "commands.run": self._load("/api/v1/commands.run", typed, body=run, headers=self.session),
            "terminal": self._load("/commands/terminal", typed, body=TYPED, headers=self._bearer()),
            "rocketchat-app": self._load("/commands/rocketchat-app", typed, body=app, signature=APP),
            "slack": self._load(
                "/commands/slack",
                in_form,
                body=_marked(slack),
                headers={"Content-Type": chats.FORM_TYPE},
                signature=SLACK,
            ),
            "mattermost": self._load(
                "/commands/mattermost", in_form, body=_marked(mattermost), headers=dict(mattermost.headers)
            ),
            "rocketchat": self._load("/commands/rocketchat", typed, body=message),
        }

    def completions(self, lines: Sequence[str]) -> dict[str, Load]:
        """Return a load of half-typed lines for each door that completes them where they are asked for alone."""
        preview = urlencode({"command": "hook", "params": "@line", "roomId": "GENERAL"}, safe="@")
        plugin = chats.mattermost_command("", user_input="/hook @line")
        typed, in_address = tuple(map(_in_json, lines)), tuple(map(_in_form, lines))
        return {
            "terminal": self._load("/commands/terminal/complete", typed, body=TYPED, headers=self._bearer()),
            "commands.preview": self._load(
                f"/api/v1/commands.preview?{preview}", in_address, headers=self.session, method="GET"
            ),
            "mattermost": self._load(
                f"/commands/mattermost/complete?{_marked(plugin)}",
                in_address,
                headers=dict(plugin.headers),
                method="GET",
            ),
        }

    def run(self, line: str) -> None:
        """Run a line that must succeed."""
        said = call("POST", f"{self.url}/commands/terminal", {"line": line}, self._bearer())
        assert said["mark"] == Mark.DONE, said

    def _load(
        self,
        path: str,
        lines: tuple[str, ...],
        *,
        body: str = "",
        headers: Mapping[str, str] = NO_HEADERS,
        signature: Signature | None = None,
        method: str = "POST",
    ) -> Load:
        return Load(
            url=self.url + path,
            method=method,
            body=body,
            headers=dict(headers),
            lines=lines,
            signature=signature,
            connections=CONNECTIONS,
            rate=self.rate,
            seconds=self.seconds,
        )

    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


def opened(url: str, *, rate: float, seconds: float) -> Doors:
    """Log in as the owner and make a personal access token."""
    session = login(url)
    made = call("POST", f"{url}/api/v1/users.generatePersonalAccessToken", {"tokenName": "bench"}, session)
    return Doors(url=url, session=session, token=made["token"], rate=rate, seconds=seconds)


def answered(load: Load) -> str:
    """Send the first line of a load once, outside of any load, and return the answer."""
    url, body = (text.replace("@line", load.lines[0]).replace("@n", token_hex(8)) for text in (load.url, load.body))
    return json.dumps(call(load.method, url, json.loads(body) if body else None, load.headers))


def _in_form(line: str) -> str:
    """Write a line as a form or an address holds it, with the loader's marks as they are."""
    return quote_plus(line, safe="@")


def _in_json(line: str) -> str:
    """Write a line as it stands between the quotes of JSON."""
    return json.dumps(line)[1:-1]


def _marked(request: Request) -> str:
    """Return a form whose marks are as the loader looks for them."""
    return request.body.decode().replace("%40", "@")
