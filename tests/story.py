"""One story of lines, told through any door, and what it did to the server, step by step."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final  # Any: records are compared as plain values

from msgspec import to_builtins

from storage.records.audit import AuditFilter
from storage.records.delivery import DeliveryState
from storage.records.room import RoomKind
from tests.delivering import until
from tests.doorway import DESK, PAGE, AnyDoor, Said
from tests.scenarios.receiver import Receiver

_OUTCOME = re.compile(r"(Done|Warning|Not done)(?: \[([a-z-]+)\])?\.")
_NEVER_ALIKE: Final = {
    "id",
    "org_id",
    "token",
    "created_at",
    "updated_at",
    "created_by",
    "user_id",
    "signing_keys",
    "updated_by",
}
_OTHER_ID = re.compile(r"\b(?=\w*\d)(?=\w*[A-Za-z])[A-Za-z0-9]{17}\b")
_SHOWN_ONCE = re.compile(r"\(shown once[^)]*\): (?:http\S+/)?(\S+)")
_TYPED_CODE = re.compile(r"\b(confirm|cancel) [A-Z0-9]{6}\b")
_ADDRESS = re.compile(r"http://\S+/hooks/(?P<id>\w+)/(?P<token>\w+)")


@dataclass(frozen=True, slots=True)
class Step:
    """What one line did, apart from ids, tokens and the name of the door."""

    line: str
    verdict: str
    hooks: Mapping[str, Any]
    rooms: Mapping[str, Any]
    audit: list[tuple[str | None, ...]]
    messages: dict[str, list[str]]
    """What rooms other than the one typed in read of it."""


@dataclass
class Story:
    """Tells itself through a door; `steps` are its traces, `issued` the secrets it was handed or gave."""

    door: AnyDoor
    receiver: Receiver
    steps: list[Step] = field(default_factory=list)
    issued: dict[str, str] = field(default_factory=dict)
    whispers: list[Said] = field(default_factory=list)
    """Answers that hand out a secret."""
    answers: list[Said] = field(default_factory=list)
    """All others."""
    _names: dict[str, str] = field(default_factory=dict)
    _audited: int = 0
    _messages: dict[str, int] = field(default_factory=dict)

    # --- telling ------------------------------------------------------------------------------------

    async def say(self, line: str, *, confirm: str | None = None, values: Mapping[str, str] | None = None) -> Said:
        """Type a line, give what it asks for in private, say yes if it asks, and keep what that did.

        `confirm` is the name to type, "" where a press or the code alone suffices.
        """
        said = await self.door.say(line)
        if values is not None:
            if page := PAGE.search(said.text):
                self.issued[f"page for {line}"] = page[1]
            assert not any(value in said.text for value in values.values())
            said = await self.door.fill(said, values)
        if confirm is not None:
            assert _verdict(said) == "Warning [confirm]", said.text
            self.answers.append(said)
            await self._keep(line, said)
            said = await self.door.confirm(said, confirm)
        await self._keep(line, said)
        return said

    async def hand_out(self, line: str, **more: Any) -> str:
        """Type a line whose answer shows an address once; return the address, which nobody else has read."""
        said = await self.say(line, **more)
        found = _ADDRESS.search(said.text)
        assert found is not None, said.text
        assert found["token"] not in said.room
        self.issued[f"token {len(self.issued)}: {line}"] = found["token"]
        return f"{self.door.stage.server.url}/hooks/{found['id']}/{found['token']}"

    async def _keep(self, line: str, said: Said) -> None:
        handed = _SHOWN_ONCE.findall(said.text)
        self.issued |= {f"shown once {len(self.issued) + number}": one for number, one in enumerate(handed)}
        (self.whispers if handed else self.answers).append(said)
        stage = self.door.stage
        services = stage.server.services
        org = services.directory.org
        hooks = await services.directory.hooks()
        rooms = [room for room in await services.directory.rooms() if room.name]
        self._names |= {hook.id: f"<{hook.name}>" for hook in hooks} | {room.id: f"<#{room.name}>" for room in rooms}
        rows, total = await services.store.audit_rows(AuditFilter(org_id=org), count=500)
        new, self._audited = [row for row in rows[: total - self._audited] if row.actor_name == "ann"], total
        assert {row.door for row in new} <= {self.door.name, "form"}
        self.steps.append(
            Step(
                line=self._named(line),
                verdict=_verdict(said),
                hooks={hook.name: self._plain(to_builtins(hook, builtin_types=(bytes,))) for hook in hooks},
                rooms={str(room.name): (room.kind.value, room.archived, room.read_only) for room in rooms},
                audit=[
                    (
                        row.actor_name,
                        row.command,
                        self._named(row.line),
                        row.object_kind,
                        self._named(row.object_id or ""),
                        row.object_name,
                        row.outcome,
                    )
                    for row in new
                ],
                messages={
                    str(room.name): [self._named(text) for text in await self._new(room.id)]
                    for room in rooms
                    if room.kind is not RoomKind.DIRECT and room.name != DESK
                },
            )
        )

    async def _new(self, room_id: Any) -> list[str]:
        messages, total = await self.door.stage.server.services.store.messages(room_id, count=100)
        before = self._messages.get(room_id, 0)
        self._messages[room_id] = total
        return [message.text for message in messages[: total - before]]

    def _plain(self, hook: Any) -> Any:
        kept = {name: value for name, value in hook.items() if name not in _NEVER_ALIKE}
        kept["urls"] = [url.replace(self.receiver.url, "<tool>") for url in kept.get("urls", ())]
        return {
            **kept,
            "updated_by": hook["updated_by"] and hook["updated_by"][1],
            "previous_token": kept.get("previous_token") is not None,
        }

    def _named(self, text: str) -> str:
        for known, name in self._names.items():
            text = text.replace(known, name)
        return _TYPED_CODE.sub(r"\1 <code>", _OTHER_ID.sub("<id>", text))

    # --- around it ----------------------------------------------------------------------------------

    async def post(self, address: str, text: str) -> None:
        """Let a tool send something to a hook."""
        async with self.door.stage.server.http.post(address, json={"text": text}) as response:
            assert response.status == 200, await response.text()

    async def died(self) -> None:
        """Wait until the one delivery of the story has failed for good."""
        store = self.door.stage.server.services.store

        async def dead() -> bool:
            found, total = await store.deliveries(state=DeliveryState.DEAD)
            return total == 1 and found[0].tries > 0

        await until(dead)

    async def newest(self, room: str) -> str:
        """Return the id of the newest message of a room."""
        found = await self.door.stage.server.services.directory.room_named(room)
        assert found is not None
        messages, _ = await self.door.stage.server.services.store.messages(found.id, count=1)
        return messages[0].id


def _verdict(said: Said) -> str:
    found = _OUTCOME.match(said.text.lstrip("`\n "))
    return found[0].rstrip(".") if found else "told"


WRONG: Final = (
    "in lst",
    "frobnicate",
    "in show no-such-hook",
    "in show no-such-hook --bogus",
    'in show "open',
    "in add",
    "in add x --room #no-such-room",
    "in add why --room #ops",
    "in edit ci-alerts",
    "in remove ci-al",
    "in list --room",
    "dead retry #99",
    "mute never",
    "confirm ZZZZZZ",
    "cancel",
    "why nothing-of-the-kind",
    "room archive #no-such-room",
    "in rotate-token ci-alerts --keep-old yesterday",
    "out add x --event nonsense --room #ops --url ?",
)
"""Lines that are refused, each for a reason of its own."""


async def told(story: Story, between: Callable[[Story], Awaitable[None]] | None = None) -> None:
    """Tell the story; `between` is called when there are hooks of both directions."""
    door, server = story.door, story.door.stage.server
    address = await story.hand_out("in add ci-alerts --room #ops")
    await story.post(address, "first")
    for line in ("in list", "list", "in show ci-alerts", "help in add", "status", "whoami"):
        await story.say(line)
    await story.say("in edit ci-alerts --room #general --alias Builds")
    await story.say("undo")
    secret = story.issued["signing secret"] = "canary7verify7secret7given7by7form"
    await story.say("in edit ci-alerts --verify ?", values={"verify": secret})
    await story.say("in edit ci-alerts --clear verify")
    await story.say("in test ci-alerts")
    asked = await door.say("in disable ci-alerts")
    story.answers.append(asked)
    await story.say("in disable ci-alerts", confirm="" if _verdict(asked) == "Warning [confirm]" else None)
    await story.say("in enable ci-alerts")
    newer = await story.hand_out("in rotate-token ci-alerts", confirm="")
    await story.post(newer, "by the new address")
    await story.say("in history ci-alerts")
    await story.say("in replay ci-alerts #1")
    await story.say(f"why {await story.newest('ops')}")

    path = story.issued["key in an address"] = "canary7key7in7an7address"
    line = "out add watcher --event sendMessage --room #ops --trigger !go --no-retry --url ?"
    await story.say(line, values={"url": f"{story.receiver.url}?key={path}"})
    await server.post("chat.postMessage", {"channel": "#ops", "text": "!go one"})
    await story.died()
    await story.say("dead list")
    await story.say("dead retry #1")
    await story.died()
    await story.say("delivery list")
    await story.say("out history watcher")
    await story.say("dead discard --all")
    if between is not None:
        await between(story)
    for line in ("mute 1h watcher", "undo", "room mute watcher --for 2h", "room mute watcher --off"):
        await story.say(line)
    for line in ("room create #night", "room list", "room hooks #ops"):
        await story.say(line)
    await story.say("room archive #night", confirm="")
    await story.say("room archive #night --off")
    for line in WRONG:
        await story.say(line)
    asked = await door.say("in remove ci-alerts")
    await story.say(f"confirm {asked.code} CI-alerts")
    await story.say(f"cancel {asked.code}")
    await story.say("in remove ci-alerts", confirm="ci-alerts")
    await story.say("out remove watcher", confirm="watcher")
    await story.say("undo")
