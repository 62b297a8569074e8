"""`delivery`, `dead`, `room` and `mute` as they are typed: what is said, asked, refused, and taken back."""

from dataclasses import replace

import pytest

from handlers.command import Mark
from storage.clock import Millis
from storage.ids import IntegrationId, RoomId, UserId
from storage.records.delivery import DeliveryState
from storage.records.integration import OutgoingHook, SigningKey
from storage.records.room import RoomKind
from storage.records.user import Role
from tests.command_stage import InMemory, code_of
from tests.command_traffic import delivery
from tests.records import NOON, incoming, outgoing, room, user

BOB = (UserId("bob"), "bob")
OPS = outgoing(channels=("#ops",), urls=("https://bot.example.test/CANARY-path?key=CANARY-query",))
ID = OPS.id


def stage(role: Role = Role.ADMIN, letters: int = 3, hook: OutgoingHook = OPS) -> InMemory:
    """Return Ann with a hook each way and dead letters `dlv_1` and on of the outgoing one."""
    on = InMemory(user(role=role), [incoming(), hook])
    on.yard.deliveries = [delivery(number, hook) for number in range(1, letters + 1)]
    return on


def states(on: InMemory) -> list[str]:
    return [each.delivery.state.value for each in on.yard.deliveries]


async def test_dead_letters_are_listed_and_queued_again_by_row() -> None:
    """The sample dialogue: a list with its oldest, then rows of it, with one audit row and a note for the room."""
    on = stage()
    listed = await on.typed("dead list --reason 400")
    row = "dead · ops-bot · dlv_3 · https://bot.example.test/… · sendMessage: The receiver answered 400 · 2 h ago"
    assert listed.text.splitlines()[:2] == ["3 dead, oldest 2 h ago", f"#1 {row} · 5 tries"]
    assert listed.rows == ("dlv_3", "dlv_2", "dlv_1")
    done = await on.typed("dead retry #1 #2")
    assert done.text == "Done. Queued 2 again. Follow: /hook delivery show dlv_3"
    assert (done.room_note, done.note_channels) == ("ann queued 2 dead letters of ops-bot again.", ("#ops",))
    assert states(on) == ["dead", "queued", "queued"]
    assert [(each.command, each.line) for each in on.memory.audit] == [("dead retry", "dead retry dlv_3 dlv_2")]
    assert (await on.typed("dead list --reason 404")).text == "0 dead"
    assert "CANARY" not in f"{listed.text}{listed.data}{done.text}"


@pytest.mark.parametrize(("verb", "state"), [("retry", "queued"), ("discard", "discarded")])
async def test_more_than_ten_are_asked_about(verb: str, state: str) -> None:
    """Up to ten need no question; above, a button or `-y`; `--dry-run` only tells."""
    few, many = stage(letters=10), stage(letters=11)
    assert (await few.typed(f"dead {verb} --all")).mark is Mark.DONE
    assert set(states(few)) == {state}
    assert (await many.typed(f"dead {verb} --all --dry-run")).code == "dry-run"
    asked = await many.typed(f"dead {verb} --all")
    assert set(states(many)) == {"dead"}
    assert (await many.typed(f"confirm {code_of(asked)}")).mark is Mark.DONE
    assert set(states(many)) == {state}
    skipped = stage(letters=11)
    assert (await skipped.typed(f"dead {verb} ops-bot -y")).mark is Mark.DONE
    assert set(states(skipped)) == {state}


async def test_nobody_discards_more_than_they_were_told() -> None:
    """One more died since the question: it is asked again, with the new count."""
    on = stage(letters=11)
    asked = await on.typed("dead discard --all")
    assert (
        "Discard 11 dead letters of ops-bot? What they carried is not sent any more; this cannot be undone."
        in asked.text
    )
    on.yard.deliveries.append(delivery(12, OPS))
    again = await on.typed(f"confirm {code_of(asked)}")
    assert "It changed since you were asked, so this is asked again. Discard 12 dead letters of ops-bot?" in again.text
    assert (await on.typed(f"confirm {code_of(again)}")).text.startswith("Done. Discarded 12 dead letters.")


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("dead retry", "usage", "Name dead letters or a hook, or say --all."),
        ("dead retry dlv_1 --all", "usage", "--all leaves nothing to name."),
        ("dead retry dlv_9", "unknown", 'There is no delivery "dlv_9".'),
        ("dead discard op", "unknown", 'There is no outgoing hook "op".'),
        ("dead discard ops", "ambiguous", '"ops" means 1 hook.'),
        ("dead discard #7", "unknown", "none is fresh"),
        ("delivery show 1", "unknown", 'There is no delivery "1".'),
        ("delivery list --out ci", "unknown", 'There is no outgoing hook "ci".'),
        ("delivery list --status lost", "invalid", "lost"),
        ("delivery list --since soon", "invalid", "soon"),
    ],
)
async def test_what_is_wrong_is_said(line: str, code: str, text: str) -> None:
    """Each mistake has its kind, its words and what is allowed; nothing is done."""
    on = stage()
    answer = await on.typed(line)
    assert (answer.code, text in answer.text, states(on)) == (code, True, ["dead"] * 3), answer.text


async def test_a_delivery_tells_its_attempts() -> None:
    """State, reason, host, tries and the next try stand there; the words `deliveries` and `log` list."""
    on = stage(letters=0)
    on.yard.deliveries = [delivery(91, OPS, DeliveryState.QUEUED, tries=2)]
    assert (await on.typed("delivery show dlv_91")).text == (
        f"Delivery dlv_91\nstate: queued\nhook: ops-bot ({ID})\nevent: sendMessage\n"
        "calls: https://bot.example.test/…\nmade: 2 h ago\ntries: 2\nnext try: in 10 min\n"
        "Next: /hook delivery retry dlv_91"
    )
    listed = await on.typed("delivery list --status queued")
    assert listed.text.startswith("1 delivery\n#1 queued · ops-bot · dlv_91 · ")
    for line in ("deliveries --status queued", "log --status QUEUED", "Deliveries --status queued"):
        assert await on.typed(line) == listed
    assert (await on.typed("delivery")).code == "usage"
    assert (await on.typed("dlq")).text == "0 dead"
    await on.typed("delivery list")  # the last list was empty
    retried = await on.typed("delivery retry #1")
    assert retried.text == "Done. dlv_91 is tried now.\nFollow: /hook delivery show dlv_91"


async def test_a_signed_delivery_tells_its_webhook_id() -> None:
    """By it a receiver's log is searched; calls that are not signed carry none."""
    on = stage(letters=0)
    on.yard.deliveries = [delivery(91, replace(OPS, signing_keys=(SigningKey(key="whsec_YQ=="),)))]
    assert "\nwebhook-id: 3Btk9hiJySAvZ2091\n" in (await on.typed("delivery show dlv_91")).text


@pytest.mark.parametrize(
    ("state", "hook", "text", "following"),
    [
        (DeliveryState.DELIVERED, OPS, "dlv_1 was delivered.", f"out history {ID}"),
        (DeliveryState.DISCARDED, OPS, "dlv_1 was discarded", "delivery list"),
        (DeliveryState.QUEUED, outgoing(enabled=False), "not while its hook is off", f"out enable {ID}"),
    ],
)
async def test_what_cannot_be_retried_says_why(
    state: DeliveryState, hook: OutgoingHook, text: str, following: str
) -> None:
    """What ended, and what a hook that is off holds, is left alone, with the command that helps."""
    on = stage(letters=0)
    on.yard.deliveries = [delivery(1, hook, state)]
    answer = await on.typed("delivery retry dlv_1")
    assert (answer.code, text in answer.text) == ("conflict", True)
    assert answer.text.endswith(f"Next: /hook {following}")


@pytest.mark.parametrize(
    ("role", "line", "code"),
    [
        (Role.VIEWER, "delivery list", "ok"),
        (Role.VIEWER, "delivery show dlv_1", "unknown"),
        (Role.VIEWER, "delivery retry dlv_1", "forbidden"),
        (Role.VIEWER, "dead list", "ok"),
        (Role.VIEWER, "dead retry --all", "forbidden"),
        (Role.VIEWER, "room create x", "forbidden"),
        (Role.VIEWER, "room hooks", "ok"),
        (Role.VIEWER, "mute 1h", "forbidden"),
        (Role.EDITOR, "dead retry dlv_1", "unknown"),
        (Role.EDITOR, "dead discard --all", "unknown"),
        (Role.EDITOR, "delivery show dlv_1", "unknown"),
        (Role.EDITOR, "room mute ops-bot --for 1h", "unknown"),
        (Role.EDITOR, "mute 1h ops-bot", "unknown"),
        (Role.EDITOR, "room archive #ops", "forbidden"),
        (Role.ADMIN, "dead retry dlv_1", "ok"),
        (Role.ADMIN, "mute 1h ops-bot", "ok"),
        (Role.ADMIN, "room archive #ops", "confirm"),
    ],
)
async def test_who_may(role: Role, line: str, code: str) -> None:
    """Of a hook somebody else made: what the role allows, and "no such" for what the caller may not see."""
    on = stage(role, letters=1, hook=outgoing(channels=("#ops",), created_by=BOB))
    answer = await on.typed(line)
    assert answer.code == code, answer.text
    if role is not Role.ADMIN and line.startswith(("delivery list", "dead list")):
        assert answer.rows == ()


async def test_one_hook_is_muted_and_heard_again() -> None:
    """Until when is told to caller and room; `undo` brings back what was, a mute of before included."""
    on = stage()
    muted = await on.typed("room mute ops-bot --for 1h")
    assert muted.text == (
        f"Done. Muted ops-bot ({ID}) until 2026-03-02 10:14 (in 1 h).\n"
        f"Next: /hook mute off {ID}\nUndo: /hook undo (10 min)"
    )
    assert (muted.room_note, muted.note_channels) == ("ann muted ops-bot until 2026-03-02 10:14.", ("#ops",))
    assert on.stored[1].muted_until == NOON + 3_600_000
    assert (await on.typed("mute 3h ops-bot")).mark is Mark.DONE
    assert (await on.typed("undo")).mark is Mark.DONE
    assert on.stored[1].muted_until == NOON + 3_600_000
    off = await on.typed("room mute ops-bot --off")
    assert off.text.startswith(f"Done. Ended the mute of ops-bot ({ID}).\nNext: /hook list")
    assert on.stored[1].muted_until is None
    assert (await on.typed("undo")).mark is Mark.DONE
    assert on.stored[1].muted_until == NOON + 3_600_000
    until = await on.typed("mute 2026-03-02T12:00 ops-bot")
    assert "until 2026-03-02 12:00" in until.text


async def test_a_room_is_muted_as_one() -> None:
    """Hooks that name the room, not those of everywhere or muted already; one undo for all, unless one changed."""
    already = incoming(id=IntegrationId("b" * 24), name="was", muted_until=Millis(NOON + 99_000))
    everywhere = outgoing(id=IntegrationId("a" * 24), name="everywhere")
    two = incoming(id=IntegrationId("c" * 24), name="two", channels=("#general", "#ops"))
    on = InMemory(user(role=Role.ADMIN), [incoming(), everywhere, already, two])

    def quiet() -> dict[str, int | None]:
        return {hook.name: hook.muted_until and hook.muted_until - NOON for hook in on.stored}

    muted = await on.typed("mute 1h")
    assert muted.text.splitlines()[:2] == [
        "Done. Muted 2 hooks of #general until 2026-03-02 10:14 (in 1 h).",
        "Next: /hook mute off",
    ]
    assert muted.note_channels == ("#general", "#ops")
    assert quiet() == {"ci": 3_600_000, "everywhere": None, "was": 99_000, "two": 3_600_000}
    undone = await on.typed("undo")
    assert undone.mark is Mark.DONE, undone.text
    assert quiet() == {"ci": None, "everywhere": None, "was": 99_000, "two": None}
    await on.typed("mute 1h")
    await on.typed("mute off ci", place="ops")
    assert (await on.typed("undo")).code == "conflict"
    assert (await on.typed("mute off")).mark is Mark.DONE
    assert set(quiet().values()) == {None}
    assert (await on.typed("mute off")).code == "conflict"
    assert (await on.typed("mute 1h", place="elsewhere")).code == "unknown"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("mute", "usage"),
        ("mute soon", "invalid"),
        ("mute 999d", "invalid"),
        ("mute 999999999d", "invalid"),
        ("mute yesterday", "invalid"),
        ("mute 1h nobody", "unknown"),
        ("mute off ci", "conflict"),
        ("room mute ci", "invalid"),
        ("room mute ci --for 1h --off", "invalid"),
        ("room mute ci --until yesterday", "invalid"),
        ("room mute ci --off", "conflict"),
    ],
)
async def test_a_mute_that_makes_no_sense_is_refused(line: str, code: str) -> None:
    """Neither a time that is over, nor one far away, nor none at all."""
    on = stage()
    answer = await on.typed(line)
    assert (answer.code, on.memory.audit) == (code, []), answer.text


async def test_rooms_are_listed_shown_and_made() -> None:
    """Rows in the fixed order, one room by name or row, a new one with what comes next."""
    on = stage()
    listed = await on.typed("room list")
    row = "open · #general · GENERAL · public · 3 members, 12 messages · 1 min ago"
    assert listed.text.splitlines()[:2] == ["2 rooms", f"#1 {row}"]
    shown = await on.typed("room show #2")
    assert shown.text.startswith("Room #ops\nid: ops\nstate: open\nkind: public\nowners: ann\nmembers: 3\n")
    assert (
        await on.typed("room show #ops") == shown == await on.typed("room show ops") == await on.typed("rooms show OPS")
    )
    assert (await on.typed("room show")).text.startswith("Room #general\n")
    made = await on.typed("room create #deploys --invite @bob")
    assert made.text == "Done. Created room #deploys (deploys).\nNext: /hook in add NAME --room #deploys"
    assert (made.room_note, made.note_channels) == ("ann created room #deploys.", ("#deploys",))
    taken = await on.typed("room create ops")
    assert (taken.code, "A channel with name 'ops' exists [error-duplicate-channel-name]" in taken.text) == (
        "conflict",
        True,
    )
    assert "Did you mean #general?" in (await on.typed("room show genral")).text


async def test_a_room_is_archived_after_a_question() -> None:
    """By whole name only; members and hooks are counted; `undo` opens it again, unless somebody did."""
    on = stage()
    assert (await on.typed("room archive #gene")).code == "ambiguous"
    asked = await on.typed("room archive #general")
    assert (
        "Archive room #general (GENERAL)? 3 members can read it, but nobody can write into it any more; "
        "1 incoming hook will be refused there."
    ) in asked.text
    done = await on.typed(f"confirm {code_of(asked)}")
    assert done.text.startswith("Done. Archived room #general (GENERAL).\nNext: /hook room list --archived")
    assert (await on.typed("room list --archived")).text.startswith("1 room in the archive\n#1 archived · #general")
    assert (await on.typed("room archive #general")).code == "conflict"
    assert (await on.typed("undo")).text.startswith("Done. Opened room #general")
    assert not any(each.archived for each in on.yard.named)


async def test_the_hooks_of_a_room_are_those_of_list() -> None:
    """`room hooks` lists what `list` lists there; an everywhere hook does not hear private rooms."""
    on = stage(hook=outgoing())
    on.yard.named.append(room(id=RoomId("p"), name="private", kind=RoomKind.PRIVATE))
    assert await on.typed("room hooks") == await on.typed("list")
    assert (await on.typed("room hooks #general")).text.startswith("2 hooks of #general")
    assert (await on.typed("room hooks #private")).text == "0 hooks of #private"
