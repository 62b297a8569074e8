"""How much one hook, one user and one message may ask for: addresses, integrations, calls."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.workspace.fanout import MOST_CALLS, Fanout
from bot.workspace.hook_rules import MOST_ADDRESSES
from bot.workspace.hooks import Hooks
from bot.workspace.importing import Importing
from bot.workspace.zapier import Zapier
from handlers.outgoing import steps
from handlers.portable.planning import ImportPlan
from handlers.targets import AllowList
from storage.ids import IntegrationId, UserId
from storage.records.changes import Changes
from storage.records.integration import IncomingHook, OutgoingHook
from tests.hook_stage import ANN, INCOMING, OUTGOING, Stage, fault, staged
from tests.records import message, outgoing, room

LIMIT = 3
TOO_MANY_URLS = "Invalid URLs: a hook calls at most 20 addresses, these are 21 [error-invalid-urls]"
TOO_MANY_HOOKS = "One user may have made at most 3 integrations, and these are 3 already [error-too-many-integrations]"


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as stage:
        stage.hooks = few(stage)
        yield stage


def few(stage: Stage, limit: int = LIMIT) -> Hooks:
    """Return the rules with a small bound of hooks a user."""
    fanout = Fanout(stage.directory, stage.store, stage.store, stage.clock)
    return Hooks(stage.directory, stage.store, fanout, stage.clock, AllowList(), hooks_per_user=limit)


def addresses(count: int) -> list[str]:
    return [f"https://bot{number}.example.test/in" for number in range(count)]


async def test_a_hook_calls_no_more_than_so_many_addresses(stage: Stage) -> None:
    """The rule holds on creation and on every change; the text names the bound and how many there were."""
    made = await stage.outgoing(urls=addresses(MOST_ADDRESSES))
    assert fault(await stage.hooks.create(ANN, OUTGOING | {"urls": addresses(21)})).bracketed == TOO_MANY_URLS
    wanted = OUTGOING | {"integrationId": made.id, "token": "t", "urls": addresses(21)}
    assert fault(await stage.hooks.update(ANN, wanted)).bracketed == TOO_MANY_URLS
    assert fault(await stage.hooks.change(ANN, made, {"urls": addresses(21)})).bracketed == TOO_MANY_URLS


async def test_one_user_makes_no_more_than_so_many(stage: Stage) -> None:
    """Of both directions together; somebody else still may, and so may the user once one is removed."""
    first = await stage.incoming()
    await stage.outgoing()
    await stage.outgoing()
    for body in (INCOMING, OUTGOING):
        refused = fault(await stage.hooks.create(ANN, body))
        assert refused.bracketed == TOO_MANY_HOOKS
        assert refused.details == {"setting": "PATCHBAY_HOOKS_PER_USER"}
    other = await stage.user("manage-incoming-integrations", "manage-own-incoming-integrations")
    await stage.incoming(other)
    await stage.hooks.remove(ANN, {"type": "webhook-incoming", "integrationId": first.id})
    await stage.incoming()


async def test_many_at_once_do_not_slip_through(stage: Stage) -> None:
    """Each is counted before the next is judged."""
    made = await asyncio.gather(*(stage.hooks.create(ANN, INCOMING) for _ in range(10)))
    assert sum(isinstance(one, IncomingHook) for one in made) == LIMIT
    assert await stage.store.hooks_made_by(ANN.id) == LIMIT


async def test_the_bound_can_be_switched_off(stage: Stage) -> None:
    """A server that says 0 has none."""
    hooks = few(stage, 0)
    for _ in range(LIMIT + 1):
        assert isinstance(await hooks.create(ANN, INCOMING), IncomingHook)


async def test_a_hook_of_others_cannot_be_taken_over_beyond_it(stage: Stage) -> None:
    """What is taken over counts as made."""
    other = await stage.user("manage-outgoing-integrations", "manage-own-outgoing-integrations")
    theirs = await stage.outgoing(other)
    for _ in range(LIMIT):
        await stage.incoming()
    assert fault(await stage.hooks.adopt(ANN, theirs)).bracketed == TOO_MANY_HOOKS


async def test_zapiers_address_makes_no_more_either(stage: Stage) -> None:
    """What `/hooks/add` makes is its maker's as well."""
    entrance = await stage.incoming(username="ann")
    for _ in range(LIMIT - 1):
        await stage.incoming()
    wanted = {
        "name": "z",
        "target_url": "https://bot.example.test/z",
        "event": "newMessageOnChannel",
        "data": {"channel_name": "general"},
    }
    assert fault(await Zapier(stage.directory, stage.hooks).add(entrance, wanted)).bracketed == TOO_MANY_HOOKS


def hook_yaml(name: str, urls: int = 1) -> str:
    listed = "".join(f"\n      - {url}" for url in addresses(urls))
    return (
        f"\n  - name: {name}\n    event: sendMessage\n    rooms: ['#general']\n"
        f"    post_as: rocket.cat\n    urls:{listed}"
    )


async def test_an_import_is_bound_alike(stage: Stage) -> None:
    """It refuses too many addresses and too many hooks at the line they are about."""
    fanout = Fanout(stage.directory, stage.store, stage.store, stage.clock)
    importing = Importing(stage.directory, stage.store, fanout, stage.clock, stage.hooks.rules)
    file = "patchbay: 1\noutgoing:" + hook_yaml("wide", 21) + "".join(hook_yaml(f"h{number}") for number in range(4))
    plan = await importing.plan(ANN, file)
    assert isinstance(plan, ImportPlan), plan
    texts = [refused.text for refused in plan.refused]
    assert any("at most 20 addresses, these are 21" in text for text in texts), texts
    assert any("at most 3 integrations, and these are 0 already" in text for text in texts), texts


# --- calls a message --------------------------------------------------------------------------------


def listener(number: int, creator: str, urls: int) -> OutgoingHook:
    return outgoing(
        id=IntegrationId(f"{number:024x}"),
        urls=tuple(addresses(urls)),
        channels=("#general",),
        created_by=(UserId(creator), creator),
        created_at=number,
    )


async def test_a_message_causes_no_more_than_so_many_calls(stage: Stage) -> None:
    """Those of every creator's first hooks are made; who is left out reads so in history, once an hour."""
    many = [listener(number, "mallory", 20) for number in range(1, 9)]
    one = listener(9, "bob", 1)
    await stage.store.commit(Changes(new_hooks=(*many, one)))
    fanout = Fanout(stage.directory, stage.store, stage.store, stage.clock)
    place = room()

    async def said() -> tuple[dict[str, int], list[str]]:
        fact = await fanout.message(message(text="hello"), place, ANN)
        called = [delivery.integration_id for delivery in fact.deliveries]
        assert len(called) <= MOST_CALLS
        told = [attempt.integration_id for attempt in fact.stopped if attempt.step == steps.LEFT_OUT]
        assert all("at most 100 calls" in (attempt.error or "") for attempt in fact.stopped)
        return {hook_id: called.count(hook_id) for hook_id in called}, list(told)

    called, told = await said()
    assert called == {one.id: 1} | {hook.id: 20 for hook in many[:4]}
    assert told == [hook.id for hook in many[4:]]
    assert (await said())[1] == []
    stage.clock.advance(3_600_000)
    assert (await said())[1] == told


async def test_as_many_calls_as_are_allowed_leave_nobody_out(stage: Stage) -> None:
    """The bound itself is not too much, and every hook of the room is called in its turn."""
    hooks = [listener(number, "mallory", 20) for number in range(1, 6)]
    await stage.store.commit(Changes(new_hooks=tuple(hooks)))
    fanout = Fanout(stage.directory, stage.store, stage.store, stage.clock)
    fact = await fanout.message(message(text="hello"), room(), ANN)
    assert len(fact.deliveries) == MOST_CALLS
    assert fact.stopped == ()
