"""Requests as other chats send them, for tests of adapters and doors."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final  # Any: payloads are free-form JSON
from urllib.parse import urlencode

from slack_sdk.signature import SignatureVerifier

from handlers.chat import rocketchat_app
from handlers.chat_adapter import Request
from handlers.signing import v0
from storage.clock import Millis

NOW: Final = Millis(1_700_000_000_000)
SECRET: Final = "8f742231b10e8888abcd99yyyz"
FORM_TYPE: Final = "application/x-www-form-urlencoded"

MM_TEAM: Final = "t" * 26
MM_USER: Final = "u" * 26
MM_CHANNEL: Final = "c" * 26
SITE: Final = "https://chat.example.test"

Pairs = tuple[tuple[str, str], ...]


def slack_signed(body: bytes, *, secret: str = SECRET, now: Millis = NOW, content_type: str = FORM_TYPE) -> Request:
    """Sign a body as Slack does, with Slack's own library."""
    at = str(now // 1000)
    signature = SignatureVerifier(secret).generate_signature(timestamp=at, body=body)
    assert signature is not None
    return Request(
        (("Content-Type", content_type), ("X-Slack-Request-Timestamp", at), ("X-Slack-Signature", signature)), body
    )


def slack_command(text: str = "in list", **fields: str) -> Request:
    """Make a slash command of Slack."""
    form = {
        "token": "deprecated",
        "team_id": "T1DC2JH3J",
        "team_domain": "acme",
        "channel_id": "G8PSS9T3V",
        "channel_name": "ops",
        "user_id": "U2CERLKJA",
        "user_name": "roadrunner",
        "command": "/hook",
        "text": text,
        "response_url": "https://hooks.slack.example/commands/T1/2/3",
        "trigger_id": "1337.42.abc",
    }
    return slack_signed(urlencode(form | fields).encode())


def slack_interaction(payload: Mapping[str, object], *, secret: str = SECRET, now: Millis = NOW) -> Request:
    """Make an interaction of Slack."""
    return slack_signed(urlencode({"payload": json.dumps(payload)}).encode(), secret=secret, now=now)


def slack_press(value: str, *, ephemeral: bool = True, **changes: object) -> Request:
    """Press the button of a message in Slack."""
    payload: dict[str, Any] = {
        "type": "block_actions",
        "user": {"id": "U2CERLKJA", "username": "roadrunner", "team_id": "T1DC2JH3J"},
        "team": {"id": "T1DC2JH3J", "domain": "acme"},
        "container": {"type": "message", "channel_id": "G8PSS9T3V", "is_ephemeral": ephemeral},
        "channel": {"id": "G8PSS9T3V", "name": "ops"},
        "trigger_id": "1338.42.def",
        "response_url": "https://hooks.slack.example/actions/T1/2/3",
        "actions": [{"action_id": "run:0", "block_id": "b", "type": "button", "value": value}],
    }
    return slack_interaction(payload | changes)


def mattermost_command(text: str = "in list", *, token: str | None = SECRET, **fields: str) -> Request:
    """Make a slash command of Mattermost; without `token` it has no header."""
    form = {
        "channel_id": MM_CHANNEL,
        "channel_name": "ops",
        "command": "/hook",
        "response_url": "https://mm.example/hooks/commands/abc",
        "team_domain": "acme",
        "team_id": MM_TEAM,
        "text": text,
        "token": SECRET,
        "trigger_id": "dHJpZ2dlcg==",
        "user_id": MM_USER,
        "user_name": "ann",
    }
    headers: Pairs = (("Content-Type", FORM_TYPE), ("Accept", "application/json"), ("User-Agent", "Mattermost-Bot/1.1"))
    if token is not None:
        headers = (*headers, ("Authorization", f"Token {token}"))
    return Request(headers, urlencode(form | fields).encode())


def mattermost_json(body: Mapping[str, object], query: str = "") -> Request:
    """Make a press or a dialog's end of Mattermost."""
    return Request((("Content-Type", "application/json"),), json.dumps(body).encode(), query)


def mattermost_press(url: str, given: Mapping[str, object], /, **changes: object) -> Request:
    """Press a button in Mattermost: the server sends its context back."""
    body: dict[str, object] = {
        "user_id": MM_USER,
        "user_name": "ann",
        "channel_id": MM_CHANNEL,
        "channel_name": "ops",
        "team_id": MM_TEAM,
        "team_domain": "acme",
        "post_id": "p" * 26,
        "trigger_id": "cHJlc3M=",
        "type": "button",
        "data_source": "",
        "context": dict(given),
    }
    return mattermost_json(body | changes, url.partition("?")[2])


def mattermost_submission(opened: bytes, values: Mapping[str, str], **changes: object) -> Request:
    """Fill in the dialog that a call to `dialogs/open` opened."""
    call = json.loads(opened)
    body: dict[str, object] = {
        "type": "dialog_submission",
        "callback_id": call["dialog"]["callback_id"],
        "state": call["dialog"]["state"],
        "user_id": MM_USER,
        "channel_id": MM_CHANNEL,
        "team_id": MM_TEAM,
        "submission": dict(values),
        "cancelled": False,
    }
    return mattermost_json(body | changes, call["url"].partition("?")[2])


def rocketchat_message(line: str = "in list", /, **changes: object) -> Request:
    """Make the call of a Rocket.Chat server's outgoing webhook."""
    body: dict[str, object] = {
        "token": SECRET,
        "bot": False,
        "trigger_word": "!hook",
        "channel_id": "GENERAL",
        "channel_name": "general",
        "message_id": "q8sXvB2dhW3pTmKz5",
        "timestamp": "2026-03-02T09:14:07.739Z",
        "user_id": "hW3pTq8mKz5sXvB2d",
        "user_name": "cy",
        "text": f"!hook {line}",
        "siteUrl": f"{SITE}/",
    }
    return Request((("Content-Type", "application/json"),), json.dumps(body | changes).encode())


def app_command(text: str = "in list") -> Request:
    """Make the call of our own Rocket.Chat App."""
    body = json.dumps(
        {
            "version": 1,
            "kind": "command",
            "workspace": "w1",
            "request_id": "0" * 32,
            "user": {"id": "hW3pTq8mKz5sXvB2d", "username": "cy"},
            "room": {"id": "GENERAL"},
            "command": "hook",
            "text": text,
        }
    ).encode()
    signed = v0.sign(SECRET.encode(), timestamp=NOW // 1000, body=body, headers=rocketchat_app.HEADERS)
    return Request((("Content-Type", "application/json"), *signed.items()), body)


SAMPLES: Final[Mapping[str, Callable[[str], Request]]] = {
    "slack": slack_command,
    "mattermost": mattermost_command,
    "rocketchat": rocketchat_message,
    "rocketchat-app": app_command,
}
"""One typed line as each system sends it, with its proof."""


def with_body(request: Request, body: bytes) -> Request:
    """Return a request with another body and the same proof."""
    return replace(request, body=body)
