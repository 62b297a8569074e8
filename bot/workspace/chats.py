"""Connected chats: adding, listing and removing them, and asking Slack once who a token belongs to (decision 61)."""

import json
import re
import secrets
from dataclasses import dataclass, field, replace
from typing import Protocol

from bot.workspace.directory import Directory
from handlers.errors import Fault
from handlers.http import Answered, End, OutboundRequest, Refused
from handlers.line import quote
from handlers.targets import AllowList, judge_url
from storage import ports
from storage.clock import Clock
from storage.errors import Taken
from storage.ids import WorkspaceId, timed_id
from storage.records.audit import AuditRow
from storage.records.changes import Changes
from storage.records.user import User
from storage.records.workspace import Workspace, WorkspaceKind

SLACK_URL = "https://slack.com/api"
ASK_S = 10.0
LONGEST = 200
"""Characters of a name or a team id."""

_PLAIN_SECRET = re.compile(r"[!-~]{8,512}")
_TEAM_NEEDED = {
    WorkspaceKind.SLACK: "Name the team id (T…), or give a bot token and it is asked for.",
    WorkspaceKind.MATTERMOST: "Name the team id: the id the address of a team's settings shows, 26 letters and digits.",
    WorkspaceKind.ROCKETCHAT: "Name the site: the address of the Rocket.Chat server, as its hooks send it (siteUrl).",
}


class Sender(Protocol):
    """Makes one guarded call and says how it ended."""

    async def send(self, request: OutboundRequest) -> End: ...


class ChatsStore(ports.Ledger, ports.Workspaces, Protocol):
    """What connected chats read and write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChat:
    """A chat to connect."""

    kind: WorkspaceKind
    name: str
    team_id: str | None = None
    secret: str = field(repr=False)
    bot_token: str | None = field(default=None, repr=False)
    base_url: str | None = field(default=None, repr=False)
    unlinked_viewer: bool = False


class Chats:
    """Keeps the connected chats of the served organisation."""

    def __init__(self, store: ChatsStore, directory: Directory, sender: Sender, clock: Clock, allow: AllowList) -> None:
        self._store = store
        self._directory = directory
        self._sender = sender
        self._clock = clock
        self._allow = allow

    async def all(self) -> list[Workspace]:
        """Return every connected chat."""
        return await self._store.workspaces(self._directory.org)

    async def add(self, actor: User, new: NewChat, *, door: str) -> Workspace | Fault:
        """Connect a chat; with a Slack bot token, Slack is asked once which team it belongs to.

        The audit row, in the name of `actor` and `door`, is written with it (decision 68).
        """
        if fault := self._fault(new):
            return fault
        if new.kind is WorkspaceKind.SLACK and new.bot_token is not None:
            team = await self._team_of(new.bot_token, new.base_url or SLACK_URL)
            if isinstance(team, Fault):
                return team
            if new.team_id not in (None, team):
                return Fault(f"The bot token belongs to the team {team}, not to {new.team_id}.", "conflict")
            new = replace(new, team_id=team)
        return await self._keep(actor, new, door)

    async def remove(self, actor: User, ref: str, *, door: str) -> Workspace | Fault:
        """Disconnect a chat by id or name; its accounts are bound to nobody any more."""
        known = await self.all()
        found = [one for one in known if one.id == ref] or [
            one for one in known if one.name.casefold() == ref.casefold()
        ]
        if not found:
            return Fault(f"There is no workspace {ref!r}.", "unknown")
        gone = found[0]
        await self._store.commit(Changes(drop_workspaces=(gone.id,), audit=(self._row(actor, door, "remove", gone),)))
        return gone

    async def _keep(self, actor: User, new: NewChat, door: str) -> Workspace | Fault:
        made_id = WorkspaceId(secrets.token_hex(8))
        # the App is told its workspace by us; the other systems bring an id of their own
        team_id = new.team_id or (made_id if new.kind is WorkspaceKind.ROCKETCHAT_APP else None)
        if team_id is None:
            return Fault(_TEAM_NEEDED[new.kind], "invalid")
        if new.kind is WorkspaceKind.ROCKETCHAT:
            team_id = team_id.rstrip("/")  # as the adapter reads the address of a site
        made = Workspace(
            id=made_id,
            org_id=self._directory.org,
            kind=new.kind,
            name=new.name,
            team_id=team_id,
            secret=new.secret,
            bot_token=new.bot_token,
            base_url=new.base_url.rstrip("/") if new.base_url else None,
            unlinked_viewer=new.unlinked_viewer,
            created_at=self._clock.now(),
        )
        try:
            await self._store.commit(Changes(new_workspaces=(made,), audit=(self._row(actor, door, "add", made),)))
        except Taken:
            text = f"A workspace of this name, or a {new.kind} one of this team, is connected already."
            return Fault(text, "conflict")
        return made

    def _row(self, actor: User, door: str, verb: str, workspace: Workspace) -> AuditRow:
        return AuditRow(
            id=timed_id(self._clock.now()),
            org_id=workspace.org_id,
            at=self._clock.now(),
            actor_id=actor.id,
            actor_name=actor.username,
            door=door,
            place="",
            command=f"workspace {verb}",
            line=f"workspace {verb} {workspace.kind} {quote(workspace.name)}",
            object_kind="workspace",
            object_id=workspace.id,
            object_name=workspace.name,
            outcome="done",
        )

    def _fault(self, new: NewChat) -> Fault | None:
        for what, value in (("name", new.name), ("team id", new.team_id)):
            if value is not None and not (value.strip() == value and 0 < len(value) <= LONGEST and value.isprintable()):
                return Fault(f"The {what} must be up to {LONGEST} visible characters.", "invalid")
        for what, value in (("secret", new.secret), ("bot token", new.bot_token)):
            if value is not None and not _PLAIN_SECRET.fullmatch(value):
                return Fault(f"The {what} must be 8 to 512 visible ASCII characters without spaces.", "invalid")
        if new.base_url is not None:
            target = judge_url(new.base_url, self._allow)
            if isinstance(target, Refused):
                return Fault(f"The base address: {target.message}", "invalid")
        return None

    async def _team_of(self, bot_token: str, base_url: str) -> str | Fault:
        """Ask Slack's `auth.test`; failures come as 200 with `ok` false (chat-dialects.md §1.9)."""
        request = OutboundRequest(
            "POST",
            f"{base_url.rstrip('/')}/auth.test",
            {"Authorization": f"Bearer {bot_token}", "Content-Type": "application/json; charset=utf-8"},
            b"{}",
            ASK_S,
        )
        end = await self._sender.send(request)
        if not isinstance(end, Answered):
            return Fault(f"Slack could not be asked about the bot token. {end.message}", "unavailable")
        try:
            answer = json.loads(end.body)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict) or end.status != 200:
            return Fault(f"Slack answered auth.test with {end.status} and no answer of its own.", "unavailable")
        team = answer.get("team_id")
        if answer.get("ok") is not True or not isinstance(team, str) or not re.fullmatch(r"[A-Z0-9]{2,40}", team):
            word = str(answer.get("error", ""))
            why = f": {word}" if re.fullmatch(r"[a-z_]{1,60}", word) else "."
            return Fault(f"Slack does not take the bot token{why}", "invalid")
        return team
