"""Whatever is put over what is stored carries a version: a change made from an older one undoes nothing."""

from dataclasses import replace
from typing import Any, get_args, get_type_hints  # records of every kind

import pytest
from msgspec import Struct, structs

from storage.errors import Gone, Stale
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.upload import Upload
from storage.records.version import revised
from tests.contracts.store.test_connected import workspace
from tests.records import ANN, NOON, ORG, incoming, message, outgoing, room, user

KINDS = [name.removeprefix("put_") for name in Changes.__struct_fields__ if name.startswith("put_")]
UPLOAD = Upload(
    id="f1", org_id=ORG, room_id=room().id, user_id=ANN, name="a", size=1, type="x", confirmed=False, created_at=NOON
)
RECORDS: dict[str, Any] = {
    "users": user(id="u1", username="cleo"),
    "rooms": room(id="r1", name="ops"),
    "messages": message(),
    "hooks": outgoing(),
    "uploads": UPLOAD,
    "workspaces": workspace(),
}
READ = {name: name.removesuffix("s") for name in RECORDS}


def unit(verb: str, kind: str, record: object, **more: Any) -> Changes:
    """Build a unit of work that writes one record."""
    fields: dict[str, Any] = {f"{verb}_{kind}": (record,), **more}
    return Changes(**fields)


def other_than(record: Any, **changes: object) -> Any:
    return structs.replace(record, **changes) if isinstance(record, Struct) else replace(record, **changes)


async def stored(store: Store, kind: str) -> Any:
    """Read the record of a kind by the port's method for one of it."""
    key = RECORDS[kind].id
    return await (store.workspace(ORG, key) if kind == "workspaces" else getattr(store, READ[kind])(key))


@pytest.mark.parametrize("kind", KINDS)
def test_every_record_that_is_put_has_a_version(kind: str) -> None:
    """A new kind is made with a version, is made by `new_…`, and has its case in this module."""
    assert kind in RECORDS
    assert f"new_{kind}" in Changes.__struct_fields__
    (record, _) = get_args(get_type_hints(Changes)[f"put_{kind}"])
    for one in get_args(record) or (record,):
        assert get_type_hints(one)["version"] is int


@pytest.mark.parametrize("kind", KINDS)
async def test_a_stale_change_undoes_nothing(store: Store, kind: str) -> None:
    """Of two changes made from one version the second is refused, whole, and what the first wrote stays."""
    made = RECORDS[kind]
    await store.commit(unit("new", kind, made))
    first = revised(made)
    await store.commit(unit("put", kind, first))
    for version in (1, 2, 4):
        late = other_than(made, version=version)
        with pytest.raises(Stale):
            await store.commit(unit("put", kind, late, new_hooks=(incoming(),)))
        assert await stored(store, kind) == first
        assert await store.hook(incoming().id) is None
    await store.commit(unit("put", kind, revised(first)))
    assert await stored(store, kind) == revised(first)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_change_brings_nothing_back(store: Store, kind: str) -> None:
    """What is not there, or not any more, cannot be changed."""
    with pytest.raises((Gone, Stale)):
        await store.commit(unit("put", kind, revised(RECORDS[kind])))
    assert await stored(store, kind) is None


async def test_a_room_that_two_find_missing_is_made_once(store: Store) -> None:
    """Adding a room that is there leaves it as it is."""
    await store.commit(Changes(add_rooms=(RECORDS["rooms"],)))
    await store.commit(Changes(put_rooms=(revised(RECORDS["rooms"], topic="kept"),)))
    await store.commit(Changes(add_rooms=(RECORDS["rooms"],)))
    assert (await stored(store, "rooms")).topic == "kept"
