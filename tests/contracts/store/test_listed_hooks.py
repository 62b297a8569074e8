"""Lists of hooks: which are meant, in which order, and that only a page of them is opened."""

from dataclasses import replace

import pytest

from storage.clock import Millis
from storage.ids import IntegrationId, OrgId, UserId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.integration import (
    BY_NAME,
    EVERYWHERE,
    LATEST_FIRST,
    Direction,
    HookField,
    HookOutline,
    HookTally,
    Sight,
    WantedHooks,
)
from storage.vault import Vault
from tests.records import ANN, NOON, ORG, incoming, outgoing

BOB = UserId("U2")
INCOMING, OUTGOING = Direction.INCOMING, Direction.OUTGOING
ALL = WantedHooks(org_id=ORG)


def _id(letter: str) -> IntegrationId:
    return IntegrationId(letter * 24)


HOOKS = (
    incoming(id=_id("a"), name="Deploys", created_at=NOON, updated_at=Millis(NOON + 9), channels=("#Ops", "@ann")),
    outgoing(
        id=_id("b"), name="alerts", created_at=Millis(NOON + 1), updated_at=Millis(NOON + 3), target_room="Lobby"
    ),
    incoming(id=_id("c"), name="ÜBER deploys", created_at=Millis(NOON + 2), created_by=(BOB, "bob"), enabled=False),
    outgoing(
        id=_id("d"), name="deploys", created_at=Millis(NOON + 2), created_by=(BOB, "bob"), channels=("#ops",),
        expires_at=Millis(NOON + 5), muted_until=Millis(NOON + 50),
    ),
    incoming(id=_id("e"), name="quiet", created_at=Millis(NOON + 3), muted_until=Millis(NOON + 50)),
)  # fmt: skip


@pytest.fixture
async def filled(store: Store) -> Store:
    await store.commit(Changes(new_hooks=HOOKS))
    return store


@pytest.mark.parametrize(
    ("wanted", "letters"),
    [
        (ALL, "abcde"),
        (replace(ALL, order=BY_NAME), "badec"),
        (replace(ALL, order=LATEST_FIRST), "abdec"),
        (replace(ALL, order=((HookField.NAME, -1),)), "cedba"),
        (replace(ALL, equal=((HookField.DIRECTION, "webhook-outgoing"),)), "bd"),
        (replace(ALL, equal=((HookField.ENABLED, True), (HookField.NAME, "deploys"))), "d"),
        (replace(ALL, equal=((HookField.FOLDED, "deploys"),)), "ad"),
        (replace(ALL, part="DEPLOY"), "acd"),
        (replace(ALL, part="über"), "c"),
        (replace(ALL, begins="Dep"), "ad"),
        (replace(ALL, begins="über"), "c"),
        (replace(ALL, channels=("#OPS",)), "ad"),
        (replace(ALL, channels=("#ops", EVERYWHERE)), "abd"),
        (replace(ALL, channels=("#lobby",)), ""),
        (replace(ALL, channels=("#lobby",), targets_too=True), "b"),
        (replace(ALL, silent_at=Millis(NOON + 4)), "c"),
        (replace(ALL, silent_at=Millis(NOON + 5)), "cd"),
        (replace(ALL, sight=Sight(user_id=BOB)), ""),
        (replace(ALL, sight=Sight(user_id=BOB, own_of=frozenset(Direction))), "cd"),
        (replace(ALL, sight=Sight(user_id=BOB, all_of=frozenset({INCOMING}), own_of=frozenset({OUTGOING}))), "acde"),
        (replace(ALL, sight=Sight(user_id=ANN, own_of=frozenset({OUTGOING})), part="e"), "b"),
        (replace(ALL, sight=Sight(user_id=ANN, all_of=frozenset(Direction))), "abcde"),
        (replace(ALL, org_id=OrgId("another")), ""),
    ],
)
async def test_a_list_holds_what_is_meant_in_its_order(filled: Store, wanted: WantedHooks, letters: str) -> None:
    """Each condition narrows, names are compared without case, and ties stay in the order hooks were made in."""
    found, total = await filled.hook_page(wanted)
    assert ("".join(hook.id[0] for hook in found), total) == (letters, len(letters))
    assert [hook for hook in HOOKS if hook in found] == sorted(found, key=HOOKS.index)
    assert await filled.hook_outlines(wanted) == [_outline(hook.id) for hook in found]
    ids = await filled.hook_ids(wanted)
    assert ids == [hook.id for hook in found] == [hook.id for hook in await filled.bare_hooks(ids)]


def _outline(hook_id: IntegrationId) -> HookOutline:
    hook = next(hook for hook in HOOKS if hook.id == hook_id)
    return HookOutline(id=hook.id, name=hook.name, direction=INCOMING if hook in HOOKS[::2] else OUTGOING)


async def test_pages_follow_each_other(filled: Store) -> None:
    """A page is cut from the whole order, and the total counts all of it."""
    wanted = replace(ALL, order=BY_NAME)
    pages = [await filled.hook_page(wanted, offset=offset, count=2) for offset in (0, 2, 4, 6)]
    assert ["".join(hook.id[0] for hook in page) for page, _ in pages] == ["ba", "de", "c", ""]
    assert {total for _, total in pages} == {5}


async def test_only_the_page_is_opened(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Listing a page opens the secrets of the hooks on it; what shows none opens nothing."""
    opened = list[str]()
    really = Vault.open

    def noting(vault: Vault, sealed: bytes, identity: str) -> bytes:
        opened.append(identity)
        return really(vault, sealed, identity)

    monkeypatch.setattr(Vault, "open", noting)
    await filled.hook_page(ALL, count=2)
    assert opened == [f"integration:{_id('a')}", f"integration:{_id('b')}"]
    opened.clear()
    bare = await filled.bare_hooks(await filled.hook_ids(ALL))
    assert [(hook.token, getattr(hook, "urls", ())) for hook in bare] == [(None, ())] * 5
    await filled.hook_outlines(ALL)
    await filled.hook_tally(ALL, NOON)
    assert opened == []


async def test_a_list_follows_every_change(filled: Store) -> None:
    """What is renamed, moved to other rooms or removed is listed as it is now."""
    moved = replace(HOOKS[0], name="builds", channels=(), version=2)
    await filled.commit(Changes(put_hooks=(moved,), drop_hooks=(_id("d"),)))
    assert (await filled.hook_page(replace(ALL, begins="dep")))[0] == []
    assert (await filled.hook_page(replace(ALL, channels=("#ops",))))[0] == []
    assert (await filled.hook_page(replace(ALL, channels=(EVERYWHERE,))))[0] == [moved, HOOKS[1]]
    assert await filled.hooks_of([_id("e"), _id("d"), _id("a")]) == [HOOKS[4], moved]


async def test_hooks_are_counted_by_direction_and_state(filled: Store) -> None:
    """A hook that is off is not counted as expired, nor one that has expired as muted."""
    expected = HookTally(incoming=3, outgoing=2, off=1, expired=1, muted=1)
    assert await filled.hook_tally(ALL, Millis(NOON + 5)) == expected
    mine = replace(ALL, sight=Sight(user_id=ANN, own_of=frozenset({INCOMING})))
    assert await filled.hook_tally(mine, Millis(NOON + 60)) == HookTally(incoming=2)
