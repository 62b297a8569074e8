"""`delivery`, `dead`, `room` and `mute` on a real server: real queue, real receiver, real rooms."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from handlers.command import Answer, Door, Place
from storage.clock import Millis
from storage.ids import DeliveryId
from storage.records.audit import AuditFilter
from storage.records.delivery import DeliveryState
from storage.records.integration import Hook
from storage.records.user import User
from tests.clock import ManualClock
from tests.delivering import Receiver, answering, receiving, until
from tests.records import NOON
from tests.server import Server, serving

DOOR = Door(name="terminal")
ELSEWHERE = Place(channel="terminal")


@dataclass
class Stage:
    """A server with an outgoing hook of `#ops` to a receiver that refuses, and people who type."""

    server: Server
    clock: ManualClock
    receiver: Receiver
    hook: dict[str, Any]

    async def typed(self, line: str, who: str = "owner", place: Place = ELSEWHERE) -> Answer:
        return await self.server.services.flow.run(await self.person(who), place, line, DOOR)

    async def person(self, name: str) -> User:
        user = await self.server.services.directory.user_named(name)
        assert user is not None
        return user

    async def place(self, name: str) -> Place:
        room = await self.server.services.directory.room_named(name)
        assert room is not None
        return Place(channel=room.id, room=room)

    async def say(self, text: str) -> None:
        await self.server.post("chat.postMessage", {"channel": "#ops", "text": text})

    async def ids(self, state: DeliveryState, count: int) -> list[DeliveryId]:
        """Wait for so many deliveries in a state that were tried; return them, newest first."""
        store = self.server.services.store

        async def there() -> bool:
            found, total = await store.deliveries(state=state)
            return total == count and all(one.tries or one.reason for one in found)

        await until(there)
        return [one.id for one in (await store.deliveries(state=state))[0]]

    async def stored(self) -> Hook:
        found = await self.server.services.store.hook(self.hook["_id"])
        assert found is not None
        return found

    async def texts(self, room: str) -> list[str]:
        """Return what stands in a room, newest first."""
        found = await self.server.services.directory.room_named(room)
        assert found is not None
        messages, _ = await self.server.services.store.messages(found.id, count=50)
        return [message.text for message in messages]

    async def audited(self) -> list[str]:
        rows, _ = await self.server.services.store.audit_rows(AuditFilter(org_id=self.server.services.directory.org))
        return [row.line for row in rows]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    clock = ManualClock()
    async with (
        receiving(answering(400, {"why": "bad pixel", "token": "CANARY-echo"})) as receiver,
        serving(tmp_path, clock) as server,
    ):
        await server.post("channels.create", {"name": "ops"})
        hook = await server.post(
            "integrations.create",
            {
                "type": "webhook-outgoing",
                "name": "watcher",
                "enabled": True,
                "username": "rocket.cat",
                "channel": "#ops",
                "event": "sendMessage",
                "urls": [f"{receiver.url}?key=CANARY-query"],
                "triggerWords": ["!go"],
                "token": "CANARY-token",
                "scriptEnabled": False,
            },
        )
        yield Stage(server, clock, receiver, hook["integration"])


async def test_a_dead_letter_from_the_list_to_the_receiver(stage: Stage) -> None:
    """Listed, shown with its attempt, queued again by row, and delivered; the room and the audit know who."""
    await stage.say("!go one")
    [letter] = await stage.ids(DeliveryState.DEAD, 1)
    listed = await stage.typed("dead list --reason 400")
    assert listed.text.startswith(f"1 dead, oldest just now\n#1 dead · watcher · dlv_{letter} · http://127.0.0.1:")
    assert listed.text.endswith("/… · sendMessage: The receiver answered 400 · just now · 1 try")
    shown = await stage.typed("delivery show #1")
    assert f"Delivery dlv_{letter}\nstate: dead\nwhy: The receiver answered 400.\nhook: watcher (" in shown.text
    assert "attempt 1: just now · 400 · " in shown.text
    assert 'answer: {"why": "bad pixel", "token": "***"}' in shown.text
    assert "CANARY" not in f"{listed.text}{listed.data}{shown.text}{shown.data}"
    stage.receiver.answer = answering(200)
    assert (await stage.typed("dead list")).code == "ok"
    done = await stage.typed("dead retry #1")
    assert done.text == f"Done. Queued 1 again. Follow: /hook delivery show dlv_{letter}"
    assert await stage.ids(DeliveryState.DELIVERED, 1) == [letter]
    assert stage.receiver.texts == ["!go one", "!go one"]
    assert "owner queued 1 dead letter of watcher again." in await stage.texts("ops")
    assert await stage.audited() == [f"dead retry dlv_{letter}"]
    assert (await stage.typed(f"dead retry dlv_{letter}")).code == "conflict"
    assert (await stage.typed(f"delivery retry dlv_{letter}")).code == "conflict"
    assert len(await stage.audited()) == 1


async def test_many_are_discarded_after_a_question_and_once(stage: Stage) -> None:
    """The question is used up with the effect; a second press does nothing, and the status counts none."""
    for number in range(11):
        await stage.say(f"!go {number}")
    await stage.ids(DeliveryState.DEAD, 11)
    status = await stage.typed("")
    assert "Deliveries: 0 queued, 11 dead\n" in status.text
    assert status.text.endswith("/hook dead list")
    asked = await stage.typed("dead discard watcher")
    assert asked.code == "confirm"
    done = await stage.typed(asked.buttons[0].line)
    assert done.text == "Done. Discarded 11 dead letters.\nNext: /hook dead list"
    assert (await stage.typed(asked.buttons[0].line)).code == "expired"
    assert len(await stage.ids(DeliveryState.DISCARDED, 11)) == 11
    assert (await stage.audited(), (await stage.typed("dead list")).text) == (["dead discard watcher"], "0 dead")


async def test_a_waiting_delivery_is_tried_now(stage: Stage) -> None:
    """Its next try is told; `retry` makes the call at once, and one in between is not made twice."""
    assert (await stage.typed("room mute watcher --for 1h")).code == "ok"
    await stage.say("!go muted")
    assert (await stage.typed("deliveries")).text == "0 deliveries"
    assert (await stage.typed("undo")).code == "ok"
    hook = {key: stage.hook[key] for key in ("type", "name", "enabled", "username", "event", "urls", "token")}
    more = {"channel": "#ops", "scriptEnabled": False, "triggerWords": ["!go"], "integrationId": stage.hook["_id"]}
    retries = {"retryFailedCalls": True, "retryCount": 6, "retryDelay": "powers-of-ten"}
    await stage.server.api("PUT", "integrations.update", {**hook, **more, **retries})
    await stage.say("!go on")
    [waiting] = await stage.ids(DeliveryState.QUEUED, 1)
    shown = await stage.typed(f"delivery show dlv_{waiting}")
    assert "state: queued\nwhy: The receiver answered 400.\n" in shown.text
    assert "next try: in 1 min\n" in shown.text
    stage.clock.step_wall(3_600_000)
    assert "next try: in 1 min\n" in (await stage.typed(f"delivery show dlv_{waiting}")).text
    assert (await stage.typed("delivery list --since -1m")).text.startswith("1 delivery")
    stage.receiver.answer = answering(200)
    assert (await stage.typed(f"delivery retry dlv_{waiting}")).text.startswith(f"Done. dlv_{waiting} is tried now.")
    assert await stage.ids(DeliveryState.DELIVERED, 1) == [waiting]
    assert stage.receiver.texts == ["!go on", "!go on"]


async def test_what_an_incoming_hook_caused(stage: Stage) -> None:
    """`--in` follows its requests to the deliveries their messages caused; others' are left out."""
    made = await stage.server.post(
        "integrations.create",
        {
            "type": "webhook-incoming",
            "name": "ci",
            "enabled": True,
            "username": "rocket.cat",
            "channel": "#ops",
            "scriptEnabled": False,
        },
    )
    hook = made["integration"]
    await stage.say("!go by hand")
    await stage.ids(DeliveryState.DEAD, 1)
    address = f"{stage.server.url}/hooks/{hook['_id']}/{hook['token']}"
    async with stage.server.http.post(address, json={"text": "!go by ci"}) as response:
        assert response.status == 200
    newest, _ = await stage.ids(DeliveryState.DEAD, 2)
    listed = await stage.typed("delivery list --in ci --out watcher --status dead")
    assert listed.rows == (f"dlv_{newest}",)
    assert (await stage.typed("deliveries")).text.startswith("2 deliveries\n")


async def test_what_a_removed_hook_left(stage: Stage) -> None:
    """Those who see every hook still see its dead letters and can discard them; they have nowhere to go."""
    await stage.say("!go")
    [letter] = await stage.ids(DeliveryState.DEAD, 1)
    await stage.server.post("integrations.remove", {"type": "webhook-outgoing", "integrationId": stage.hook["_id"]})
    assert f"removed hook {stage.hook['_id']}" in (await stage.typed("dead list")).text
    assert (await stage.typed(f"dead retry dlv_{letter}")).code == "conflict"
    assert "nowhere to go" in (await stage.typed(f"delivery retry dlv_{letter}")).text
    assert await stage.audited() == []
    assert (await stage.typed("dead discard --all")).code == "ok"


async def test_deliveries_of_others_are_not_there(stage: Stage) -> None:
    """An editor who did not make the hook neither sees nor changes its deliveries, whatever they type."""
    await stage.server.user("ed", "editor")
    await stage.say("!go")
    [letter] = await stage.ids(DeliveryState.DEAD, 1)
    assert (await stage.typed("dead list", "ed")).text == "0 dead"
    for line in (f"delivery show dlv_{letter}", f"delivery retry dlv_{letter}", f"dead discard dlv_{letter}"):
        hidden = await stage.typed(line, "ed")
        missing = await stage.typed(line.replace(f"_{letter}", "_999"), "ed")
        assert hidden.code == missing.code == "unknown"
        assert hidden.text.replace(str(letter), "999").split("```")[0] == missing.text.split("```")[0]
    assert (await stage.typed("dead retry --all", "ed")).code == "unknown"
    assert await stage.ids(DeliveryState.DEAD, 1) == [letter]


async def test_a_room_from_its_making_to_its_archive(stage: Stage) -> None:
    """Made with people in it, told in itself, archived after a question with its last line in it, opened again."""
    await stage.server.user("ann")
    made = await stage.typed("room create #secret --private --invite @ann")
    assert made.text.startswith("Done. Created room #secret (")
    await stage.server.user("bob")
    assert (await stage.typed("room show #secret", "ann")).text.startswith("Room #secret\n")
    assert (await stage.typed("room show #secret", "bob")).code == "unknown"
    assert "secret" not in (await stage.typed("room list", "bob")).text
    public = await stage.typed("room create deploys")
    assert public.code == "ok"
    assert await stage.texts("deploys") == ["owner created room #deploys."]
    assert (await stage.typed("room archive #deploys", "ann")).code == "forbidden"
    asked = await stage.typed("room archive #deploys")
    assert (await stage.typed(asked.buttons[0].line)).text.startswith("Done. Archived room #deploys")
    assert (await stage.texts("deploys"))[0] == "owner archived room #deploys."
    status, refused = await stage.server.api("POST", "chat.postMessage", {"channel": "#deploys", "text": "x"})
    assert (status, "archived" in refused["error"]) == (400, True)
    assert (await stage.typed("undo")).code == "ok"
    assert (await stage.texts("deploys"))[0] == "owner opened room #deploys."
    lines = await stage.audited()
    assert [line.split()[1] for line in lines] == ["archive", "archive", "create", "create"]


async def test_a_room_is_muted_and_heard_again(stage: Stage) -> None:
    """`mute 1h` in a room quiets its hooks in one write; they wake by themselves, or by `undo`."""
    ops = await stage.place("ops")
    muted = await stage.typed("mute 1h", place=ops)
    assert muted.text.startswith("Done. Muted watcher (")
    assert (await stage.texts("ops"))[0] == "owner muted watcher until 2026-03-02 10:14."
    assert "Silent: 1 muted\n" in (await stage.typed("status")).text
    await stage.say("!go quiet")
    stage.clock.advance(3_600_000)
    await stage.say("!go loud")
    await stage.ids(DeliveryState.DEAD, 1)
    assert stage.receiver.texts == ["!go loud"]
    assert (await stage.typed("mute 1h", place=ops)).code == "ok"
    before = await stage.stored()
    assert (await stage.typed("undo", place=ops)).code == "ok"
    after = await stage.stored()
    assert (before.muted_until is None, after.muted_until, after.version) == (False, None, before.version + 1)
    assert (await stage.typed("mute 1h")).code == "usage"


async def test_an_undo_is_refused_when_a_hook_changed_since(stage: Stage) -> None:
    """Somebody edits the hook after it was muted: the mute stays, and the answer says why."""
    await stage.typed("room mute watcher --for 1h")
    await stage.server.services.hooks.mute(
        await stage.person("owner"), [await stage.stored()], Millis(NOON + 7_200_000)
    )
    refused = await stage.typed("undo")
    assert (refused.code, "It changed since, so it is not undone" in refused.text) == ("conflict", True)


@pytest.mark.parametrize("line", ["dead discard --all", "dead discard watcher"])
async def test_a_note_about_a_hooks_deliveries_is_not_delivered_by_it(stage: Stage, line: str) -> None:
    """A hook that hears every message of its room would fail once more on the note that its letters were discarded."""
    everything = {key: stage.hook[key] for key in ("type", "name", "enabled", "username", "event", "urls", "token")}
    more = {"channel": "#ops", "scriptEnabled": False, "triggerWords": [], "integrationId": stage.hook["_id"]}
    status, _ = await stage.server.api("PUT", "integrations.update", {**everything, **more})
    assert status == 200
    await stage.say("hello")
    # the notice of the failure is heard by nobody but people, and so is the note
    await stage.ids(DeliveryState.DEAD, 1)
    assert (await stage.typed(line)).code == "ok"
    assert (await stage.texts("ops"))[0] == "owner discarded 1 dead letter of watcher."
    assert (await stage.server.services.store.deliveries())[1] == 1
