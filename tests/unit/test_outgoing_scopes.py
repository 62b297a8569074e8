"""Which hooks hear of which fact: events, channel scopes, trigger words, hops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.outgoing.events import OutgoingEvent
from handlers.outgoing.hops import MAX_HOPS, incoming_hops
from handlers.outgoing.scopes import hook_scopes, scopes_for
from handlers.triggers import Fire, fires
from storage.ids import RoomId, UserId
from storage.records.event import EventKind
from storage.records.room import RoomKind
from tests.records import direct_room, outgoing, room, user

ANN = user()
BOB = user(id=UserId("b0bT3sTu5erAbCd12"), username="bob")
CAT = user(id=UserId("rocket.cat"), username="rocket.cat")

EVENTS = [
    # event, channels, trigger words, target room, the facts that cause it
    ("sendMessage", True, True, False, {"message.posted", "message.edited"}),
    ("fileUploaded", True, False, False, {"file.uploaded"}),
    ("roomJoined", True, False, False, {"room.joined"}),
    ("roomLeft", True, False, False, {"room.left"}),
    ("roomArchived", False, False, False, {"room.archived"}),
    ("roomCreated", False, False, False, {"room.created"}),
    ("userCreated", False, False, True, {"user.created"}),
]


@pytest.mark.parametrize(("name", "channels", "words", "target", "kinds"), EVENTS)
def test_an_event_declares_what_the_contract_says(
    name: str, channels: bool, words: bool, target: bool, kinds: set[str]
) -> None:
    """The seven events use channels, trigger words and the target room as §6 says."""
    event = OutgoingEvent(name)
    assert (event.uses_channels, event.uses_trigger_words, event.uses_target_room) == (channels, words, target)
    assert event.kinds == kinds
    assert {OutgoingEvent.of(EventKind(kind)) for kind in kinds} == {event}


def test_other_facts_cause_no_event() -> None:
    """Exactly the seven events of the table exist, and facts like reactions cause none of them."""
    assert [event.value for event in OutgoingEvent] == [row[0] for row in EVENTS]
    heard = {EventKind(kind) for row in EVENTS for kind in row[4]}
    assert {OutgoingEvent.of(kind) for kind in EventKind if kind not in heard} == {None}


def test_a_public_room_lies_in_the_public_scopes() -> None:
    """A fact in a public room is heard without a channel, by the scope word, by id and by name."""
    assert scopes_for(room(), (), ANN) == {"", "all_public_channels", "#GENERAL", "#general"}


def test_a_private_room_lies_in_the_private_scopes() -> None:
    """A private room is never heard by a hook without channels."""
    private = room(id=RoomId("PrIvAt3R00mAbCd12"), kind=RoomKind.PRIVATE, name="ops")
    assert scopes_for(private, (), ANN) == {"all_private_groups", "#PrIvAt3R00mAbCd12", "#ops"}


def test_a_direct_room_leaves_out_the_name_of_the_author() -> None:
    """In a direct room ids of all participants count, names of all but the author."""
    assert scopes_for(direct_room(ANN, BOB), (ANN, BOB), ANN) == {
        "all_direct_messages",
        "@hW3pTq8mKz5sXvB2d",
        "@b0bT3sTu5erAbCd12",
        "@bob",
    }


def test_a_direct_room_of_three_names_both_others() -> None:
    """The rule for names holds for direct rooms of any size."""
    found = scopes_for(direct_room(ANN, BOB, CAT), (ANN, BOB, CAT), BOB)
    assert found >= {"@ann", "@rocket.cat"}
    assert "@bob" not in found


@pytest.mark.parametrize(
    ("event", "channels", "scopes"),
    [
        ("sendMessage", (), ("",)),
        ("sendMessage", ("",), ("",)),
        ("sendMessage", ("#ops", "@ann", "#ops"), ("#ops", "@ann")),
        ("fileUploaded", ("all_private_groups",), ("all_private_groups",)),
        ("roomJoined", (), ("",)),
        ("roomCreated", ("#ops",), ("*",)),
        ("roomArchived", (), ("*",)),
        ("userCreated", ("#ops",), ("*",)),
    ],
)
def test_a_hook_covers_its_channels(event: str, channels: tuple[str, ...], scopes: tuple[str, ...]) -> None:
    """A hook is found by each of its channels once; events without channels are heard everywhere."""
    assert hook_scopes(outgoing(event=event, channels=channels)) == scopes


@pytest.mark.parametrize(
    ("words", "anywhere", "text", "expected"),
    [
        ((), False, "hello", Fire(None)),
        (("!deploy",), False, "!deploy api", Fire("!deploy")),
        (("!deploy",), False, "!deployment", Fire("!deploy")),
        (("!deploy",), False, "please !deploy", None),
        (("!deploy",), True, "please !deploy", Fire("!deploy")),
        (("!deploy",), False, "!Deploy api", None),
        (("!dep", "!deploy"), False, "!deploy api", Fire("!dep")),
        (("late", "early"), True, "early and late", Fire("late")),
        (("!deploy",), False, "", None),
    ],
)
def test_the_first_trigger_word_in_list_order_fires(
    words: tuple[str, ...], anywhere: bool, text: str, expected: Fire | None
) -> None:
    """Words match case-sensitively at the beginning, or anywhere if so set; without words all text fires."""
    hook = outgoing(trigger_words=words, trigger_word_anywhere=anywhere)
    assert fires(hook, text, is_edit=False) == expected


@pytest.mark.parametrize(("run_on_edits", "expected"), [(True, Fire("!deploy")), (False, None)])
def test_edits_fire_only_where_wanted(run_on_edits: bool, expected: Fire | None) -> None:
    """An edited message is skipped unless the hook runs on edits."""
    hook = outgoing(trigger_words=("!deploy",), run_on_edits=run_on_edits)
    assert fires(hook, "!deploy", is_edit=True) == expected


@given(st.lists(st.text(min_size=1), min_size=1), st.text(), st.booleans())
def test_a_trigger_word_is_always_in_the_text(words: list[str], text: str, anywhere: bool) -> None:
    """Whatever fires, its word is one of the hook's and stands in the text."""
    fire = fires(
        outgoing(trigger_words=tuple(words), trigger_word_anywhere=anywhere),
        text,
        is_edit=False,
    )
    if fire is None:
        assert not any(text.startswith(word) for word in words)
    else:
        assert fire.trigger_word in words
        assert fire.trigger_word in text


@pytest.mark.parametrize(
    ("header", "hops"),
    [
        (None, 0),
        ("0", 1),
        ("3", 4),
        ("4", 5),
        ("9999", 5),
        ("99999", 0),
        ("-1", 0),
        ("", 0),
        ("1 ", 0),
        ("٣", 0),
    ],
)
def test_an_incoming_post_counts_one_hop_more(header: str | None, hops: int) -> None:
    """A post that bears our header is one hop further, at most at the limit; other values are not ours."""
    assert incoming_hops(header) == hops <= MAX_HOPS
