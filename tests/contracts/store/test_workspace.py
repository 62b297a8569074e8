"""People, tokens, rooms, messages and uploads: kept whole, found by name, paged."""

import pytest

from storage.clock import Millis
from storage.errors import Taken
from storage.ids import GENERAL, IntegrationId, MessageId, RoomId, UserId
from storage.ports import Store
from storage.records.changes import Changes
from storage.records.message import Message
from storage.records.room import Member, RoomKind
from storage.records.upload import Upload
from storage.records.user import Role, Token, TokenKind
from tests.records import ANN, NOON, ORG, direct_room, message, room, user

BOB = user(
    id=UserId("bob1"), username="Bob", name="Bob B.", emails=("bob@example.test", "b@example.test"), role=Role.ADMIN,
    is_bot=True, type="bot", granted=frozenset({"a", "b"}), denied=frozenset({"c"}), active=False,
    created_at=NOON + 1, password_hash="$argon2id$x",
)  # fmt: skip


async def test_people_are_found_by_id_name_and_address(store: Store) -> None:
    """A user comes back whole, by name and address whatever their case; a changed address is found no longer."""
    await store.commit(Changes(new_users=(BOB,)))
    for found in (
        await store.user(BOB.id),
        await store.user_named("bOB"),
        await store.user_with_email("BOB@example.test"),
        await store.user_with_email("b@example.test"),
    ):
        assert found == BOB
    assert await store.user_named("bo") is None
    renamed = user(id=BOB.id, username="robert", emails=("r@example.test",), version=2)
    await store.commit(Changes(put_users=(renamed,)))
    assert await store.user_named("bob") is None
    assert await store.user_with_email("bob@example.test") is None
    assert await store.user(BOB.id) == renamed


def token(number: int, kind: TokenKind = TokenKind.PERSONAL, name: str | None = "laptop") -> Token:
    return Token(
        hash=bytes([number]) * 16, user_id=ANN, kind=kind, name=name, last_part="wxyz", created_at=Millis(NOON + number)
    )


async def test_tokens_are_listed_used_and_replaced(store: Store) -> None:
    """Names of personal tokens are unique per person; a regenerated token takes over its name at once."""
    session = token(2, TokenKind.SESSION, None)
    await store.commit(Changes(new_tokens=(token(1), session, token(3, TokenKind.SESSION, None))))
    assert await store.tokens_of(ANN) == [token(1), session, token(3, TokenKind.SESSION, None)]
    assert await store.tokens_of(ANN, TokenKind.PERSONAL) == [token(1)]
    with pytest.raises(Taken):
        await store.commit(Changes(new_tokens=(token(4),)))
    await store.commit(Changes(drop_tokens=(token(1).hash,), new_tokens=(token(4),)))
    assert await store.token(token(1).hash) is None
    await store.touch_token(token(4).hash, NOON)
    used = await store.token(token(4).hash)
    assert used is not None
    assert used.last_used_at == NOON


async def test_rooms_are_found_by_name_and_member(store: Store) -> None:
    """Rooms come back whole; direct rooms have no name to be found by."""
    await store.commit(Changes(new_users=(BOB,)))
    private = room(
        id=RoomId("R2"), kind=RoomKind.PRIVATE, name="Ops", topic="t", description="d", read_only=True,
        archived=True, owner_id=None, created_at=NOON + 1,
    )  # fmt: skip
    direct = direct_room(user(), BOB)
    bob_there = Member(room_id=direct.id, user_id=BOB.id, joined_at=NOON)
    ann_there = Member(room_id=direct.id, user_id=ANN, joined_at=Millis(NOON + 1), is_owner=True)
    await store.commit(Changes(new_rooms=(private, direct), add_members=(ann_there, bob_there)))
    assert await store.room_named("OPS") == private
    assert await store.room(direct.id) == direct
    assert await store.rooms_of(ANN) == [direct]
    assert await store.members(direct.id) == [bob_there, ann_there]
    promoted = Member(room_id=direct.id, user_id=BOB.id, joined_at=Millis(NOON + 7), is_owner=True)
    await store.commit(Changes(add_members=(promoted,), drop_members=((direct.id, ANN),)))
    found = await store.member(direct.id, BOB.id)
    assert found is not None
    assert (found.is_owner, found.joined_at) == (True, NOON)
    assert await store.member(direct.id, ANN) is None
    assert await store.rooms_of(ANN) == []


async def test_renaming_onto_a_name_in_use_is_refused(store: Store) -> None:
    """A room keeps its name when the new one is taken."""
    await store.commit(Changes(new_rooms=(room(id=RoomId("R2"), name="ops"),)))
    with pytest.raises(Taken):
        await store.commit(Changes(put_rooms=(room(id=RoomId("R2"), name="General", version=2),)))
    found = await store.room(RoomId("R2"))
    assert found is not None
    assert found.name == "ops"


async def test_a_message_comes_back_as_it_was_written(store: Store) -> None:
    """Every field survives posting and editing."""
    full = message(
        text="hé 🎉", thread_id=MessageId("t"), alias="A", avatar="", emoji=":x:",
        attachments=({"title": "x", "fields": [{"short": True}]}, {}),
        integration_id=IntegrationId("65e2f0b72dd9f928ada3e43d"), parse_urls=False, groupable=False,
        custom_fields={"a": [1, None]}, file={"_id": "f", "size": 3}, reactions={":+1:": ("ann", "bob")},
        edited_at=NOON, edited_by=(ANN, "ann"), updated_at=NOON + 1, hops=3,
    )  # fmt: skip
    await store.commit(Changes(new_messages=(message(id=MessageId("plain")), full)))
    assert await store.message(full.id) == full
    assert await store.message(MessageId("plain")) == message(id=MessageId("plain"))
    edited = message(text="edited", edited_at=NOON + 2, edited_by=(ANN, "ann"), updated_at=NOON + 2, version=2)
    await store.commit(Changes(put_messages=(edited,)))
    assert await store.message(full.id) == edited


@pytest.mark.parametrize(
    ("page", "expected", "total"),
    [
        ({}, "98765543210", 11),
        ({"count": 3}, "987", 11),
        ({"count": 3, "offset": 9}, "10", 11),
        ({"offset": 50}, "", 11),
        ({"latest": NOON + 5}, "43210", 5),
        ({"latest": NOON + 5, "inclusive": True}, "5543210", 7),
        ({"oldest": NOON + 5}, "9876", 4),
        ({"oldest": NOON + 5, "inclusive": True}, "987655", 6),
        ({"oldest": NOON + 2, "latest": NOON + 4}, "3", 1),
        ({"oldest": NOON + 2, "latest": NOON + 4, "inclusive": True, "count": 2}, "43", 3),
    ],
)
async def test_messages_are_paged_newest_first(store: Store, page: dict[str, int], expected: str, total: int) -> None:
    """Time limits, paging and the total agree; messages of one moment keep their order of arrival."""
    numbers = [*range(10), 5]
    posted: list[Message] = [
        message(id=MessageId(f"m{place}"), at=NOON + number, text=str(number)) for place, number in enumerate(numbers)
    ]
    other = message(id=MessageId("elsewhere"), room_id=RoomId("R2"))
    await store.commit(Changes(new_rooms=(room(id=RoomId("R2"), name="ops"),), new_messages=(*posted, other)))
    found, matching = await store.messages(GENERAL, **page)  # type: ignore[arg-type] # a table of keyword arguments
    assert "".join(one.text for one in found) == expected
    assert matching == total
    same_moment = [one.id for one in found if one.text == "5"]
    assert same_moment in ([], ["m10", "m5"])


async def test_uploads_are_counted_confirmed_and_swept(store: Store) -> None:
    """Quota counts a person's files; what nobody confirmed is found by age."""
    plain = Upload(
        id="f1", org_id=ORG, room_id=GENERAL, user_id=ANN, name="a.png", size=10, type="image/png", confirmed=False,
        created_at=NOON,
    )  # fmt: skip
    shown = Upload(
        id="f2", org_id=ORG, room_id=GENERAL, user_id=ANN, name="b.bin", size=5, type="application/octet-stream",
        confirmed=True, created_at=NOON,
    )  # fmt: skip
    await store.commit(Changes(new_uploads=(plain, shown)))
    assert await store.upload("f1") == plain
    assert await store.uploaded_bytes(ANN) == 15
    assert await store.uploaded_bytes(UserId("nobody")) == 0
    assert await store.unconfirmed_uploads(NOON) == []
    assert await store.unconfirmed_uploads(Millis(NOON + 1)) == [plain]
    await store.commit(Changes(drop_uploads=("f1",)))
    assert await store.upload("f1") is None
