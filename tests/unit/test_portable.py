"""The file of exports: what is written reads back, and no document does harm (decision 67)."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handlers.portable.columns import COLUMNS
from handlers.portable.nodes import MAX_BYTES, DocumentFault, read_nodes
from handlers.portable.planning import ImportPlan, Step, planned, tells_secrets
from handlers.portable.reading import Document, Entry, Refused, read_document
from handlers.portable.telling import refusals, told
from handlers.portable.writing import written
from storage.clock import Millis
from storage.records.integration import Direction, Hook, IncomingHook, OutgoingHook, SigningKey
from tests.records import ANN, NOON, ORG, incoming, outgoing

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_KEY = "whsec_Zm9vYmFyYmF6cXV4"
BY = (ANN, "ann")

FULL_IN = incoming(
    version=7,
    name='night "builds": #1',
    channels=("#general", "@ann"),
    alias="yes",
    avatar="https://img.example/a.png?x=1",
    emoji=":tada:",
    script_enabled=True,
    secret="canary-in-secret",
    dedup="X-Sender-Id",
    keep_requests=False,
    override_destination=True,
    expires_at=Millis(NOON + 1),
    muted_until=NOON,
)
FULL_OUT = outgoing(
    name="012",
    token="canary-out-token",
    urls=("https://a.example/in?key=canary-url", "https://a.example:8443/", "http://u:canary-pw@b.example"),
    target_room="#ops",
    trigger_words=("!deploy", "true", "1e5"),
    trigger_word_anywhere=False,
    run_on_edits=True,
    retry_failed_calls=True,
    retry_count=2.5,
    retry_delay="powers-of-two",
    ordered=True,
    signing_keys=(SigningKey(key=KEY), SigningKey(key=OLD_KEY, expires_at=NOON)),
)


def entries(text: str) -> tuple[Entry, ...]:
    """Read a file that has nothing wrong in it."""
    found = read_document(text)
    assert isinstance(found, Document), found
    assert found.refused == ()
    return found.entries


def plan(entry: Entry, stored: Hook | None, *, overwrite: bool = False) -> Step | Refused:
    return planned(entry, stored, org=ORG, by=BY, now=NOON, overwrite=overwrite)


def step(entry: Entry, stored: Hook | None) -> Step:
    found = plan(entry, stored)
    assert isinstance(found, Step), found
    return found


def refused(lines: str, way: str = "incoming") -> str:
    """Return what is said of one hook with these keys, beside the stored one of its id."""
    found = read_document(f"patchbay: 1\n{way}:\n  - {lines}\n")
    assert isinstance(found, Document)
    if found.refused:
        return found.refused[0].text
    stored = FULL_IN if way == "incoming" else FULL_OUT
    judged = plan(found.entries[0], stored if found.entries[0].text("id") == stored.id else None)
    assert isinstance(judged, Refused), judged
    return judged.text


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    "hook", [incoming(), outgoing(), FULL_IN, FULL_OUT], ids=["in", "out", "in, full", "out, full"]
)
def test_what_is_exported_changes_nothing_when_it_is_imported(hook: Hook, masked: bool) -> None:
    """The file of a hook, with or without its secrets, says exactly what is stored."""
    [entry] = entries(written([hook], now=NOON, masked=masked))
    found = step(entry, hook)
    assert found.unchanged
    assert found.hook == hook


@pytest.mark.parametrize(
    "hook", [incoming(), outgoing(), FULL_IN, FULL_OUT], ids=["in", "out", "in, full", "out, full"]
)
def test_an_unmasked_file_makes_the_same_hook_again(hook: Hook) -> None:
    """With secrets, a hook that is gone comes back equal, under its id."""
    [entry] = entries(written([hook], now=NOON, masked=False))
    made = step(entry, None)
    assert replace(made.hook, created_by=hook.created_by, updated_at=hook.updated_at) == hook
    assert not made.made


def test_every_field_of_a_hook_has_its_key() -> None:
    """A field added to the records later must not be lost on the way through a file."""
    not_told = {"damaged", "org_id", "user_id", "updated_at", "updated_by", "previous_token"}
    for way, kind in ((Direction.INCOMING, IncomingHook), (Direction.OUTGOING, OutgoingHook)):
        fields = set(kind.__dataclass_fields__)
        assert {column.attribute for column in COLUMNS[way]} == fields - not_told


def test_a_masked_file_holds_no_secret() -> None:
    """No token, secret, address or key stands in it, and none is told by the entries' text forms."""
    text = written([FULL_IN, FULL_OUT], now=NOON, masked=True)
    for secret in ("canary", FULL_IN.token or "", KEY, OLD_KEY):
        assert secret not in text
    assert "https://a.example/***" in text
    assert "canary" not in repr(entries(written([FULL_IN, FULL_OUT], now=NOON, masked=False)))


def test_new_hooks_of_a_masked_file_get_new_secrets() -> None:
    """Token, secret and signing key are made and told once; an address cannot be, and is asked for."""
    [entry_in, entry_out] = entries(
        written([FULL_IN, replace(FULL_OUT, urls=("https://a.example/",))], now=NOON, masked=True)
    )
    made_in, made_out = step(entry_in, None), step(entry_out, None)
    assert set(made_in.made) == {"token", "secret"}
    assert made_in.hook.token == made_in.made["token"] != FULL_IN.token
    assert set(made_out.made) == {"token", "signing key"}
    assert made_out.hook.token == made_out.made["token"] != FULL_OUT.token
    [_, hidden] = entries(written([FULL_IN, FULL_OUT], now=NOON, masked=True))
    told_why = plan(hidden, None)
    assert isinstance(told_why, Refused)
    assert "write it in full" in told_why.text


def test_changes_are_told_field_by_field_without_secrets() -> None:
    """Old and new of what is no secret; of a secret only that it is another one."""
    changed = replace(
        FULL_OUT, name="ops", token="canary-new", urls=("https://a.example/in?key=canary-2", *FULL_OUT.urls[1:])
    )
    [entry] = entries(written([changed], now=NOON, masked=False))
    text = told(ImportPlan(steps=(step(entry, FULL_OUT),)))
    assert "name: 012 → ops" in text
    assert "token: *** → another one" in text
    assert "urls: " in text
    assert "canary" not in text


def test_what_changed_since_the_export_is_not_overwritten_unasked() -> None:
    """A version that is not the stored one is told with its line; without differences there is nothing to tell."""
    text = written([FULL_IN], now=NOON, masked=True)
    [entry] = entries(text)
    later = replace(FULL_IN, name="renamed", version=9)
    stale = plan(entry, later)
    assert isinstance(stale, Refused)
    assert stale.stale
    assert (stale.line, "version 7 here, 9 stored" in stale.text) == (6, True)
    assert "line 6" in refusals([stale])
    assert isinstance(plan(entry, later, overwrite=True), Step)
    assert step(entry, replace(FULL_IN, version=9)).unchanged


def test_secrets_in_a_file_are_noticed() -> None:
    """A masked file tells none, an unmasked one does."""
    for masked in (True, False):
        first, second = entries(written([FULL_IN, FULL_OUT], now=NOON, masked=masked))
        steps = (step(first, FULL_IN), step(second, FULL_OUT))
        assert tells_secrets(ImportPlan(steps=steps)) is not masked


REFUSED = [
    ("chanel: x", "incoming", '"chanel" is no key of an incoming hook.'),
    ("urls: [a]", "incoming", '"urls" is no key of an incoming hook.'),
    ("name: 12", "incoming", "name takes a text."),
    ("name: null", "incoming", "name takes a text."),
    ("enabled: yes", "incoming", "enabled takes true or false."),
    ("enabled: 1", "incoming", "enabled takes true or false."),
    ("version: true", "incoming", "version takes a number."),
    ("version: 0", "incoming", "version takes a number."),
    ("version: 1.5", "incoming", "version takes a number."),
    ("version: 1e999", "incoming", "version takes a number."),
    ("rooms: general", "incoming", "rooms takes a list of texts."),
    ("rooms: [1]", "incoming", "rooms takes a list of texts."),
    ("rooms: {a: b}", "incoming", "rooms takes a list of texts."),
    ("expires: soon", "incoming", "expires takes a time like 2026-03-02T09:14:00Z, or null."),
    ("id: ../../etc", "incoming", "id takes a text."),
    ("name: x", "incoming", "A new hook needs rooms."),
    ("enabled: true", "outgoing", "A new hook needs name and event and urls."),
    (f"{{id: {FULL_IN.id}, token: short}}", "incoming", "token takes 20 to 200 letters, digits, - and _."),
    (
        f"{{id: {FULL_IN.id}, post_as: bob}}",
        "incoming",
        "post_as stays what it is; remove the hook and make a new one.",
    ),
    (f"{{id: {FULL_OUT.id}, signing_keys: [nokey]}}", "outgoing", "holds something that is no signing key"),
    (f"{{id: {FULL_OUT.id}, signing_keys: ['***', '***', '***']}}", "outgoing", "masks key 3"),
    (f"{{id: {FULL_OUT.id}, urls: ['https://other.example/***']}}", "outgoing", "write it in full"),
]


@pytest.mark.parametrize(("lines", "way", "text"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_a_hook_cannot_be_is_refused(lines: str, way: str, text: str) -> None:
    """Each mistake has its own sentence, and the value is not in it."""
    assert text in refused(lines, way)


def test_a_near_key_is_suggested() -> None:
    """A slip of a finger is named."""
    assert "Did you mean" in refused("rooms: ['#a']\n    nmae: x")


LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{','.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)
HOSTILE: list[tuple[str, str, str]] = [
    ("billion laughs", LAUGHS, "Anchors and aliases"),
    ("an alias to itself", "patchbay: &a [*a]", "Anchors and aliases"),
    ("a python object", "patchbay: !!python/object/apply:os.system ['true']", "Tags"),
    ("a tag of its own", "patchbay: !x 1", "Tags"),
    ("a verbatim tag", "patchbay: !<tag:yaml.org,2002:str> 1", "Tags"),
    ("a tag directive", "%TAG ! tag:x,2000:\n---\npatchbay: 1", "directives"),
    ("two documents", "patchbay: 1\n---\npatchbay: 1", "not several"),
    ("a key twice", "patchbay: 1\npatchbay: 1", "twice"),
    ("a list as key", "? [a]\n: 1", "A key must be a word"),
    ("deep brackets", "patchbay: " + "[" * 100_000, "nested deeper"),
    ("deep dashes", "- " * 100_000, "nested deeper"),
    ("deep braces", "{a: " * 50_000, "nested deeper"),
    ("deep question marks", "? " * 100_000, "nested deeper"),
    ("nothing", "", "empty"),
    ("only a comment", "# hello", "empty"),
    ("an open quote", 'patchbay: "', "cannot be read"),
    ("a tab", "patchbay:\n\t- 1", "cannot be read"),
    ("a control character", "patchbay: \x00", "not allow"),
    ("a lone surrogate", "patchbay: \ud800", "no text"),
    ("too large", "#" * (MAX_BYTES + 1), "bytes"),
    ("too many values", "[" + "a," * 400_000 + "]", "values"),
    ("another version", "patchbay: 2", "patchbay: 1"),
    ("something else", "hello: world", "does not say"),
    ("a list", "- a", "must begin"),
    ("a text", "hello", "must begin"),
]


@pytest.mark.parametrize(("text", "why"), [case[1:] for case in HOSTILE], ids=[case[0] for case in HOSTILE])
def test_hostile_documents_end_with_a_sentence(text: str, why: str) -> None:
    """Nothing is built of them, nothing raises, and none takes long."""
    started = time.perf_counter()
    found = read_document(text)
    assert isinstance(found, DocumentFault), found
    assert why in found.text
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    "make",
    [
        lambda: "patchbay: 1\nincoming:\n" + "  - {}\n" * 100_000,
        lambda: "patchbay: 1\nincoming:\n" + "".join(f"  - name: n{n}\n    bad: 1\n" for n in range(30_000)),
        lambda: "patchbay: 1\nincoming:\n  - name: " + "x" * 900_000,
        lambda: "patchbay: 1\nincoming:\n  - {name: " + '"' + "\\U0001F600" * 90_000 + '"}',
    ],
    ids=["empty hooks", "bad keys", "a long name", "escapes"],
)
def test_large_documents_are_read_in_good_time(make: Callable[[], str]) -> None:
    """A file of the largest size is judged within seconds."""
    started = time.perf_counter()
    read_document(make())
    assert time.perf_counter() - started < 10


def test_the_line_of_a_fault_is_told() -> None:
    """A person finds the place."""
    found = read_nodes("patchbay: 1\nincoming:\n  - name: *x\n")
    assert found == DocumentFault(3, "Anchors and aliases (& and *) are not taken; write the values out.")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


@settings(max_examples=300, deadline=None)
@given(name=TEXTS, alias=st.none() | TEXTS, words=st.lists(TEXTS, max_size=3), count=st.none() | st.integers(0, 99))
def test_any_text_survives_the_file(name: str, alias: str | None, words: list[str], count: int | None) -> None:
    """Names like `null`, quotes, line breaks and signs of any script come back as they were."""
    hook = outgoing(name=name, alias=alias, trigger_words=tuple(words), retry_count=count)
    [entry] = entries(written([hook], now=NOON, masked=True))
    assert step(entry, hook).hook == hook


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=200) | st.text("patchby: 1\n-[]{}&*!?'\"#|>%@`~,", max_size=120))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    """Whatever is pasted, the answer is a document or a sentence."""
    assert isinstance(read_document(text), Document | DocumentFault)
