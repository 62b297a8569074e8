"""Incoming hooks over real sockets: every address, every shape of a body, every answer (`rocketchat.md` §5)."""

import asyncio
import json
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from bot.workspace.hook_options import Options
from storage.clock import Millis
from tests.clock import ManualClock
from tests.hook_door import (
    FORM,
    JSON,
    NOT_LOGGED_IN,
    OK,
    UNKNOWN,
    Answer,
    door,
    failed,
    texts,
)
from tests.hook_stage import OUTGOING
from tests.server import Server, serving

NO_CACHE = {"Content-Type": "application/json", "Cache-Control": "no-store", "Pragma": "no-cache"}
FORBIDDEN = (
    403,
    {"success": False, "error": "User does not have the permissions required for this action [error-unauthorized]"},
)
WRONG_METHOD = {"status": "error", "message": "API endpoint does not exist"}


async def call(server: Server, method: str, path: str, body: object = None) -> Answer:
    """Make a call below `/hooks/`."""
    async with server.http.request(method, f"{server.url}/hooks/{path}", json=body) as response:
        assert {name: response.headers[name] for name in NO_CACHE} == NO_CACHE
        return response.status, await response.json()


async def raw_status(server: Server, target: bytes) -> int:
    """Post to a path as it stands on the wire; returns the status."""
    host, port = server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = b"POST %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}"
    writer.write(head % target)
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_both_shapes_deliver(server: Server) -> None:
    """POST posts at both shapes, whatever the middle part says; GET succeeds and posts nothing, not even a body."""
    hook = await door(server)
    short, long = f"{hook.id}/{hook.token}", f"{hook.id}/whoever/{hook.token}"
    assert [await call(server, "POST", path, {"text": path}) for path in (short, long)] == [(200, OK)] * 2
    assert [await call(server, "GET", path) for path in (short, long)] == [(200, OK)] * 2
    assert await call(server, "GET", short, {"text": "in a GET"}) == (200, OK)
    assert await texts(server) == [short, long]


async def test_the_extras_shadow_the_generic_shapes(server: Server) -> None:
    """`sample` and `info` answer GET, `add` and `remove` POST; other methods there are 405, not a delivery."""
    hook = await door(server)
    for shape in (f"{hook.id}/{hook.token}", f"{hook.id}/whoever/{hook.token}"):
        assert await call(server, "GET", f"info/{shape}") == (200, OK)
        status, samples = await call(server, "GET", f"sample/{shape}")
        assert (status, [sample["text"] for sample in samples]) == (200, [f"Sample text {n}" for n in (1, 2, 3)])
        assert set(samples[0]) == {
            *("token", "channel_id", "channel_name", "timestamp", "user_id", "user_name", "text", "trigger_word")
        }
        named = [samples[0][key] for key in ("channel_name", "user_name", "trigger_word")]
        assert named == ["general", "rocket.cat", "Sample"]
        for method, path in [("POST", "sample"), ("POST", "info"), ("GET", "add"), ("GET", "remove")]:
            assert await call(server, method, f"{path}/{shape}", {"text": "x"}) == (405, WRONG_METHOD)
        for path in ("info", "sample"):
            assert await call(server, "GET", f"{path}/{hook.id}/wrong") == (404, UNKNOWN)
        for path in ("add", "remove"):
            assert await call(server, "POST", f"{path}/{hook.id}/wrong", {}) == (404, UNKNOWN)
    assert await texts(server) == []


@pytest.mark.parametrize(
    ("path", "allow"), [("{}/{}", "GET, POST"), ("info/{}/{}", "GET, HEAD"), ("add/{}/{}", "POST")]
)
async def test_a_wrong_method_names_the_right_ones(server: Server, path: str, allow: str) -> None:
    """PUT, and DELETE on a hook are 405 with `Allow`."""
    hook = await door(server)
    for method in ("PUT", "DELETE"):
        async with server.http.request(method, f"{server.url}/hooks/{path.format(hook.id, hook.token)}") as response:
            assert (response.status, response.headers["Allow"]) == (405, allow)
            assert await response.json() == WRONG_METHOD


async def test_only_the_right_id_and_token_open(server: Server) -> None:
    """Anything else is 404, the percent-encoded token opens too, and odd bytes never become a server error."""
    hook = await door(server)
    other = await door(server)
    encoded = "".join(f"%{ord(letter):02x}" for letter in hook.token)
    assert await raw_status(server, f"/hooks/{hook.id}/{encoded}".encode()) == 200
    made = (await server.post("integrations.create", OUTGOING | {"token": "s3cret"}))["integration"]
    for path in (
        f"{hook.id}/{other.token}",
        f"{hook.id}/{hook.token[:-1]}",
        f"{hook.id}/{hook.token.swapcase()}",
        f"{hook.id.upper()}x/{hook.token}",
        f"{made['_id']}/s3cret",
        f"{hook.id}/{quote('ключ')}",
        "sample/x",
    ):
        assert await call(server, "POST", path, {"text": "x"}) == (404, UNKNOWN), path
    for odd in (b"%FF", b"%ED%A0%80", b"%00", b"%2F", b"\xff\xfe", b"%"):
        for target in (b"/hooks/%b/%b" % (hook.id.encode(), odd), b"/hooks/%b/x" % odd):
            assert await raw_status(server, target) in (400, 404), target


BODIES: list[tuple[str, bytes, Answer, str | None]] = [
    (JSON, b'{"text":"json"}', (200, OK), "json"),
    ("application/json; charset=utf-8", b'\xef\xbb\xbf{"text":"mark"}', (200, OK), "mark"),
    (JSON, b'{"msg":"msg"}', (200, OK), "msg"),
    (JSON, b'{"text":"wins","msg":"loses"}', (200, OK), "wins"),
    (JSON, b'{"text":"  trimmed \\n"}', (200, OK), "trimmed"),
    (JSON, b'{"text":"a","text":"b"}', (200, OK), "b"),
    (JSON, b'{"text":null,"unknown":[1]}', (200, OK), ""),
    (FORM, b"text=form+body%21", (200, OK), "form body!"),
    (FORM, urlencode({"payload": '{"text":"wrapped"}'}).encode(), (200, OK), "wrapped"),
    (f"{FORM}; charset=utf-8", urlencode({"payload": '{"text":"x"}'}).encode(), (200, OK), ""),
    (FORM, urlencode({"payload": '{"text":"x"}', "text": "beside"}).encode(), (200, OK), "beside"),
    (FORM, b"payload=%7Bnot+json", (400, {}), None),
    (JSON, b"{nonsense", (400, {}), None),
    (JSON, b"[" * 100_000, (400, {}), None),
    (JSON, b'{"text":"x","n":NaN}', (400, {}), None),
    (JSON, b'{"text":"x","n":1e999}', (400, {}), None),
    (JSON, b'{"text":"\\ud800"}', (400, {}), None),
    (JSON, b'{"n":' + b"1" * 5000 + b"}", (400, {}), None),
    ("multipart/form-data; boundary=x", b"--x--", (415, {}), None),
    ("image/png", b"\x89PNG", (415, {}), None),
    (JSON, b'{"text":"' + b"x" * (1 << 20) + b'"}', (413, {}), None),
    (JSON, b'{"text":"' + b"x" * 40_001 + b'"}', failed("error-message-size-exceeded"), None),
    (JSON, b'{"text":5}', failed("Match error: Expected string, got number in field text"), None),
    (JSON, b'["text"]', failed("Match error: Expected object, got array"), None),
    (JSON, b'{"attachments":[{"title_link":"javascript:alert(1)"}]}', failed("Invalid href value provided"), None),
    (JSON, b'{"text":"x","avatar":"javascript:alert(1)"}', failed("Invalid href value provided"), None),
    *((JSON, empty, (200, OK), None) for empty in (b"", b"  ", b"{}", b"null", b"[]", b'""', b"0", b"false")),
    (FORM, b"payload=%7B%7D", (200, OK), None),
    (FORM, b"", (200, OK), None),
]


async def test_every_body(server: Server) -> None:
    """Each body of the table gets its answer, and posts what it says or nothing."""
    hook = await door(server)
    posted = 0
    for content_type, data, (status, answer), text in BODIES:
        got, body = await hook.send_raw(data, content_type)
        assert got == status, (data[:60], body)
        assert body == answer or (not answer and body["success"] is False and body["error"]), (data[:60], body)
        found = await texts(server)
        if text is not None:
            posted += 1
            assert found[-1] == text, data[:60]
        assert len(found) == posted, data[:60]


async def test_no_body_posts_nothing_whatever_the_script_flag_says(server: Server) -> None:
    """Without a body nothing is posted; an empty one is a message as soon as a script may fill it (§5.1 step 6)."""
    hook = await door(server, scriptEnabled=True)
    for data in (b"", b"  "):
        assert await hook.send_raw(data, JSON) == (200, OK)
    assert await call(server, "GET", f"{hook.id}/{hook.token}") == (200, OK)
    assert await hook.verdicts() == ["ignored"] * 3
    assert await hook.send({}) == (200, OK)
    assert await texts(server) == [""]


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        ("x/y", b"payload=%7B", {"Content-Type": FORM}),
        ("x/y", b"no gzip", {"Content-Type": JSON, "Content-Encoding": "gzip"}),
        ("x/y", b"[" * 1_048_577, {"Content-Type": JSON}),
        ("add/x/y", b"{", {"Content-Type": JSON}),
    ],
    ids=["form", "packed", "too long", "extra"],
)
async def test_an_unknown_hook_comes_before_a_bad_body(
    server: Server, path: str, body: bytes, headers: dict[str, str]
) -> None:
    """Nobody has a body unpacked or parsed by a hook that is not there: the answer is 404 whatever was sent."""
    async with server.http.post(f"{server.url}/hooks/{path}", data=BytesIO(body), headers=headers) as bad:
        assert (bad.status, await bad.json()) == (404, UNKNOWN)


async def test_guesses_are_limited_by_address_and_known_hooks_are_not(tmp_path: Path) -> None:
    """What names no hook counts for its address, over all its guesses; the same address goes on posting to its own."""
    async with serving(tmp_path / "data", api_rate_per_minute=4) as limited:
        urls = [f"{limited.url}/hooks/{number}/y" for number in range(6)]
        statuses = []
        for url in urls:
            async with limited.http.post(url, json={}) as response:
                statuses.append(response.status)
                if response.status == 429:
                    assert int(response.headers["Retry-After"]) >= 1
        assert statuses == [404] * 4 + [429] * 2
        async with limited.http.post(limited.hook, json={"text": "known"}) as response:
            assert response.status == 200


async def test_a_body_as_slack_senders_make_it(server: Server) -> None:
    """Blocks, mrkdwn and attachments of Slack arrive as a message of ours, and the answer is not Slack's `ok`."""
    hook = await door(server)
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "*disk* <https://x.example.test|full>"}}]
    assert await hook.send({"blocks": blocks}) == (200, OK)
    slack = {
        "username": "ci",
        "attachments": [{"color": "danger", "text": "boom", "fields": [{"title": "", "value": ""}]}],
    }
    assert await hook.send_raw(urlencode({"payload": json.dumps(slack)}).encode(), FORM) == (200, OK)
    second, first = await server.room_messages()
    assert "disk" in first["msg"]
    assert "https://x.example.test" in first["msg"]
    assert (second["alias"], second["attachments"][0]["text"]) == ("ci", "boom")


async def test_attachments_stand_in_the_room(server: Server) -> None:
    """The contract's own example arrives whole, with fields, an action and the hook's mark."""
    attachment: dict[str, Any] = {
        "color": "#d22852",
        "title": "api / main",
        "title_link": "https://ci.example.test/812",
        "ts": "2026-03-02T09:14:07.000Z",
        "fields": [{"title": "Minutes", "value": 4, "short": True}],
        "actions": [{"type": "button", "text": "Open", "url": "https://ci.example.test/812"}],
    }
    hook = await door(server)
    sent = {"text": "Build 812 failed", "username": "ci", "icon_emoji": ":rotating_light:", "attachments": [attachment]}
    assert await hook.send(sent) == (200, OK)
    assert await hook.send({"text": "renamed", "attachments": [{"msg": " inner "}]}) == (200, OK)
    renamed, message = await server.room_messages()
    assert (message["msg"], message["alias"], message["emoji"]) == ("Build 812 failed", "ci", ":rotating_light:")
    assert message["bot"] == {"i": hook.id}
    assert (message["parseUrls"], message["groupable"]) == (False, False)
    (shown,) = message["attachments"]
    assert {**shown, "fields": None} == {**attachment, "fields": None}
    assert shown["fields"] == [{"title": "Minutes", "value": "4", "short": True}]
    assert renamed["attachments"] == [{"text": "inner"}]


URL = "https://x.example.test/a.png"
DEFAULT_URL = "https://x.example.test/default.png"
LOOKS: list[tuple[dict[str, Any], dict[str, Any], tuple[str | None, str | None, str | None]]] = [
    ({}, {}, (None, None, None)),
    ({"alias": "Hook"}, {}, ("Hook", None, None)),
    ({"alias": "Hook"}, {"alias": "sent"}, ("sent", None, None)),
    ({}, {"username": "wins", "alias": "loses"}, ("wins", None, None)),
    ({}, {"icon_url": URL, "avatar": "https://x.example.test/loses.png", "emoji": ":x:"}, (None, URL, None)),
    ({}, {"icon_emoji": ":wins:", "emoji": ":loses:"}, (None, None, ":wins:")),
    ({"avatar": DEFAULT_URL}, {"emoji": ":sent:"}, (None, None, ":sent:")),
    ({"avatar": DEFAULT_URL, "emoji": ":gear:"}, {}, (None, DEFAULT_URL, None)),
    ({"emoji": ":gear:"}, {"icon_emoji": ""}, (None, None, ":gear:")),
]


async def test_name_and_picture(server: Server) -> None:
    """Sent beats default, picture beats emoji, and each first name of a key beats its second."""
    for defaults, sent, look in LOOKS:
        hook = await door(server, **defaults)
        assert await hook.send({"text": "x", **sent}) == (200, OK)
        message = (await server.room_messages())[0]
        assert tuple(message.get(key) for key in ("alias", "avatar", "emoji")) == look, (defaults, sent)


async def test_a_deactivated_poster(server: Server) -> None:
    """Once the posting user is deactivated every address of the hook is 401, add and remove too."""
    await server.user("ann", "admin")
    hook = await door(server, username="ann")
    user_id = (await server.get("users.info", username="ann"))["user"]["_id"]
    await server.post("users.setActiveStatus", {"userId": user_id, "activeStatus": False})
    assert await hook.send({"text": "x"}) == (401, NOT_LOGGED_IN)
    pair = f"{hook.id}/{hook.token}"
    assert await call(server, "GET", pair) == (401, NOT_LOGGED_IN)
    assert await call(server, "GET", f"info/{pair}") == (401, NOT_LOGGED_IN)
    made = {"event": "newMessageOnChannel", "name": "z", "target_url": "https://x.example.test/z", "data": {}}
    assert await call(server, "POST", f"add/{pair}", made) == (401, NOT_LOGGED_IN)
    assert await texts(server) == []


async def test_disabled_and_expired_hooks(tmp_path: Any) -> None:
    """Both answer 503 with a JSON string, and history says so; enabled again they post."""
    clock = ManualClock()
    off = (503, "Service Unavailable")
    async with serving(tmp_path / "data", clock) as server:
        hook = await door(server, username="owner")
        await hook.edit(Options(enabled=False))
        assert await hook.send({"text": "x"}) == off
        assert await call(server, "GET", f"{hook.id}/{hook.token}") == off
        assert await call(server, "POST", f"add/{hook.id}/{hook.token}", {}) == off
        await hook.edit(Options(enabled=True, expires_at=Millis(clock.now() + 1000)))
        assert await hook.send({"text": "in time"}) == (200, OK)
        clock.advance(1000)
        assert await hook.send({"text": "x"}) == off
        assert await texts(server) == ["in time"]
        assert await hook.verdicts() == ["refused", "refused", "posted", "refused"]
        assert {one.status for one in await hook.requests()} == {200, 503}


async def test_zapier_adds_and_removes_an_outgoing_hook(server: Server) -> None:
    """`add` makes a hook posting as `rocket.cat` with the poster's rights, `remove` finds it by its address."""
    hook = await door(server, username="owner")
    weak = await door(server)
    target = "https://zap.example.test/1"
    body = {
        "event": "newMessageOnChannel",
        "name": "zap",
        "target_url": target,
        "data": {"channel_name": "general", "trigger_words": ["!zap"]},
    }
    status, answer = await call(server, "POST", f"add/{weak.id}/{weak.token}", body)
    assert (status, answer["errorType"]) == (400, "not_authorized")
    assert await call(server, "POST", f"add/{hook.id}/{hook.token}", body) == (200, OK)
    (made,) = (await server.get("integrations.list", type="webhook-outgoing"))["integrations"]
    shown = {key: made[key] for key in ("name", "username", "channel", "event", "urls", "triggerWords")}
    assert shown == {
        "name": "zap",
        "username": "rocket.cat",
        "channel": ["#general"],
        "event": "sendMessage",
        "urls": [target],
        "triggerWords": ["!zap"],
    }
    remove = f"remove/{hook.id}/{hook.token}"
    status, answer = await call(server, "POST", remove, {"target_url": "https://zap.example.test/2"})
    assert (status, answer["error"]) == (400, "integration-not-found")
    for url in (target, "https://zap.example.test/2"):  # whoever may remove nothing learns of no address
        assert await call(server, "POST", f"remove/{weak.id}/{weak.token}", {"target_url": url}) == FORBIDDEN
    assert await call(server, "POST", remove, {"target_url": target}) == (200, OK)
    assert (await server.get("integrations.list", type="webhook-outgoing"))["integrations"] == []


async def test_a_removed_hook_is_unknown_at_once(server: Server) -> None:
    """Posts that race with the removal are posted or 404, never a server error; afterwards all are 404."""
    hook = await door(server)
    gone = {"type": "webhook-incoming", "integrationId": hook.id}
    answers = await asyncio.gather(
        *(hook.send({"text": str(number)}) for number in range(10)),
        server.post("integrations.remove", gone),
        *(hook.send({"text": str(number)}) for number in range(10, 20)),
    )
    statuses = [answer[0] for answer in answers if isinstance(answer, tuple)]
    assert set(statuses) <= {200, 404}
    assert len(await texts(server)) == statuses.count(200)
    assert await hook.send({"text": "late"}) == (404, UNKNOWN)
