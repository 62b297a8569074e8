"""Configured webhooks: kept whole, changed one at a time, found by address and by what they listen to."""

from dataclasses import replace

import pytest

from storage.clock import Millis
from storage.errors import Gone, Taken
from storage.ids import IntegrationId, OrgId, RoomId, UserId
from storage.ports import Store
from storage.records.changes import Changes, PreviousCall
from storage.records.integration import Hook, PreviousCalls, PreviousToken, SigningKey
from storage.records.room import RoomKind
from tests.contracts.store.engine import SqliteEngine
from tests.contracts.store.units import dedup
from tests.records import ANN, NOON, ORG, hooks_in, incoming, outgoing, room, user

FULL_INCOMING = incoming(
    enabled=False, channels=("#general", "@ann"), alias="CI", avatar="https://x.test/a.png", emoji=":rocket:",
    script_enabled=True, script="class Script {}", script_engine="vm2", updated_at=NOON + 1,
    updated_by=(ANN, "ann"), expires_at=NOON + 9, muted_until=NOON + 8, version=7, override_destination=True,
    secret="shh", dedup="X-Request-Id", keep_requests=False, format="slack",
    previous_token=PreviousToken(hash=bytes(range(240, 256)), until=Millis(NOON + 7)),
)  # fmt: skip
FULL_OUTGOING = outgoing(
    channels=("#general", "all_private_groups"), token=None, alias="Bot", avatar="", emoji=":x:", script="s",
    updated_by=(ANN, "ann"), expires_at=NOON + 9, muted_until=NOON + 8, version=3, event="userJoined",
    urls=("https://a.test/1", "https://b.test/2"), target_room="#ops", trigger_words=("!a", "ü"),
    trigger_word_anywhere=True, run_on_edits=True, impersonate_user=True, retry_failed_calls=True, retry_count=2.5,
    retry_delay="powers-of-two", ordered=True,
    signing_keys=(SigningKey(key="whsec_new"), SigningKey(key="whsec_old", expires_at=Millis(NOON + 5))),
)  # fmt: skip


@pytest.mark.parametrize(
    "hook",
    [incoming(), FULL_INCOMING, outgoing(), FULL_OUTGOING],
    ids=["incoming", "incoming, every field", "outgoing", "outgoing, every field"],
)
async def test_a_hook_comes_back_as_it_was_written(store: Store, hook: Hook) -> None:
    """Every field survives making and changing."""
    await store.commit(Changes(new_hooks=(hook,)))
    assert await store.hook(hook.id) == hook
    changed = replace(hook, name="other", version=hook.version + 1, enabled=not hook.enabled, token="new")
    await store.commit(Changes(put_hooks=(changed,)))
    assert await store.hook(hook.id) == changed
    assert await hooks_in(store) == [changed]


async def test_a_change_made_on_old_knowledge_is_refused(store: Store) -> None:
    """Of two changes of one version the second is refused and writes nothing."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await store.commit(Changes(put_hooks=(outgoing(name="first", version=2),)))
    with pytest.raises(Taken, match="repeat"):
        await store.commit(Changes(put_hooks=(outgoing(name="second", version=2),)))
    found = await store.hook(outgoing().id)
    assert found is not None
    assert found.name == "first"


async def test_a_list_is_as_new_as_its_hooks(store: Store, engine: SqliteEngine) -> None:
    """What is listed is what is stored: after each change, here or elsewhere, of one hook among others."""
    one, other = incoming(), outgoing(created_at=NOON + 1)
    renamed = replace(one, name="renamed", version=2)
    elsewhere = replace(renamed, channels=("#ops",), token="rotated", version=3)
    again = incoming(name="again", secret="another")  # the same id and version as the first
    steps = (
        (Changes(new_hooks=(one, other)), [one, other]),
        (Changes(put_hooks=(renamed,)), [renamed, other]),
        (Changes(put_hooks=(elsewhere,)), [elsewhere, other]),
        (Changes(drop_hooks=(one.id,)), [other]),
        (Changes(new_hooks=(one,)), [one, other]),
    )
    beside = engine.open(serving=False)
    for changes, expected in steps:
        await (beside if elsewhere in changes.put_hooks else store).commit(changes)
        assert await hooks_in(store) == expected
        assert [await store.hook(hook.id) for hook in expected] == expected
    await store.commit(Changes(drop_hooks=(one.id,)))
    await store.commit(Changes(new_hooks=(again,)))  # nobody looked in between
    assert await hooks_in(store) == [again, other]
    await beside.close()


async def test_hooks_are_found_by_each_of_their_addresses(store: Store) -> None:
    """An address finds exactly the hooks that call it now."""
    two = outgoing(urls=("https://a.test/1", "https://b.test/2", "https://a.test/1"))
    other = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"), urls=("https://b.test/2",))
    await store.commit(Changes(new_hooks=(two, other)))
    assert await store.hooks_calling("https://a.test/1") == [two]
    assert await store.hooks_calling("https://b.test/2") == [two, other]
    assert await store.hooks_calling("https://b.test/") == []
    moved = replace(two, urls=("https://c.test/3",), version=2)
    await store.commit(Changes(put_hooks=(moved,), drop_hooks=(other.id,)))
    assert await store.hooks_calling("https://b.test/2") == []
    assert await store.hooks_calling("https://c.test/3") == [moved]


async def test_listening_hooks_are_found_once_and_only_when_enabled(store: Store) -> None:
    """A hook that matches in several scopes is found once; a disabled or removed one not at all."""
    both = outgoing(channels=("#general", "all_public_channels"))
    other = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"), channels=("#ops",), created_at=NOON + 1)
    await store.commit(Changes(new_hooks=(both, other)))
    everywhere = ["#general", "all_public_channels", "#ops"]
    assert await store.hooks_listening("sendMessage", everywhere) == [both, other]
    assert await store.hooks_listening("sendMessage", ["#ops"]) == [other]
    assert await store.hooks_listening("userJoined", everywhere) == []
    assert await store.hooks_listening("sendMessage", []) == []
    await store.commit(Changes(put_hooks=(replace(both, enabled=False, version=2),)))
    assert await store.hooks_listening("sendMessage", everywhere) == [other]
    again = replace(both, channels=("#ops",), version=3)
    await store.commit(Changes(put_hooks=(again,), drop_hooks=(other.id,)))
    assert await store.hooks_listening("sendMessage", everywhere) == [again]


async def test_outgoing_versions_stay_readable_until_the_hook_goes(store: Store) -> None:
    """History finds a hook as it was at each version."""
    versions = [outgoing(version=number, token=f"t{number}", urls=(f"https://{number}.test",)) for number in (1, 2, 3)]
    await store.commit(Changes(new_hooks=(versions[0],)))
    for later in versions[1:]:
        await store.commit(Changes(put_hooks=(later,)))
    assert [await store.hook_version(outgoing().id, number) for number in (1, 2, 3, 4)] == [*versions, None]
    await store.commit(Changes(drop_hooks=(outgoing().id,)))
    assert await store.hook_version(outgoing().id, 1) is None
    assert await store.hook(outgoing().id) is None


async def test_another_organisation_is_not_listed(store: Store) -> None:
    """Lists of one organisation show nothing of another (decision 6)."""
    other = OrgId("0b7e2c9a-0000-4000-8000-000000000002")
    await store.make_organisation(other, "Other", NOON)
    theirs = user(id=UserId("U9"), org_id=other, username="eve")
    their_room = room(id=RoomId("R9"), org_id=other, name="theirs", kind=RoomKind.PRIVATE)
    their_hook = incoming(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"), org_id=other)
    await store.commit(Changes(new_users=(theirs,), new_rooms=(their_room,), new_hooks=(their_hook, incoming())))
    assert (await store.users(other), await store.rooms(other), await hooks_in(store, other)) == (
        [theirs],
        [their_room],
        [their_hook],
    )
    assert theirs not in await store.users(ORG)
    assert await store.rooms(ORG) == [room()]
    assert await hooks_in(store) == [incoming()]
    assert await store.organisation() == ORG


async def test_calls_by_the_previous_token_are_counted(store: Store) -> None:
    """Each call since the rotation counts once, also of a unit that is a duplicate; a new rotation starts anew."""
    rotated = incoming(previous_token=PreviousToken(hash=b"old", until=Millis(NOON + 9)))
    other = incoming(id=IntegrationId("65e2f0b72dd9f928ada3e4ff"))
    await store.commit(Changes(new_hooks=(rotated, other)))
    assert await store.previous_calls([rotated, other]) == {}
    for number in (1, 3, 2):
        call = PreviousCall(integration_id=rotated.id, hash=b"old", at=Millis(NOON + number))
        await store.commit(Changes(previous_call=call, dedup=dedup("same")))
    assert await store.previous_calls([rotated, other]) == {rotated.id: PreviousCalls(3, Millis(NOON + 3))}
    renamed = replace(rotated, name="other", version=2)
    await store.commit(Changes(put_hooks=(renamed,)))
    assert (await store.previous_calls([renamed]))[rotated.id].calls == 3
    again = replace(renamed, previous_token=PreviousToken(hash=b"newer", until=Millis(NOON + 9)), version=3)
    await store.commit(Changes(put_hooks=(again,)))
    assert await store.previous_calls([again]) == {}
    assert await store.previous_calls([rotated]) == {}
    await store.commit(Changes(drop_hooks=(rotated.id,)))
    with pytest.raises(Gone):
        await store.commit(Changes(previous_call=PreviousCall(integration_id=rotated.id, hash=b"newer", at=NOON)))
