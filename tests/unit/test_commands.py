"""Tests of the command set as a door uses it: a line in, an answer out, over services held in memory."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.command import Answer, Mark
from handlers.permissions import MANAGE_ANY
from handlers.services import Traffic
from storage.clock import Millis
from storage.ids import IntegrationId, UserId
from storage.records.integration import Hook
from storage.records.user import Role
from tests.command_stage import COMMANDS, InMemory, code_of
from tests.records import NOON, incoming, outgoing, user

SECRETS = ("CANARY-token", "CANARY-path", "CANARY-user", "CANARY-secret")
IN_ID, OUT_ID = incoming().id, outgoing().id
BOB = (UserId("bob"), "bob")


def services(role: Role = Role.ADMIN, *hooks: Hook) -> InMemory:
    """Build services for Ann in a role, with one secret-laden hook each way unless others are given."""
    plain = (
        incoming(token=SECRETS[0], secret=SECRETS[3]),
        outgoing(token=SECRETS[0], urls=(f"https://{SECRETS[2]}:pw@bot.example.test:8443/{SECRETS[1]}?key=1",)),
    )
    return InMemory(user(role=role), list(hooks or plain))


async def typed(line: str, on: InMemory) -> Answer:
    """Run a line as the services' actor in #general."""
    return await on.typed(line)


async def test_help_lists_what_the_caller_may_run() -> None:
    """A viewer is not told of removing; the overview fits 25 lines."""
    viewer, admin = await typed("help", services(Role.VIEWER)), await typed("help", services())
    rows = admin.text.splitlines()
    assert (rows[0], rows[-1]) == ("What you may type", "Next: /hook help NOUN [VERB], or help search WORDS")
    assert [row.split()[0] for row in rows[1:-1]] == [noun.name for noun in COMMANDS.nouns]
    assert {"cancel [CODE] - forgets what you were asked about", "list - the hooks of this room, both ways"} <= {*rows}
    assert "remove" not in viewer.text
    assert len(admin.text.splitlines()) <= 25


async def test_help_explains_noun_and_verb() -> None:
    """A noun shows its aliases and verbs, a verb its arguments, flags and examples."""
    noun = await typed("help in", services())
    assert noun.text.startswith("in (also incoming, hook) - incoming hooks\nin list [--room #ROOM] [--mine]")
    assert (
        (await typed("in list -h", services())).text
        == (await typed("help IN List", services())).text
        == (
            "in list [--room #ROOM] [--mine] [--disabled] - lists the incoming hooks you may see\n"
            "[--room #ROOM] - only those of one room\n"
            "[--mine] - only those you made\n"
            "[--disabled] - only those switched off\n"
            "Also: --page, --public (the room reads the answer), --json, --help\n"
            "Example: /hook in list\n"
            "Example: /hook in list --room #general --disabled\n"
            "Next: /hook help in"
        )
    )
    assert "out remove REF" in (await typed("help search outgoing good", services())).text
    assert (await typed("help inn", services())).code == "unknown"
    assert (await typed("help in remove", services(Role.VIEWER))).code == "unknown"


async def test_status_is_what_an_empty_line_means() -> None:
    """Version, queue, own hooks and those failing are told, with three hints."""
    on = services()
    on.failing = frozenset({OUT_ID})
    answer = await typed("", on)
    assert answer == await typed("status", on)
    assert answer.text == (
        "Patchbay 0.1.0\n"
        "Deliveries: 41 queued, 2 dead, the oldest made 2 h ago\n"
        "Your hooks: 1 incoming, 1 outgoing\n"
        "Failing: ops-bot\n"
        "Next: /hook help · /hook list · /hook dead list"
    )
    assert "Failing: none" in (await typed("status", InMemory(user(), on.stored, failing=on.failing))).text


async def test_list_shows_state_name_id_place_what_traffic_failures() -> None:
    """Rows keep the fixed order, and addresses show no more than their host."""
    on = services()
    on.seen[OUT_ID] = Traffic(Millis(NOON - 300_000), 3)
    assert (await typed("in list", on)).text == (
        f"1 incoming hook\n#1 on · ci · {IN_ID} · #general · posts as rocket.cat · no traffic · 0 failures"
    )
    assert (await typed("out list", on)).text == (
        f"1 outgoing hook\n#1 on · ops-bot · {OUT_ID} · every public room · "
        "sendMessage → https://bot.example.test:8443/… · 5 min ago · 3 failures"
    )


async def test_list_is_paged_and_sifted() -> None:
    """Ten rows at most, the next page as a command with the same flags, and a page that is not there refused."""
    hooks = [incoming(id=IntegrationId(f"{n:024x}"), name=f"hook {n:02}", enabled=n % 2 == 0) for n in range(24)]
    on = services(Role.ADMIN, *hooks, incoming(created_by=BOB, channels=("#ops",), name="zz"))
    first = await typed("in list --room #GENERAL --disabled --mine", on)
    assert first.text.startswith("12 incoming hooks, page 1 of 2\n#1 off · hook 01 · ")
    assert first.text.endswith("\nNext page: /hook in list --room #GENERAL --mine --disabled --page 2")
    assert len(first.text.splitlines()) == 12
    second = await typed("in list --room #general --disabled --mine --page 2", on)
    assert [line.split(" · ")[1] for line in second.text.splitlines()[1:]] == ["hook 21", "hook 23"]
    assert (await typed("in list --page 9", on)).code == "invalid"
    assert (await typed("in list --room #ops", on)).text.startswith("1 incoming hook\n#1 on · zz")


async def test_show_tells_everything_but_secrets() -> None:
    """The hook is found by reference; a lone reference shows it as well (decision 58)."""
    on = services()
    answer = await typed("out show OPS", on)
    assert answer.text.startswith(f"Outgoing hook ops-bot\nid: {OUT_ID}\nstate: on\nplace: every public room\n")
    assert "calls: https://bot.example.test:8443/…\n" in answer.text
    assert await typed("ops-bot", on) == await typed("out show ops-bot", on) == answer
    assert "signature: checked" in (await typed(IN_ID, on)).text


@pytest.mark.parametrize(
    "line",
    [
        "status",
        "in list",
        "out list",
        "in show ci",
        "out show ops-bot",
        "in remove ci",
        "out remove ops-bot",
        "out remove ops-bot --dry-run",
    ],
)
@pytest.mark.parametrize("flag", ["", " --json"])
async def test_no_answer_holds_a_secret(line: str, flag: str) -> None:
    """Tokens, signing secrets and the secret parts of addresses stand in no answer, text or JSON."""
    answer = await typed(line + flag, services())
    assert not any(secret in f"{answer.text}{answer.data}{answer.room_note}" for secret in SECRETS)


async def test_json_is_a_block_of_the_same_facts() -> None:
    """`--json` answers with outcome, code and data, which a name with backticks does not break out of."""
    on = services(Role.ADMIN, incoming(name="```boom"))
    text = (await typed("in list -j", on)).text
    assert text.count("```") == 2
    answer = json.loads(text.removeprefix("```").removesuffix("```"))
    assert (answer["outcome"], answer["code"], answer["data"]["rows"][0]["name"]) == ("Done", "ok", "```boom")


async def test_remove_asks_for_the_name_first() -> None:
    """Nothing is removed yet: effects are counted, the command to type is shown, disabling is offered."""
    on = services()
    asked = await typed("out remove ops-bot", on)
    code = code_of(asked)
    assert (asked.mark, asked.private, len(on.stored)) == (Mark.WARNING, True, 2)
    assert asked.text == (
        f"Warning [confirm]. Remove outgoing hook ops-bot ({OUT_ID})? 41 queued deliveries will be discarded, "
        "and its history goes. This cannot be undone.\n"
        f"Type: /hook confirm {code} ops-bot      (5 min)\n"
        f"Or: /hook out disable {OUT_ID} (Disable instead) · /hook cancel {code}"
    )
    assert [(button.label, button.line) for button in asked.buttons] == [
        ("Disable instead", f"out disable {OUT_ID}"),
        ("Cancel", f"cancel {code}"),
    ]
    wrong = await typed(f"confirm {code} OPS-BOT", on)
    assert (wrong.code, len(on.stored)) == ("invalid", 2)
    assert "The name must match exactly: ops-bot. The code is still good for 5 min." in wrong.text


async def test_remove_tells_caller_and_rooms() -> None:
    """With the name the hook is gone, and its rooms read one line in which no name calls anybody."""
    on = services(Role.EDITOR, incoming(name='say "@all"', channels=("#general", "@bob")))
    asked = await typed(f"in remove {IN_ID}", on)
    command = asked.text.split("Type: /hook ")[1].split("      (")[0]
    removed = await typed(command, on)
    assert removed.text == f'Done. Removed incoming hook say "@all" ({IN_ID}).\nNext: /hook in list'
    assert on.stored == []
    assert removed.room_note == 'ann removed incoming hook say "@\u2060all".'
    assert removed.note_channels == ("#general", "@bob")
    assert removed.private
    assert [(row.command, row.line, row.object_id, row.outcome) for row in on.memory.audit] == [
        ("in remove", f"in remove {IN_ID}", IN_ID, "done")
    ]


@pytest.mark.parametrize("name", ["two\nlines", "```", '"', " spaced  out ", "-y", "#1", "?", "a=b"])
async def test_odd_names_are_confirmed_as_shown(name: str) -> None:
    """Whatever a hook is called, the line that is shown removes it."""
    on = services(Role.ADMIN, incoming(name=name))
    asked = await typed(f"in remove {IN_ID}", on)
    assert isinstance(asked.data, dict)
    assert (await typed(str(asked.data["command"]), on)).text.startswith("Done. Removed")


async def test_list_shows_the_hooks_of_the_room() -> None:
    """`list` alone means both directions of the room it is typed in; `#2` is its second row."""
    far = incoming(id=IntegrationId("f" * 24), name="far", channels=("#ops",))
    on = services(Role.ADMIN, incoming(), far, outgoing())
    assert [row.split(" · ")[1] for row in (await typed("list", on)).text.splitlines()[1:]] == ["ci", "ops-bot"]
    assert (await typed("#2", on)).text.startswith("Outgoing hook ops-bot")
    assert (await typed("in show #1", on)).text.startswith("Incoming hook ci")
    assert "#3 is no row of your last list here." in (await typed("in show #3", on)).text
    assert "none is fresh" in (await typed("in show #1", services())).text


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        ("in remove bui", "ambiguous", "Did you mean builds?"),
        ("in remove Twin", "ambiguous", '"Twin" means 2 hooks.'),
        ("in show Twin", "ambiguous", f"twin ({'1' * 24}), TWIN ({'2' * 24})"),
        ("Twin", "ambiguous", '"Twin" means 2 hooks.'),
        ("in show bilds", "unknown", "Did you mean builds?"),
        ("in show theirs", "unknown", 'There is no incoming hook "theirs".'),
        ("in show ops-bot", "unknown", 'There is no incoming hook "ops-bot".'),
        ("undo", "expired", "There is nothing of yours to undo here"),
        ("bilds", "unknown", "Did you mean builds?"),
        ("nonsense", "unknown", "Allowed: cancel, confirm, "),
        ("help search", "usage", "needs words to look for"),
    ],
)
async def test_refusals(line: str, code: str, part: str) -> None:
    """Beginnings are refused where things are lost, doubles listed, and hidden hooks answer like missing ones."""
    twins = [incoming(id=IntegrationId(n * 24), name=name) for n, name in (("1", "twin"), ("2", "TWIN"))]
    on = services(Role.EDITOR, *twins, incoming(name="builds"), incoming(name="theirs", created_by=BOB), outgoing())
    answer = await typed(line, on)
    assert (answer.mark, answer.code) == (Mark.NOT_DONE, code)
    assert part in answer.text
    assert len(on.stored) == 5


async def test_missing_right_names_the_role_and_to_admins_its_holders() -> None:
    """Who may not run a command learns what is needed and what they are; who the admins are, admins alone."""
    on = services(Role.VIEWER)
    answer = await typed("in remove ci", on)
    assert answer.code == "forbidden"
    assert '"in remove" needs admin; you are viewer. Ask an admin.' in answer.text
    assert "@mia" not in answer.text
    on.actor = user(role=Role.ADMIN, denied=MANAGE_ANY)
    answer = await typed("in remove ci", on)
    assert '"in remove" needs admin; you are admin. Those with that role here: @mia, @tom.' in answer.text
    on.actor = user(granted=frozenset({"manage-own-incoming-integrations"}))
    assert (await typed("in remove ci", on)).code == "confirm"


@given(
    st.text()
    | st.lists(
        st.sampled_from(["in", "out", "help", "list", "show", "remove", "ci", "--page", "2", "--json", "-h"])
    ).map(" ".join)
)
async def test_no_line_raises(line: str) -> None:
    """Every line gets an answer with a text."""
    assert (await typed(line, services())).text
