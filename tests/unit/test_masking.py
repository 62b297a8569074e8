"""What of a kept request a person may see (decision 33)."""

import json
import time

import pytest

from handlers.masking import masked_body, masked_headers, masked_text

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
OWN = "T" * 48


def test_headers_are_shown_by_an_allow_list() -> None:
    """A header nobody has declared harmless shows that it came, never its value."""
    headers = [
        ("Content-Type", JSON),
        ("X-GitHub-Event", "push"),
        ("Authorization", "Bearer abc"),
        ("X-Hub-Signature-256", "sha256=abc"),
        ("X-Gitlab-Token", "abc"),
        ("X-Of-The-Future", "abc"),
    ]
    assert masked_headers(headers) == (
        ("Content-Type", JSON),
        ("X-GitHub-Event", "push"),
        ("Authorization", "***"),
        ("X-Hub-Signature-256", "***"),
        ("X-Gitlab-Token", "***"),
        ("X-Of-The-Future", "***"),
    )


@pytest.mark.parametrize(
    ("name", "masked"),
    [
        ("token", True),
        ("accessToken", True),
        ("client_secret", True),
        ("PASSWORD", True),
        ("Proxy-Authorization", True),
        ("api key", True),
        ("api_key", True),
        ("X-API-Key", True),
        ("auth", True),
        ("set-cookie", True),
        ("author", False),
        ("passed", False),
        ("text", False),
        ("key", False),
    ],
)
def test_values_are_masked_by_their_name(name: str, masked: bool) -> None:
    """How a name is spelled does not decide whether its value is secret."""
    body = json.dumps({"outer": [{name: "abc"}]}).encode()
    assert masked_body(JSON, body) == {"outer": [{name: "***" if masked else "abc"}]}


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        (JSON, {"token": {"deep": "abc"}}, {"token": "***"}),
        (JSON, {"token": 12345}, {"token": "***"}),
        (JSON, {"token": None, "secret": "", "password": False}, {"token": None, "secret": "", "password": False}),
        (
            JSON,
            {"headers": [{"name": "Authorization", "value": "abc"}]},
            {"headers": [{"name": "Authorization", "value": "***"}]},
        ),
        (JSON, {"url": "https://a.example/x?id=1&api_key=abc#y"}, {"url": "https://a.example/x?id=1&api_key=***#y"}),
        (JSON, {"text": f"see /hooks/1/{OWN}!"}, {"text": "see /hooks/1/***!"}),
        (JSON, {OWN: 1}, {"***": 1}),
        (JSON, {"payload": '{"token": "abc", "text": "hi"}'}, {"payload": {"token": "***", "text": "hi"}}),
        (JSON, {"payload": '{"inner": "{\\"token\\": \\"abc\\"}"}'}, {"payload": {"inner": "***"}}),
        (JSON, {"text": "[draft] token"}, {"text": "[draft] token"}),
        (JSON, {"payload": '{"token": "abc'}, {"payload": '{"token… (7 more characters, not shown)'}),
        (JSON, {"text": "run it with token=abc"}, {"text": "run it with token=***"}),
        (FORM, "token=abc&text=hi", {"token": "***", "text": "hi"}),
        (FORM, "payload=%7B%22secret%22%3A%22abc%22%7D", {"payload": {"secret": "***"}}),
        (JSON, "[1, 2]", [1, 2]),
        (JSON, "", None),
    ],
)
def test_secrets_are_found_where_they_hide(kind: str, body: object, shown: object) -> None:
    """Nested values, named pairs, addresses, wrapped JSON and the hook's own token are all looked at."""
    raw = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert masked_body(kind, raw, [OWN]) == shown


@pytest.mark.parametrize("raw", [b'{"token": "abc"', b"\xff\xfe", b"[" * 100_000, b'{"token": NaN}'])
def test_a_body_that_cannot_be_read_is_not_shown(raw: bytes) -> None:
    """Where there are no names to go by, only the length and the reason are told."""
    shown = masked_body(JSON, raw)
    assert isinstance(shown, str)
    assert shown.startswith(f"({len(raw):,} bytes, not shown: ")
    assert "abc" not in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bad pixel_id", "bad pixel_id"),
        ("Invalid token", "Invalid token"),
        ('Wrong password for "bob"', 'Wrong password for "bob"'),
        ("[ops] token is old", "[ops] token is old"),
        ('{"error":"no","token":"CANARY"}', '{"error": "no", "token": "***"}'),
        ('{"error":"no","id":1}', '{"error":"no","id":1}'),
        ('{"pwd":"CANARY","pwd":null}', '{"pwd": null}'),
        ('{"list":[{"name":"password","value":"CANARY"}]}', '{"list": [{"name": "password", "value": "***"}]}'),
        ('{"text":"see h.test/?token=CANARY"}', '{"text": "see h.test/?token=***"}'),
        ("see https://x.test/?key=1&token=CANARY now", "see https://x.test/?key=1&token=*** now"),
        ("password=CANARY&x=1", "password=***&x=1"),
        ("retry with secret=CANARY", "retry with secret=***"),
        ("user: bob\nAPI key: CANARY\n", "user: bob\nAPI key: … (7 more characters, not shown)"),
        ("set-cookie = CANARY", "set-cookie = … (6 more characters, not shown)"),
        ("{'error': 'no', 'password': 'CANARY'}", "{'error': 'no', 'password… (12 more characters, not shown)"),
        ("data: {'password': 'CANARY'}", "data: {'password': … (9 more characters, not shown)"),
        ("<p>no</p><password>CANARY</password>", "<p>no</p><password… (18 more characters, not shown)"),
        ('<input name="token" value="CANARY">', '<input name="token… (17 more characters, not shown)'),
        ('{"error":"no","token":"CANARY', '{"error":"no","token… (9 more characters, not shown)'),
        ('{"error":"no","pwd":"CANARY', '{"error":"no","pwd… (9 more characters, not shown)'),
        ('{"error":"no such user","id":', '{"error":"no such user","id":'),
        ('{"a":"\\npwd: CANARY', '{"a":"\\npwd… (8 more characters, not shown)'),
        ('{"\\u0074oken":"CANARY', '{"\\u… (17 more characters, not shown)'),
        ('[{"value":"CANARY","name":"token', '[{"value… (24 more characters, not shown)'),
        ('{"sent":"{\\"token\\":\\"CANARY"}', '{"sent": "{\\"token… (9 more characters, not shown)"}'),
        ("", ""),
    ],
)
def test_an_answer_is_shown_without_its_secrets(text: str, shown: str) -> None:
    """Names say what is secret; what cannot be read as a whole ends where a secret may begin."""
    assert masked_text(text) == shown
    assert "CANARY" not in shown


@pytest.mark.parametrize("text", ["a" * 2048, 'a"' * 1024, "a " * 1024, '{"' + "a-" * 1023, "a\\" * 1024, "[ " * 1024])
def test_masking_takes_no_time(text: str) -> None:
    """Whatever a receiver answers, looking through the 2 KiB that are kept keeps nobody waiting."""
    began = time.thread_time()
    masked_text(text)
    assert time.thread_time() - began < 0.05
