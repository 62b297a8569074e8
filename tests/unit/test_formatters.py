"""How bodies of known senders become Rocket.Chat's, and how the folder of formatters is read."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handlers.formatter import Formatter, available
from handlers.message import Defaults, Draft, DraftFault, read_draft
from handlers.registry import load
from tests.shared import shared

FORMATTERS = available()
SLACK = FORMATTERS["slack"]


def post(formatter: str, body: object) -> Draft:
    """Return the message a body becomes through a formatter."""
    formatted = FORMATTERS[formatter].format(body)
    assert isinstance(formatted, Mapping)
    result = read_draft(formatted, Defaults(), max_chars=40_000)
    assert isinstance(result, Draft), result
    return result


def slack_text(text: str) -> str:
    """Return how a room reads a mrkdwn text."""
    return post("slack", {"text": text}).text


def block_text(*blocks: object) -> str:
    """Return how a room reads a message of blocks alone."""
    return post("slack", {"blocks": list(blocks)}).text


def slack_attachment(attachment: object) -> Mapping[str, object]:
    """Return what an attachment in Slack's shape becomes."""
    return post("slack", {"attachments": [attachment]}).attachments[0]


def test_the_known_formatters() -> None:
    """The names a person may give to `--format`."""
    assert sorted(FORMATTERS) == ["auto", "rocketchat", "slack"]
    assert all(formatter.name == name and formatter.summary for name, formatter in FORMATTERS.items())


@pytest.mark.parametrize("formatter", FORMATTERS.values(), ids=lambda one: one.name)
@pytest.mark.parametrize("body", [None, 5, "text", [], [{}]])
def test_what_is_no_object_is_a_fault(formatter: Formatter, body: object) -> None:
    """Every formatter refuses, none fails."""
    fault = formatter.format(body)
    assert isinstance(fault, DraftFault)
    assert fault.error.startswith("Match error: Expected object, got ")


def test_rocketchat_bodies_pass_untouched() -> None:
    """Slack's escapes and sequences mean nothing in Rocket.Chat's own shape."""
    body = {"text": "a &lt; <https://x.test|b>", "attachments": [{"color": "good"}], "blocks": [1]}
    assert FORMATTERS["rocketchat"].format(body) == body


@pytest.mark.parametrize(
    ("body", "is_slack"),
    [
        ({"text": "plain *bold* a &lt; b"}, False),
        ({"text": "<b> <https://x.test>"}, False),
        ({"text": "see <https://x.test|it>"}, True),
        ({"text": "<!channel> <@U12>"}, True),
        ({"text": "x", "blocks": None}, False),
        ({"blocks": [{"type": "divider"}]}, True),
        ({"attachments": [{"color": "#fff", "title": "t"}]}, False),
        ({"attachments": [{"color": "danger"}]}, True),
        ({"attachments": [{}, {"pretext": "p"}]}, True),
        ({"attachments": [5, {"color": []}]}, False),
    ],
)
def test_auto_picks_slack_only_for_what_no_other_sends(body: Mapping[str, object], is_slack: bool) -> None:
    """What may be Rocket.Chat's is read as Rocket.Chat's."""
    assert SLACK.recognises(body) is is_slack
    expected = SLACK if is_slack else FORMATTERS["rocketchat"]
    assert FORMATTERS["auto"].format(body) == expected.format(body)


@pytest.mark.parametrize(
    ("mrkdwn", "text"),
    [
        ("*b* _i_ ~s~ `c` > q :emoji:", "*b* _i_ ~s~ `c` > q :emoji:"),
        ("1 &lt; 2 &amp;&amp; 3 &gt; 2 &quot; &amp;lt;", "1 < 2 && 3 > 2 &quot; &lt;"),
        ("<https://x.test|label>", "[label](https://x.test)"),
        ("<https://x.test/?a=1&amp;b=2|A &amp; B>", "[A & B](https://x.test/?a=1&b=2)"),
        ("<https://x.test/a_(b)|l>", "[l](https://x.test/a_%28b%29)"),
        ("<https://x.test>", "https://x.test"),
        ("<https://x.test|>", "https://x.test"),
        ("<mailto:a@x.test|a@x.test>", "a@x.test"),
        ("<mailto:a@x.test>", "a@x.test"),
        ("<@U1> <@U1|ann> <#C1> <#C1|ops>", "@U1 @ann #C1 #ops"),
        ("<!here> <!channel> <!everyone>", "@here @all @all"),
        ("<!subteam^S1|@team> <!subteam^S1>", "@team @S1"),
        ("<!date^1392734382^{date}|Feb 18>", "Feb 18"),
        ("<!unknown> <> <@> a < b > c <b>", "<!unknown> <> <@> a < b > c <b>"),
        ("<javascript:alert(1)|click>", "<javascript:alert(1)|click>"),
        ("<java\tscript:alert(1)|click>", "<java\tscript:alert(1)|click>"),
    ],
)
def test_mrkdwn(mrkdwn: str, text: str) -> None:
    """Sequences and the three escapes are read, everything else stays; nothing but http(s) becomes a link."""
    assert slack_text(mrkdwn) == text


@pytest.mark.parametrize(
    ("block", "text"),
    [
        ({"type": "header", "text": {"type": "plain_text", "text": "A &amp; B"}}, "*A & B*"),
        ({"type": "section", "text": {"type": "mrkdwn", "text": "<https://x.test|x>"}}, "[x](https://x.test)"),
        ({"type": "section", "text": "bare"}, "bare"),
        (
            {
                "type": "section",
                "text": {"type": "plain_text", "text": "<not|a link>"},
                "fields": [{"type": "mrkdwn", "text": "*k*\nv"}, 5],
                "accessory": {"type": "button", "text": {"text": "Open"}, "url": "https://x.test"},
            },
            "<not|a link>\n*k*\nv\n[Open](https://x.test)",
        ),
        (
            {
                "type": "context",
                "elements": [
                    {"type": "image", "image_url": "https://x.test/i.png", "alt_text": "cat"},
                    {"type": "mrkdwn", "text": "by <@U1|ann>"},
                ],
            },
            "[cat](https://x.test/i.png) by @ann",
        ),
        ({"type": "divider"}, "---"),
        (
            {"type": "image", "image_url": "https://x.test/i", "alt_text": "a", "title": {"text": "T"}},
            "[T](https://x.test/i)",
        ),
        ({"type": "image", "image_url": "javascript:x", "alt_text": "a"}, "a"),
        (
            {
                "type": "actions",
                "elements": [
                    {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": "https://x.test"},
                    {"type": "button", "text": {"type": "plain_text", "text": "Ack"}, "value": "1"},
                    {"type": "static_select", "placeholder": {"type": "plain_text", "text": "Pick"}},
                ],
            },
            "[Open](https://x.test) · Ack · Pick",
        ),
        ({"type": "markdown", "text": "# H\n**b** &lt;"}, "# H\n**b** &lt;"),
        ({"type": "video", "title": {"type": "plain_text", "text": "Clip"}, "x": [{"text": "more"}]}, "Clip\nmore"),
        ({"text": {"text": "no type"}}, "no type"),
        ({"type": ["odd"], "text": "odd"}, "odd"),
    ],
)
def test_blocks(block: object, text: str) -> None:
    """Each kind of block has its text; an unknown one gives any text inside."""
    assert block_text(block) == text


def test_rich_text() -> None:
    """Sections, lists, quotes and code of a rich text read as Markdown; its texts hold no escapes."""

    def section(*elements: Mapping[str, object]) -> Mapping[str, object]:
        return {"type": "rich_text_section", "elements": list(elements)}

    block = {
        "type": "rich_text",
        "elements": [
            section(
                {"type": "text", "text": "bold ", "style": {"bold": True, "italic": True}},
                {"type": "link", "url": "https://x.test", "text": "link"},
                {"type": "text", "text": " &lt; "},
                {"type": "user", "user_id": "U1"},
                {"type": "emoji", "name": "tada"},
                {"type": "broadcast", "range": "channel"},
            ),
            {
                "type": "rich_text_list",
                "style": "ordered",
                "indent": 1,
                "elements": [section({"type": "text", "text": "one"}), section({"type": "text", "text": "two"})],
            },
            {"type": "rich_text_quote", "elements": [{"type": "text", "text": "a\nb"}]},
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "code"}]},
            {"type": "rich_text_new", "elements": [{"text": "later"}]},
        ],
    }
    assert block_text(block) == (
        "*_bold_* [link](https://x.test) &lt; @U1:tada:@all\n  1. one\n  2. two\n> a\n> b\n```\ncode\n```\nlater"
    )


def test_blocks_are_the_text_only_when_no_text_is_sent() -> None:
    """Blocks beside a text follow it as first attachment, unless they say the same."""
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "body"}}]
    assert post("auto", {"blocks": blocks}).text == "body"
    both = post("auto", {"text": "note", "blocks": blocks, "attachments": [{"text": "last"}]})
    assert (both.text, both.attachments) == ("note", ({"text": "body"}, {"text": "last"}))
    assert post("auto", {"text": "body", "blocks": blocks}).attachments == ()


@pytest.mark.parametrize(
    ("attachment", "expected"),
    [
        ({"color": "good", "text": "t"}, {"color": "#2eb886", "text": "t"}),
        ({"color": "warning"}, {"color": "#daa038"}),
        ({"color": "danger"}, {"color": "#a30200"}),
        ({"color": "36a64f"}, {"color": "#36a64f"}),
        ({"color": "#36A64F"}, {"color": "#36A64F"}),
        (
            {"pretext": "<@U1|ann>", "text": "a &lt; b", "footer": "f", "footer_icon": "javascript:x"},
            {"text": "@ann\na < b\nf"},
        ),
        (
            {"text": "t", "blocks": [{"type": "divider"}], "footer": "f"},
            {"text": "t\n---\nf"},
        ),
        ({"fallback": "<https://x.test|it>"}, {"fallback": "<https://x.test|it>", "text": "[it](https://x.test)"}),
        ({"fallback": "short", "title": "T &amp; U"}, {"fallback": "short", "title": "T & U"}),
        ({"title": "t", "title_link": "", "image_url": None}, {"title": "t", "image_url": None}),
        ({"fields": [{"title": "a", "value": "&amp;"}]}, {"fields": [{"title": "a", "value": "&"}]}),
        ({"ts": 1655945306}, {"ts": "2022-06-23T00:48:26.000Z"}),
        ({"ts": "1655945306.25"}, {"ts": "2022-06-23T00:48:26.250Z"}),
        ({"ts": "2026-03-02T09:14:07.000Z"}, {"ts": "2026-03-02T09:14:07.000Z"}),
        ({"ts": 10**40}, {"ts": 10**40}),
        (
            {"actions": [{"type": "button", "text": "Open", "url": "https://x.test"}, {"name": "ack"}]},
            {"actions": [{"type": "button", "text": "Open", "url": "https://x.test"}]},
        ),
    ],
)
def test_legacy_attachments(attachment: object, expected: Mapping[str, object]) -> None:
    """Nothing a person reads is lost on the way to keys Rocket.Chat knows."""
    assert slack_attachment(attachment) == expected


@pytest.mark.parametrize(
    ("attachment", "error"),
    [
        (5, "Match error: Expected object, got number in field attachments[0]"),
        ({"text": 5, "pretext": "p"}, "Match error: Expected string, got number in field attachments[0].text"),
        ({"title_link": "javascript:x"}, "Invalid href value provided"),
        ({"actions": [{"url": "data:x"}]}, "Invalid href value provided"),
    ],
)
def test_translation_does_not_hide_faults(attachment: object, error: str) -> None:
    """What is wrong with a Slack attachment is named by the reader of drafts."""
    formatted = SLACK.format({"attachments": [attachment]})
    assert read_draft(formatted, Defaults(), max_chars=100) == DraftFault(error, is_code=False)


def test_real_slack_bodies_say_what_other_chats_say() -> None:
    """Every captured or published body is a message with the addresses and names recorded for it."""
    folder = shared("payloads", "slack_incoming")
    files: Mapping[str, dict[str, dict[str, list[str]]]] = json.loads((folder / "meta.json").read_text())["files"]
    for name, about in files.items():
        result = post("auto", json.loads((folder / name).read_text()))
        said = json.dumps([result.text, result.attachments], ensure_ascii=False)
        assert result.text or result.attachments, name
        expected = about.get("mentions", {})
        missing = [one for one in expected.get("urls", []) + expected.get("names", []) if one not in said]
        assert missing == [], name


def test_a_captured_alert_reads_as_written() -> None:
    """Alertmanager's Slack body with its JSON escapes, named colour and empty footer."""
    folder = shared("payloads", "slack_incoming")
    result = post("auto", json.loads((folder / "captured_alertmanager_0.25_firing.json").read_text()))
    (attachment,) = result.attachments
    assert result.destinations == ("#ops",)
    assert attachment["text"] == "db1 disk 96% <full> & rising db2 disk 91% "
    assert (attachment["color"], "footer" in attachment) == ("#a30200", False)


KEYS = st.sampled_from(
    [
        "text",
        "blocks",
        "attachments",
        "type",
        "elements",
        "fields",
        "accessory",
        "url",
        "style",
        "indent",
        "fallback",
        "pretext",
        "footer",
        "color",
        "ts",
        "actions",
        "title",
        "value",
        "image_url",
    ]
)
WORDS = st.text(max_size=12) | st.sampled_from(
    ["section", "rich_text", "rich_text_section", "rich_text_list", "text", "link", "<https://x|y>", "<!date^1>"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


@pytest.mark.parametrize("formatter", FORMATTERS.values(), ids=lambda one: one.name)
@given(body=JSON | st.dictionaries(KEYS, JSON))
def test_any_json_is_a_draft_or_a_fault(formatter: Formatter, body: object) -> None:
    """Nothing a sender can write makes a formatter fail."""
    formatted = formatter.format(body)
    assert isinstance(formatter.recognises(body), bool)
    assert isinstance(read_draft(formatted, Defaults(), max_chars=100), Draft | DraftFault)


@pytest.mark.parametrize("part", ["<", "<@", "<https://a", "<!", "&lt;", "<a|"])
def test_hostile_mrkdwn_stays_linear(part: str) -> None:
    """A hundred thousand open sequences take well under two seconds; a quadratic scan would take minutes."""
    started = time.process_time()
    FORMATTERS["auto"].format({"text": part * 100_000, "blocks": [{"type": "x", "text": part * 100_000}]})
    assert time.process_time() - started < 2


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> ModuleType:
    """Return a package of plug-ins made of the files a test asks for."""
    name = f"plugins_{tmp_path.name}".replace("-", "_")
    package = tmp_path / name
    package.mkdir()
    for file, source in request.param.items():
        (package / file).write_text(source)
    module = ModuleType(name)
    module.__path__ = [str(package)]
    monkeypatch.setitem(sys.modules, name, module)
    return module


PLUGIN = "from types import SimpleNamespace\nCOMMAND = SimpleNamespace(name={!r})\n"


@pytest.mark.parametrize("folder", [{"b.py": PLUGIN.format("two"), "a.py": PLUGIN.format("one")}], indirect=True)
def test_a_folder_is_read_by_its_constant(folder: ModuleType) -> None:
    """The registry takes any family: the plug-ins come by name."""
    assert list(load(folder, "COMMAND")) == ["one", "two"]


@pytest.mark.parametrize(
    ("folder", "problem"),
    [
        ({"a.py": PLUGIN.format("one"), "b.py": PLUGIN.format("one")}, r"b is the second plug-in named 'one'"),
        ({"a.py": "OTHER = 1\n"}, r"a has no COMMAND"),
    ],
    indirect=["folder"],
)
def test_a_mistaken_folder_stops_the_start(folder: ModuleType, problem: str) -> None:
    """A module without its constant and a name used twice are named."""
    with pytest.raises(ValueError, match=problem):
        load(folder, "COMMAND")


@pytest.mark.parametrize("formatter", FORMATTERS.values(), ids=lambda one: one.name)
def test_every_format_has_a_sample_that_can_be_posted(formatter: Formatter) -> None:
    """Tests and previews show it, so it is recognised as what it is and read without a fault."""
    body = json.loads(formatter.sample)
    assert FORMATTERS["auto"].format(body) == formatter.format(body)
    draft = read_draft(formatter.format(body), Defaults(), max_chars=1_000)
    assert isinstance(draft, Draft)
    assert draft.text.startswith("Build *1234* passed")
    assert draft.attachments
