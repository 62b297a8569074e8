"""Sealed rows that no key opens: each is shown as damaged or not at all, and the others of its kind stay usable."""

import sqlite3
from dataclasses import replace

import pytest

from storage.errors import VaultError
from storage.ids import IntegrationId, WorkspaceId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.pending import PendingKey
from storage.records.version import revised
from storage.records.workspace import WorkspaceKind
from tests.clock import ManualClock
from tests.contracts.store.engine import KEY, OTHER_KEY, SqliteEngine
from tests.contracts.store.test_connected import PLAIN, workspace
from tests.contracts.store.test_pending import proposal
from tests.contracts.store.units import claim, queue_up, request
from tests.records import ORG, incoming, outgoing

SOUND = outgoing(id=IntegrationId("65e2f0b72dd9f928ada3e43f"), name="sound", urls=("https://sound.example.test/",))


def damage(engine: SqliteEngine, table: str, where: str) -> bytes:
    """Exchange a sealed value for other bytes; returns those that stood there."""
    with sqlite3.connect(engine.path) as connection:
        [(before,)] = connection.execute(f"SELECT sealed FROM {table} WHERE {where}").fetchall()
        connection.execute(f"UPDATE {table} SET sealed = ? WHERE {where}", (before[:16] + bytes(40),))
    connection.close()
    return bytes(before)


async def test_a_damaged_hook_is_listed_without_its_secrets(store: Store, engine: SqliteEngine) -> None:
    """Everything of it that is not sealed is there, nothing of what is, and its neighbours are whole."""
    await store.commit(Changes(new_hooks=(incoming(secret="shh"), outgoing(), SOUND)))
    for hook in (incoming(), outgoing()):
        damage(engine, "integration", f"id = '{hook.id}'")
    found = {hook.id: hook for hook in await store.hooks_of([incoming().id, outgoing().id, SOUND.id])}
    assert found == {
        incoming().id: incoming(token=None, damaged=True),
        outgoing().id: outgoing(token=None, urls=(), damaged=True),
        SOUND.id: SOUND,
    }


async def test_a_change_of_a_damaged_hook_keeps_what_is_sealed(store: Store, engine: SqliteEngine) -> None:
    """It can be switched off and follow a room's name; restored, it has its token, secret and addresses again."""
    await store.commit(Changes(new_hooks=(incoming(secret="shh"), outgoing())))
    kept = {hook.id: damage(engine, "integration", f"id = '{hook.id}'") for hook in (incoming(), outgoing())}
    for hook_id in kept:
        seen = await store.hook(hook_id)
        assert seen is not None
        await store.commit(Changes(put_hooks=(revised(seen, enabled=False, name="renamed"),)))
    with sqlite3.connect(engine.path) as connection:
        connection.executemany("UPDATE integration SET sealed = ? WHERE id = ?", [(v, k) for k, v in kept.items()])
    connection.close()
    assert await store.hook(incoming().id) == incoming(secret="shh", enabled=False, name="renamed", version=2)
    assert await store.hook(outgoing().id) == outgoing(enabled=False, name="renamed", version=2)
    assert [hook.id for hook in await store.hooks_calling(outgoing().urls[0])] == [outgoing().id]


async def test_a_damaged_hook_holds_no_claim_up(store: Store, engine: SqliteEngine, clock: ManualClock) -> None:
    """What is queued for others is claimed beside it."""
    await store.commit(Changes(new_hooks=(outgoing(), SOUND)))
    await queue_up(store, outgoing(), ["a"])
    await queue_up(store, SOUND, ["b"])
    damage(engine, "integration", f"id = '{outgoing().id}'")
    leases = (await claim(store, clock.steady())).leases
    assert {leased.hook.id: leased.hook.damaged for leased in leases} == {outgoing().id: True, SOUND.id: False}


async def test_a_damaged_hook_can_be_removed(store: Store, engine: SqliteEngine) -> None:
    """With what is queued for it."""
    await store.commit(Changes(new_hooks=(outgoing(),)))
    await queue_up(store, outgoing(), ["a"])
    damage(engine, "integration", f"id = '{outgoing().id}'")
    await store.commit(Changes(drop_hooks=(outgoing().id,)))
    assert await store.hook(outgoing().id) is None


async def test_other_kinds_take_nothing_down(store: Store, engine: SqliteEngine) -> None:
    """Requests and workspaces are shown as damaged, a version and what waits for a person are as good as gone."""
    asked = proposal()
    await store.commit(Changes(new_hooks=(incoming(), outgoing()), new_workspaces=(workspace(), PLAIN)))
    await store.commit(Changes(put_hooks=(outgoing(version=2),)))
    for each in (request(id="r1"), request(id="r2")):
        await store.commit(Changes(request=each))
    await store.commit(Changes(pending_put=(asked,)))
    damage(engine, "hook_request", "id = 'r1'")
    damage(engine, "integration_version", "version = 1")
    damage(engine, "workspace", "id = 'w1'")
    damage(engine, "pending", "kind = 'proposal'")
    assert {one.id: one.damaged for one in await store.requests(incoming().id)} == {"r1": True, "r2": False}
    assert await store.hook_version(outgoing().id, 1) is None
    shown, plain = await store.workspaces(ORG)
    assert plain == PLAIN
    assert replace(shown, secret="") == workspace(secret="", bot_token=None, base_url=None, damaged=True)
    assert len(shown.secret) == 64
    with pytest.raises(VaultError, match="workspace:w1 is damaged"):
        await store.workspace_of_team(ORG, WorkspaceKind.SLACK, "T1")
    assert await store.workspace_of_team(ORG, PLAIN.kind, "T1") == PLAIN
    assert await store.pending(asked.kind, asked.key) is None
    await store.commit(Changes(pending_take=(PendingKey(asked.kind, asked.key),)))
    await store.commit(Changes(drop_workspaces=(WorkspaceId("w1"),)))


async def test_a_rotation_passes_damage_by(store: Store, engine: SqliteEngine) -> None:
    """All else is sealed with the new key; what could not be is named, and its key counts as in use."""
    await store.commit(Changes(new_hooks=(incoming(), SOUND)))
    damage(engine, "integration", f"id = '{incoming().id}'")
    await store.close()
    both = SqliteEngine(engine.path, engine.clock, keys=(OTHER_KEY, KEY)).open()
    try:
        done = await both.reseal()
        assert done.damaged == (f"integration:{incoming().id}",)
        assert len(done.keys) == 2
        await both.commit(Changes(drop_hooks=(incoming().id,)))
        done = await both.reseal()
        assert (done.damaged, len(done.keys)) == ((), 1)
    finally:
        await both.close()
    new = SqliteEngine(engine.path, engine.clock, keys=(OTHER_KEY,)).open()
    assert await new.hook(SOUND.id) == SOUND
    await new.close()
