"""Listing hooks opens the secrets of those alone that changed: one change among 10,000 must not cost them all."""

from dataclasses import replace

import pytest

from storage.ids import IntegrationId
from storage.ports import Store
from storage.records.changes import Changes
from storage.vault import Vault
from tests.contracts.store.engine import KEY, OTHER_KEY, SqliteEngine
from tests.records import ORG, incoming

HOOKS = tuple(incoming(id=IntegrationId(f"{number:024x}"), name=f"hook {number}") for number in range(20))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the identity of everything a vault opens."""
    identities: list[str] = []
    really = Vault.open

    def noting(vault: Vault, sealed: bytes, identity: str) -> bytes:
        identities.append(identity)
        return really(vault, sealed, identity)

    monkeypatch.setattr(Vault, "open", noting)
    return identities


async def test_only_what_changed_is_opened_again(store: Store, opened: list[str]) -> None:
    """The first list opens all hooks, the next ones those that were made or changed since."""
    await store.commit(Changes(new_hooks=HOOKS))
    assert await store.hooks(ORG) == list(HOOKS)
    opened.clear()
    assert await store.hooks(ORG) == list(HOOKS)
    assert opened == []
    changed, made = replace(HOOKS[7], token="new", version=2), incoming(id=IntegrationId("f" * 24))
    await store.commit(Changes(put_hooks=(changed,), drop_hooks=(HOOKS[3].id,), new_hooks=(made,)))
    assert await store.hooks(ORG) == [*HOOKS[:3], *HOOKS[4:7], changed, *HOOKS[8:], made]
    assert opened == [f"integration:{changed.id}", f"integration:{made.id}"]


async def test_hooks_sealed_again_are_the_same_hooks(store: Store, engine: SqliteEngine) -> None:
    """Rotating the key changes what every hook is read from, and nothing that is listed."""
    await store.commit(Changes(new_hooks=HOOKS))
    assert await store.hooks(ORG) == list(HOOKS)
    both = SqliteEngine(engine.path, engine.clock, keys=(OTHER_KEY, KEY)).open(serving=False)
    assert await both.hooks(ORG) == list(HOOKS)
    assert await both.reseal() > 0
    assert await both.hooks(ORG) == list(HOOKS)
    await both.close()
