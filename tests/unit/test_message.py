"""What a body in Rocket.Chat shape means as a message, and what is refused (rocketchat.md §5.2, §5.3)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.attachments import MAX_ATTACHMENTS, MAX_NESTING
from handlers.message import Defaults, Draft, DraftFault, names_destination, read_draft
from tests.shared import shared

NOTHING = Defaults()
HOOK = Defaults(alias="hook", avatar="/avatar/hook", emoji=":hook:")


def draft(body: object, defaults: Defaults = NOTHING) -> Draft:
    """Return the message of a body that must be one."""
    result = read_draft(body, defaults, max_chars=40_000)
    assert isinstance(result, Draft), result
    return result


def fault(body: object, defaults: Defaults = NOTHING) -> str:
    """Return the text a body must be refused with."""
    result = read_draft(body, defaults, max_chars=40_000)
    assert isinstance(result, DraftFault), result
    assert not result.is_code
    return result.error


def test_a_body_without_keys_is_an_empty_message() -> None:
    """Nothing sent means the contract's defaults."""
    assert draft({}) == Draft(
        text="",
        destinations=(),
        has_destination=False,
        alias=None,
        avatar=None,
        emoji=None,
        attachments=(),
        parse_urls=True,
        groupable=False,
        thread_id=None,
        custom_fields=None,
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"text": "a", "msg": "b"}, "a"),
        ({"text": "", "msg": "b"}, "b"),
        ({"text": None, "msg": "b"}, "b"),
        ({"msg": " \r\n b\t"}, "b"),
        ({"text": "   ", "msg": "b"}, ""),
    ],
)
def test_text_wins_over_msg_and_is_trimmed(body: dict[str, object], text: str) -> None:
    """`text` wins unless it is empty; blanks around it go."""
    assert draft(body).text == text


@pytest.mark.parametrize(
    ("body", "destinations", "has_destination"),
    [
        ({"channel": "#a", "roomId": "b"}, ("#a",), True),
        ({"channel": "", "roomId": "b"}, ("b",), True),
        ({"roomId": ["b", "@c", "b"]}, ("b", "@c"), True),
        ({"channel": "#a,#b"}, ("#a,#b",), True),
        ({"channel": []}, (), True),
        ({"channel": None}, (), False),
        ({"channel": "", "roomId": ""}, (), False),
    ],
)
def test_destinations(body: dict[str, object], destinations: tuple[str, ...], has_destination: bool) -> None:
    """`channel` wins over `roomId`, duplicates are dropped, commas are not split."""
    result = draft(body)
    assert (result.destinations, result.has_destination) == (destinations, has_destination)
    assert names_destination(body) is has_destination


def test_a_destination_is_seen_in_a_body_that_is_refused_later() -> None:
    """The override rule comes before the message is read, so it must not need a valid message."""
    assert names_destination({"channel": "#a", "text": 5})
    assert not names_destination(["channel"])


@pytest.mark.parametrize(
    ("body", "alias"),
    [
        ({"username": "u", "alias": "a"}, "u"),
        ({"username": "", "alias": "a"}, "a"),
        ({"alias": None}, "hook"),
    ],
)
def test_alias(body: dict[str, object], alias: str) -> None:
    """`username` wins over `alias`, then comes the integration's."""
    assert draft(body, HOOK).alias == alias


@pytest.mark.parametrize(
    ("body", "defaults", "avatar", "emoji"),
    [
        ({"icon_url": "https://x.test/i", "avatar": "https://x.test/a"}, HOOK, "https://x.test/i", None),
        ({"avatar": "https://x.test/a", "icon_emoji": ":b:"}, HOOK, "https://x.test/a", None),
        ({"icon_emoji": ":b:", "emoji": ":c:"}, HOOK, None, ":b:"),
        ({"icon_emoji": "", "emoji": ":c:"}, HOOK, None, ":c:"),
        ({"icon_emoji": ""}, HOOK, "/avatar/hook", None),
        ({}, Defaults(emoji=":hook:"), None, ":hook:"),
        ({}, Defaults(alias="", avatar="", emoji=""), None, None),
        ({"avatar": "avatar/bob"}, NOTHING, "avatar/bob", None),
        ({"avatar": "/file-upload/1/a.png"}, NOTHING, "/file-upload/1/a.png", None),
    ],
)
def test_picture_order(body: dict[str, object], defaults: Defaults, avatar: str | None, emoji: str | None) -> None:
    """Sent picture, sent emoji, default picture, default emoji: the first of them is shown alone."""
    result = draft(body, defaults)
    assert (result.avatar, result.emoji) == (avatar, emoji)


@pytest.mark.parametrize(
    ("body", "parse_urls"),
    [
        ({}, True),
        ({"attachments": []}, True),
        ({"attachments": "none"}, True),
        ({"attachments": [{}]}, False),
        ({"attachments": [{}], "parseUrls": True}, True),
        ({"parseUrls": False}, False),
    ],
)
def test_urls_are_parsed_unless_attachments_are_sent(body: dict[str, object], parse_urls: bool) -> None:
    """Without a word of the sender, attachments stand in for previews."""
    assert draft(body).parse_urls is parse_urls


def test_thread_groupable_and_custom_fields_are_taken_over() -> None:
    """The rest of the table of §5.2."""
    result = draft({"tmid": "t1", "groupable": True, "customFields": {"a": 1}})
    assert (result.thread_id, result.groupable, result.custom_fields) == ("t1", True, {"a": 1})


def test_attachments_are_stored_normalised() -> None:
    """`msg` becomes a trimmed `text`, numbers and bools of fields become text, unknown keys and nulls pass."""
    sent = {
        "msg": " said ",
        "text": "old",
        "image_url": None,
        "mystery": [1],
        "fields": [
            {"title": "", "value": ""},
            {"title": "n", "value": 4, "short": True},
            {"value": 4.0},
            {"value": 0.5},
            {"value": False},
            {"value": None},
        ],
        "attachments": [{"msg": "quoted"}],
    }
    assert draft({"attachments": [sent]}).attachments == (
        {
            "text": "said",
            "image_url": None,
            "mystery": [1],
            "fields": [
                {"title": "", "value": ""},
                {"title": "n", "value": "4", "short": True},
                {"value": "4"},
                {"value": "0.5"},
                {"value": "false"},
                {"value": None},
            ],
            "attachments": [{"text": "quoted"}],
        },
    )


@pytest.mark.parametrize(
    "attachment",
    [
        {"text": "old", "msg": ""},
        {"ts": "2026-03-02T09:14:07.000Z"},
        {"ts": 1772442847739},
        {"collapsed": True, "title_link_download": False, "image_dimensions": {"width": 1}},
        {"image_size": 1, "audio_size": 2.5, "video_size": 3},
        {"title_link": "HTTPS://x.test", "image_url": "/file-upload/ID/NAME.png"},
        {"thumb_url": "http://x.test:9093/#/alerts?receiver=a b"},
        {"fields": [], "actions": []},
        {"actions": [{"type": "button", "text": "Open", "url": "https://x.test", "is_webview": True}]},
        {"actions": [{"msg": "/run", "msg_in_chat_window": True, "webview_height_ratio": "full"}]},
    ],
)
def test_good_attachments_pass(attachment: dict[str, object]) -> None:
    """Every key of §5.3 passes with its type."""
    assert len(draft({"attachments": [attachment]}).attachments) == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (["text"], "Match error: Expected object, got array"),
        (None, "Match error: Expected object, got null"),
        ({"text": 5}, "Match error: Expected string, got number in field text"),
        ({"msg": {}}, "Match error: Expected string, got object in field msg"),
        ({"channel": 5}, "Match error: Expected string or array, got number in field channel"),
        ({"roomId": ["a", None]}, "Match error: Expected string, got null in field roomId[1]"),
        ({"username": True}, "Match error: Expected string, got boolean in field username"),
        ({"avatar": 1.5}, "Match error: Expected string, got number in field avatar"),
        ({"emoji": []}, "Match error: Expected string, got array in field emoji"),
        ({"parseUrls": "no"}, "Match error: Expected boolean, got string in field parseUrls"),
        ({"groupable": 1}, "Match error: Expected boolean, got number in field groupable"),
        ({"tmid": 1}, "Match error: Expected string, got number in field tmid"),
        ({"customFields": []}, "Match error: Expected object, got array in field customFields"),
        ({"attachments": [None]}, "Match error: Expected object, got null in field attachments[0]"),
        ({"attachments": ["a"]}, "Match error: Expected object, got string in field attachments[0]"),
    ],
)
def test_wrong_types_of_a_body_are_named(body: object, text: str) -> None:
    """The fault says what was expected, what came, and where."""
    assert fault(body) == text


@pytest.mark.parametrize(
    ("attachment", "text"),
    [
        ({"color": 1}, "Expected string, got number in field attachments[0].color"),
        ({"msg": 1}, "Expected string, got number in field attachments[0].msg"),
        ({"ts": True}, "Expected string or number, got boolean in field attachments[0].ts"),
        ({"collapsed": "x"}, "Expected boolean, got string in field attachments[0].collapsed"),
        ({"image_size": "1"}, "Expected number, got string in field attachments[0].image_size"),
        ({"image_size": True}, "Expected number, got boolean in field attachments[0].image_size"),
        ({"image_dimensions": []}, "Expected object, got array in field attachments[0].image_dimensions"),
        ({"title_link": 1}, "Expected string, got number in field attachments[0].title_link"),
        ({"fields": {}}, "Expected array, got object in field attachments[0].fields"),
        ({"fields": ["a"]}, "Expected object, got string in field attachments[0].fields[0]"),
        ({"fields": [{"title": 1}]}, "Expected string, got number in field attachments[0].fields[0].title"),
        (
            {"fields": [{}, {"value": []}]},
            "Expected string or number or boolean, got array in field attachments[0].fields[1].value",
        ),
        ({"actions": "a"}, "Expected array, got string in field attachments[0].actions"),
        ({"actions": [{"text": 1}]}, "Expected string, got number in field attachments[0].actions[0].text"),
        (
            {"attachments": [{"text": 1}]},
            "Expected string, got number in field attachments[0].attachments[0].text",
        ),
    ],
)
def test_wrong_types_of_an_attachment_are_named(attachment: dict[str, object], text: str) -> None:
    """The path leads to the field, also inside fields, actions and quoted attachments."""
    assert fault({"attachments": [attachment]}) == f"Match error: {text}"


UNSAFE = [
    "javascript:alert(1)",
    "JavaScript:alert(1)",
    "java\tscript:alert(1)",
    "\x01javascript:alert(1)",
    "data:text/html,x",
    "vbscript:x",
    "ftp://x.test",
    "https://",
    "https:///x.test",
    "https://x.test/\r\n",
    " https://x.test",
    "//x.test",
    "\\\\x.test",
    "/\\x.test",
    "",
]
LINKS = [
    "author_link",
    "author_icon",
    "title_link",
    "thumb_url",
    "message_link",
    "image_url",
    "audio_url",
    "video_url",
]


@pytest.mark.parametrize("link", [*UNSAFE, "x.test", "/relative", "file-upload/1"])
def test_links_of_attachments_are_absolute_or_refused(link: str) -> None:
    """No link field of an attachment, of an action, or of a quoted attachment takes anything but http(s)."""
    holders: list[dict[str, object]] = [{key: link} for key in LINKS]
    holders += [{"actions": [{"url": link}]}, {"actions": [{"image_url": link}]}]
    holders += [{"attachments": [holder]} for holder in holders]
    for holder in holders:
        assert fault({"attachments": [holder]}) == "Invalid href value provided"


@pytest.mark.parametrize("avatar", [link for link in UNSAFE if link])
def test_unsafe_avatars_are_refused(avatar: str) -> None:
    """An avatar may be relative, but never runs or leaves for another scheme, sent or by default."""
    assert fault({"avatar": avatar}) == "Invalid href value provided"
    assert fault({}, Defaults(avatar=avatar)) == "Invalid href value provided"


def test_a_text_over_the_limit_is_refused_by_code_points() -> None:
    """The limit counts code points after trimming; the fault is a code."""
    assert read_draft({"text": " 🙂🙂🙂 "}, NOTHING, max_chars=3) == draft({"text": "🙂🙂🙂"})
    assert read_draft({"text": "🙂🙂🙂🙂"}, NOTHING, max_chars=3) == DraftFault(
        "error-message-size-exceeded", is_code=True
    )


def test_attachments_are_limited_in_number_and_depth() -> None:
    """Beyond the limits the answer says how many fit."""
    assert len(draft({"attachments": [{}] * MAX_ATTACHMENTS}).attachments) == MAX_ATTACHMENTS
    assert "at most 100 fit" in fault({"attachments": [{}] * 10_000})
    nested: dict[str, object] = {}
    for _ in range(MAX_NESTING - 1):
        nested = {"attachments": [nested]}
    draft({"attachments": [nested]})
    assert "nested too deep" in fault({"attachments": [{"attachments": [nested]}]})


def test_bodies_of_real_senders_are_messages() -> None:
    """What apprise and Uptime Kuma really send arrives whole."""
    apprise = json.loads(shared("payloads", "rocketchat_incoming", "captured_apprise_rocketchat.json").read_text())
    result = draft(apprise)
    assert (result.text, result.destinations) == ("Build failed\r\njob **42** broke", ("#ops",))
    assert result.avatar == apprise["avatar"]
    kuma = json.loads(shared("payloads", "rocketchat_incoming", "captured_rocket_kuma_up.json").read_text())
    result = draft(kuma)
    assert (result.text, result.alias, result.emoji) == ("Uptime Kuma Alert", "Kuma", ":bear:")
    assert result.attachments == tuple(kuma["attachments"])


KEYS = st.sampled_from(
    [
        "text",
        "msg",
        "channel",
        "roomId",
        "username",
        "alias",
        "icon_url",
        "avatar",
        "emoji",
        "attachments",
        "parseUrls",
        "tmid",
        "customFields",
        "fields",
        "actions",
        "title",
        "value",
        "ts",
        "title_link",
        "x",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=20,
)


@given(body=JSON | st.dictionaries(KEYS, JSON))
def test_any_json_is_a_draft_or_a_fault(body: object) -> None:
    """Nothing a sender can write makes the reader fail, and what it returns is plain JSON."""
    result = read_draft(body, HOOK, max_chars=10)
    if isinstance(result, Draft):
        assert len(result.text) <= 10
        json.dumps([result.attachments, result.custom_fields])
    else:
        assert result.error
