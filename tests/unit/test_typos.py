"""Tests of near misses: one slip in noun, verb or name, and what is suggested first (commands.md §2.9)."""

from dataclasses import dataclass
from random import Random

from handlers.command import Command
from handlers.dispatch import permits
from storage.ids import IntegrationId
from storage.records.integration import Hook
from storage.records.user import Role
from tests.command_stage import COMMANDS, InMemory
from tests.records import incoming, outgoing, user

SEED = 4
TYPOS = 200
LETTERS = "abcdefghijklmnopqrstuvwxyz"
NAMES = ("ci-alerts", "night builds", "deploys", "grafana", "billing", "uptime-kuma", "sentry", "backups", "releases")


@dataclass(frozen=True)
class Typo:
    """A line with one slip, and the word that was meant."""

    line: str
    word: str
    meant: str


def _slip(word: str, chance: Random) -> str:
    """Drop, double, replace or insert a letter, or swap two neighbours."""
    at = chance.randrange(len(word))
    match chance.randrange(4):
        case 0 if len(word) > 2:
            return word[:at] + word[at + 1 :]
        case 1 if len(word) > 1:
            at = min(at, len(word) - 2)
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 2:
            return word[:at] + chance.choice(LETTERS) + word[at + 1 :]
        case _:
            return word[:at] + chance.choice(LETTERS) + word[at:]


def _typos(commands: list[Command], hooks: list[Hook]) -> list[Typo]:
    chance, found = Random(SEED), list[Typo]()
    known = {word for noun in COMMANDS.nouns for word in (noun.name, *noun.aliases)}
    verbs = {command.verb for command in COMMANDS}
    while len(found) < TYPOS:
        command = chance.choice(commands)
        name = chance.choice(
            [hook.name for hook in hooks if ("in" if hook.id[0] == "1" else "out") == command.noun] or [""]
        )
        match chance.choice(["noun", "verb", "name"]):
            case "noun":
                word = _slip(command.noun, chance)
                if word not in known and " " not in word:
                    found.append(Typo(f"{word} {command.verb or ''} ".strip(), word, command.noun))
            case "verb" if command.verb:
                word = _slip(command.verb, chance)
                if word not in verbs:
                    found.append(Typo(f"{command.noun} {word}", word, command.verb))
            case "name" if command.arguments and name:
                word = _slip(name, chance)
                if word not in NAMES and not any(each.startswith(word) for each in NAMES):
                    found.append(Typo(f'{command.words} "{word}"', word, name))
    return found


def _stage(role: Role) -> InMemory:
    inward: list[Hook] = [incoming(id=IntegrationId(f"1{n:023x}"), name=name) for n, name in enumerate(NAMES[:5])]
    outward: list[Hook] = [outgoing(id=IntegrationId(f"2{n:023x}"), name=name) for n, name in enumerate(NAMES[5:])]
    return InMemory(user(role=role), [*inward, *outward])


async def test_the_right_word_is_suggested_first() -> None:
    """Of 200 slips at least 95 in a hundred are met by the first suggestion."""
    on = _stage(Role.ADMIN)
    commands = [command for command in COMMANDS if command.noun in ("in", "out") or command.verb is None]
    missed = []
    for typo in _typos(commands, on.stored):
        answer = await on.typed(typo.line)
        suggested = answer.data.get("suggestions") if isinstance(answer.data, dict) else None
        if not (suggested and suggested[0] == typo.meant):
            missed.append((typo.line, typo.meant, suggested or answer.text.splitlines()[0]))
    assert len(missed) <= TYPOS * 0.05, missed


async def test_nothing_is_suggested_that_may_not_be_run() -> None:
    """A viewer who mistypes is pointed to what viewers may do, and to hooks they see: none."""
    on = _stage(Role.VIEWER)
    commands = list(COMMANDS)
    allowed = {
        word
        for noun in COMMANDS.nouns
        for command in noun.commands
        if permits(command, on.context())
        for word in (noun.name, *noun.aliases, command.verb, *command.aliases)
    }
    for typo in _typos(commands, on.stored):
        answer = await on.typed(typo.line)
        suggested = answer.data.get("suggestions", []) if isinstance(answer.data, dict) else []
        assert set(suggested) <= allowed, (typo, suggested)
