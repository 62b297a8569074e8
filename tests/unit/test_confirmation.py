"""Tests of what stands between a command and its effect: questions, dry runs, undo, private values, who may at all."""

from dataclasses import dataclass, replace

import pytest

from handlers.command import (
    Answer,
    Audience,
    Button,
    Call,
    Command,
    Commands,
    Confirm,
    Dialect,
    Door,
    Mark,
    Noun,
    Plan,
    Thing,
    Unlinked,
)
from handlers.dialect import decoded
from handlers.line import Problem
from handlers.services import JOURNAL
from handlers.slots import Argument, Flag, Pairs
from handlers.values import ValueType
from storage.clock import Millis
from storage.ids import UserId
from storage.records.changes import Changes
from storage.records.user import Role
from tests.command_stage import COMMANDS, InMemory, code_of, somebody_else
from tests.records import incoming, user

CANARY = "CANARY-secret"
PUBLIC = Door(name="rocketchat", signed=False, whispers=False, public_lines=True)


@dataclass
class Lamp:
    """The one thing the commands below change."""

    on: bool = True
    version: int = 7
    key: str = ""
    changes: int = 0


LAMP = Lamp()


@pytest.fixture(autouse=True)
def _lamp() -> None:
    LAMP.on, LAMP.version, LAMP.key, LAMP.changes = True, 7, "", 0


def _plan(call: Call, title: str, *, on: bool, undo: str | None) -> Plan:
    async def apply(also: Changes) -> Answer | Problem:
        await call.services.of(JOURNAL).commit(also)
        LAMP.on, LAMP.version, LAMP.changes = on, LAMP.version + 1, LAMP.changes + 1
        LAMP.key = call.values.secret("key") or LAMP.key
        return Answer(f"Done. {title}.")

    return Plan(
        title=title,
        effects="2 rooms get dark.",
        thing=Thing(kind="lamp", id="1", name="Big lamp", version=LAMP.version),
        apply=apply,
        undo=undo,
        note=f"{call.actor.username} did: {title}.",
        channels=("#general",),
        alternative=Button("Dim instead", "lamp dim 1"),
    )


async def _off(call: Call) -> Plan:
    return _plan(call, "Switch off lamp Big lamp", on=False, undo="lamp on Big")


async def _on(call: Call) -> Plan:
    return _plan(call, "Switch on lamp Big lamp", on=True, undo="lamp off Big")


REF = Argument(name="REF", summary="which", type=ValueType.REFERENCE)
OFF = Command(
    noun="lamp",
    verb="off",
    summary="switches it off",
    role=Role.EDITOR,
    audience=Audience.ROOM,
    writes=True,
    confirm=Confirm.BUTTON,
    arguments=(REF,),
    flags=(Flag(name="key", summary="its key", type=ValueType.TEXT, secret=True),),
    pairs=Pairs(summary="settings"),
    examples=("lamp off Big",),
    run=_off,
)
ON = replace(OFF, verb="on", confirm=Confirm.NONE, flags=(), pairs=None, run=_on)
DROP = replace(OFF, verb="drop", confirm=Confirm.NAME)
KEY = replace(ON, verb="key", shows_secret=True)
LAMPS = Commands(
    [
        Noun(name="lamp", summary="lamps", commands=(OFF, ON, DROP, KEY)),
        *COMMANDS.nouns,
    ]
)


def stage(role: Role = Role.EDITOR) -> InMemory:
    """Return Ann's services."""
    return InMemory(user(role=role), [incoming()])


async def typed(on: InMemory, line: str, door: Door | None = None, **more: object) -> Answer:
    """Run a line over the lamps."""
    return await on.typed(line, *([door] if door else []), commands=LAMPS, **more)  # type: ignore[arg-type]


async def test_a_question_is_answered_once() -> None:
    """The press does it, with one audit row, one note and an undo; the second press is told that it is done."""
    on = stage()
    asked = await typed(on, "lamp off Big")
    code = code_of(asked)
    assert (asked.private, LAMP.changes, on.memory.audit) == (True, 0, [])
    assert [button.line for button in asked.buttons] == [f"confirm {code}", "lamp dim 1", f"cancel {code}"]
    done = await typed(on, asked.buttons[0].line.lower())
    assert (done.code, done.private, LAMP.on, done.room_note) == (
        "ok",
        False,
        False,
        "ann did: Switch off lamp Big lamp.",
    )
    assert done.text.endswith("Undo: /hook undo (10 min)")
    again = await typed(on, f"confirm {code}")
    assert (again.code, LAMP.changes, len(on.memory.audit)) == ("expired", 1, 1)
    assert "was used already" in again.text


async def test_every_refusal_has_its_own_text() -> None:
    """Another person, another room, replaced, cancelled, expired, unknown: each is told apart, and nothing is done."""
    on = stage()
    code = code_of(await typed(on, "lamp off Big"))
    refusals = [
        await typed(somebody_else(on), f"confirm {code}"),
        await typed(on, f"confirm {code}", place="ops"),
        await typed(on, "confirm ZZZZZZ"),
    ]
    newer = code_of(await typed(on, "lamp drop Big"))
    refusals.append(await typed(on, f"confirm {code}"))
    on.memory.now = Millis(on.memory.now + 5 * 60_000)
    refusals.append(await typed(on, f"confirm {newer} Big lamp"))
    texts = [answer.text.splitlines()[0].replace(code, "").replace(newer, "") for answer in refusals]
    assert len(set(texts)) == len(texts)
    assert [answer.code for answer in refusals] == ["forbidden", "forbidden", "unknown", "expired", "expired"]
    assert LAMP.changes == 0


async def test_cancel_forgets_the_question() -> None:
    """A cancelled question cannot be confirmed; with nothing waiting, `cancel` says so."""
    on = stage()
    code = code_of(await typed(on, "lamp off Big"))
    assert "No question NOSUCH" in (await typed(on, "cancel nosuch")).text
    assert (await typed(on, "cancel")).text == "Done. Cancelled, nothing was done: Switch off lamp Big lamp."
    assert "was cancelled" in (await typed(on, f"confirm {code}")).text
    assert (await typed(on, "cancel")).code == "unknown"


async def test_what_changed_meanwhile_is_asked_again() -> None:
    """The old code ends, the new one works."""
    on = stage()
    code = code_of(await typed(on, "lamp off Big"))
    LAMP.version += 1
    asked = await typed(on, f"confirm {code}")
    assert "It changed since you were asked" in asked.text
    assert "replaced" in (await typed(on, f"confirm {code}")).text
    assert (await typed(on, f"confirm {code_of(asked)}")).code == "ok"


async def test_five_wrong_tries_end_a_question() -> None:
    """Wrong codes and wrong names count alike (decision 65)."""
    on = stage()
    code = code_of(await typed(on, "lamp drop Big"))
    for line in ("confirm ZZZZZZ", f"confirm {code}", f"confirm {code} big lamp", "confirm ZZZZZZ"):
        assert (await typed(on, line)).mark is Mark.NOT_DONE
    assert "wrong too often" in (await typed(on, f"confirm {code} big")).text
    assert "five wrong tries" in (await typed(on, f"confirm {code} Big lamp")).text
    assert LAMP.changes == 0


async def test_y_skips_a_button_but_no_name() -> None:
    """`-y` is for scripts; what cannot be undone is still asked."""
    on = stage()
    assert (await typed(on, "lamp off Big -y")).code == "ok"
    assert (await typed(on, "lamp drop Big -y")).code == "confirm"


async def test_dry_run_changes_nothing() -> None:
    """The effects are told; there is no change, audit row, note or question."""
    on = stage()
    answer = await typed(on, "lamp drop Big --dry-run")
    assert answer.text == (
        "Done [dry-run]. Switch off lamp Big lamp. 2 rooms get dark. It would ask for the name first. "
        "Nothing was changed."
    )
    assert (LAMP.changes, on.memory.audit, answer.room_note) == (0, [], None)
    assert (await typed(on, "status --dry-run")).code == "unknown"


async def test_undo_takes_the_last_change_back() -> None:
    """Within ten minutes, once, and not when the thing changed since (decision 65)."""
    on = stage()
    await typed(on, "lamp off Big -y")
    assert (await typed(on, "undo")).code == "ok"
    assert LAMP.on
    assert [row.command for row in on.memory.audit] == ["lamp off", "lamp on"]
    assert (await typed(on, "undo")).code == "expired"
    await typed(on, "lamp off Big -y")
    LAMP.version += 1
    refused = await typed(on, "undo")
    assert (refused.code, LAMP.on) == ("conflict", False)
    LAMP.version -= 1
    on.memory.now = Millis(on.memory.now + 10 * 60_000)
    assert (await typed(on, "undo")).code == "expired"


async def test_secret_is_asked_in_a_form() -> None:
    """`?` opens a form; its value reaches the command, also past a question, and stands nowhere else."""
    on = stage()
    asked = await typed(on, "lamp off Big --key ? -y")
    assert asked.form is not None
    assert (asked.code, asked.form.line, [f.name for f in asked.form.fields]) == (
        "form",
        "lamp off Big --key ? --yes",
        ["key"],
    )
    assert len(asked.form.title) <= 24
    done = await typed(on, asked.form.line, private={"key": CANARY})
    assert (done.code, LAMP.key) == ("ok", CANARY)
    LAMP.key = ""
    question = await typed(on, "lamp drop Big --key ?", private={"key": CANARY})
    done = await typed(on, f"confirm {code_of(question)} Big lamp")
    assert (done.code, LAMP.key) == ("ok", CANARY)
    assert CANARY not in f"{question}{done}{on.memory.audit}{on.context()}"


@pytest.mark.parametrize("line", [f"lamp off Big --key {CANARY}", f"lamp off Big api.token={CANARY}"])
async def test_secret_in_a_public_line_is_refused(line: str) -> None:
    """It is burnt: nothing is done, a new one is advised and a form offered; on a private line it is taken."""
    on = stage()
    refused = await typed(on, f"{line} -y", PUBLIC)
    assert (refused.mark, LAMP.changes) == (Mark.NOT_DONE, 0)
    assert "make a new one" in refused.text
    assert refused.form is not None
    assert CANARY not in f"{refused}"
    assert (await typed(on, f"{line} -y")).code == "ok"
    assert CANARY not in f"{on.memory.audit}"


async def test_public_is_refused_for_secrets_only() -> None:
    """`--public` shows a list to the room, and never what may hold a secret."""
    on = stage()
    assert not (await typed(on, "in list --public")).private
    assert (await typed(on, "in list")).private
    assert (await typed(on, "lamp key Big --public")).code == "forbidden"
    assert (await typed(on, "in show nothing --public")).private


async def test_unlinked_people_may_only_look_for_help() -> None:
    """They are told how to link; the workspace may let them look as viewers do (decision 60)."""
    on = stage(Role.VIEWER)
    nobody = Unlinked(workspace="w", external_id="U1", name="x")
    refused = await typed(on, "in list", unlinked=nobody)
    assert (refused.code, "user link" in refused.text) == ("forbidden", True)
    assert (await typed(on, "ci", unlinked=nobody)).code == "unknown"
    helped = (await typed(on, "help", unlinked=nobody)).text
    assert helped.splitlines()[1:-1] == [
        "help [TOPIC…] - what you may type",
        "user link - people, their roles and linked accounts",
        "whoami - who you are here",
    ]
    looking = replace(nobody, viewer=True)
    assert (await typed(on, "in list", unlinked=looking)).code == "ok"
    assert (await typed(on, "lamp off Big", unlinked=looking)).code == "forbidden"
    assert (await typed(on, "in remove ci", unlinked=looking)).code == "forbidden"


async def test_unsigned_doors_refuse_some_nouns() -> None:
    """Whoever has the token can be anybody, so no people are managed there, nor by a question asked at another door."""
    on = stage(Role.ADMIN)
    on.town.people = [user(id=UserId("bob"), username="bob")]
    code = code_of(await typed(on, "user disable @bob"))
    refused = await typed(on, "user list", PUBLIC)
    assert (refused.code, "does not prove who types" in refused.text) == ("forbidden", True)
    assert "user link - " in (await typed(on, "help", PUBLIC)).text
    assert (await typed(on, f"confirm {code}", PUBLIC)).code == "forbidden"
    assert on.town.people[0].active


async def test_slack_text_is_read_as_it_was_meant() -> None:
    """Escapes, links and channels are undone where the door escapes, and nowhere else (§2.1 rule 3)."""
    slack = Door(name="slack", dialect=Dialect.SLACK)
    on = InMemory(user(role=Role.ADMIN), [incoming(name="R&D"), incoming(id="e" * 24, name="<https://x.test|x>")])
    assert (await typed(on, "in show R&amp;D", slack)).text.startswith("Incoming hook R&D")
    assert (await typed(on, "in show R&amp;D")).code == "unknown"
    assert (await typed(on, "in list --room <#C1|general>", slack)).text.startswith("2 incoming hooks")
    assert (await typed(on, "in show “&lt;https://x.test|x&gt;”", slack)).code == "ok"
    assert "https://x.test" in (await typed(on, "in show <https://x.test|y>", slack)).text
    assert decoded("give <@U1|mia> <@U2|tom>", Dialect.SLACK, {"U1": "ann"}) == "give @ann <@U2>"
