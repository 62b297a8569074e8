"""The commands of `in` and `out` on a real server: what a person types, and what then is so."""

import re
from dataclasses import asdict, dataclass

import pytest

from handlers.command import Answer, Dialect, Door, Place
from storage.ids import IntegrationId, UserId
from storage.records.audit import AuditFilter, AuditRow
from storage.records.integration import Hook, IncomingHook, OutgoingHook
from storage.records.user import User
from tests.delivering import receiving, until
from tests.server import Server

SIGNED = Door(name="slack", dialect=Dialect.SLACK)
PUBLIC = Door(name="room", public_lines=True, whispers=False)
HERE = Place(channel="C1", workspace="w1")
CANARY = "canary-5f2e9c71"


@dataclass
class Typist:
    """Somebody who types lines, and what is stored then."""

    server: Server
    user: User

    async def types(self, line: str, *, door: Door = SIGNED, private: dict[str, str] | None = None) -> Answer:
        """Run a line, whatever comes of it."""
        return await self.server.services.flow.run(self.user, HERE, line, door, private=private)

    async def does(self, line: str, **private: str) -> Answer:
        """Run a line that succeeds, confirming where that is asked for."""
        answer = await self.types(line, private=private)
        if answer.code == "confirm":
            assert isinstance(answer.data, dict)
            answer = await self.types(str(answer.data["command"]))
        assert answer.code == "ok", answer.text
        return answer

    async def hook(self, name: str) -> Hook:
        """Return the hook of a name as it is stored now."""
        found = [each for each in await self.server.services.directory.hooks() if each.name == name]
        stored = await self.server.services.store.hook(IntegrationId(found[0].id))
        assert stored is not None
        return stored

    async def incoming(self, name: str = "ci") -> IncomingHook:
        found = await self.hook(name)
        assert isinstance(found, IncomingHook)
        return found

    async def outgoing(self, name: str = "bot") -> OutgoingHook:
        found = await self.hook(name)
        assert isinstance(found, OutgoingHook)
        return found

    async def audit(self) -> list[AuditRow]:
        org = self.server.services.directory.org
        rows, _ = await self.server.services.store.audit_rows(AuditFilter(org_id=org))
        return rows

    async def sends(self, address: str, body: object, **headers: str) -> int:
        """Post to an address as a tool does."""
        async with self.server.http.post(address, json=body, headers=headers) as response:
            return response.status


@pytest.fixture
async def owner(server: Server) -> Typist:
    """The owner, typing in a channel of another chat."""
    return await _typist(server, UserId(server.owner["X-User-Id"]))


async def _typist(server: Server, user_id: UserId) -> Typist:
    user = await server.services.directory.user(user_id)
    assert user is not None
    return Typist(server, user)


async def _editor(server: Server) -> Typist:
    """Somebody who may manage their own hooks."""
    made = await server.user("ed")
    await server.post("users.update", {"userId": made["X-User-Id"], "data": {"roles": ["editor"]}})
    return await _typist(server, UserId(made["X-User-Id"]))


def _address(answer: Answer) -> str:
    found = re.search(r"Address \(shown once\): (\S+)", answer.text)
    assert found, answer.text
    return found[1]


async def test_a_new_incoming_hook_works_at_once(owner: Typist) -> None:
    """The answer holds the address once, for the caller alone; audit and room name the hook and no token."""
    answer = await owner.does("in add ci --room #general --format slack --expires 30d --alias CI")
    hook = await owner.incoming()
    lines = answer.text.splitlines()
    assert lines[0] == f"Done. Incoming hook ci ({hook.id}) posts to #general as rocket.cat."
    assert lines[2] == "Sender: POST as its Slack webhook, content type application/json; for 30 days"
    assert lines[3] == "Next: /hook in test ci   ·   Change: /hook in edit ci --room #other"
    assert (answer.secret, answer.private) == (True, True)
    assert answer.public_text == "Address of ci sent to @owner directly."
    assert (hook.format, hook.alias, hook.expires_at is not None) == ("slack", "CI", True)
    assert await owner.sends(_address(answer), {"text": "see <https://x.example|this>"}) == 200
    messages = await owner.server.room_messages()
    assert [each["msg"] for each in messages] == [
        "see [this](https://x.example)",
        "owner added incoming hook ci (slack).",
    ]
    row = (await owner.audit())[0]
    assert (row.command, row.object_id, row.object_name) == ("in add", hook.id, "ci")
    assert str(hook.token) not in f"{row}{messages}{answer.data}"


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("in add why --room #general", "invalid", "Invalid name: it is a word of the commands [error-invalid-name]"),
        ("in add out --room #general", "invalid", "[error-invalid-name]"),
        ("in add x --room #nowhere", "invalid", "One of the rooms is not there, or you are not in it."),
        ("in add x --room general", "invalid", "[error-invalid-channel-start-with-chars]"),
        ("in add x --room #general --post-as @nobody", "invalid", "[error-invalid-user]"),
        ("in add x --room #general --format github", "invalid", "Allowed: auto, rocketchat, slack"),
        ("in add x --room #general --events push", "unavailable", "--events comes with the formats"),
        ("in edit x --branch main", "unavailable", "--branch comes with the formats"),
        ("in add x --room #general --expires yesterday", "invalid", "--expires takes a time that is still to come."),
        ("in add x --room #general --dedup 'a b'", "invalid", "dedup header"),
        ("in edit x", "unknown", 'There is no incoming hook "x".'),
        ("in edit hello", "usage", '"in edit" needs something to change.'),
        ("in edit hello --alias A --clear alias", "usage", "--alias is set and cleared at once."),
        ("in enable hello", "conflict", "is on already"),
        ("out add x --event sendMessage --url ftp://x", "invalid", "Invalid URLs [error-invalid-urls]: address 1."),
        ("out add x --event sendMessage --url http://10.1.2.3/k", "invalid", "PATCHBAY_ALLOW_TARGETS"),
        ("out add x --event roomCreated --room #general --url https://x.example", "invalid", "leave --room out"),
        ("out add x --event fileUploaded --trigger a --url https://x.example", "invalid", "leave --trigger out"),
        ("out add x --event sendMessage --url https://x.example --retries 11", "invalid", "at most 10"),
        ("out add x --event sendMessage --url https://x.example --room #no", "invalid", "you are not in it"),
        ("out add x --event userCreated --url https://x.example", "invalid", "[error-invalid-targetRoom]"),
        ("in preview slack nonsense", "invalid", "Allowed: JSON between"),
        ("in preview auto '[1]'", "invalid", "It cannot be posted: Match error: Expected object, got array"),
        ("in replay hello #1", "unknown", "none is fresh"),
        ("in replay hello nothing", "unknown", 'Its history has no entry "nothing".'),
        ("in test hello --payload '{'", "invalid", "payload"),
    ],
)
async def test_what_is_refused_says_why(owner: Typist, line: str, code: str, part: str) -> None:
    """The workspace's own words and codes, told before anything is asked or written, dry run or not."""
    await owner.does("in add hello --room #general")
    for ending in ("", "" if "preview" in line else " --dry-run"):
        answer = await owner.types(line + ending)
        assert (answer.code, part in answer.text) == (code, True), answer.text
    assert len(await owner.audit()) == 1


async def test_a_dry_run_makes_nothing(owner: Typist) -> None:
    """It says what would be made."""
    answer = await owner.types("in add ci --room #general --dry-run")
    assert answer.text == "Done [dry-run]. Add incoming hook ci. Nothing was changed."
    assert "ci" not in [hook.name for hook in await owner.server.services.directory.hooks()]


async def test_an_edit_changes_what_it_names_and_can_be_undone(owner: Typist) -> None:
    """Everything else stays, the room of before reads of it too, and `undo` brings every value back."""
    await owner.does("in add ci --room #general --alias 'C I' --signed")
    before = await owner.incoming()
    answer = await owner.does("in edit ci --room '@owner' --name builds --alias B --emoji :tada: --no-keep-requests")
    assert answer.text.splitlines()[0] == (
        f"Done. Changed incoming hook ci ({before.id}): name builds, rooms @owner, alias B, emoji :tada:, "
        "no keep-requests.".replace("rooms", "room")
    )
    assert "Undo: /hook undo (10 min)" in answer.text
    after = await owner.incoming("builds")
    assert (after.channels, after.alias, after.emoji, after.keep_requests) == (("@owner",), "B", ":tada:", False)
    assert (after.token, after.secret) == (before.token, before.secret)
    note = (await owner.server.room_messages())[0]["msg"]
    assert note == "owner changed incoming hook ci: name, room, alias, emoji, keep-requests."
    await owner.does("undo")
    again = await owner.incoming()
    assert (again.channels, again.alias, again.emoji, again.keep_requests) == (("#general",), "C I", None, True)
    assert (await owner.types("in edit ci --alias 'C I'")).code == "conflict"


async def test_a_secret_cannot_be_undone_and_is_never_repeated(owner: Typist) -> None:
    """What a form brought is stored and shown nowhere; the answer says that undo does not know the old one."""
    first = await owner.does("in add ci --room #general --verify ?", verify=CANARY)
    assert CANARY not in first.text
    assert (await owner.incoming()).secret == CANARY
    answer = await owner.does("in edit ci --verify ? --alias X", verify=f"{CANARY}-2")
    assert "verify replaced" in answer.text
    assert "What was secret cannot be undone" in answer.text
    await owner.does("undo")
    kept = await owner.incoming()
    assert (kept.alias, kept.secret) == (None, f"{CANARY}-2")
    await owner.does("in edit ci --clear verify")
    assert (await owner.incoming()).secret is None
    assert (await owner.types("in show ci")).code == "ok"
    assert CANARY not in f"{await owner.audit()}{await owner.server.room_messages()}"


async def test_a_made_secret_is_shown_once_to_the_caller(owner: Typist) -> None:
    """`--signed` makes one, and requests without its signature are refused from then on."""
    answer = await owner.does("in add ci --room #general --signed")
    secret = (await owner.incoming()).secret
    assert f"Secret (shown once): {secret}" in answer.text
    assert (await owner.sends(_address(answer), {"text": "x"})) == 401
    edited = await owner.does("in edit ci --signed")
    assert (edited.secret, str((await owner.incoming()).secret) in edited.text) == (True, True)


async def test_rotation_keeps_the_old_address_for_a_while(owner: Typist) -> None:
    """After a press both addresses work, the list counts who still uses the old one, and `--end-old` ends it."""
    old = _address(await owner.does("in add ci --room #general"))
    asked = await owner.types("in rotate-token ci")
    assert (asked.code, [button.label for button in asked.buttons]) == ("confirm", ["Rotate", "Cancel"])
    assert "The old address works on and ends" in asked.text
    rotated = await owner.does("in rotate-token ci --keep-old 7d -y")
    new = _address(rotated)
    assert old.rsplit("/", 1)[0] == new.rsplit("/", 1)[0]
    assert (rotated.secret, str(rotated.public_text).startswith("New address for ci sent to @owner directly.")) == (
        True,
        True,
    )
    assert [await owner.sends(each, {"text": "x"}) for each in (old, old, new)] == [200, 200, 200]
    assert "old token 2 calls, ends 20" in (await owner.does("in list")).text
    assert "old token: 2 calls" in (await owner.does("in show ci")).text
    assert "old token" in (await owner.does("in history ci")).text
    last = _address(await owner.does("in rotate-token ci --end-old"))
    assert [await owner.sends(each, {"text": "x"}) for each in (old, new, last)] == [404, 404, 200]
    assert (await owner.types("undo")).code == "expired"


async def test_switching_off_asks_while_there_is_traffic(owner: Typist) -> None:
    """A quiet hook goes off at once; a busy one after a press; `undo` switches it on again."""
    address = _address(await owner.does("in add ci --room #general"))
    assert (await owner.types("in disable ci")).code == "ok"
    assert (await owner.sends(address, {"text": "x"})) == 503
    assert "#1 off · ci" in (await owner.does("in list --disabled")).text
    await owner.does("undo")
    assert (await owner.sends(address, {"text": "x"})) == 200
    asked = await owner.types("in disable ci")
    assert (asked.code, "Its last traffic was just now." in asked.text) == ("confirm", True)
    assert (await owner.incoming()).enabled
    await owner.does("in disable ci -y")
    assert not (await owner.incoming()).enabled
    answer = await owner.does("in enable ci")
    assert answer.text.endswith("Next: /hook in test ci\nUndo: /hook undo (10 min)")
    assert (await owner.server.room_messages())[0]["msg"] == "owner enabled incoming hook ci."


async def test_a_test_posts_a_sample_or_what_is_given(owner: Typist) -> None:
    """It is marked with who asked for it, stands in history, and a hook that is off posts nothing."""
    await owner.does("in add ci --room #general --format slack")
    answer = await owner.does("in test ci")
    assert answer.text == "Done. Posted a test of ci into #general.\nNext: /hook in history ci"
    assert not answer.private
    message = (await owner.server.room_messages())[0]
    assert message["msg"].startswith("[test by owner] Build *1234* passed: [details](https://ci.example.com")
    await owner.does('in test ci --payload ```json\n{"text": "*mine*"}\n```')
    assert (await owner.server.room_messages())[0]["msg"] == "[test by owner] *mine*"
    assert (await owner.audit())[0].line == f"in test {(await owner.incoming()).id} --payload ***"
    broken = await owner.types(f'in test ci --payload \'{{"token": "{CANARY}", }}\'')
    assert (broken.code, CANARY in broken.text) == ("invalid", False)
    assert "posted · unnamed" in (await owner.does("in history ci")).text
    await owner.does("in disable ci -y")
    assert (await owner.types("in test ci")).code == "conflict"


async def test_a_preview_posts_nothing(owner: Typist) -> None:
    """The text a person would read, with attachments; no code fence inside it ends the block."""
    before = await owner.server.room_messages()
    answer = await owner.does("in preview slack sample")
    assert "Build *1234* passed: [details](https://ci.example.com/builds/1234)" in answer.text
    assert "| Tests: 12 in 34 s" in answer.text
    given = await owner.does('in preview rocketchat \'{"text":"``` hi","alias":"CI"}\'')
    assert given.text.count("```") == 2
    assert await owner.server.room_messages() == before


async def test_history_lists_and_replay_posts_again(owner: Typist) -> None:
    """Refused requests can be picked out; a replay is formatted anew, marked, and kept as an entry of its own."""
    address = _address(await owner.does("in add ci --room #general"))
    await owner.sends(address, {"text": "first"}, **{"User-Agent": "tool/1", "Idempotency-Key": "k1"})
    await owner.sends(address, {"text": 5}, **{"User-Agent": "tool/1"})
    failed = await owner.does("in history ci --failed")
    assert failed.text.splitlines()[0] == "ci: 1 request that failed"
    assert "refused · tool/1" in failed.text
    assert "POST 400, Match error: Expected string, got number in field text" in failed.text
    everything = await owner.does("in history ci --since today")
    assert [row.split(" · ")[0] for row in everything.text.splitlines()[1:3]] == ["#1 refused", "#2 posted"]
    answer = await owner.does("in replay ci #2")
    assert (await owner.server.room_messages())[0]["msg"] == "[replayed by owner] first"
    assert answer.text.startswith(f"Done. Posted request {everything.rows[1]} of ci into #general again")
    again = await owner.does("in history ci")
    assert "REPLAY 200, 1 message" in again.text.splitlines()[1]
    assert (await owner.types(f"in replay ci {everything.rows[0]}")).code == "invalid"
    assert [row.command for row in await owner.audit()] == ["in replay", "in add"]


async def test_a_new_outgoing_hook_signs_and_calls(owner: Typist) -> None:
    """Its address comes by form and is shown nowhere whole; token and key are shown once, retries are on."""
    url = f"https://tool.example.test/{CANARY}"
    asked = await owner.types("out add bot --event sendMessage --room #general --url ?")
    assert (asked.code, asked.form is not None) == ("form", True)
    answer = await owner.does(
        "out add bot --event sendMessage --room #general --trigger !go --trigger '!a b' --sign --url ?", url=url
    )
    hook = await owner.outgoing()
    assert (hook.urls, hook.trigger_words) == ((url,), ("!go", "!a b"))
    assert (hook.retry_failed_calls, hook.retry_count, hook.retry_delay) == (True, 6, "powers-of-ten")
    first, token, key, *_ = answer.text.splitlines()
    assert first == (
        f"Done. Outgoing hook bot ({hook.id}) calls https://tool.example.test/… on sendMessage in #general "
        "beginning with !go, !a b."
    )
    assert (hook.token and hook.token in token, hook.signing_keys[0].key in key) == (True, True)
    assert answer.secret
    seen = f"{answer.text}{answer.data}{await owner.audit()}{await owner.server.room_messages()}"
    assert CANARY not in seen


async def test_an_address_in_a_public_line_is_refused(owner: Typist) -> None:
    """Others have read it: nothing is made, and a form is offered in its place."""
    line = f"out add bot --event sendMessage --url https://x.example/{CANARY}"
    answer = await owner.types(line, door=PUBLIC)
    assert (answer.code, CANARY in answer.text, answer.form is not None) == ("forbidden", False, True)


async def test_an_outgoing_hook_is_edited_and_undone(owner: Typist) -> None:
    """Addresses, token and keys stay where they are not named; what is undone stands as before."""
    await owner.does("out add bot --event sendMessage --room #general --trigger !go --url ?", url="https://a.example/1")
    before = await owner.outgoing()
    await owner.does(
        "out edit bot --clear room,trigger --no-retry --ordered --post-as @owner --retry-delay powers-of-two"
    )
    after = await owner.outgoing()
    assert (after.channels, after.trigger_words, after.retry_failed_calls, after.ordered) == ((), (), False, True)
    assert (after.username, after.urls, after.token) == ("owner", before.urls, before.token)
    await owner.does("undo")
    again = await owner.outgoing()
    fields = ("channels", "trigger_words", "retry_failed_calls", "retry_count", "retry_delay", "ordered", "username")
    assert [getattr(again, name) for name in fields] == [getattr(before, name) for name in fields]
    signed = await owner.does("out edit bot --sign")
    assert (await owner.outgoing()).signing_keys[0].key in signed.text
    await owner.does("out edit bot --url ?", url="https://b.example/1 https://b.example/2")
    assert len((await owner.outgoing()).urls) == 2


async def test_an_outgoing_token_rotates_with_its_key(owner: Typist) -> None:
    """The key of before signs on beside the new one for 24 h."""
    await owner.does("out add bot --event sendMessage --sign --url ?", url="https://a.example/1")
    before = await owner.outgoing()
    answer = await owner.does("out rotate-token bot")
    after = await owner.outgoing()
    assert after.token != before.token
    assert [after.signing_keys[1].key, after.signing_keys[1].expires_at is not None] == [
        before.signing_keys[0].key,
        True,
    ]
    assert after.signing_keys[0].key in answer.text
    assert str(after.token) in answer.text


async def test_a_test_of_an_outgoing_hook_is_a_real_call(owner: Typist) -> None:
    """It goes through the queue to the receiver, whatever the event; history shows it."""
    events = (
        "sendMessage --trigger !go",
        "fileUploaded",
        "roomCreated",
        "roomJoined",
        "userCreated --target-room #general",
    )
    async with receiving() as receiver:
        for number, event in enumerate(events, 1):
            await owner.does(f"out add bot{number} --event {event} --url ?", url=receiver.url)
            answer = await owner.does(f"out test bot{number}")
            assert answer.text.startswith(f"Done. Queued a test of bot{number} to 1 address.")
            await receiver.called(number)

        async def told() -> bool:
            return "#1 delivered · !go" in (await owner.does("out history bot1")).text

        await until(told)
    assert (receiver.bodies[0]["text"], receiver.bodies[0]["trigger_word"]) == ("!go test of bot1 by owner", "!go")
    assert "http://127.0.0.1:" in (await owner.does("out history bot1")).text


async def test_a_call_is_made_again(owner: Typist) -> None:
    """`out replay` runs the event of an entry once more; the room reads who did, and the hook does not hear that."""
    async with receiving() as receiver:
        await owner.does("out add bot --event sendMessage --room #general --url ?", url=receiver.url)
        await owner.server.post("chat.postMessage", {"channel": "#general", "text": "hello"})
        await receiver.called()

        async def told() -> bool:
            return len((await owner.does("out history bot")).rows) == 1

        await until(told)
        answer = await owner.does("out replay bot #1")
        assert answer.text.startswith("Done. Queued call ")
        assert (answer.room_note, answer.note_channels) == (
            "owner made a call of outgoing hook bot again.",
            ("#general",),
        )
        await receiver.called(2)
    assert receiver.texts == ["hello", "hello"]
    assert (await owner.audit())[0].command == "out replay"


async def test_the_call_of_a_test_is_not_made_again(owner: Typist) -> None:
    """A test tells of a message that nobody posted: the answer says so, and where the other calls are."""
    async with receiving() as receiver:
        line = "out add bot --event sendMessage --room #general --trigger !go --url ?"
        await owner.does(line, url=receiver.url)
        await owner.does("out test bot")
        await receiver.called(1)

        async def told() -> bool:
            return len((await owner.does("out history bot")).rows) == 1

        await until(told)
        answer = await owner.types("out replay bot #1")
    assert answer.code == "conflict"
    assert "is gone, or was only a test, so it cannot be made again. [history-data-must-be-defined]" in answer.text
    assert "Next: /hook out history " in answer.text


IN_EDITS = {
    "name": "--name other",
    "room": "--room '@owner' --room #general",
    "format": "--format slack",
    "expires": "--expires 30d",
    "allow-override": "--allow-override",
    "dedup": "--dedup X-Id",
    "keep-requests": "--no-keep-requests",
    "alias": "--alias 'a, \"b\" = c'",
    "avatar": "--avatar https://x.example/a.png",
    "emoji": "--emoji :tada:",
    "clear": "--clear alias,avatar,emoji,expires",
}
OUT_EDITS = {
    "name": "--name other",
    "room": "--room '@owner'",
    "event": "--event roomCreated",
    "trigger": "--trigger '!x, y' --trigger z",
    "anywhere": "--anywhere",
    "on-edits": "--on-edits",
    "retries": "--retries 2",
    "retry": "--no-retry",
    "retry-delay": "--retry-delay powers-of-two",
    "sign": "--sign",
    "ordered": "--ordered",
    "post-as": "--post-as @owner",
    "expires": "--expires 2100-01-02T03:04",
    "alias": "--alias other",
    "avatar": "--avatar https://x.example/a.png",
    "emoji": "--emoji :tada:",
    "clear": "--clear room,trigger,alias,avatar,emoji,expires",
}
BEYOND_UNDO = {"verify", "signed", "events", "exclude", "branch", "url", "token", "target-room"}
"""Flags of secrets, of what is not there yet, and of another event."""


@pytest.mark.parametrize(("noun", "edits"), [("in", IN_EDITS), ("out", OUT_EDITS)])
async def test_every_edit_can_be_undone(owner: Typist, noun: str, edits: dict[str, str]) -> None:
    """Whatever flag changed a hook, `undo` leaves it as it was, from odd values and to odd values."""
    command = owner.server.services.flow.commands.find(noun, "edit")
    assert command is not None
    assert {flag.name for flag in command.flags} - BEYOND_UNDO == set(edits)
    looks = "--room #general --alias 'x, \"y\"' --avatar https://x.example/b.png --emoji :x: --expires 7d"
    way = "" if noun == "in" else "--event sendMessage --trigger '!go, now' --trigger '-x' --url ? "
    await owner.does(f"{noun} add it {way}{looks}", url="https://x.example/1")
    before = await owner.hook("it")
    for edit in edits.values():
        await owner.does(f"{noun} edit {before.id} {edit}")
        changed = await owner.server.services.store.hook(before.id)
        assert changed is not None
        assert _settings(changed) != _settings(before), edit
        await owner.does("undo")
        assert _settings(await owner.hook("it")) == _settings(before), edit


def _settings(hook: Hook) -> dict[str, object]:
    """Return what a hook is told; a switch nobody ever set is off."""
    written = {"version", "updated_at", "updated_by"}
    switches = {"trigger_word_anywhere", "run_on_edits"}
    return {
        name: bool(value) if name in switches else value for name, value in asdict(hook).items() if name not in written
    }


async def test_a_change_meanwhile_is_not_overwritten(owner: Typist) -> None:
    """What was asked about holds for the hook as it was seen; somebody else's change is told, and nothing is lost."""
    await owner.does("in add ci --room #general")
    asked = await owner.types("in rotate-token ci")
    before = await owner.incoming()
    await owner.does("in edit ci --alias X")
    assert isinstance(asked.data, dict)
    again = await owner.types(str(asked.data["command"]))
    assert (again.code, "It changed since you were asked" in again.text) == ("confirm", True)
    assert (await owner.incoming()).token == before.token


async def test_a_hidden_room_answers_like_a_missing_one(server: Server) -> None:
    """Who is not in a private room does not learn from a refusal that it is there."""
    await server.post("groups.create", {"name": "vault"})
    editor = await _editor(server)
    hidden, missing = [await editor.types(f"in add x --room #{name}") for name in ("vault", "vaulx")]
    assert hidden.text == missing.text.replace("vaulx", "vault")


async def test_what_others_made_is_not_there(server: Server, owner: Typist) -> None:
    """An editor manages their own hooks; those of others answer like missing ones, by every verb."""
    await owner.does("in add theirs --room #general")
    editor = await _editor(server)
    await editor.does("in add mine --room #general")
    for verb in ("show", "edit", "enable", "disable", "remove", "rotate-token", "test", "history", "replay"):
        more = " #1" if verb == "replay" else " --alias x" if verb == "edit" else ""
        if verb == "replay":
            more = " anything"
        answer = await editor.types(f"in {verb} theirs{more}")
        assert (answer.code, 'There is no incoming hook "theirs".' in answer.text) == ("unknown", True), answer.text
    assert "theirs" not in (await editor.does("in list")).text
    assert (await editor.types("in add x --room #general --post-as @rocket.cat --dry-run")).code == "dry-run"


async def test_a_room_named_twice_is_one_room(owner: Typist) -> None:
    """What is said twice of rooms is said once; the answer, the list and the posts follow."""
    answer = await owner.does("in add ci --room #general,#general")
    assert "posts to #general as" in answer.text
    assert (await owner.incoming()).channels == ("#general",)


async def test_a_refused_name_says_what_is_allowed(owner: Typist) -> None:
    """The four parts of an error, also where the workspace refuses (commands.md §2.4)."""
    answer = await owner.types("in add help --room #general")
    assert (answer.code, "Allowed: any text that is not" in answer.text) == ("invalid", True)
